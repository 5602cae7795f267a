"""Convolutions: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, in float, hybrid and integer arithmetic."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cases import ACTIVATIONS, HYBRID, PADDING, add, label
from onebuild import Quant

# A flavour is (activation type, filter type, bias type, whether the filter has a scale per channel).
FLAVOURS = {
    "f32": ("FLOAT32", "FLOAT32", "FLOAT32", False),
    "f16w": ("FLOAT32", "FLOAT16", "FLOAT32", False),
    "hybrid": ("FLOAT32", "INT8", "FLOAT32", False),
    "hybrid_pc": ("FLOAT32", "INT8", "FLOAT32", True),
    "u8": ("UINT8", "UINT8", "INT32", False),
    "i8": ("INT8", "INT8", "INT32", False),
    "i8_pc": ("INT8", "INT8", "INT32", True),
    "i8_w4": ("INT8", "INT4", "INT32", True),
    "hybrid_w4": ("FLOAT32", "INT4", "FLOAT32", True),
    "i16": ("INT16", "INT8", "INT64", False),
    "i16_pc": ("INT16", "INT8", "INT64", True),
    "i16_b32": ("INT16", "INT8", "INT32", True),
}


def filter_quant(case, dtype, per_channel, channels, axis):
    """Quantization of a filter whose output channels lie along `axis`."""
    if dtype == "UINT8":
        return Quant(np.float32(0.9 / 128 * case.rng.uniform(0.8, 1.2)), int(case.rng.integers(110, 146)))
    limit = {"INT8": 127, "INT4": 7, "INT2": 1}[dtype]
    scales = 0.9 / limit * case.rng.uniform(0.4, 1.3, channels if per_channel else 1)
    return Quant(scales.astype(np.float32), 0, axis)


def weights(case, flavour, shape, axis):
    """A filter tensor as the operator sees it, its quantization, and whether it is float."""
    _, dtype, _, per_channel = FLAVOURS[flavour]
    graph = case.graph
    if dtype in ("FLOAT32", "FLOAT16"):
        values = case.values("FLOAT32", shape, low=-1.0, high=1.0)
        if dtype == "FLOAT32":
            return graph.const(dtype, values), None
        wide = graph.tensor("FLOAT32", shape)
        graph.op("DEQUANTIZE", [graph.const(dtype, values)], [wide])
        return wide, None
    quant = filter_quant(case, dtype, per_channel, shape[axis], axis)
    values = case.values(dtype, shape, quant, low=-127 if dtype == "INT8" else None)
    if flavour == "hybrid_u8":
        # The byte stands for -128, which LiteRT multiplies by negative activations with the wrong sign.
        values = np.where(values == 128, 127, values).astype(values.dtype)
    return graph.const(dtype, values, quant), quant


def bias(case, flavour, channels, input_quant, quant):
    """A bias tensor, in the scale of the accumulator where the arithmetic is integer."""
    dtype = FLAVOURS[flavour][2]
    if dtype == "FLOAT32":
        return case.graph.const(dtype, case.values(dtype, (channels,), low=-1.0, high=1.0))
    scales = np.float32(input_quant.scale) * np.asarray(quant.scales(), np.float32)
    values = np.round(case.rng.uniform(-1, 1, channels) / (scales if len(scales) > 1 else scales[0]))
    return case.graph.const(dtype, values, Quant(scales, 0))


def bias_option(flavour):
    """The option by which int16 kernels learn that the bias is not int64."""
    return {"quantizedBiasType": schema.TensorType.INT32} if (FLAVOURS[flavour][0], FLAVOURS[flavour][2]) == ("INT16", "INT32") else {}


def output_span(flavour, terms):
    """About the range the sums of `terms` products of inputs in [-4, 4) with weights in [-1, 1) take."""
    return max(2.0, 4.0 * np.sqrt(terms))


def convolution(op, flavour, shape, channels, kernel, padding="same", stride=(1, 1), dilation=(1, 1), activation="none",
                groups=1, multiplier=1, without_bias=False, asymmetric=False, note=""):
    """One convolution of an NHWC input; for a depthwise one `channels` is what `multiplier` makes of the input's."""

    def build(case):
        graph = case.graph
        dtype = FLAVOURS[flavour][0]
        input_quant = case.quant(dtype)
        x = graph.input(dtype, shape, input_quant)
        if op == "DEPTHWISE_CONV_2D":
            filter_shape, axis, out_channels, terms = (1, *kernel, shape[3] * multiplier), 3, shape[3] * multiplier, 1
        else:
            filter_shape, axis, out_channels, terms = (channels, *kernel, shape[3] // groups), 0, channels, shape[3] // groups
        w, quant = weights(case, flavour, filter_shape, axis)
        b = None if without_bias else bias(case, flavour, out_channels, input_quant, quant)
        span = output_span(flavour, terms * kernel[0] * kernel[1])
        y = graph.output(dtype, case.quant(dtype, span))
        options = dict(
            padding=PADDING[padding], strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0],
            dilationWFactor=dilation[1], fusedActivationFunction=ACTIVATIONS[activation],
            **(bias_option(flavour) if op == "CONV_2D" else {}),
        )
        if op == "DEPTHWISE_CONV_2D":
            options["depthMultiplier"] = multiplier
        graph.op(op, [x, w] + ([] if without_bias and op == "DEPTHWISE_CONV_2D" else [b]), [y], **options)
        if flavour.startswith("hybrid"):
            case.tolerance = HYBRID

    add(op, label(flavour, shape, f"k{kernel[0]}x{kernel[1]}", padding, f"s{stride[0]}x{stride[1]}",
                  f"d{dilation[0]}x{dilation[1]}" if dilation != (1, 1) else "", activation if activation != "none" else "",
                  f"c{channels}" if op == "CONV_2D" else f"m{multiplier}", f"g{groups}" if groups > 1 else "", note), build)


