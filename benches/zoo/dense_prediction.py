"""Networks that are no picture classifiers: a U-Net, a super-resolver, a keyword spotter, a detector with its suppression."""

import numpy as np
import tensorflow as tf

from network import Network, concrete, pictures, settle_batch_norms, spread_logits

keras = tf.keras
layers = keras.layers


def conv_norm(x, channels, kernel=3, strides=1):
    """A convolution, batch normalization and ReLU."""
    x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def separable_norm(x, channels, strides=1):
    """A depthwise and a pointwise convolution, each with batch normalization and ReLU."""
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return conv_norm(x, channels, kernel=1)


def unet_network(size=128, width=16, depth=3):
    """A U-Net (Ronneberger et al., 2015): convolutions down, transposed convolutions up, concatenations across."""
    sample = pictures(size, 0.0, 1.0)

    def make():
        image = keras.Input((size, size, 3), batch_size=1)
        x, skips = image, []
        for level in range(depth):
            x = conv_norm(conv_norm(x, width << level), width << level)
            skips.append(x)
            x = layers.MaxPooling2D()(x)
        x = conv_norm(conv_norm(x, width << depth), width << depth)
        for level in reversed(range(depth)):
            x = layers.Conv2DTranspose(width << level, 2, strides=2, padding="same")(x)
            x = layers.Concatenate()([skips[level], x])
            x = conv_norm(conv_norm(x, width << level), width << level)
        model = keras.Model(image, layers.Conv2D(2, 1, activation="sigmoid")(x))
        settle_batch_norms(model, sample(np.random.default_rng(5), 1))
        return model, concrete(model, tf.TensorSpec((1, size, size, 3), tf.float32, name="image"))

    return Network("unet", make, sample)


def super_resolution_network(size=96, width=32, blocks=4, factor=2):
    """Residual blocks at low resolution, then a shuffle of channels into pixels (Shi et al., 2016)."""
    sample = pictures(size, 0.0, 1.0)

    def make():
        image = keras.Input((size, size, 3), batch_size=1)
        x = first = layers.Conv2D(width, 3, padding="same")(image)
        for _ in range(blocks):
            y = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
            x = layers.Add()([x, layers.Conv2D(width, 3, padding="same")(y)])
        x = layers.Conv2D(3 * factor * factor, 3, padding="same")(layers.Add()([x, first]))
        model = keras.Model(image, layers.Lambda(lambda t: tf.nn.depth_to_space(t, factor))(x))
        return model, concrete(model, tf.TensorSpec((1, size, size, 3), tf.float32, name="image"))

    return Network("super_resolution", make, sample)


def keyword_network(frames=49, coefficients=10, width=64, classes=12):
    """A depthwise-separable keyword spotter over cepstral coefficients (Zhang et al., "Hello Edge", 2017)."""

    def sample(rng, count):
        return rng.normal(0, 1, (count, frames, coefficients, 1)).astype(np.float32)

    def make():
        features = keras.Input((frames, coefficients, 1))
        x = conv_norm(features, width, kernel=(10, 4), strides=2)
        for _ in range(4):
            x = separable_norm(x, width)
        x = layers.GlobalAveragePooling2D()(x)
        model = keras.Model(features, layers.Dense(classes, activation="softmax")(x))
        batch = sample(np.random.default_rng(5), 32)
        settle_batch_norms(model, batch)
        spread_logits(model, batch)
        return model, concrete(model, tf.TensorSpec((1, frames, coefficients, 1), tf.float32, name="features"))

    return Network("keyword_spotter", make, sample)


def detector_network(size=160, width=24, anchors=3, classes=8, found=20):
    """A one-scale detector: separable convolutions, box and score heads, non-maximum suppression in the graph."""
    sample = pictures(size, -1.0, 1.0)

    def make():
        image = keras.Input((size, size, 3))
        x = conv_norm(image, width, strides=2)
        for level, strides in enumerate((2, 1, 2, 1)):
            x = separable_norm(x, width << (level // 2 + 1), strides)
        boxes = layers.Conv2D(anchors * 4, 3, padding="same", name="boxes")(x)
        scores = layers.Conv2D(anchors * classes, 3, padding="same", name="scores")(x)
        model = keras.Model(image, [boxes, scores])
        settle_batch_norms(model, sample(np.random.default_rng(5), 8))
        cells = size // 8
        steps = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        centers = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 1, 2)
        centers = np.broadcast_to(centers, (cells * cells, anchors, 2)).reshape(-1, 2)

        @tf.function
        def detect(picture):
            raw, logits = model(picture, training=False)
            raw = tf.reshape(raw, (-1, 4))
            middle = centers + 0.1 * tf.tanh(raw[:, :2])
            half = 0.15 * tf.sigmoid(raw[:, 2:])
            corners = tf.concat([middle - half, middle + half], -1)
            best = tf.reduce_max(tf.sigmoid(tf.reshape(logits, (-1, classes))), -1)
            kept, values = tf.image.non_max_suppression_with_scores(corners, best, found, 0.5, 0.1, 0.0)
            return tf.gather(corners, kept), values

        return model, detect.get_concrete_function(tf.TensorSpec((1, size, size, 3), tf.float32, name="image"))

    return Network("detector", make, sample, quantized_io=False)


NETWORKS = (unet_network(), super_resolution_network(), keyword_network(), detector_network())
