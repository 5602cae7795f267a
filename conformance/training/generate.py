"""Makes trainable models with TensorFlow's converter, and the loss of every step and the final weights that TensorFlow gives.

python conformance/training/generate.py [NAME ...]

Writes `models.npz` beside this file (with names: only those cases, to `some.npz`). Every model has the signatures
train(x, y) -> loss, infer(x) -> output and get_weights() -> w0, w1, ...; the golden numbers are those of TensorFlow's own
execution of `train`. See README.md for the layout.
"""

import io
import json
import os
import pathlib
import sys
import tempfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras import losses, optimizers as O, regularizers

HERE = pathlib.Path(__file__).parent
STEPS = 50
BATCHES = 4


class Trainable(tf.Module):
    """A Keras model with its loss and optimizer, as signatures. All variables are tracked through `vs`."""

    def __init__(self, model, loss, optimizer, x, y):
        super().__init__()
        self.model, self.loss, self.optimizer = model, loss, optimizer
        optimizer.build(model.trainable_variables)
        self.vs = [v.value for v in model.variables + optimizer.variables]
        self.read = [v.value for v in model.variables if v.dtype == "float32"]

        @tf.function(input_signature=[tf.TensorSpec(*x, name="x"), tf.TensorSpec(*y, name="y")])
        def train(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.loss(y, self.model(x, training=True)))
                if self.model.losses:
                    loss += tf.add_n(self.model.losses)
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables))
            return {"loss": loss}

        @tf.function(input_signature=[tf.TensorSpec(*x, name="x")])
        def infer(x):
            return {"output": self.model(x, training=False)}

        @tf.function(input_signature=[])
        def get_weights():
            return {f"w{i}": tf.identity(v) for i, v in enumerate(self.read)}

        self.train, self.infer, self.get_weights = train, infer, get_weights


class RawStep(tf.Module):
    """Logistic regression whose optimizer is one of TensorFlow's fused operators."""

    def __init__(self, apply, slots):
        super().__init__()
        random = np.random.default_rng(5)
        self.w = tf.Variable(random.normal(size=(6, 3)).astype(np.float32), name="w")
        self.slots = [tf.Variable(tf.fill([6, 3], s), name=f"slot{i}") for i, s in enumerate(slots)]
        self.step = tf.Variable(1.0, name="step")

        @tf.function(input_signature=[tf.TensorSpec([8, 6], name="x"), tf.TensorSpec([8, 3], name="y")])
        def train(x, y):
            with tf.GradientTape() as tape:
                logits = tf.matmul(x, self.w)
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits))
            apply(self.w.handle, [s.handle for s in self.slots], tape.gradient(loss, self.w), self.step)
            self.step.assign_add(1.0)
            return {"loss": loss}

        @tf.function(input_signature=[tf.TensorSpec([8, 6], name="x")])
        def infer(x):
            return {"output": tf.sigmoid(tf.matmul(x, self.w))}

        @tf.function(input_signature=[])
        def get_weights():
            return {"w0": tf.identity(self.w), **{f"w{i + 1}": tf.identity(s) for i, s in enumerate(self.slots)}}

        self.train, self.infer, self.get_weights = train, infer, get_weights


def convert(module, names=("train", "infer", "get_weights")):
    with tempfile.TemporaryDirectory() as folder:
        signatures = {n: getattr(module, n).get_concrete_function() for n in names}
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(names))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter.experimental_enable_resource_variables = True
        return converter.convert()


CASES = {}


def case(name, model, loss, optimizer, x, y, labels=None):
    """A case; `x` and `y` are (shape, type), `labels` says what kind of numbers y holds."""
    CASES[name] = (lambda: Trainable(model(), loss(), optimizer(), x, y), x, y, labels)


S, I = keras.Sequential, keras.Input
sgd = lambda: O.SGD(0.05)
mse = losses.MeanSquaredError
sparse = lambda: losses.SparseCategoricalCrossentropy(from_logits=True)


def flat(x, y):
    return ((8, x), "float32"), ((8, y), "float32")


def dense(activation="relu", outputs=3):
    return lambda: S([I((6,)), L.Dense(8, activation=activation), L.Dense(outputs)])


for activation in ["relu", "relu6", "elu", "selu", "tanh", "sigmoid", "softplus", "softsign", "swish", "leaky_relu",
                   "hard_sigmoid", "exponential", "mish"]:
    case(f"dense/{activation}", dense(activation), mse, sgd, *flat(6, 3))