GEOMETRIES = [
    dict(shape=(1, 5, 7, 3), channels=4, kernel=(3, 3)),
    dict(shape=(1, 5, 7, 3), channels=9, kernel=(1, 1), padding="valid", activation="relu6"),
    dict(shape=(2, 6, 5, 4), channels=5, kernel=(3, 2), padding="valid", stride=(2, 1), activation="relu"),
    dict(shape=(1, 8, 9, 2), channels=3, kernel=(3, 3), stride=(2, 2)),
    dict(shape=(1, 9, 8, 2), channels=3, kernel=(3, 3), dilation=(2, 3), activation="relu_n1"),
]
EXTRA_GEOMETRIES = [
    dict(shape=(1, 9, 8, 3), channels=6, kernel=(3, 3), padding="valid", dilation=(2, 2)),
    dict(shape=(1, 1, 1, 17), channels=11, kernel=(1, 1)),
    dict(shape=(1, 7, 6, 5), channels=8, kernel=(5, 5), stride=(3, 2)),
    dict(shape=(1, 3, 3, 4), channels=2, kernel=(3, 3), padding="valid"),
    dict(shape=(3, 4, 4, 8), channels=16, kernel=(1, 1), stride=(2, 2)),
    dict(shape=(1, 2, 3, 1), channels=2, kernel=(4, 5), note="kernel_larger"),
    dict(shape=(1, 10, 3, 3), channels=33, kernel=(3, 1)),
]
for flavour in FLAVOURS:
    wide = flavour in ("f32", "i8_pc", "u8")
    for geometry in GEOMETRIES + (EXTRA_GEOMETRIES if wide else []):
        convolution("CONV_2D", flavour, **geometry)
    if flavour in ("f32", "i8", "i8_pc", "hybrid_pc", "i16_pc", "f16w", "u8"):
        convolution("CONV_2D", flavour, (1, 4, 5, 6), 9, (3, 3), groups=3, note="grouped")
        convolution("CONV_2D", flavour, (1, 4, 4, 4), 8, (1, 1), groups=2, activation="relu", note="grouped")
convolution("CONV_2D", "f32", (1, 4, 4, 2), 3, (3, 3), activation="tanh")
convolution("CONV_2D", "f32", (0, 4, 4, 2), 3, (3, 3), note="empty")
convolution("CONV_2D", "f32", (1, 4, 4, 2), 3, (3, 3), without_bias=True, note="nobias")

