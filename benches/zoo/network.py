"""What describes a network of the zoo, and what several of them share: sampling pictures, settling weights."""

from dataclasses import dataclass
from typing import Callable

import numpy as np
import tensorflow as tf

keras = tf.keras
ALL = ("f32", "f16", "dyn", "int8")


@dataclass(frozen=True)
class Network:
    """One network: `make` returns a trackable module and its concrete function, `sample(rng, n)` a batch of n inputs.

    Where the converter has no part in it, `direct(format)` returns the model file's bytes instead.
    """

    name: str
    make: Callable = None
    sample: Callable = None
    formats: tuple = ALL
    direct: Callable = None
    quantized_io: bool = True


def pictures(size, low, high):
    """A sampler of random pictures, `size` by `size`, with values in [low, high]: smooth ones and pure noise by turns."""

    def sample(rng, count):
        coarse = rng.uniform(0, 1, (count, 12, 12, 3)).astype(np.float32)
        smooth = tf.image.resize(coarse, (size, size), method="bicubic").numpy()
        grain = np.where(rng.random((count, 1, 1, 1)) < 0.5, 0.05, 1.0)
        mixed = (1 - grain) * smooth + grain * rng.uniform(0, 1, smooth.shape)
        return (low + (high - low) * np.clip(mixed, 0, 1)).astype(np.float32)

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


def spread_logits(model, batch, spread=2.5):
    """Scales the last weights so that the logits over `batch` have this standard deviation: clear, unsaturated answers."""
    layer = next(layer for layer in reversed(model.layers) if layer.weights)
    layer.kernel.assign(layer.kernel * 1e-3)  # far from saturation, log(softmax) varies exactly as the logits do
    logits = np.log(model(batch, training=False).numpy().astype(np.float64))
    layer.kernel.assign(layer.kernel * (spread / logits.std(axis=-1).mean()))


def concrete(model, spec):
    """The inference function of a Keras model for one static input specification."""
    return tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
