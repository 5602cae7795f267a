"""The networks of the zoo: how each is built, what it is fed and in which formats it is wanted."""

from dataclasses import dataclass
from typing import Callable

import numpy as np
import tensorflow as tf

from recurrent import fused_lstm

keras = tf.keras
ALL = ("f32", "f16", "dyn", "int8")


@dataclass(frozen=True)
class Network:
    """One network: `make` returns a trackable module and its concrete function, `sample(rng, n)` a batch of n inputs."""

    name: str
    make: Callable
    sample: Callable
    formats: tuple = ALL
    quantized_io: bool = True


def pictures(size, low, high):
    """A sampler of smooth random colour pictures, `size` by `size`, with values in [low, high]."""

    def sample(rng, count):
        coarse = rng.uniform(0, 1, (count, 12, 12, 3)).astype(np.float32)
        smooth = tf.image.resize(coarse, (size, size), method="bicubic").numpy()
        noisy = smooth + rng.normal(0, 0.08, smooth.shape)
        return (low + (high - low) * np.clip(noisy, 0, 1)).astype(np.float32)

    return sample


def settle_batch_norms(model, batch):
    """Seeds every batch normalization's scale and shift, and takes its statistics from one pass over `batch`."""
    rng = np.random.default_rng(3)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
        if layer.gamma is not None:
            layer.gamma.assign(rng.uniform(0.6, 1.4, layer.gamma.shape))
        layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
    model(batch, training=True)
    for layer, momentum in zip(norms, momenta):
        layer.momentum = momentum


def sharpen_classifier(model, factor):
    """Scales the last weights so that the probabilities differ clearly from one class to the next."""
    layer = next(layer for layer in reversed(model.layers) if layer.weights)
    layer.kernel.assign(layer.kernel * factor)


def concrete(model, spec):
    """The inference function of a Keras model for one static input specification."""
    return tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)


def picture_network(name, application, size, low=-1.0, high=1.0, formats=ALL, **options):
    """An ImageNet classifier of keras.applications with random weights."""
    sample = pictures(size, low, high)

    def make():
        model = application(weights=None, input_shape=(size, size, 3), **options)
        settle_batch_norms(model, sample(np.random.default_rng(5), 8))
        sharpen_classifier(model, 3.0)
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
        settle_batch_norms(model, sample(np.random.default_rng(5), 32))
        sharpen_classifier(model, 3.0)
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


def lstm_network(steps=50, features=40, widths=(128, 128), classes=12):
    """Stacked LSTM layers over a sequence of feature frames, the last state classified."""

    def sample(rng, count):
        return rng.normal(0, 1, (count, steps, features)).astype(np.float32)

    def make():
        rng = np.random.default_rng(3)
        module = tf.Module()
        module.cells = []
        width_in = features
        for width in widths:
            scale = 1.5 / np.sqrt(width_in + width)
            module.cells.append(
                [
                    tf.Variable(rng.normal(0, scale, (width_in, 4 * width)).astype(np.float32)),
                    tf.Variable(rng.normal(0, scale, (width, 4 * width)).astype(np.float32)),
                    tf.Variable(rng.normal(0, 0.2, (4 * width,)).astype(np.float32)),
                ]
            )
            width_in = width
        module.head = tf.Variable(rng.normal(0, 0.3, (width_in, classes)).astype(np.float32))

        @tf.function
        def classify(x):
            for kernel, recurrent, bias in module.cells:
                x = fused_lstm(x, kernel, recurrent, bias)
            return tf.nn.softmax(x[:, -1] @ module.head)

        return module, classify.get_concrete_function(tf.TensorSpec((1, steps, features), tf.float32, name="frames"))

    return Network("lstm_stack", make, sample)


_apps = keras.applications
NETWORKS = {
    network.name: network
    for network in (
        digits_network(),
        picture_network("mobilenet_v2", _apps.MobileNetV2, 224, formats=ALL + ("int16x8",)),
        picture_network("mobilenet_v1", _apps.MobileNet, 224),
        picture_network("mobilenet_v3_small", _apps.MobileNetV3Small, 224, include_preprocessing=False),
        picture_network("mobilenet_v3_large", _apps.MobileNetV3Large, 224, include_preprocessing=False),
        lstm_network(),
        bert_network(),
        picture_network("efficientnet_b0", _apps.EfficientNetB0, 224, low=0.0, high=255.0),
        picture_network("resnet50", _apps.ResNet50, 224),
        picture_network("inception_v3", _apps.InceptionV3, 299),
    )
}
