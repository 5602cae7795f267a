"""Operators that compute or search, in every element type that they take: eight cases and more for each.

Where LiteRT has no kernel for a type, NumPy answers.
"""

import numpy as np

import ops.usual  # noqa: F401  draws up to a number of cases, before more are added here
from cases import CASES, EXACT, add, label
from onebuild import NUMPY, Quant
from ops.arith import ARITHMETIC, binary
from ops.compare import gradient_args, pointwise, table
from ops.conv import FLAVOURS, convolution
from ops.dense import MATMUL_FLAVOURS, batch_matmul, fully_connected
from ops.index import broadcast_args, one_hot
from ops.logic import comparison, logical, selection
from ops.place import matrix_diag, matrix_set_diag, reverse_sequence, segment_sum, sparse_to_dense, top_k, unique, where
from ops.quantize import dequantize, quantize, takes_negatives, type_code
from ops.reduce import cumulative_sum
from ops.rest import add_n, bucketize, densify, unsorted_segment, zeros_like
from ops.rest import binary as bits
from ops.signal import parts
from ops.unary import FUNCTIONS, LOG_SOFTMAX_OUT, OPTIONS, OUT_SIGNED, prelu, row_normalization, softmax, unary

LITTLE = [(5,), (2, 3), (), (1, 4), (2, 1, 3), (7,), (3, 2, 1, 2), (1,)]
PAIRS = [((4,), (4,)), ((2, 3), (3,)), ((), (5,)), ((2, 1), (1, 3)), ((1, 2, 2), (2, 2)), ((3, 1, 2), (3, 1, 2)), ((6,), ()), ((2, 1, 2, 1), (1, 3, 1, 2))]



def by_singles(op, function):
    """Lets `function` of float32 answer the last case of `op` where LiteRT has no kernel for 16-bit floats."""
    name, build = CASES[op][-1]

    def built(case):
        build(case)
        if function:
            case.otherwise = lambda *arrays: [np.asarray(function(*(a.astype(np.float32) for a in arrays))).astype(np.float16)]

    CASES[op][-1] = (name, built)


HALVES = {
    "ABS": np.abs, "CEIL": np.ceil, "ELU": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x), "EXP": np.exp,
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6, "LEAKY_RELU": lambda x: np.where(x < 0, np.float32(0.1) * x, x), "LOG": np.log,
    "RELU": lambda x: np.maximum(x, 0), "RELU6": lambda x: np.clip(x, 0, 6), "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1), "SQRT": np.sqrt,
    "RSQRT": lambda x: 1 / np.sqrt(x), "SQUARE": np.square, "SUB": np.subtract, "DIV": np.divide, "SQUARED_DIFFERENCE": lambda a, b: (a - b) ** 2,
}  # fmt: skip

# Element-wise functions. Those of 16-bit floats are the ones XNNPACK or LiteRT's own kernels have.
HALF_FUNCTIONS = ("ABS", "CEIL", "ELU", "EXP", "HARD_SWISH", "LEAKY_RELU", "LOG", "RELU", "RELU6", "RELU_N1_TO_1", "SQRT", "RSQRT", "SQUARE", "SIN", "COS", "FLOOR",
                  "ROUND", "NEG", "TANH", "LOGISTIC", "GELU")  # fmt: skip
for op in HALF_FUNCTIONS:
    for shape in LITTLE:
        if op == "GELU" and not shape:
            continue  # a tolerance needs something to be relative to
        unary(op, "FLOAT16", shape, OPTIONS.get(op, [{}])[0], "half")
        by_singles(op, HALVES.get(op))
for op, (dtypes, _, _) in FUNCTIONS.items():
    for dtype in dtypes:
        for shape in LITTLE if dtype not in ("FLOAT16", "FLOAT32") else ():
            unary(op, dtype, shape, OPTIONS.get(op, [{}])[0], "little")
for op in ("CEIL", "ELU", "SQUARE", "SIN", "COS", "FLOOR", "LOG", "RELU_N1_TO_1", "RELU_0_TO_1", "ROUND", "SIGN"):
    for shape in LITTLE[:4]:
        unary(op, "FLOAT32", shape, {}, "little")
for op in ("SUB", "DIV", "SQUARED_DIFFERENCE"):
    for pair in PAIRS:
        binary(op, "FLOAT16", pair, seed="half")
        by_singles(op, HALVES[op])
