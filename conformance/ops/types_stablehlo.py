"""StableHLO operators in every element type that they take: eight cases and more for each."""

import numpy as np

import ops.usual  # noqa: F401  draws up to a number of cases, before more are added here
from cases import add, label
from onebuild import NUMPY, Quant
from ops import stablehlo_reference as spec
from ops.stablehlo import ALL_TYPES, COMPLEX, FLOAT_TYPE, INTEGERS, NOTYPE, NUMBERS, REALS, SERVED, SIGNED, SIGNED_TYPE, TOTAL, UNSIGNED_TYPE, VALUES
from ops.stablehlo import clamp, compare, embeddings, iota, moved, pad, powers, real, requantize, select, shifts
from ops.stablehlo_regions import STATES, gather, random_bits

SHAPES = [(4,), (2, 2), (1, 3), (2, 1, 2), (5,), (3, 2), (1, 2, 1, 3)]


def element_wise(op, dtype, shape, served, ranges):
    def build(case):
        operands = [case.graph.input(dtype, shape) for _ in range(2)]
        case.graph.op(op, operands, [case.graph.output(dtype, shape=shape)])
        first, second = ranges(dtype) if ranges else ((None, None), (None, None))
        case.feed(case.values(dtype, shape, None, *first), case.values(dtype, shape, None, *second))
        if dtype not in served:
            function = spec.halves(spec.BINARY[op.removeprefix("STABLEHLO_")])
            case.expected = lambda a, b: [function(a, b)]
        case.allow_special = True

    add(op, label(dtype, "pair", shape), build)


BINARY = {
    "ADD": (VALUES, SERVED, None), "MULTIPLY": (VALUES, SERVED, None), "MAXIMUM": (VALUES, SERVED, None), "MINIMUM": (VALUES, SERVED, None),
    "AND": (INTEGERS + ("BOOL",), SERVED, None), "OR": (INTEGERS + ("BOOL",), (), None), "SUBTRACT": (NUMBERS, (), None), "DIVIDE": (NUMBERS, (), None),
    "REMAINDER": (REALS + INTEGERS, (), None), "POWER": (NUMBERS, (), powers), "SHIFT_LEFT": (INTEGERS, ("INT8", "INT16", "INT32"), shifts),
}  # fmt: skip
for name, (dtypes, served, ranges) in BINARY.items():
    for dtype in dtypes:
        for shape in SHAPES[:6]:
            element_wise(f"STABLEHLO_{name}", dtype, shape, served, ranges)


def quantized(op, dtype, shape, low, high):
    """Dequantize, compute, quantize; the second operand lies in a range of real numbers, the first in a positive one for powers."""

    def build(case):
        bits = {"INT8": 128, "UINT8": 128, "INT16": 32768}[dtype]
        zero = 128 if dtype == "UINT8" else 0
        quants = [Quant(np.float32(4 / bits), zero)] * 2 + [Quant(np.float32(16 / bits), zero)]
        operands = [case.graph.input(dtype, shape, q) for q in quants[:2]]
        case.graph.op(op, operands, [case.graph.output(dtype, quants[2], shape=shape)])
        values = [requantize(case.values("FLOAT32", shape, None, *limits), quants[0], dtype) for limits in ((0.25, 2.0) if op.endswith("POWER") else (-3.0, 3.0), (low, high))]
        case.feed(*values)
        function = spec.BINARY[op.removeprefix("STABLEHLO_")]
        case.expected = lambda a, b: [requantize(function(real(a, quants[0]), real(b, quants[1])), quants[2], dtype)]
        case.tolerance = ("step", 1)

    add(op, label(dtype, "quantized", shape), build)


for name, low, high in (("SUBTRACT", -2.0, 2.0), ("DIVIDE", 0.25, 2.0), ("REMAINDER", 0.25, 2.0), ("POWER", -1.5, 1.5)):
    for dtype in ("INT8", "UINT8", "INT16"):
        for shape in SHAPES[:4]:
            quantized(f"STABLEHLO_{name}", dtype, shape, low, high)


