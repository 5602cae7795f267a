"""Elementwise functions of one operand, and the normalizations along a dimension."""

import numpy as np

from cases import QUANTIZED, add, label
from onebuild import Quant

SHAPES = [(1, 5, 7, 3), (17,), (), (2, 3, 1, 2, 4)]
NARROW_SHAPES = [(1, 3, 5, 3), (17,), ()]
EMPTY = (0, 3)
OUT_UNIT = {"INT8": Quant(np.float32(1 / 256), -128), "UINT8": Quant(np.float32(1 / 256), 0), "INT16": Quant(np.float32(1 / 32768), 0)}
OUT_SIGNED = {"INT8": Quant(np.float32(1 / 128), 0), "UINT8": Quant(np.float32(1 / 128), 128), "INT16": Quant(np.float32(1 / 32768), 0)}
ANY = None  # the output gets random parameters
SAME = "same"  # the output has the input's parameters

# operator -> (types, output quantization, range of float inputs)
FUNCTIONS = {
    "LOGISTIC": (("FLOAT32", "FLOAT16", "BFLOAT16", "UINT8", "INT8", "INT16"), OUT_UNIT, (-8, 8)),
    "TANH": (("FLOAT32", "FLOAT16", "BFLOAT16", "UINT8", "INT8", "INT16"), OUT_SIGNED, (-4, 4)),
    "RELU": (("FLOAT32", "UINT8", "INT8", "INT16"), ANY, (-4, 4)),
    "RELU6": (("FLOAT32", "UINT8", "INT8", "INT16"), ANY, (-9, 9)),
    "RELU_N1_TO_1": (("FLOAT32", "UINT8", "INT8"), ANY, (-2, 2)),
    "RELU_0_TO_1": (("FLOAT32", "UINT8", "INT8"), ANY, (-2, 2)),
    "LEAKY_RELU": (("FLOAT32", "UINT8", "INT8", "INT16"), ANY, (-4, 4)),
    "ELU": (("FLOAT32", "INT8"), ANY, (-4, 4)),
    "HARD_SWISH": (("FLOAT32", "UINT8", "INT8"), ANY, (-5, 5)),
    "GELU": (("FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16"), ANY, (-5, 5)),
    "EXP": (("FLOAT32", "INT8", "INT16"), ANY, (-6, 3)),
    "LOG": (("FLOAT32", "INT8", "INT16"), ANY, (0.02, 9)),
    "SQRT": (("FLOAT32", "INT8", "INT16"), ANY, (0, 9)),
    "RSQRT": (("FLOAT32", "INT8", "INT16"), ANY, (0.05, 9)),
    "SQUARE": (("FLOAT32",), ANY, (-4, 4)),
    "ABS": (("FLOAT32", "INT32", "INT8", "INT16"), ANY, (-4, 4)),
    "NEG": (("FLOAT32", "FLOAT16", "BFLOAT16", "INT32", "INT64", "INT16", "INT8"), SAME, (-4, 4)),
    "SIN": (("FLOAT32", "FLOAT16"), ANY, (-12, 12)),
    "COS": (("FLOAT32", "FLOAT16"), ANY, (-12, 12)),
    "FLOOR": (("FLOAT32", "FLOAT16", "BFLOAT16"), ANY, (-4, 4)),
    "CEIL": (("FLOAT32",), ANY, (-4, 4)),
    "ROUND": (("FLOAT32", "FLOAT16", "BFLOAT16"), ANY, (-4, 4)),
    "SIGN": (("FLOAT32", "FLOAT64", "INT32"), ANY, (-2, 2)),
}
POSITIVE_QUANT = {"LOG", "SQRT", "RSQRT"}
UNQUANTIZED = {"NEG"}
OPTIONS = {"LEAKY_RELU": [{"alpha": 0.1}, {"alpha": -0.3}, {"alpha": 1.5}], "GELU": [{"approximate": False}, {"approximate": True}]}
SPANS = {"EXP": 24.0, "LOG": 6.0, "SQRT": 4.0, "RSQRT": 4.0}


def parameters(case, op, dtype):
    """The (input, output) quantization of one case."""
    if dtype not in QUANTIZED or op in UNQUANTIZED:
        return None, None
    quant = case.quant(dtype)
    if op in POSITIVE_QUANT and dtype == "INT8":
        quant = Quant(quant.scale, -128)
    rule = FUNCTIONS[op][1]
    if rule is ANY:
        return quant, case.quant(dtype, SPANS.get(op, 7.0))
    return quant, quant if rule is SAME else rule[dtype]


def unary(op, dtype, shape, options, note=""):
    """One function applied to one tensor."""
    low, high = FUNCTIONS[op][2]

    def build(case):
        quant, out = parameters(case, op, dtype)
        x = case.graph.input(dtype, shape, quant)
        case.graph.op(op, [x], [case.graph.output(dtype, out)], **options)
        if dtype == "INT16" and op in POSITIVE_QUANT:
            case.feed(case.values(dtype, shape, quant, low=1))
        elif dtype.startswith(("FLOAT", "BFLOAT")):
            case.feed(case.values(dtype, shape, low=low, high=high))
            if op == "ROUND" and shape:
                case.runs[0][0].flat[:6] = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5][: case.runs[0][0].size]

    flags = [f"{name}{value}" for name, value in options.items()]
    add(op, label(dtype, shape, *flags, note), build)