for op, dtypes in ARITHMETIC.items():
    for dtype in dtypes:
        for pair in PAIRS:
            binary(op, dtype, pair, seed="little")


def with_zeros(dtype, shape):
    """The second factor is all zeros, for which the converter writes the scale 0. LiteRT aborts on sums of such."""

    def build(case):
        quant = case.quant(dtype)
        x, zeros = case.graph.input(dtype, shape, quant), Quant(np.float32(0), quant.zero)
        y = case.graph.const(dtype, np.full(shape, quant.zero), zeros)
        case.graph.op("MUL", [x, y], [case.graph.output(dtype, case.quant(dtype))])

    add("MUL", label(dtype, shape, "zero_scale"), build)


for dtype in ("INT8", "UINT8", "INT16"):
    with_zeros(dtype, (2, 5))
for dtype, out in (("INT16", "INT8"), ("INT16", "UINT8")):
    for shape in LITTLE:

        def narrowed(case, dtype=dtype, out=out, shape=shape):
            operands = [case.graph.input(dtype, shape, case.quant(dtype)) for _ in range(2)]
            case.graph.op("MUL", operands, [case.graph.output(out, case.quant(out, 20.0))])

        add("MUL", label(dtype, "to", out, shape), narrowed)
for op, dtypes in {
    "EQUAL": ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "INT16", "FLOAT16", "BOOL", "STRING"),
    "LESS": ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "INT16", "FLOAT16", "BFLOAT16"),
}.items():
    for name in (op, "NOT_EQUAL") if op == "EQUAL" else (op, "GREATER", "LESS_EQUAL", "GREATER_EQUAL"):
        for dtype in dtypes:
            if dtype == "BFLOAT16" and name not in ("LESS", "GREATER"):
                continue  # LiteRT has none
            for pair in PAIRS:
                comparison(name, dtype, *pair, False)
for op in ("LOGICAL_AND", "LOGICAL_OR"):
    for pair in PAIRS[:4]:
        logical(op, pair)
for shape in [s for s in LITTLE if s]:
    logical("LOGICAL_NOT", (shape,))
SELECTED = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "BOOL", "COMPLEX64")
for dtype in SELECTED:
    for shape in LITTLE:
        selection("SELECT", dtype, (shape, shape, shape))
        selection("SELECT_V2", dtype, (shape, shape, shape))
for dtype in ("FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16"):
    for shape in [(4,), (2, 2), (1, 5), (3, 1, 2), (1,)]:
        bits("ATAN2", dtype, shape)
for dtype in ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32"):
    for pair in PAIRS[:7]:
        bits("BITWISE_XOR", dtype, *pair)
        bits("RIGHT_SHIFT", dtype, *pair, 0, np.iinfo(NUMPY[dtype]).bits - 1)
for op, dtype in (("Sign", "FLOAT32"), ("Sign", "FLOAT64"), ("Atan2", "FLOAT32"), ("Atan2", "FLOAT64")):
    for shape in [(3,), (2, 2), (1, 2, 3), (9,)]:
        pointwise(op, dtype, shape)
for dtype in ("INT8", "INT16"):
    for shape in [(5,), (2, 3), (3, 1, 2), (30,)]:
        table(dtype, shape)


def prelu_of_halves(shape, slopes):
    def build(case):
        alpha = case.values("FLOAT16", slopes, None, -1, 1)
        case.graph.op("PRELU", [case.graph.input("FLOAT16", shape), case.graph.const("FLOAT16", alpha)], [case.graph.output("FLOAT16", shape=shape)])
        case.otherwise = lambda x: [np.where(x < 0, x * alpha, x).astype(np.float16)]

    add("PRELU", label("FLOAT16", shape, slopes), build)


for shape in [((3, 4), (4,)), ((2, 3, 2), (2, 1, 2)), ((1, 4, 4, 3), (1, 1, 3)), ((5,), (1,)), ((2, 2), (2, 2)), ((3, 2, 1), (1,)), ((4, 3), (1, 3)), ((2, 1, 4), (1, 4))]:
    prelu_of_halves(*shape)
    if shape[0] != (5,):
        for dtype in ("FLOAT32", "UINT8", "INT8", "INT16"):
            prelu(dtype, *shape)
