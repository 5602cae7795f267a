"""The networks of the zoo: how each is built, what it is fed and in which formats it is wanted."""

import numpy as np
import tensorflow as tf

import dense_prediction
from lstm import lstm_stack
from network import ALL, Network, concrete, pictures, settle_batch_norms, spread_logits

keras = tf.keras


def picture_network(name, application, size, low=-1.0, high=1.0, formats=ALL, **options):
    """An ImageNet classifier of keras.applications with random weights."""
    sample = pictures(size, low, high)

    def make():
        model = application(weights=None, input_shape=(size, size, 3), **options)
        batch = sample(np.random.default_rng(5), 12)
        settle_batch_norms(model, batch)
        spread_logits(model, batch)
        return model, concrete(model, tf.TensorSpec((1, size, size, 3), tf.float32, name="image"))

    return Network(name, make, sample, formats)


def digits_network():
    """A small residual and depthwise-separable classifier of 28 by 28 digits."""
    layers = keras.layers

    def sample(rng, count):
        return pictures(28, 0.0, 1.0)(rng, count)[..., :1]

    def make():
        image = keras.Input((28, 28, 1))
        x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))
        x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
        x = layers.GlobalAveragePooling2D()(x)
        model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
        batch = sample(np.random.default_rng(5), 32)
        settle_batch_norms(model, batch)
        spread_logits(model, batch)
        return model, concrete(model, tf.TensorSpec((1, 28, 28, 1), tf.float32, name="digit"))

    return Network("digits", make, sample)


def bert_network(tokens=128, depth=4, width=256, heads=4, vocabulary=8192):
    """A transformer encoder: token and position embeddings, `depth` post-norm blocks, a pooled two-class head."""
    layers = keras.layers

    def sample(rng, count):
        return rng.integers(0, vocabulary, (count, tokens), dtype=np.int32)

    def make():
        ids = keras.Input((tokens,), batch_size=1, dtype="int32")
        positions = layers.Embedding(tokens, width)(tf.range(tokens)[tf.newaxis])
        x = layers.Embedding(vocabulary, width)(ids) + positions
        x = layers.LayerNormalization(epsilon=1e-6)(x)
        for _ in range(depth):
            attended = layers.MultiHeadAttention(heads, width // heads)(x, x)
            x = layers.LayerNormalization(epsilon=1e-6)(x + attended)
            hidden = layers.Dense(4 * width, activation="gelu")(x)
            x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dense(width)(hidden))
        pooled = layers.Dense(width, activation="tanh")(x[:, 0])
        model = keras.Model(ids, layers.Dense(2)(pooled))
        rng = np.random.default_rng(3)
        for layer in model.layers:
            if isinstance(layer, layers.LayerNormalization):
                layer.gamma.assign(rng.uniform(0.6, 1.4, layer.gamma.shape))
                layer.beta.assign(rng.normal(0, 0.2, layer.beta.shape))
            if isinstance(layer, layers.Embedding):
                layer.embeddings.assign(rng.normal(0, 0.5, layer.embeddings.shape))
        return model, concrete(model, tf.TensorSpec((1, tokens), tf.int32, name="token_ids"))

    return Network("bert_mini", make, sample, quantized_io=False)


def loop_network(steps=20, features=16, width=24, classes=5):
    """A hand-written recurrent cell over a sequence, which the converter turns into WHILE with its two subgraphs."""

    def sample(rng, count):
        return rng.normal(0, 1, (count, steps, features)).astype(np.float32)

    def make():
        rng = np.random.default_rng(3)
        module = tf.Module()
        module.kernel = tf.Variable(rng.normal(0, 0.3, (features + width, 4 * width)).astype(np.float32))
        module.bias = tf.Variable(rng.normal(0, 0.2, (4 * width,)).astype(np.float32))
        module.head = tf.Variable(rng.normal(0, 0.5, (width, classes)).astype(np.float32))

        def step(state, x):
            hidden, cell = state
            i, f, g, o = tf.split(tf.concat([x, hidden], -1) @ module.kernel + module.bias, 4, axis=-1)
            cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
            return tf.sigmoid(o) * tf.tanh(cell), cell

        @tf.function
        def classify(x):
            zeros = tf.zeros((1, width))
            hidden, _ = tf.scan(step, tf.transpose(x, (1, 0, 2)), initializer=(zeros, zeros))
            return tf.nn.softmax(hidden[-1] @ module.head)

        return module, classify.get_concrete_function(tf.TensorSpec((1, steps, features), tf.float32, name="frames"))

    return Network("lstm_loop", make, sample, formats=("f32", "f16", "dyn"))


_apps = keras.applications
NETWORKS = {
    network.name: network
    for network in (
        digits_network(),
        picture_network("mobilenet_v2", _apps.MobileNetV2, 224, formats=ALL + ("int16x8",)),
        picture_network("mobilenet_v1", _apps.MobileNet, 224),
        picture_network("mobilenet_v3_small", _apps.MobileNetV3Small, 224, include_preprocessing=False),
        picture_network("mobilenet_v3_large", _apps.MobileNetV3Large, 224, include_preprocessing=False),
        Network("lstm_stack", direct=lstm_stack),
        loop_network(),
        bert_network(),
        picture_network("efficientnet_b0", _apps.EfficientNetB0, 224, low=0.0, high=255.0),
        picture_network("resnet50", _apps.ResNet50, 224),
        picture_network("inception_v3", _apps.InceptionV3, 299),
        *dense_prediction.NETWORKS,
    )
}