for op, (dtypes, _, _) in FUNCTIONS.items():
    for dtype in dtypes:
        for options in OPTIONS.get(op, [{}]):
            usual = options == OPTIONS.get(op, [{}])[0]
            for shape in SHAPES if dtype in ("FLOAT32", "INT8") and usual else NARROW_SHAPES if usual else NARROW_SHAPES[:1]:
                unary(op, dtype, shape, options)
    unary(op, "FLOAT32", EMPTY, OPTIONS.get(op, [{}])[0])


def special(op):
    """How a function treats infinities, NaN, signed zero and values beyond any table."""

    def build(case):
        values = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30, -1e30, 1e-30, 100.0, -100.0], np.float32)
        if op in ("LOG", "SQRT", "RSQRT"):
            values = np.abs(values)
        # XNNPACK's reciprocal root of zero is NaN, its sigmoid of 1e30 on CPUs with AVX-512 too: nothing to agree with.
        if op == "RSQRT":
            values = np.delete(values, [3, 4])
        if op == "LOGISTIC":
            values = np.delete(values, [5, 6])
        if op in ("SIN", "COS"):
            values = values[3:5]
        if op in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH", "GELU", "SQUARE"):
            values = values[3:8] if op == "GELU" else np.delete(values, 2)
        x = case.graph.input("FLOAT32", values.shape)
        case.graph.op(op, [x], [case.graph.output("FLOAT32")])
        case.feed(values)
        case.allow_special = True

    add(op, "f32_special_values", build)


for op in FUNCTIONS:
    if op not in ("GELU", "LEAKY_RELU", "SQUARE", "EXP", "HARD_SWISH", "SIGN"):
        special(op)


def prelu(dtype, shape, slopes):
    """A leaky rectifier whose slopes are a broadcast constant."""

    def build(case):
        # LiteRT reads the slopes of 16-bit activations as 8-bit integers.
        slope_dtype = "INT8" if dtype == "INT16" else dtype
        quant, slope_quant = case.quant(dtype), case.quant(slope_dtype, 2.0)
        x = case.graph.input(dtype, shape, quant)
        alpha = case.graph.const(slope_dtype, case.values(slope_dtype, slopes, slope_quant, *((-1, 1) if dtype == "FLOAT32" else ())), slope_quant)
        case.graph.op("PRELU", [x, alpha], [case.graph.output(dtype, case.quant(dtype, 7.0))])

    add("PRELU", label(dtype, shape, slopes), build)


for dtype in ("FLOAT32", "UINT8", "INT8", "INT16"):
    for shape, slopes in [((1, 5, 7, 3), (1, 1, 3)), ((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (1, 3, 1)), ((1, 4, 4, 2), (1,))]:
        prelu(dtype, shape, slopes)

ROWS = [(1, 10), (3, 17), (2, 3, 5), (1, 4, 3, 6), (2, 1), (13,)]


def softmax(dtype, shape, beta, out_dtype=None):
    """Softmax over the last dimension."""

    def build(case):
        x = case.graph.input(dtype, shape, case.quant(dtype, 12.0))
        out = out_dtype or dtype
        case.graph.op("SOFTMAX", [x], [case.graph.output(out, OUT_UNIT.get(out))], beta=beta)

    add("SOFTMAX", label(dtype, shape, f"beta{beta}", f"to_{out_dtype.lower()}" if out_dtype else ""), build)


for dtype in ("FLOAT32", "FLOAT16", "UINT8", "INT8", "INT16"):
    for shape in ROWS if dtype in ("FLOAT32", "INT8") else ROWS[:4]:
        softmax(dtype, shape, 1.0)
    softmax(dtype, ROWS[1], 0.5)
    softmax(dtype, (2, 37), 2.0)
softmax("FLOAT32", (0, 4), 1.0)
for shape in ROWS[:3]:
    softmax("INT8", shape, 1.0, "INT16")

LOG_SOFTMAX_OUT = {"INT8": Quant(np.float32(16 / 256), 127), "UINT8": Quant(np.float32(16 / 256), 255)}


def row_normalization(op, dtype, shape, out, **options):
    """Log-softmax or L2 normalization over the last dimension."""

    def build(case):
        x = case.graph.input(dtype, shape, case.quant(dtype, 12.0))
        case.graph.op(op, [x], [case.graph.output(dtype, out.get(dtype))], **options)

    add(op, label(dtype, shape), build)


for dtype in ("FLOAT32", "UINT8", "INT8"):
    for shape in ROWS if dtype == "FLOAT32" else ROWS[:4]:
        row_normalization("LOG_SOFTMAX", dtype, shape, LOG_SOFTMAX_OUT)
        row_normalization("L2_NORMALIZATION", dtype, shape, OUT_SIGNED)