for dtype in ("FLOAT32", "UINT8", "INT8"):
    for shape in [(2, 4), (7,), (1, 3, 3), (3, 2)]:
        row_normalization("LOG_SOFTMAX", dtype, shape, LOG_SOFTMAX_OUT)
        row_normalization("L2_NORMALIZATION", dtype, shape, OUT_SIGNED)
for shape in [(1, 4), (3, 5), (2, 2, 3), (6,), (2, 9), (1, 2, 1, 7), (4, 3), (1, 12)]:
    for dtype in ("INT8", "UINT8"):
        softmax(dtype, shape, 0.75, "INT16")
for dtype in ("FLOAT32", "INT32"):
    for shape, count in [((5,), 2), ((2, 3), 3), ((1, 2, 2), 4), ((7,), 6)]:
        add_n(dtype, shape, count)
for dtype in ("FLOAT32", "INT32", "INT64"):
    for shape in [(1,), (2, 2), (0, 3), (1, 3, 1), (9,)]:
        zeros_like(dtype, shape)
    for shape, axis, exclusive, backward in [((5,), 0, True, False), ((3, 2), 1, False, False), ((2, 2, 3), -1, True, True)]:
        cumulative_sum(dtype, shape, axis, exclusive, backward)
for op in ("REAL", "IMAG", "COMPLEX_ABS"):
    for dtype in ("COMPLEX64", "COMPLEX128"):
        for shape in [(1,), (2, 5), (3, 1, 2)]:
            parts(op, dtype, shape)

# Conversions: one model for each pair of types.
CASTABLE = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "BOOL", "COMPLEX64")


def cast(source, target, shape):
    """Whole numbers that both types hold, and halves where both have them."""
    signed = takes_negatives(source) and takes_negatives(target)
    fractions = source.startswith(("FLOAT", "BFLOAT", "COMPLEX")) and target.startswith(("FLOAT", "BFLOAT", "COMPLEX"))

    def build(case):
        values = case.rng.integers(-100 if signed else 0, 100, shape) + (0.5 * case.rng.integers(0, 2, shape) if fractions else 0)
        x = case.graph.input(source, shape)
        case.graph.op("CAST", [x], [case.graph.output(target, shape=shape)], inDataType=type_code(source), outDataType=type_code(target))
        case.feed(np.asarray(values).astype(NUMPY[source]))
        case.tolerance = EXACT

    add("CAST", label(source, "to", target, shape), build)


for source in CASTABLE:
    for target in CASTABLE:
        for shape in LITTLE:
            cast(source, target, shape)


def cast_packed(source, target, shape):
    """To and from integers of four and two bits; such an input is a constant, since not every one can be fed."""
    least, most = {"INT4": (-8, 7), "UINT4": (0, 15), "INT2": (-2, 1)}[source if source != "FLOAT32" else target]

    def build(case):
        values = case.rng.integers(least, most, shape, endpoint=True)
        if source != "FLOAT32":
            x = case.graph.const(source, values)
            case.runs = [[]]
        else:
            x = case.graph.input(source, shape)
            case.feed(values.astype(np.float32))
        case.graph.op("CAST", [x], [case.graph.output(target, shape=shape)], inDataType=type_code(source), outDataType=type_code(target))
        case.tolerance = EXACT

    add("CAST", label(source, "to", target, shape), build)


for packed in ("INT4", "UINT4", "INT2"):
    for shape in [(4,), (2, 3), (7,), (1, 2, 5), (3, 3), (8,), (1,), (2, 2, 2)]:
        cast_packed(packed, "FLOAT32", shape)
        cast_packed("FLOAT32", packed, shape)
for dtype in ("INT4", "UINT4"):
    for shape in [(2, 3), (9,), (1, 4), (3, 3, 2), (5,)]:
        dequantize(dtype, shape, constant=True)
for source, targets in {
    "FLOAT32": ("INT8", "UINT8", "INT16", "INT4", "UINT4"), "INT8": ("INT8", "UINT8", "INT16"), "UINT8": ("INT8", "UINT8", "INT16"), "INT16": ("INT8", "INT16", "INT32"),
    "INT32": ("INT8", "INT16"),
}.items():  # fmt: skip
    for target in targets:
        for shape in [(5,), (2, 4), (1, 3, 2), (3, 1), (2, 2, 2)]:
            quantize(source, target, shape)