def scaled_alike(op, dtype, shape):
    """What LiteRT makes of tensors with scales: the integers are numbers to it."""

    def build(case):
        quant = Quant(np.float32(0.5), 0)
        operands = [case.graph.input(dtype, shape, quant) for _ in range(2)]
        case.graph.op(op, operands, [case.graph.output(dtype, quant, shape=shape)])
        case.feed(*(case.values(dtype, shape, quant, 0, 11) for _ in range(2)))

    add(op, label(dtype, "with_scales", shape), build)


for name in ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"):
    for dtype in ("INT8", "UINT8", "INT16"):
        scaled_alike(f"STABLEHLO_{name}", dtype, (2, 3))


def of_one(op, dtype, shape, low, high):
    name = op.removeprefix("STABLEHLO_")

    def build(case):
        result = {"COMPLEX64": "FLOAT32", "COMPLEX128": "FLOAT64"}.get(dtype, dtype) if name == "ABS" else dtype
        case.graph.op(op, [case.graph.input(dtype, shape)], [case.graph.output(result, shape=shape)])
        case.feed(case.values(dtype, shape, None, low, high))
        case.expected = lambda x: [np.asarray(spec.UNARY[name](spec.wide(x))).astype(NUMPY[result])]
        case.allow_special = True

    add(op, label(dtype, "one", shape), build)


def of_one_quantized(op, dtype, shape, low, high):
    name = op.removeprefix("STABLEHLO_")

    def build(case):
        bits, zero = {"INT8": 128, "UINT8": 128, "INT16": 32768}[dtype], 128 if dtype == "UINT8" else 0
        quants = Quant(np.float32(4 / bits), zero), Quant(np.float32(8 / bits), zero)
        case.graph.op(op, [case.graph.input(dtype, shape, quants[0])], [case.graph.output(dtype, quants[1], shape=shape)])
        case.feed(requantize(case.values("FLOAT32", shape, None, low, high), quants[0], dtype))
        case.expected = lambda x: [requantize(spec.UNARY[name](real(x, quants[0])), quants[1], dtype)]
        case.tolerance = ("step", 1)

    add(op, label(dtype, "one_quantized", shape), build)


UNARY = {
    "ABS": REALS + SIGNED + ("UINT8",) + COMPLEX, "NEGATE": NUMBERS, "FLOOR": REALS, "COSINE": REALS + COMPLEX, "EXPONENTIAL": REALS + COMPLEX,
    "LOGISTIC": REALS + COMPLEX, "TANH": REALS + COMPLEX, "CBRT": REALS + COMPLEX, "LOG": REALS + COMPLEX, "RSQRT": REALS + COMPLEX,
}  # fmt: skip
for name, dtypes in UNARY.items():
    low, high = (0.25, 3.5) if name in ("LOG", "RSQRT") else (-2.0, 2.0)
    for shape in SHAPES[:7]:
        for dtype in dtypes:
            of_one(f"STABLEHLO_{name}", dtype, shape, *((None, None) if dtype in INTEGERS else (low, high)))
        for dtype in ("INT8", "UINT8", "INT16"):
            of_one_quantized(f"STABLEHLO_{name}", dtype, shape, low, high)
    for dtype in ("INT8", "UINT8", "INT16"):
        of_one_quantized(f"STABLEHLO_{name}", dtype, (3, 3), low, high)

for dtype in VALUES:
    kind = TOTAL if dtype in REALS else FLOAT_TYPE if dtype in COMPLEX else SIGNED_TYPE if dtype in SIGNED else UNSIGNED_TYPE
    rows = [("ne", kind, (5,)), ("eq", NOTYPE, (2, 2)), ("ne", NOTYPE, (3,)), ("eq", kind, (1, 3)), ("ne", NOTYPE, (2, 1, 2)), ("eq", kind, (7,))] if dtype in COMPLEX else [
        ("gt", kind, (5,)), ("le", NOTYPE, (2, 2)), ("ne", kind, (3,)), ("eq", kind, (1, 3)), ("lt", kind, (2, 1, 2)), ("ge", NOTYPE, (7,))]
    for row in rows:
        compare(dtype, *row)
for dtype in VALUES:
    for shape, scalar in [((4,), True), ((3,), False), ((1, 2), True), ((2, 2), False), ((2, 1, 2), True), ((5,), True), ((1, 1, 4), False)]:
        select(dtype, shape, scalar)