case("dense/gelu", lambda: S([I((6,)), L.Dense(8), L.Activation(lambda x: keras.activations.gelu(x, approximate=True)),
                              L.Dense(3)]), mse, sgd, *flat(6, 3))

for name, make in {
    "momentum": lambda: O.SGD(0.05, momentum=0.9),
    "nesterov": lambda: O.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: O.Adam(0.01),
    "amsgrad": lambda: O.Adam(0.01, amsgrad=True),
    "adamw": lambda: O.AdamW(0.01),
    "nadam": lambda: O.Nadam(0.01),
    "adamax": lambda: O.Adamax(0.01),
    "rmsprop": lambda: O.RMSprop(0.01),
    "rmsprop_centered": lambda: O.RMSprop(0.01, centered=True, momentum=0.9),
    "adagrad": lambda: O.Adagrad(0.1),
    "adadelta": lambda: O.Adadelta(1.0),
    "ftrl": lambda: O.Ftrl(0.1),
    "lion": lambda: O.Lion(0.01),
    "ema": lambda: O.SGD(0.05, use_ema=True),
    "clip_value": lambda: O.SGD(0.05, clipvalue=0.1),
    "clip_norm": lambda: O.SGD(0.05, clipnorm=0.1),
    "clip_global_norm": lambda: O.Adam(0.01, global_clipnorm=0.5),
    "exponential_decay": lambda: O.SGD(O.schedules.ExponentialDecay(0.1, 10, 0.9, staircase=True)),
    "cosine_decay": lambda: O.Adam(O.schedules.CosineDecay(0.05, 50)),
    "piecewise_decay": lambda: O.SGD(O.schedules.PiecewiseConstantDecay([10, 30], [0.1, 0.05, 0.01])),
    "polynomial_decay": lambda: O.SGD(O.schedules.PolynomialDecay(0.1, 40)),
    "inverse_decay": lambda: O.SGD(O.schedules.InverseTimeDecay(0.1, 10, 0.9)),
}.items():
    case(f"optimizer/{name}", dense("tanh"), mse, make, *flat(6, 3))

for name, make, labels in [
    ("mae", losses.MeanAbsoluteError, None),
    ("huber", losses.Huber, None),
    ("log_cosh", losses.LogCosh, None),
    ("cosine", losses.CosineSimilarity, None),
    ("hinge", losses.Hinge, "sign"),
    ("poisson", losses.Poisson, "unit"),
    ("msle", losses.MeanSquaredLogarithmicError, "unit"),
]:
    # Poisson and logarithms need predictions above zero.
    outputs = "softplus" if name in ("poisson", "msle") else None
    model = lambda outputs=outputs: S([I((6,)), L.Dense(8, activation="tanh"), L.Dense(3, activation=outputs)])
    case(f"loss/{name}", model, make, sgd, *flat(6, 3), labels)
softmax = lambda: S([I((6,)), L.Dense(4, activation="softmax")])
classes = ((8, 6), "float32"), ((8,), "int32")
case("loss/kl_divergence", softmax, losses.KLDivergence, sgd, *flat(6, 4), "distribution")
case("loss/binary_logits", dense("tanh", 1), lambda: losses.BinaryCrossentropy(from_logits=True), sgd, *flat(6, 1), "bit")
case("loss/binary", lambda: S([I((6,)), L.Dense(1, activation="sigmoid")]), losses.BinaryCrossentropy, sgd, *flat(6, 1),
     "bit")
case("loss/focal", lambda: S([I((6,)), L.Dense(1, activation="sigmoid")]), losses.BinaryFocalCrossentropy, sgd,
     *flat(6, 1), "bit")
case("loss/sparse_logits", dense("relu", 4), sparse, sgd, *classes)
case("loss/sparse", softmax, losses.SparseCategoricalCrossentropy, sgd, *classes)
case("loss/categorical_logits", dense("relu", 4), lambda: losses.CategoricalCrossentropy(from_logits=True), sgd,
     *flat(6, 4), "distribution")
case("loss/categorical", softmax, losses.CategoricalCrossentropy, sgd, *flat(6, 4), "distribution")
case("loss/regularized", lambda: S([I((6,)), L.Dense(8, kernel_regularizer=regularizers.L1(0.01)),
                                    L.Dense(3, kernel_regularizer=regularizers.L2(0.01))]), mse, sgd, *flat(6, 3))