def dequantize_pairs_of_bits(shape, axis=None):
    def build(case):
        scales = case.rng.uniform(0.1, 0.5, 1 if axis is None else shape[axis]).astype(np.float32)
        x = case.graph.const("INT2", case.values("INT2", shape, None, -2, 1), Quant(scales, 0, axis or 0))
        case.graph.op("DEQUANTIZE", [x], [case.graph.output("FLOAT32")])
        case.runs = [[]]

    add("DEQUANTIZE", label("INT2", shape, f"axis{axis}" if axis is not None else ""), build)


for shape in [(4,), (2, 3), (9,), (1, 2, 4), (3, 5), (16,)]:
    dequantize_pairs_of_bits(shape)
for shape, axis in [((3, 4), 0), ((2, 2, 5), 2)]:
    dequantize_pairs_of_bits(shape, axis)


# Searching and placing.
def arg(op, dtype, shape, axis, kind, out):
    def build(case):
        x = case.graph.input(dtype, shape, case.quant(dtype))
        case.graph.op(op, [x, case.graph.const(kind, axis)], [case.graph.output(out)], outputType=type_code(out))

    add(op, label(dtype, shape, f"axis{axis}".replace("-", "m"), kind, "to", out), build)


for op in ("ARG_MAX", "ARG_MIN"):
    for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "BOOL"):
        for shape, axis in [((6,), 0), ((2, 5), -1), ((3, 2, 2), 1), ((4, 3), 0), ((1, 7), 1), ((2, 2, 3), -3), ((2, 1, 2, 4), 3), ((9,), -1)]:
            for kind in ("INT32", "INT64"):
                for out in ("INT32", "INT64"):
                    arg(op, dtype, shape, axis, kind, out)
for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"):
    for k_dtype in ("INT32", "INT16"):
        for index in ("INT32", "INT16"):
            for shape, k in [((5,), 2), ((2, 4), 4), ((1, 2, 6), 1), ((7,), 7), ((3, 3), 2), ((2, 2, 3), 3), ((1,), 1), ((12,), 5)]:
                top_k(dtype, shape, k, k_dtype, index)
    for index in ("INT32", "INT64"):
        for count in (1, 2, 5, 6, 9, 12, 15, 24):
            unique(dtype, count, index)
    for shape in [(2,), (3,), (2, 2), (1, 3), (3, 4), (2, 1, 2)]:
        matrix_diag(dtype, shape)
    for shape in [(2, 2), (1, 3), (3, 2), (2, 2, 2), (1, 4, 3)]:
        matrix_set_diag(dtype, shape)
for dtype in ("BOOL", "FLOAT32", "INT64", "INT32", "INT8", "UINT8", "UINT32"):
    for shape in [(5,), (2, 3), (1, 4), (2, 2, 2), (9,), (4, 1, 2), (6, 2), (1, 2, 3), (12,)]:
        where(dtype, shape)
for dtype in ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "BOOL"):
    for index in ("INT32", "INT64"):
        for shape, depth, axis in [((3,), 4, 0), ((2, 2), 2, -1), ((), 3, -1), ((1,), 5, 1), ((2, 3), 3, 0), ((6,), 2, -1), ((2, 1, 2), 2, 1), ((4,), 1, 0)]:
            one_hot(dtype, index, shape, depth, axis)
for dtype in ("FLOAT32", "UINT8", "INT16", "INT32", "INT64"):
    for length in ("INT32", "INT64"):
        for shape, sequence, batch in [((2, 4), 1, 0), ((3, 2), 0, 1), ((2, 2, 3), 2, 1), ((3, 5, 1), 1, 0), ((1, 6), 1, 0), ((2, 3, 2), 1, 2), ((4, 3), 0, 1), ((2, 2, 2, 2), 2, 0)]:
            reverse_sequence(dtype, shape, sequence, batch, length)
for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "INT64"):
    for index in ("INT32", "INT64"):
        for size, count, scalar in [((6,), 3, False), ((2, 4), 3, False), ((5,), 2, True), ((2, 2, 3), 4, False), ((7,), 1, False), ((3, 3), 2, True), ((1, 5), 4, False), ((8,), 6, False)]:
            sparse_to_dense(dtype, index, size, count, scalar)