for dtype in REALS + INTEGERS:
    for shape, scalars in [((3,), (True, True)), ((2, 2), (False, True)), ((1, 3), (True, False)), ((4, 1), (False, False)), ((6,), (True, True))]:
        clamp(dtype, shape, scalars)

PACKED = ("INT4", "UINT4")
MOVED = ALL_TYPES + PACKED
RESHAPES = [((2, 2), (4,)), ((3,), (1, 3)), ((2, 1, 3), (3, 2)), ((4, 2), (2, 2, 2)), ((1, 5), (5, 1)), ((6,), (2, 3)), ((1,), (1, 1)), ((8,), (2, 1, 4))]
ORDERS = [((2, 2), (1, 0)), ((3, 2), (1, 0)), ((1, 2, 3), (1, 2, 0)), ((2, 2, 2), (0, 2, 1)), ((4,), (0,)), ((1, 5), (1, 0)), ((2, 1, 3), (2, 1, 0)), ((2, 1, 2, 2), (3, 0, 2, 1))]
SPREAD = [((2,), (3, 2), (1,)), ((3, 1), (3, 2), (0, 1)), ((4,), (4, 1), (0,)), ((1,), (2, 3), (0,)), ((2, 2), (2, 1, 2), (0, 2)), ((), (3,), ()), ((1, 2), (2, 3, 2), (0, 2)), ((5,), (5,), (0,))]
JOINED = [([(2,), (3,)], 0), ([(1, 2), (3, 2)], 0), ([(2, 3), (2, 1)], 1), ([(2, 2)] * 3, 0), ([(1, 1, 2), (1, 2, 2)], 1), ([(4,)], 0), ([(1,), (2,), (3,)], 0), ([(3, 1), (3, 3)], 1)]
CUTS = [((4,), (0,), (3,), (1,)), ((3, 3), (1, 0), (3, 2), (1, 1)), ((7,), (1,), (6,), (2,)), ((2, 4), (0, 1), (2, 4), (1, 2)), ((2, 2, 3), (1, 0, 0), (2, 2, 3), (1, 1, 2)), ((5,), (4,), (5,), (1,)),
        ((3, 2), (0, 0), (3, 2), (2, 1)), ((6,), (2,), (2,), (1,))]  # fmt: skip


def spread(x, target, dims):
    full = [1] * len(target)
    for d, size in zip(dims, x.shape):
        full[d] = size
    return np.broadcast_to(x.reshape(full), target)


for dtype in MOVED:
    for shape, target in RESHAPES:
        moved("STABLEHLO_RESHAPE", label("from", shape, "to", target), dtype, [shape], target, lambda x: x)
    for shape, order in ORDERS:
        moved("STABLEHLO_TRANSPOSE", label("of", shape, "by", order), dtype, [shape], tuple(shape[d] for d in order), lambda x, order=order: np.transpose(x, order), permutation=list(order))
    for shape, target, dims in SPREAD:
        moved("STABLEHLO_BROADCAST_IN_DIM", label("of", shape, "to", target, "along", dims), dtype, [shape], target,
              lambda x, target=target, dims=dims: spread(x, target, dims), broadcastDimensions=list(dims))  # fmt: skip
    for shapes, axis in JOINED:
        target = list(shapes[0])
        target[axis] = sum(s[axis] for s in shapes)
        moved("STABLEHLO_CONCATENATE", label("of", *shapes, "along", axis), dtype, shapes, tuple(target), lambda *xs, axis=axis: np.concatenate(xs, axis), dimension=axis)
    for shape, start, limit, stride in CUTS:
        cut = tuple(slice(*s) for s in zip(start, limit, stride))
        moved("STABLEHLO_SLICE", label("of", shape, "from", start, "to", limit, "by", stride), dtype, [shape], np.empty(shape)[cut].shape, lambda x, cut=cut: x[cut],
              startIndices=list(start), limitIndices=list(limit), strides=list(stride))  # fmt: skip
for dtype in ALL_TYPES:
    for row in [((2,), (1,), (1,), (1,)), ((2, 2), (0, 1), (1, 0), (0, 0)), ((4,), (-1,), (0,), (0,)), ((1, 3), (1, 0), (0, 2), (0, 1)), ((2, 1, 2), (0, 0, 1), (1, 1, 0), (1, 0, 0)), ((3,), (0,), (0,), (2,)),
                ((5,), (-2,), (3,), (0,))]:  # fmt: skip
        pad(dtype, *row)