DEPTHWISE = [
    dict(shape=(1, 5, 7, 3), kernel=(3, 3)),
    dict(shape=(1, 6, 7, 4), kernel=(3, 3), stride=(2, 2), activation="relu6"),
    dict(shape=(2, 5, 6, 3), kernel=(3, 2), multiplier=2, padding="valid", activation="relu"),
    dict(shape=(1, 9, 8, 2), kernel=(3, 3), dilation=(2, 2), activation="relu_n1"),
    dict(shape=(1, 7, 7, 1), kernel=(3, 3), multiplier=8),
]
EXTRA_DEPTHWISE = [
    dict(shape=(1, 7, 8, 19), kernel=(5, 5)),
    dict(shape=(1, 7, 8, 5), kernel=(5, 5), stride=(2, 2)),
    dict(shape=(1, 4, 5, 33), kernel=(3, 3), padding="valid"),
    dict(shape=(1, 2, 2, 3), kernel=(3, 3), note="kernel_larger"),
    dict(shape=(1, 8, 1, 4), kernel=(4, 1), padding="valid", stride=(2, 1)),
    dict(shape=(1, 8, 9, 3), kernel=(3, 3), dilation=(3, 1), padding="valid", multiplier=3),
]
for flavour in FLAVOURS:
    wide = flavour in ("f32", "i8_pc", "u8")
    if flavour in ("hybrid_w4", "i16_b32"):
        continue
    for geometry in DEPTHWISE + (EXTRA_DEPTHWISE if wide else []):
        convolution("DEPTHWISE_CONV_2D", flavour, channels=0, **geometry)
convolution("DEPTHWISE_CONV_2D", "i16_pc", (1, 5, 4, 3), 0, (3, 3), without_bias=True, note="nobias")
convolution("DEPTHWISE_CONV_2D", "f32", (1, 4, 4, 3), 0, (3, 3), activation="tanh")


def transposed(flavour, shape, channels, kernel, padding, stride, activation="none", with_bias=True):
    """One transposed convolution whose output size is the largest that gives this input size."""

    def build(case):
        graph = case.graph
        dtype = FLAVOURS[flavour][0]
        input_quant = case.quant(dtype)
        if padding == "same":
            size = [shape[1] * stride[0], shape[2] * stride[1]]
        else:
            size = [(shape[1] - 1) * stride[0] + kernel[0], (shape[2] - 1) * stride[1] + kernel[1]]
        out_shape = graph.const("INT32", [shape[0], *size, channels])
        w, quant = weights(case, flavour, (channels, *kernel, shape[3]), 0)
        x = graph.input(dtype, shape, input_quant)
        operands = [out_shape, w, x] + ([bias(case, flavour, channels, input_quant, quant)] if with_bias else [])
        y = graph.output(dtype, case.quant(dtype, output_span(flavour, shape[3] * kernel[0] * kernel[1] / 2)))
        graph.op("TRANSPOSE_CONV", operands, [y], padding=PADDING[padding], strideH=stride[0], strideW=stride[1],
                 fusedActivationFunction=ACTIVATIONS[activation], **bias_option(flavour))
        if flavour.startswith("hybrid"):
            case.tolerance = HYBRID

    add("TRANSPOSE_CONV", label(flavour, shape, f"k{kernel[0]}x{kernel[1]}", padding, f"s{stride[0]}x{stride[1]}",
                                f"c{channels}", activation if activation != "none" else "", "" if with_bias else "nobias"), build)


for flavour in ("f32", "f16w", "u8", "i8", "i8_pc", "i16", "i16_pc", "i16_b32", "hybrid", "hybrid_pc"):
    transposed(flavour, (1, 4, 5, 3), 2, (3, 3), "same", (2, 2))
    transposed(flavour, (1, 3, 4, 2), 5, (3, 2), "valid", (2, 3))
    transposed(flavour, (2, 3, 3, 4), 3, (2, 2), "same", (1, 1), with_bias=False)
    transposed(flavour, (1, 3, 2, 3), 4, (4, 4), "valid", (1, 2), activation="relu")
transposed("f32", (1, 3, 2, 3), 4, (2, 2), "same", (2, 2), activation="relu6")
transposed("f32", (1, 3, 3, 3), 1, (2, 2), "valid", (3, 3))