for dtype in ("FLOAT32", "INT32"):
    for shape, segments in [((3, 2), (0, 0, 1)), ((5,), (0, 1, 1, 2, 3)), ((2, 1, 2), (0, 1)), ((4, 1), (0, 1, 1, 2)), ((6,), (0, 0, 1, 1, 2, 2)), ((1, 3), (0,))]:
        segment_sum(dtype, shape, segments)
    for op in ("UNSORTED_SEGMENT_SUM", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN"):
        for shape, rank, segments, constant in [((4, 2), 1, 3, True), ((2, 2, 2), 2, 3, False), ((5,), 1, 6, True), ((3, 3), 1, 2, False)]:
            unsorted_segment(op, dtype, shape, rank, segments, constant)
for dtype in ("FLOAT32", "FLOAT64", "INT32", "INT64"):
    for shape, boundaries in [((4,), (1.0, 2.0)), ((2, 2), (-3.0, -1.0, 4.0)), ((7,), (0.5,)), ((1, 3), (-9.0, 9.0)), ((5, 1), (0.0, 1.0, 2.0, 3.0))]:
        bucketize(dtype, shape, boundaries)
for dtype in ("INT32", "INT64"):
    for left, right in [((3,), (1,)), ((2, 3), (1, 3)), ((1, 1), (4, 5)), ((7, 1, 2), (3, 2)), ((2, 2), (2, 2))]:
        broadcast_args(dtype, left, right)
    for a, b, axes in [((3,), (3,), ((), ())), ((1,), (4,), ((0,), ())), ((2, 2), (2, 1), ((), (1,)))]:
        gradient_args(dtype, a, b, axes)
for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "STRING"):
    for shifts in ("INT32", "INT64"):
        for axes in ("INT32", "INT64"):
            for shape, by, axis in [((4,), 1, 0), ((2, 3), -1, 1), ((3, 2, 2), (1, 2), (0, 2)), ((5,), 7, 0), ((2, 2), 1, -1), ((3, 2), (2,), (0,)), ((1, 4), (1, 3), (0, 1)), ((6,), -4, -1)]:

                def rolled(case, dtype=dtype, shape=shape, by=by, axis=axis, kinds=(shifts, axes)):
                    x = case.graph.input(dtype, shape)
                    case.graph.op("Roll", [x, case.graph.const(kinds[0], by), case.graph.const(kinds[1], axis)], [case.graph.output(dtype, shape=shape)])
                    case.expected = lambda x: [np.roll(x, by, axis)]
                    case.tolerance = EXACT

                add("Roll", label(dtype, shape, "by", np.atleast_1d(by).tolist(), "axes", np.atleast_1d(axis).tolist(), shifts, axes), rolled)


def scattered(dtype, shape, at):
    """Indices in any order, some of them twice; those of booleans once."""

    def build(case):
        indices, updates = case.graph.input("INT32", at), case.graph.input(dtype, (*at[:-1], *shape[at[-1] :]))
        case.graph.op("SCATTER_ND", [indices, updates, case.graph.const("INT32", shape)], [case.graph.output(dtype)])
        places = np.stack([case.rng.integers(0, n, at[:-1]) for n in shape[: at[-1]]], -1)
        if dtype == "BOOL":
            flat = case.rng.choice(int(np.prod(shape[: at[-1]])), int(np.prod(at[:-1])), replace=False)
            places = np.stack(np.unravel_index(flat, shape[: at[-1]]), -1).reshape(at)
        case.feed(places.astype(np.int32), case.values(dtype, updates.shape, None, *((None, None) if dtype == "BOOL" else (0, 20))))

    add("SCATTER_ND", label(dtype, shape, "at", at), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "INT64", "BOOL"):
    for shape, at in [((6,), (3, 1)), ((3, 4), (5, 2)), ((4, 2), (2, 1)), ((2, 3, 2), (3, 2)), ((5,), (2, 2, 1)), ((3, 3), (4, 2))]:
        scattered(dtype, shape, at)
