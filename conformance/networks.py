#!/usr/bin/env python3
"""Writes vectors/networks.npz: small whole networks made by TensorFlow's converter, in several weight formats.

They check what one-operator models cannot: fusion across layers, the arena, and quantization as converters emit it.
"""

import os
import sys
from dataclasses import dataclass
from typing import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from generate import Recipe, record, write_vectors
from reference import Reference
from versions import NETWORK

layers = tf.keras.layers
SEED = 11
TYPES = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
TOLERANCES = {
    "f32": ("float", 1e-5),
    "f16": ("float", 1e-5),  # the weights are widened before they are used
    "dyn": ("float", 1e-3),  # several layers quantize their activations; each may round a tie the other way
    "int8": ("exact", 0),
}


@dataclass(frozen=True)
class Network:
    name: str
    shape: tuple
    make: Callable
    formats: tuple = ("f32", "f16", "dyn", "int8")
    dtype: str = "float32"


def normalized(x):
    return layers.BatchNormalization()(x)


def conv_bn_relu(x):
    x = layers.ReLU(6.0)(normalized(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)))
    return layers.ReLU()(normalized(layers.Conv2D(16, 3, padding="valid")(x)))


def residual(x):
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    y = normalized(layers.Conv2D(12, 3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    return layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def separable(x):
    x = layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    x = layers.ReLU(6.0)(normalized(layers.Conv2D(40, 1, use_bias=False)(x)))
    x = layers.DepthwiseConv2D(5, padding="same", depth_multiplier=1, activation="relu")(x)
    return layers.Conv2D(26, 1)(x)


def squeeze_excite(x):
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = x * layers.ReLU(6.0)(x + 3.0) / 6.0
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    return layers.MaxPooling2D()(x * gate)


def attention(x):
    attended = layers.MultiHeadAttention(2, 8)(x, x)
    x = layers.LayerNormalization(epsilon=1e-5)(x + attended)
    hidden = layers.Dense(96, activation="gelu")(x)
    return layers.LayerNormalization(epsilon=1e-5)(x + layers.Dense(12)(hidden))


def encoder_decoder(x):
    low = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    up = layers.UpSampling2D(interpolation="bilinear")(low)
    x = layers.Concatenate()([x, up])
    x = layers.Conv2DTranspose(6, 2, strides=2, padding="same")(x)
    return layers.Conv2D(3, 3, padding="same", activation="tanh")(layers.ZeroPadding2D(1)(x))


def classifier(x):
    x = layers.Embedding(30, 12)(x)
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Conv1D(24, 3, padding="same")(x))
    x = layers.AveragePooling1D(2)(x)
    return layers.Dense(4, activation="softmax")(layers.Dense(10, activation="elu")(layers.Flatten()(x)))


WITHOUT_HALF = ("f32", "dyn", "int8")
def recurrent(x):
    x = layers.LSTM(6, return_sequences=True)(x)
    return layers.Dense(3, activation="softmax")(layers.LSTM(5)(x))


NETWORKS = (
    Network("conv_bn_relu", (1, 11, 9, 3), conv_bn_relu),
    Network("residual", (1, 8, 7, 2), residual, WITHOUT_HALF),
    Network("separable", (1, 9, 10, 6), separable, WITHOUT_HALF),
    Network("squeeze_excite", (1, 8, 6, 8), squeeze_excite, WITHOUT_HALF),
    Network("attention", (1, 7, 12), attention, WITHOUT_HALF),
    Network("recurrent", (1, 4, 5), recurrent, ("f32", "f16")),
    Network("encoder_decoder", (1, 6, 8, 3), encoder_decoder, ("f32", "int8")),
    Network("classifier", (1, 12), classifier, WITHOUT_HALF, "int32"),
)


def samples(network, rng, count):
    shape = (count, *network.shape[1:])
    if network.dtype == "int32":
        return rng.integers(0, 30, shape, dtype=np.int32)
    return (np.floor(rng.uniform(-2, 2, shape) * 64) / 64).astype(np.float32)


def build(network):
    """The network's frozen inference function."""
    tf.keras.utils.set_random_seed(SEED)
    start = tf.keras.Input(network.shape[1:], batch_size=network.shape[0], dtype=network.dtype)
    model = tf.keras.Model(start, network.make(start))
    rng = np.random.default_rng(SEED)
    for weight in model.weights:  # few significant bits keep the file small
        weight.assign(np.round(weight.numpy() * 128) / 128)
    for layer in model.layers:
        if isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
            layer.gamma.assign(rng.uniform(0.6, 1.4, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.2, layer.beta.shape))
            layer.moving_variance.assign(rng.uniform(0.2, 0.6, layer.beta.shape))
    spec = tf.TensorSpec(network.shape, network.dtype, name="x")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    return convert_variables_to_constants_v2(function, lower_control_flow=False)


def convert(network, function, fmt):
    """The network as a .tflite file in one format; int8 networks have int8 inputs and outputs where the input is float."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if fmt != "f32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if fmt == "f16":
        converter.target_spec.supported_types = [tf.float16]
    if fmt == "int8":
        rng = np.random.default_rng(SEED)
        converter.representative_dataset = lambda: ([samples(network, rng, network.shape[0])] for _ in range(16))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if network.dtype == "float32":
            converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def graph_types(content):
    """The types of a model's inputs and outputs."""
    graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    return [[TYPES[graph.tensors[i].type] for i in ends] for ends in (graph.inputs, graph.outputs)]


def recording(name, network, content, fmt, reference):
    """Records two runs of one converted network."""
    input_types, output_types = graph_types(content)
    rng = np.random.default_rng(SEED + 1)
    if input_types == ["INT8"]:
        runs = [[rng.integers(-128, 128, network.shape, dtype=np.int8)] for _ in range(2)]
    else:
        runs = [[samples(network, rng, network.shape[0])] for _ in range(2)]
    tolerance = TOLERANCES[fmt] if not (fmt == "int8" and output_types == ["FLOAT32"]) else ("float", 1e-5)
    return record(Recipe(name, NETWORK, content, runs, (input_types, input_types, output_types), tolerance), reference)


def recordings(reference):
    for network in NETWORKS:
        function = build(network)
        for fmt in network.formats:
            name, content = f"networks/{network.name}_{fmt}", convert(network, function, fmt)
            yield name, lambda: recording(name, network, content, fmt, reference)


def main():
    reference = Reference()
    refused = write_vectors("networks", recordings(reference))
    reference.close()
    if refused:
        sys.exit(f"LiteRT refuses {refused}")


if __name__ == "__main__":
    main()