for dtype in NUMBERS:
    for shape, axis in [((5,), 0), ((3, 2), 0), ((3, 2), 1), ((2, 2, 2), 1), ((1, 4), 1)]:
        iota(dtype, shape, axis)
INDEX_TYPES = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
for dtype in VALUES:
    for index in INDEX_TYPES:
        gather(dtype, index, "some_rows", (3, 2), (2, 1), (1,), (0,), (0,), 1, (1, 2))
        gather(dtype, index, "corners", (3, 3), (2, 2), (1, 2), (), (0, 1), 1, (2, 1))
        gather(dtype, index, "single", (4,), (3, 1), (), (0,), (0,), 1, (1,))
        gather(dtype, index, "turned", (3, 2), (2, 2), (), (0, 1), (1, 0), 1, (1, 1))
        gather(dtype, index, "columns", (2, 4), (3, 1), (0,), (1,), (1,), 1, (2, 1))
        gather(dtype, index, "middle", (4, 2), (2, 1), (1, 2), (), (0,), 1, (2, 2))
        gather(dtype, index, "deep", (2, 3, 2), (2, 1), (1, 2), (0,), (0,), 1, (1, 3, 2))
        gather(dtype, index, "one", (5,), (1, 1), (0,), (), (0,), 1, (2,), low=0 if index[0] == "U" else -1, high=4)
for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "INT32", "INT64", "UINT32", "BOOL"):
    for index in ("INT32", "INT64"):
        for row in [([(3, 2)], (1,)), ([(2, 1), (3, 2)], (1, 2)), ([(5, 3)], (3,)), ([(1, 4)], (2,)), ([(4, 1)], (1,)), ([(2, 2), (2, 2)], (1, 1)), ([(3, 3), (1, 1)], (2, 1)), ([(6, 2)], (2,))]:
            embeddings(dtype, index, *row)
for dtype in ("UINT32", "UINT64", "INT32", "INT64"):
    for algorithm, shape, words in [("philox", (3,), 2), ("threefry", (1, 4), 2), ("philox", (2, 2, 2), 3)]:
        random_bits(dtype, algorithm, shape, words, STATES)


def window(dtype, function, shape, size, stride):
    """REDUCE_WINDOW where LiteRT has no such type."""
    code, reducer = {"add": (1, "ADD"), "min": (3, "MINIMUM"), "max": (4, "MAXIMUM"), "all": (5, "AND"), "any": (6, "OR")}[function]

    def build(case):
        x, init = case.graph.input(dtype, shape), case.graph.input(dtype, ())
        lists = [case.graph.const("INT64", list(v)) for v in (size, stride, [1] * len(shape))]
        out = tuple((d - r) // s + 1 for d, r, s in zip(shape, size, stride))
        case.graph.op("REDUCE_WINDOW", [x, init, *lists], [case.graph.output(dtype, shape=out)], reduceFunction=code)
        case.feed(case.values(dtype, shape, None, *((None, None) if dtype == "BOOL" else (0, 9))), np.full((), function == "all", NUMPY[dtype]))
        ones = [1] * len(shape)
        case.otherwise = lambda x, i: [spec.reduce_window(spec.REDUCERS[reducer], x, i, size, stride, ones, ones, [(0, 0)] * len(shape))]

    add("REDUCE_WINDOW", label(dtype, function, shape, "window", size, "step", stride), build)


for dtype in REALS + INTEGERS + ("BOOL",):
    for k, (shape, size, stride) in enumerate([((4,), (2,), (1,)), ((3, 3), (2, 2), (1, 1)), ((6,), (3,), (3,)), ((2, 4), (1, 2), (1, 2)), ((5,), (5,), (1,)), ((2, 2, 2), (2, 1, 2), (1, 1, 1)), ((7,), (2,), (3,)),
                                               ((4, 2), (3, 2), (1, 1))]):  # fmt: skip
        window(dtype, ("all", "any")[k % 2] if dtype == "BOOL" else ("add", "max", "min")[k % 3], shape, size, stride)