for dtype in ("FLOAT16", "BFLOAT16", "FLOAT64", "UINT8", "UINT16", "INT32", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "FLOAT32", "INT8", "INT16", "INT64", "BOOL"):
    served = dtype not in ("BFLOAT16", "COMPLEX128")
    for shape, steps in [((3,), (2,)), ((2, 3), (1, 2)), ((2, 2), (3, 1)), ((2, 1, 2), (2, 2, 2)), ((4,), (1,)), ((1, 3), (2, 4)), ((2, 2, 2), (1, 3, 1)), ((5,), (3,))]:

        def spread(case, dtype=dtype, shape=shape, steps=steps):
            result = tuple((n - 1) * s + 1 for n, s in zip(shape, steps))
            x, value = case.graph.input(dtype, shape), case.graph.input(dtype, ())
            case.graph.op("DILATE", [x, case.graph.const("INT32", steps), value], [case.graph.output(dtype, shape=result)])

            def expected(x, value):
                made = np.full(result, value, x.dtype)
                made[tuple(slice(None, None, s) for s in steps)] = x
                return [made]

            case.otherwise, case.tolerance = expected, EXACT

        add("DILATE", label(dtype, shape, "steps", steps), spread)
for dtype in ("FLOAT32", "FLOAT16", "INT8"):
    for rows, columns, block in [(3, 4, (1, 1)), (2, 6, (1, 2)), (4, 4, (2, 2)), (5, 3, (1, 3)), (6, 2, (3, 1))]:
        densify(dtype, rows, columns, block)


# Nearest neighbours only copy.
def nearest(dtype, shape, size, corners, half):
    def build(case):
        x = case.graph.input(dtype, shape)
        case.graph.op("RESIZE_NEAREST_NEIGHBOR", [x, case.graph.const("INT32", size)], [case.graph.output(dtype)], alignCorners=corners, halfPixelCenters=half)

    add("RESIZE_NEAREST_NEIGHBOR", label(dtype, shape, "onto", size, "corners" if corners else "", "half" if half else ""), build)


for dtype in ("FLOAT16", "BFLOAT16", "INT32", "UINT32", "BOOL", "UINT16"):
    for k, (shape, size) in enumerate([((1, 2, 2, 1), (4, 4)), ((1, 3, 2, 2), (2, 5)), ((2, 1, 3, 1), (3, 3)), ((1, 4, 4, 1), (2, 2)), ((1, 5, 1, 3), (1, 2)), ((1, 2, 3, 1), (2, 3)), ((1, 1, 1, 2), (3, 2)), ((2, 3, 3, 1), (5, 4))]):
        nearest(dtype, shape, size, k % 3 == 1, k % 3 == 2)

# Products with weights of other types.
FLAVOURS.update(
    {
        "hybrid_w2": ("FLOAT32", "INT2", "FLOAT32", True),
        "i8_w2": ("INT8", "INT2", "INT32", True),
        "i16_w4": ("INT16", "INT4", "INT64", True),
        "i16_w4_b32": ("INT16", "INT4", "INT32", True),
        "i16_w2": ("INT16", "INT2", "INT64", True),
        "i16_w2_b32": ("INT16", "INT2", "INT32", True),
    }
)
LAYERS = [((1, 8), 3), ((2, 12), 4), ((3, 16), 5), ((1, 5), 2), ((2, 2, 4), 3), ((4, 7), 1), ((1, 32), 8), ((2, 10), 6)]
for flavour in ("hybrid_w2", "i8_w2", "i16_w4", "i16_w4_b32", "i16_w2", "i16_w2_b32", "i16_b32", "hybrid_u8"):
    for k, (shape, units) in enumerate(LAYERS):
        fully_connected(flavour, shape, units, ("none", "relu", "relu6")[k % 3])
