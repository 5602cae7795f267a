"""Conversions between types: QUANTIZE, DEQUANTIZE, CAST."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cases import EXACT, FLOAT, add, label
from onebuild import NUMPY, Quant

SHAPES = [(1, 3, 7, 3), (13,), (), (2, 3, 4)]


def quantize(source, target, shape, per_channel=None, same_scale=False):
    """Float to quantized, or between quantized types; `per_channel` names the dimension that has scales."""

    def build(case):
        quant = case.quant(source)
        out = Quant(np.float32(quant.scale), quant.zero) if same_scale else case.quant(target, 6.0)
        if target == "INT32":
            out = Quant(np.float32(0.001), 0)
        if source == "INT32":
            quant = Quant(np.float32(0.03), 0)
        if target in ("INT4", "UINT4"):
            out = Quant(np.float32(0.5), 0 if target == "INT4" else 7)
        if per_channel is not None:
            scales = case.rng.uniform(0.01, 0.05, shape[per_channel]).astype(np.float32)
            zeros = [0] * len(scales) if target != "UINT8" else [128] * len(scales)
            out = Quant(scales, zeros, per_channel)
        x = case.graph.input(source, shape, quant)
        case.graph.op("QUANTIZE", [x], [case.graph.output(target, out)])
        if source == "INT32":
            case.feed(case.values(source, shape, low=-200, high=200))
        if source == "FLOAT32" and shape:
            values = case.values(source, shape)
            values.flat[:2] = [1e9, -1e9][: values.size]
            if per_channel is None:
                values.flat[2:6] = np.float32(out.scale) * np.array([0.5, 1.5, -0.5, 2.5], np.float32)[: max(values.size - 2, 0)]
            case.feed(values)

    add("QUANTIZE", label(source, "to", target, shape, f"axis{per_channel}" if per_channel is not None else "",
                          "same_scale" if same_scale else ""), build)


for target in ("INT8", "UINT8", "INT16"):
    for shape in SHAPES:
        quantize("FLOAT32", target, shape)
    quantize("FLOAT32", target, (1, 4, 3, 2), per_channel=3)
    quantize("FLOAT32", target, (3, 5), per_channel=0)
for target in ("INT4", "UINT4"):
    for shape in ((4, 3), (8,), (1, 2, 2, 2)):
        quantize("FLOAT32", target, shape)
for source, targets in {
    "INT8": ("INT8", "UINT8", "INT16"),
    "UINT8": ("INT8", "UINT8", "INT16"),
    "INT16": ("INT8", "INT16", "INT32"),
    "INT32": ("INT8", "INT16"),
}.items():
    for target in targets:
        for shape in SHAPES[:2] + SHAPES[3:]:
            quantize(source, target, shape)
for source, target in (("INT8", "UINT8"), ("UINT8", "INT8")):

    def flip_sign(case, source=source, target=target):
        quant = case.quant(source)
        out = Quant(quant.scale, quant.zero + (128 if source == "INT8" else -128))
        x = case.graph.input(source, (1, 5, 7, 3), quant)
        case.graph.op("QUANTIZE", [x], [case.graph.output(target, out)])

    add("QUANTIZE", label(source, "to", target, "flip_sign"), flip_sign)


def dequantize(source, shape, per_channel=None, constant=False):
    """Quantized or float16 to float32."""

    def build(case):
        quant = None if source == "FLOAT16" else case.quant(source)
        if source in ("INT4", "UINT4"):
            quant = Quant(np.float32(0.3), 0 if source == "INT4" else 8)
        if per_channel is not None:
            scales = case.rng.uniform(0.01, 0.05, shape[per_channel]).astype(np.float32)
            quant = Quant(scales, 0 if source != "UINT8" else 128, per_channel)
        values = case.values(source, shape, quant)
        x = case.graph.const(source, values, quant) if constant else case.graph.input(source, shape, quant)
        case.graph.op("DEQUANTIZE", [x], [case.graph.output("FLOAT32")])
        case.tolerance = EXACT if source == "FLOAT16" else FLOAT
        case.feed(*([] if constant else [values]))

    add("DEQUANTIZE", label(source, shape, f"axis{per_channel}" if per_channel is not None else "", "const" if constant else ""), build)


for source in ("INT8", "UINT8", "INT16", "FLOAT16"):
    for shape in SHAPES:
        dequantize(source, shape)
for source in ("INT8", "UINT8"):
    dequantize(source, (1, 4, 3, 2), per_channel=3)
    dequantize(source, (3, 5), per_channel=0, constant=True)
for source in ("INT4", "UINT4"):
    for shape in ((4, 4), (7,), (1, 2, 3, 3)):
        dequantize(source, shape, constant=True)
dequantize("INT4", (3, 4), per_channel=0, constant=True)
dequantize("FLOAT16", (3, 5), constant=True)

CASTABLE = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "BOOL", "COMPLEX64")
CAST_VALUES = [0, 1, 2, 5, 7, 63, 100, 127]


def takes_negatives(dtype):
    return not dtype.startswith("U") and dtype != "BOOL"


def cast(source, signed):
    """One type to each type in turn; with `signed`, negative numbers to the types that hold them."""

    def build(case):
        values = np.array(CAST_VALUES)
        if signed:
            values = np.concatenate([values, -values])
        if source in ("FLOAT32", "FLOAT64", "FLOAT16"):
            values = np.clip(values + np.where(values < 0, -0.75, 0.75) * (np.arange(len(values)) % 2), -127, 127)
        x = case.graph.input(source, values.shape)
        for target in CASTABLE:
            if takes_negatives(target) == signed:
                case.graph.op("CAST", [x], [case.graph.output(target)], inDataType=type_code(source), outDataType=type_code(target))
        case.feed(values.astype(NUMPY[source]))
        case.tolerance = EXACT

    add("CAST", label(source, "to_signed" if signed else "to_unsigned"), build)


def type_code(dtype):
    return getattr(schema.TensorType, dtype)


for source in CASTABLE:
    cast(source, False)
    if takes_negatives(source):
        cast(source, True)