def image(name, *layers, optimizer=sgd):
    model = lambda: S([I((8, 8, 2)), *[layer() for layer in layers], L.Flatten(), L.Dense(4)])
    case(f"image/{name}", model, sparse, optimizer, ((4, 8, 8, 2), "float32"), ((4,), "int32"))


conv = lambda **options: lambda: L.Conv2D(4, 3, **options)
image("conv", conv(activation="relu"))
image("conv_twice", conv(activation="relu"), conv(activation="relu", padding="same"))
image("conv_strided", conv(strides=2, padding="same", activation="relu"), optimizer=lambda: O.Adam(0.01))
image("conv_dilated", conv(activation="relu"), conv(dilation_rate=2, activation="relu6"))
# First: of a grouped convolution's input gradient the converter makes a transposed convolution that LiteRT refuses.
image("conv_grouped", conv(groups=2, activation="relu6"))
image("depthwise", conv(activation="relu"), lambda: L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"))
image("depthwise_strided", conv(activation="relu"), lambda: L.DepthwiseConv2D(3, strides=2, padding="same"))
image("separable", lambda: L.SeparableConv2D(4, 3, padding="same", activation="relu"))
image("transposed", lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu"))
image("transposed_valid", conv(), lambda: L.Conv2DTranspose(3, 3, activation="relu"))
image("max_pool", conv(), lambda: L.MaxPool2D())
image("max_pool_overlapping", conv(), lambda: L.MaxPool2D(3, 2, padding="same"))
image("average_pool", conv(), lambda: L.AveragePooling2D(3, 2, padding="same"))
image("global_average_pool", conv(activation="relu"), L.GlobalAveragePooling2D)
image("global_max_pool", conv(activation="relu"), L.GlobalMaxPooling2D)
image("batch_norm", conv(), L.BatchNormalization, L.ReLU)
image("layer_norm", conv(), L.LayerNormalization, L.ReLU)
image("group_norm", conv(), lambda: L.GroupNormalization(2), L.ReLU)
image("dropout", conv(activation="relu"), lambda: L.Dropout(0.3, seed=3))
image("spatial_dropout", conv(activation="relu"), lambda: L.SpatialDropout2D(0.3, seed=3))
image("noise", lambda: L.GaussianNoise(0.3, seed=3))
image("upsampling", conv(), lambda: L.UpSampling2D(interpolation="bilinear"), lambda: L.Conv2D(2, 3))
image("upsampling_nearest", conv(), lambda: L.UpSampling2D(), lambda: L.Conv2D(2, 3))
image("padding", lambda: L.Conv2D(2, 3), lambda: L.ZeroPadding2D(1), lambda: L.Cropping2D(1), L.PReLU)
case("dense/batch_norm", lambda: S([I((6,)), L.Dense(8), L.BatchNormalization(), L.ReLU(), L.Dense(3)]), mse, sgd,
     *flat(6, 3))
case("dense/unit_norm", lambda: S([I((6,)), L.Dense(8), L.UnitNormalization(), L.Dense(3)]), mse, sgd, *flat(6, 3))
case("dense/rms_norm", lambda: S([I((6,)), L.Dense(8), L.RMSNormalization(), L.Dense(3)]), mse, sgd, *flat(6, 3))
case("dense/max_norm", lambda: S([I((6,)), L.Dense(8), L.Dense(3, kernel_constraint=keras.constraints.MaxNorm(1.0))]),
     mse, sgd, *flat(6, 3))

series = ((4, 10, 3), "float32"), ((4, 3), "float32")
adam = lambda: O.Adam(0.01)
case("series/conv", lambda: S([I((10, 3)), L.Conv1D(4, 3, activation="relu"), L.MaxPool1D(2), L.Flatten(), L.Dense(3)]),
     mse, adam, *series)
case("series/conv_causal", lambda: S([I((10, 3)), L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"),
                                      L.GlobalAveragePooling1D(), L.Dense(3)]), mse, adam, *series)
case("volume/conv", lambda: S([I((4, 5, 5, 2)), L.Conv3D(3, 2, activation="relu"), L.MaxPool3D(2), L.Flatten(),
                               L.Dense(3)]), mse, adam, ((2, 4, 5, 5, 2), "float32"), ((2, 3), "float32"))
case("volume/average_pool", lambda: S([I((4, 5, 5, 2)), L.Conv3D(3, 2, padding="same"), L.Conv3D(2, 2),
                                       L.AveragePooling3D(2), L.Flatten(), L.Dense(3)]), mse, adam,
     ((2, 4, 5, 5, 2), "float32"), ((2, 3), "float32"))
words = ((4, 6), "int32"), ((4, 3), "float32")
case("words/embedding", lambda: S([I((6,), dtype="int32"), L.Embedding(10, 4), L.Flatten(), L.Dense(3)]), mse, sgd, *words)
case("words/embedding_adam", lambda: S([I((6,), dtype="int32"), L.Embedding(10, 4), L.GlobalAveragePooling1D(),
                                        L.Dense(3)]), mse, adam, *words)


def sequence(name, *layers):
    model = lambda: S([I((5, 3)), *[layer() for layer in layers], L.Dense(2)])
    case(f"sequence/{name}", model, mse, adam, ((4, 5, 3), "float32"), ((4, 2), "float32"))


sequence("lstm_unrolled", lambda: L.LSTM(4, unroll=True))
sequence("gru_unrolled", lambda: L.GRU(4, unroll=True))
sequence("rnn_unrolled", lambda: L.SimpleRNN(4, unroll=True))
sequence("lstm", lambda: L.LSTM(4))
sequence("gru", lambda: L.GRU(4))
sequence("rnn", lambda: L.SimpleRNN(4))
sequence("lstm_sequences", lambda: L.LSTM(4, return_sequences=True), L.GlobalMaxPooling1D)
sequence("lstm_both_ways", lambda: L.Bidirectional(L.LSTM(3)))


def attention():
    # Without biases: that of the keys has no gradient but rounding, which Adam would blow up.
    i = I((5, 8))
    h = L.LayerNormalization()(L.MultiHeadAttention(2, 4, use_bias=False)(i, i) + i)
    h = L.Activation(lambda x: keras.activations.gelu(x, approximate=True))(L.Dense(8)(h))
    return keras.Model(i, L.Dense(2)(L.GlobalAveragePooling1D()(h)))


def attention_additive():
    i = I((5, 8))
    h = L.AdditiveAttention()([L.Attention()([i, L.Dense(8)(i)]), i])
    return keras.Model(i, L.Dense(2)(L.Flatten()(h)))


tokens = ((4, 5, 8), "float32"), ((4, 2), "float32")
case("attention/multi_head", attention, mse, lambda: O.AdamW(0.01), *tokens)
case("attention/additive", attention_additive, mse, lambda: O.AdamW(0.01), *tokens)


def fused(name, apply, slots):
    CASES[f"fused/{name}"] = (lambda: RawStep(apply, slots), ((8, 6), "float32"), ((8, 3), "float32"), "bit")


R = tf.raw_ops
fused("gradient_descent", lambda w, s, g, t: R.ResourceApplyGradientDescent(var=w, alpha=0.1, delta=g), [])
fused("momentum", lambda w, s, g, t: R.ResourceApplyMomentum(
    var=w, accum=s[0], lr=0.1, grad=g, momentum=0.9, use_nesterov=True), [0.0])
fused("keras_momentum", lambda w, s, g, t: R.ResourceApplyKerasMomentum(
    var=w, accum=s[0], lr=0.1, grad=g, momentum=0.9, use_nesterov=True), [0.0])
fused("adam", lambda w, s, g, t: R.ResourceApplyAdam(
    var=w, m=s[0], v=s[1], beta1_power=tf.pow(0.9, t), beta2_power=tf.pow(0.999, t), lr=0.05, beta1=0.9, beta2=0.999,
    epsilon=1e-7, grad=g), [0.0, 0.0])
fused("amsgrad", lambda w, s, g, t: R.ResourceApplyAdamWithAmsgrad(
    var=w, m=s[0], v=s[1], vhat=s[2], beta1_power=tf.pow(0.9, t), beta2_power=tf.pow(0.999, t), lr=0.05, beta1=0.9,
    beta2=0.999, epsilon=1e-7, grad=g), [0.0, 0.0, 0.0])
fused("adamax", lambda w, s, g, t: R.ResourceApplyAdaMax(
    var=w, m=s[0], v=s[1], beta1_power=tf.pow(0.9, t), lr=0.05, beta1=0.9, beta2=0.999, epsilon=1e-7, grad=g), [0.0, 0.0])
fused("adagrad", lambda w, s, g, t: R.ResourceApplyAdagradV2(
    var=w, accum=s[0], lr=0.1, epsilon=1e-7, grad=g), [0.1])
fused("adadelta", lambda w, s, g, t: R.ResourceApplyAdadelta(
    var=w, accum=s[0], accum_update=s[1], lr=1.0, rho=0.95, epsilon=1e-6, grad=g), [0.0, 0.0])
fused("rmsprop", lambda w, s, g, t: R.ResourceApplyRMSProp(
    var=w, ms=s[0], mom=s[1], lr=0.01, rho=0.9, momentum=0.5, epsilon=1e-7, grad=g), [1.0, 0.0])
fused("rmsprop_centered", lambda w, s, g, t: R.ResourceApplyCenteredRMSProp(
    var=w, mg=s[0], ms=s[1], mom=s[2], lr=0.01, rho=0.9, momentum=0.5, epsilon=1e-3, grad=g), [0.0, 1.0, 0.0])
fused("ftrl", lambda w, s, g, t: R.ResourceApplyFtrlV2(
    var=w, accum=s[0], linear=s[1], grad=g, lr=0.1, l1=0.001, l2=0.002, l2_shrinkage=0.01, lr_power=-0.5), [0.1, 0.0])
fused("power_sign", lambda w, s, g, t: R.ResourceApplyPowerSign(
    var=w, m=s[0], lr=0.05, logbase=1.0, sign_decay=0.9, beta=0.9, grad=g), [0.0])
fused("add_sign", lambda w, s, g, t: R.ResourceApplyAddSign(
    var=w, m=s[0], lr=0.05, alpha=1.0, sign_decay=0.9, beta=0.9, grad=g), [0.0])
fused("proximal", lambda w, s, g, t: R.ResourceApplyProximalGradientDescent(
    var=w, alpha=0.1, l1=0.001, l2=0.01, delta=g), [])
fused("proximal_adagrad", lambda w, s, g, t: R.ResourceApplyProximalAdagrad(
    var=w, accum=s[0], lr=0.1, l1=0.001, l2=0.01, grad=g), [0.1])


def data(name, x, y, labels):
    """Seeded batches; all of a case's are alike, so that there is something to learn."""
    random = np.random.default_rng(zlib.crc32(name.encode()))

    def draw(shape, dtype, limit):
        if dtype == "int32":
            return random.integers(0, limit, size=(BATCHES, *shape)).astype(np.int32)
        return random.normal(size=(BATCHES, *shape)).astype(np.float32)

    xs, ys = draw(*x, 10), draw(*y, 4)
    if labels == "sign":
        ys = np.sign(ys)
    elif labels == "unit":
        ys = np.abs(ys)
    elif labels == "bit":
        ys = (ys > 0).astype(np.float32)
    elif labels == "distribution":
        ys = np.exp(ys) / np.exp(ys).sum(-1, keepdims=True)
    return xs, ys.astype(y[1])


def run(name):
    make, x, y, labels = CASES[name]
    keras.utils.set_random_seed(1)
    module = make()
    model = convert(module)
    xs, ys = data(name, x, y, labels)
    loss = [float(module.train(tf.constant(xs[i % BATCHES]), tf.constant(ys[i % BATCHES]))["loss"]) for i in range(STEPS)]
    weights = module.get_weights()
    weights = [weights[f"w{i}"].numpy().astype(np.float32) for i in range(len(weights))]
    return model, xs, ys, np.array(loss, np.float32), weights


def main():
    names = sys.argv[1:] or list(CASES)
    arrays, index = {}, []
    raw = lambda array: np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    for name in names:
        try:
            model, xs, ys, loss, weights = run(name)
        except Exception as error:  # a case that this version of the converter refuses
            print(f"{name}: not converted: {str(error)[:200]!r}", file=sys.stderr)
            continue
        prefix = f"{len(index):04}"
        index.append({"name": name, "weights": len(weights)})
        arrays[f"{prefix}.model"] = raw(np.frombuffer(model, np.uint8))
        arrays[f"{prefix}.x"], arrays[f"{prefix}.y"] = raw(xs), raw(ys)
        arrays[f"{prefix}.loss"] = raw(loss)
        for i, weight in enumerate(weights):
            arrays[f"{prefix}.w{i}"] = raw(weight)
        print(f"{name}: loss {loss[0]:.6f} -> {loss[-1]:.6f}, {len(model)} bytes", file=sys.stderr, flush=True)
    arrays["index"] = raw(np.frombuffer(json.dumps(index).encode(), np.uint8))
    path = HERE / ("some.npz" if sys.argv[1:] else "models.npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    path.write_bytes(buffer.getvalue())
    print(f"{len(index)} cases, {path.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