for k, (shape, units) in enumerate(LAYERS):
    fully_connected("i16_w16", shape, units, ("none", "relu")[k % 2])
    for flavour in ("i16_w4", "i16_w4_b32", "hybrid_w4", "i8_w4", "i16_b32"):
        image, channels = ((1, 4, 5, 2), (2, 3, 3, 4), (1, 5, 5, 1), (1, 6, 4, 3), (1, 3, 3, 8), (2, 4, 4, 1), (1, 7, 2, 2), (1, 2, 2, 16))[k], (1, 4, 3, 2, 5, 8, 6, 4)[k]
        kernel, padding = ((3, 3), (1, 1), (2, 2), (3, 1))[k % 4], ("same", "valid")[k // 4] if image[1] > 3 else "same"
        convolution("CONV_2D", flavour, image, channels, kernel, padding, activation=("none", "relu")[k % 2], note="more")
        if flavour == "i8_w4":
            convolution("DEPTHWISE_CONV_2D", flavour, image, channels, kernel, padding, activation=("none", "relu")[k % 2], note="more")
for flavour in MATMUL_FLAVOURS:
    if flavour != "hybrid":
        for left, right in [((2, 3), (3, 4)), ((2, 1, 5), (2, 5, 2)), ((1, 6), (6, 1)), ((3, 4, 2), (2, 3))]:
            batch_matmul(flavour, left, right)


def depthwise_of_words(image, kernel, multiplier, relu):
    """16-bit activations times 4-bit weights, for which LiteRT takes the packed bytes for 8-bit ones; NumPy multiplies real numbers."""

    def build(case):
        channels = image[3] * multiplier
        quants = Quant(np.float32(8 / 65536), 0), Quant(case.rng.uniform(0.05, 0.2, channels).astype(np.float32), 0, 3), Quant(np.float32(0.001), 0)
        w = case.values("INT4", (1, *kernel, channels))
        bias_scale = np.float32(quants[0].scale) * quants[1].scale
        b = np.round(case.rng.uniform(-1, 1, channels) / bias_scale).astype(np.int64)
        x = case.graph.input("INT16", image, quants[0])
        operands = [x, case.graph.const("INT4", w, quants[1]), case.graph.const("INT64", b, Quant(bias_scale, 0))]
        out = (image[0], image[1] - kernel[0] + 1, image[2] - kernel[1] + 1, channels)
        case.graph.op("DEPTHWISE_CONV_2D", operands, [case.graph.output("INT16", quants[2], shape=out)], padding=1, strideH=1, strideW=1,
                      depthMultiplier=multiplier, dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=int(relu))  # fmt: skip
        case.feed(case.values("INT16", image, quants[0]))

        def expected(x):
            sums = np.broadcast_to(b * bias_scale.astype(np.float64), out).copy()
            spread = np.repeat(x.astype(np.float64) * quants[0].scale, multiplier, 3)
            for row, column in np.ndindex(*kernel):
                sums += spread[:, row : row + out[1], column : column + out[2]] * (w[0, row, column] * quants[1].scale)
            steps = np.rint((np.maximum(sums, 0) if relu else sums) / quants[2].scale)
            return [np.clip(steps, -32768, 32767).astype(np.int16)]

        case.expected, case.tolerance = expected, ("step", 1)

    add("DEPTHWISE_CONV_2D", label("i16_w4_words", image, f"k{kernel[0]}x{kernel[1]}", f"m{multiplier}", "relu" if relu else ""), build)


for k, row in enumerate([((1, 4, 5, 2), (3, 3), 1), ((2, 3, 3, 4), (1, 1), 1), ((1, 5, 5, 1), (2, 2), 3), ((1, 6, 4, 3), (3, 1), 2), ((1, 3, 3, 8), (2, 3), 1), ((2, 4, 4, 1), (1, 1), 4),
                         ((1, 7, 2, 2), (2, 2), 1), ((1, 3, 2, 16), (3, 1), 1)]):  # fmt: skip
    depthwise_of_words(*row, k % 2 == 1)


def dense_to_other(source, weight, out, shape, units):
    """Bytes whose sums are handed on in another integer type. LiteRT reads signed ones as unsigned then."""

    def build(case):
        x, w = case.graph.input(source, shape, Quant(np.float32(0.03), 3)), case.values(weight, (units, shape[-1]), None, -100, 100)
        weights = case.graph.const(weight, w, Quant(np.float32(0.02), 0))
        bias = case.graph.const("INT32", case.rng.integers(-500, 500, units), Quant(np.float32(0.03) * np.float32(0.02), 0))
        case.graph.op("FULLY_CONNECTED", [x, weights, bias], [case.graph.output(out, Quant(np.float32(0.02 if out == "INT16" else 0.6), 0 if out == "INT16" else 9))])
        case.feed(case.values(source, shape, None, -100, 100))

    add("FULLY_CONNECTED", label(source, "by", weight, "to", out, shape, f"u{units}"), build)


for shape, units in LAYERS:
    if len(shape) == 2:
        for out in ("INT16", "UINT8"):
            dense_to_other("INT8", "INT8", out, shape, units)
dense_to_other("INT8", "INT8", "INT16", (6, 3), 2)
dense_to_other("INT8", "INT8", "UINT8", (6, 3), 2)
