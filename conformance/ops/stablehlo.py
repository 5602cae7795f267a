"""StableHLO: element-wise operators, comparisons, conversions, and those that move elements."""

import numpy as np

from cases import EXACT, add, label
from onebuild import NUMPY, Quant
from ops import stablehlo_reference as spec

SIGNED = ("INT8", "INT16", "INT32", "INT64")
UNSIGNED = ("UINT8", "UINT16", "UINT32", "UINT64")
INTEGERS = SIGNED + UNSIGNED
REALS = ("FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16")
COMPLEX = ("COMPLEX64", "COMPLEX128")
NUMBERS = REALS + INTEGERS + COMPLEX
VALUES = NUMBERS + ("BOOL",)
SERVED = {"FLOAT32", "FLOAT64", "FLOAT16", *INTEGERS, "BOOL"}  # element types of LiteRT's own element-wise kernels

SHAPES = [(2, 3), (), (3, 1, 2)]
MORE_SHAPES = [(0, 2), (1, 2, 1, 3, 2), (37,), (5, 19)]


def shapes_of(dtype):
    """(shape, number of runs): all shapes in float32, elsewhere two, one of them fed twice."""
    if dtype == "FLOAT32":
        return [(shape, 1) for shape in SHAPES + MORE_SHAPES]
    return [(SHAPES[0], 1), (SHAPES[2], 2)]


def binary(op, dtypes, served=(), ranges=None):
    """Three inputs per element type, and more in float32. LiteRT answers for the types `served`."""
    name = op.removeprefix("STABLEHLO_")

    def one(dtype, shape, runs):
        def build(case):
            operands = [case.graph.input(dtype, shape) for _ in range(2)]
            case.graph.op(op, operands, [case.graph.output(dtype, shape=shape)])
            first, second = (ranges or (lambda _: ((None, None), (None, None))))(dtype)
            for _ in range(runs):
                case.feed(case.values(dtype, shape, low=first[0], high=first[1]), case.values(dtype, shape, low=second[0], high=second[1]))
            if dtype not in served:
                function = spec.halves(spec.BINARY[name])
                case.expected = lambda a, b: [function(a, b)]
            case.allow_special = True

        add(op, label(dtype, shape), build)

    for dtype in dtypes:
        for shape, runs in shapes_of(dtype):
            one(dtype, shape, runs)


def powers(dtype):
    """Bases and exponents whose powers exist and stay small."""
    if dtype in SIGNED:
        return (-4, 4), (-3, 5)
    if dtype in UNSIGNED:
        return (0, 6), (0, 6)
    return (0.25, 4), (-3, 3)


def shifts(dtype):
    return (None, None), (0, np.dtype(NUMPY[dtype]).itemsize * 8 - 1)


binary("STABLEHLO_ADD", VALUES, SERVED)
binary("STABLEHLO_MULTIPLY", VALUES, SERVED)
binary("STABLEHLO_MAXIMUM", VALUES, SERVED)
binary("STABLEHLO_MINIMUM", VALUES, SERVED)
binary("STABLEHLO_AND", INTEGERS + ("BOOL",), SERVED)
binary("STABLEHLO_OR", INTEGERS + ("BOOL",))
binary("STABLEHLO_SUBTRACT", NUMBERS)
binary("STABLEHLO_DIVIDE", NUMBERS)
binary("STABLEHLO_REMAINDER", REALS + INTEGERS)
binary("STABLEHLO_POWER", NUMBERS, ranges=powers)
binary("STABLEHLO_SHIFT_LEFT", INTEGERS, ("INT8", "INT16", "INT32"), shifts)


def corner(op, name, dtype, a, b, served=False):
    """Operands given one by one."""

    def build(case):
        x, y = np.array(a, NUMPY[dtype]), np.array(b, NUMPY[dtype])
        operands = [case.graph.input(dtype, x.shape) for _ in range(2)]
        case.graph.op(op, operands, [case.graph.output(dtype, shape=x.shape)])
        case.feed(x, y)
        case.allow_special = True
        if not served:
            function = spec.halves(spec.BINARY[op.removeprefix("STABLEHLO_")])
            case.expected = lambda a, b: [function(a, b)]

    add(op, label(dtype, name), build)


for kind in ("MAXIMUM", "MINIMUM"):
    for dtype in ("FLOAT32", "FLOAT16", "FLOAT64"):
        corner(f"STABLEHLO_{kind}", "nan_and_zeros", dtype, [np.nan, 1, np.nan, -0.0, np.inf], [1, np.nan, np.nan, 0.0, -np.inf], True)
for dtype, bits in (("INT8", 8), ("INT16", 16), ("INT32", 32)):
    corner("STABLEHLO_SHIFT_LEFT", "beyond", dtype, [1, 1, 3, -1, 5], [bits - 1, bits, bits + 1, 2, 0], True)
for dtype in ("INT8", "INT32", "INT64"):
    least = np.iinfo(NUMPY[dtype]).min
    corner("STABLEHLO_DIVIDE", "by_zero", dtype, [7, -7, least, 0], [0, 0, -1, 5])
    corner("STABLEHLO_REMAINDER", "by_zero", dtype, [7, -7, least, -7], [0, 0, -1, 4])
corner("STABLEHLO_DIVIDE", "by_zero", "UINT8", [7, 0, 200], [0, 0, 7])
corner("STABLEHLO_SHIFT_LEFT", "beyond", "UINT64", [1, 1, 3], [63, 64, 2])


def quantized_binary(op, dtype):
    """Dequantize, compute, quantize."""

    def build(case):
        quants = [case.quant(dtype) for _ in range(3)]
        operands = [case.graph.input(dtype, (3, 5), q) for q in quants[:2]]
        case.graph.op(op, operands, [case.graph.output(dtype, quants[2], shape=(3, 5))])
        function = spec.BINARY[op.removeprefix("STABLEHLO_")]
        case.expected = lambda a, b: [requantize(function(real(a, quants[0]), real(b, quants[1])), quants[2], dtype)]
        case.tolerance = ("step", 1)

    add(op, label(dtype, "quantized"), build)


def real(array, quant):
    return (array.astype(np.float32) - np.float32(quant.zero)) * np.float32(quant.scale)


def requantize(array, quant, dtype):
    limits = np.iinfo(NUMPY[dtype])
    return np.clip(np.rint(array / np.float32(quant.scale)) + quant.zero, limits.min, limits.max).astype(NUMPY[dtype])


for op in ("STABLEHLO_SUBTRACT",):
    for dtype in ("INT8", "UINT8", "INT16"):
        quantized_binary(op, dtype)


def unary(op, dtypes, low=None, high=None, quantized=True):
    name = op.removeprefix("STABLEHLO_")

    def one(dtype, shape, runs, quant):
        def build(case):
            q = [None, None]
            if quant:
                span = 8.0 if low is None else 4.0
                q = [case.quant(dtype, span), case.quant(dtype, span)]
            result = {"COMPLEX64": "FLOAT32", "COMPLEX128": "FLOAT64"}.get(dtype, dtype) if name == "ABS" else dtype
            case.graph.op(op, [case.graph.input(dtype, shape, q[0])], [case.graph.output(result, q[1], shape=shape)])
            if quant:
                case.expected = lambda x: [requantize(spec.UNARY[name](real(x, q[0])), q[1], dtype)]
                case.tolerance = ("step", 1)
                return
            for _ in range(runs):
                case.feed(case.values(dtype, shape, low=low, high=high))

            def expected(x):
                wide = spec.wide(x)
                return [np.asarray(spec.UNARY[name](wide)).astype(NUMPY[result])]

            case.expected = expected
            case.allow_special = True

        add(op, label(dtype, shape, "quantized" if quant else ""), build)

    for dtype in dtypes:
        for shape, runs in shapes_of(dtype):
            one(dtype, shape, runs, False)
    for dtype in ("INT8", "UINT8", "INT16") if quantized else ():
        one(dtype, (3, 5), 1, True)


unary("STABLEHLO_ABS", REALS + SIGNED + ("UINT8",) + COMPLEX)
unary("STABLEHLO_NEGATE", NUMBERS)
unary("STABLEHLO_FLOOR", REALS)
for op in ("COSINE", "EXPONENTIAL", "LOGISTIC", "TANH"):
    unary(f"STABLEHLO_{op}", REALS + COMPLEX)
unary("STABLEHLO_CBRT", REALS + COMPLEX)
for op in ("LOG", "RSQRT"):
    unary(f"STABLEHLO_{op}", REALS + COMPLEX, 0.25, 4, quantized=False)

DIRECTIONS = {"eq": 0, "ne": 1, "ge": 2, "gt": 3, "le": 4, "lt": 5}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "ge": np.greater_equal, "gt": np.greater, "le": np.less_equal, "lt": np.less}
NOTYPE, FLOAT_TYPE, TOTAL, SIGNED_TYPE, UNSIGNED_TYPE = range(5)


def compare(dtype, direction, kind, shape=(2, 4), special=False):
    def build(case):
        operands = [case.graph.input(dtype, shape) for _ in range(2)]
        case.graph.op("STABLEHLO_COMPARE", operands, [case.graph.output("BOOL", shape=shape)], comparisonDirection=DIRECTIONS[direction], compareType=kind)
        a, b = case.values(dtype, shape, low=None if dtype == "BOOL" else 0, high=2), case.values(dtype, shape, low=0, high=2)
        if special:
            values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0])
            a, b = np.repeat(values, 8).astype(NUMPY[dtype]), np.tile(values, 8).astype(NUMPY[dtype])
        case.feed(a, b)
        if kind == TOTAL:
            case.expected = lambda a, b: [COMPARE[direction](spec.total_order(a), spec.total_order(b)).astype(bool)]
        else:
            case.expected = lambda a, b: [COMPARE[direction](a, b)]

    add("STABLEHLO_COMPARE", label(dtype, direction, ("", "float", "total", "signed", "unsigned")[kind], shape), build)


for dtype in VALUES:
    kind = TOTAL if dtype in REALS else FLOAT_TYPE if dtype in COMPLEX else SIGNED_TYPE if dtype in SIGNED else UNSIGNED_TYPE
    for i, direction in enumerate(("eq", "ne") if dtype in COMPLEX else ("ge", "lt", "eq")):
        compare(dtype, direction, (NOTYPE, kind)[i % 2])
compare("COMPLEX64", "eq", FLOAT_TYPE, ())
for i, direction in enumerate(DIRECTIONS):
    compare("FLOAT32", direction, NOTYPE, (64,), special=True)
    compare(("FLOAT16", "FLOAT64", "FLOAT32", "BFLOAT16")[i % 4], direction, TOTAL, (64,), special=True)
compare("FLOAT32", "gt", FLOAT_TYPE, ())
compare("INT32", "le", SIGNED_TYPE, (0, 3))


def convert(source, target, shape, values=None):
    def build(case):
        case.graph.op("STABLEHLO_CONVERT", [case.graph.input(source, shape)], [case.graph.output(target, shape=shape)])
        if values is not None:
            case.feed(np.array(values, NUMPY[source]))
        case.expected = lambda x: [spec.convert(x, NUMPY[target])]
        case.allow_special = True
        case.tolerance = EXACT

    add("STABLEHLO_CONVERT", label(source, target, shape, "corners" if values else ""), build)


for i, source in enumerate(VALUES):
    for step in (1, 4, 9):
        convert(source, VALUES[(i + step) % len(VALUES)], SHAPES[step % 3])
convert("FLOAT32", "INT8", (6,), [300, -300, np.nan, np.inf, -np.inf, -1.9])
convert("FLOAT64", "UINT64", (5,), [-1, 1e30, np.nan, 2.0**63, 0.9])
convert("FLOAT32", "INT32", (5,), [3e9, -3e9, 2.5, -2.5, 0])
convert("INT64", "FLOAT32", (3,), [2**24 + 1, -(2**62) - 1, 5])
convert("UINT64", "FLOAT32", (3,), [2**64 - 1, 2**63, 2**24 + 1])
convert("INT32", "UINT8", (4,), [-1, 256, 300, -300])
convert("FLOAT32", "BOOL", (4,), [0, -0.0, 0.25, np.nan])
convert("COMPLEX64", "FLOAT16", (2,), [1 + 2j, -3.5j])
convert("FLOAT32", "FLOAT32", (0, 2))


# Moving elements asks for nothing but their size: one type of each size, and truth values, get every case.
THOROUGH = ("FLOAT32", "INT8", "FLOAT16", "INT64", "COMPLEX128", "BOOL")


def select(dtype, shape, scalar):
    def build(case):
        condition = case.graph.input("BOOL", () if scalar else shape)
        operands = [case.graph.input(dtype, shape) for _ in range(2)]
        case.graph.op("STABLEHLO_SELECT", [condition, *operands], [case.graph.output(dtype, shape=shape)])
        case.expected = lambda c, a, b: [np.where(c, a, b)]

    add("STABLEHLO_SELECT", label(dtype, shape, "scalar_condition" if scalar else ""), build)


def clamp(dtype, shape, scalars):
    def build(case):
        low = case.graph.input(dtype, () if scalars[0] else shape)
        x = case.graph.input(dtype, shape)
        high = case.graph.input(dtype, () if scalars[1] else shape)
        case.graph.op("STABLEHLO_CLAMP", [low, x, high], [case.graph.output(dtype, shape=shape)])
        least, most = (0, 3) if dtype in UNSIGNED else (-2, 3)
        case.feed(case.values(dtype, low.shape, low=least, high=1), case.values(dtype, shape, low=least, high=9), case.values(dtype, high.shape, low=1, high=most))
        case.expected = lambda lo, x, hi: [np.broadcast_to(spec.least(spec.greatest(x, lo), hi), x.shape).astype(x.dtype)]
        case.tolerance = EXACT

    add("STABLEHLO_CLAMP", label(dtype, shape, *("scalar" if s else "tensor" for s in scalars)), build)


for dtype in VALUES:
    rows = [((3, 2), True), ((2, 3), False), ((), True)]
    for shape, scalar in rows if dtype in THOROUGH else rows[1:2]:
        select(dtype, shape, scalar)
for dtype in REALS + INTEGERS:
    for shape, scalars in [((2, 3), (True, True)), ((4,), (False, True)), ((2, 2), (True, False))]:
        clamp(dtype, shape, scalars)
clamp("FLOAT32", (3, 7), (False, False))
clamp("FLOAT32", (0,), (True, True))


def moved(op, name, dtype, inputs, output, expected, quant=None, **options):
    """A case of an operator that moves elements; `inputs` are shapes."""

    def build(case):
        operands = [case.graph.input(dtype, shape, quant) for shape in inputs]
        case.graph.op(op, operands, [case.graph.output(dtype, quant, shape=output)], **options)
        case.expected = lambda *arrays: [np.ascontiguousarray(expected(*arrays)).reshape(output)]
        case.tolerance = EXACT

    add(op, label(dtype, name), build)


ALL_TYPES = VALUES
def some(dtype, rows):
    """All rows for the thorough types, the second for the others."""
    return rows if dtype in THOROUGH else rows[1:2]


for dtype in ALL_TYPES:
    rows = [((2, 3), (3, 2)), ((4,), (2, 1, 2)), ((1, 1), ())] + ([((2, 0), (0, 5)), ((2, 2, 2, 2), (16,))] if dtype == "FLOAT32" else [])
    for shape, target in some(dtype, rows):
        moved("STABLEHLO_RESHAPE", label(shape, "to", target), dtype, [shape], target, lambda x: x)
    rows = [((2, 3), (1, 0)), ((2, 3, 2), (2, 0, 1)), ((3,), (0,))] + ([((2, 1, 3, 2), (3, 1, 0, 2)), ((0, 2), (1, 0)), ((), ())] if dtype == "FLOAT32" else [])
    for shape, order in some(dtype, rows):
        moved("STABLEHLO_TRANSPOSE", label(shape, "by", order), dtype, [shape], tuple(shape[d] for d in order),
              lambda x, order=order: np.transpose(x, order), permutation=list(order))  # fmt: skip
    rows = [((3,), (2, 3), (1,)), ((2, 1), (2, 3), (0, 1)), ((), (2, 2), ())]
    rows += [((2, 3), (3, 4, 2), (2, 0)), ((1, 1), (3, 2), (1, 0)), ((3,), (0, 3), (1,))] if dtype == "FLOAT32" else []
    for shape, target, dims in some(dtype, rows):

        def broadcast(x, target=target, dims=dims):
            order = np.argsort(dims)
            full = [1] * len(target)
            for d in range(x.ndim):
                full[dims[d]] = x.shape[d]
            return np.broadcast_to(np.transpose(x, order.astype(int)).reshape(full), target)

        moved("STABLEHLO_BROADCAST_IN_DIM", label(shape, "to", target, "along", dims), dtype, [shape], target, broadcast, broadcastDimensions=list(dims))
    rows = [([(2, 1), (2, 2)], 1), ([(1, 2), (2, 2), (1, 2)], 0), ([(3,)], 0)]
    rows += [([(2, 1, 2), (2, 3, 2)], 1), ([(0, 2), (2, 2)], 0), ([(2, 2), (2, 0)], 1)] if dtype == "FLOAT32" else []
    for shapes, axis in some(dtype, rows):
        target = list(shapes[0])
        target[axis] = sum(s[axis] for s in shapes)
        moved("STABLEHLO_CONCATENATE", label(*shapes, "along", axis), dtype, shapes, tuple(target),
              lambda *xs, axis=axis: np.concatenate(xs, axis), dimension=axis)  # fmt: skip
    rows = [((5,), (1,), (4,), (2,)), ((3, 4), (0, 1), (3, 4), (2, 2)), ((2, 3), (1, 0), (2, 3), (1, 1))]
    rows += [((6, 2), (5, 0), (6, 2), (9, 1)), ((4,), (2,), (2,), (1,)), ((2, 3, 4), (0, 1, 2), (2, 3, 4), (1, 1, 1))] if dtype == "FLOAT32" else []
    for shape, start, limit, stride in some(dtype, rows):
        cut = tuple(slice(*s) for s in zip(start, limit, stride))
        moved("STABLEHLO_SLICE", label(shape, "from", start, "to", limit, "by", stride), dtype, [shape], np.empty(shape)[cut].shape,
              lambda x, cut=cut: x[cut], startIndices=list(start), limitIndices=list(limit), strides=list(stride))  # fmt: skip
for dtype in ("INT8",):
    moved("STABLEHLO_RESHAPE", "quantized", dtype, [(2, 3)], (6,), lambda x: x, quant=Quant(0.5, 3))
    moved("STABLEHLO_TRANSPOSE", "quantized", dtype, [(2, 3)], (3, 2), lambda x: x.T, quant=Quant(0.5, 3), permutation=[1, 0])


def iota(dtype, shape, axis):
    def build(case):
        case.graph.op("STABLEHLO_IOTA", [], [case.graph.output(dtype, shape=shape)], iotaDimension=axis)
        case.runs = [[]]
        case.expected = lambda: [np.broadcast_to(np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))]), shape).astype(NUMPY[dtype])]
        case.tolerance = EXACT

    add("STABLEHLO_IOTA", label(dtype, shape, "along", axis), build)


for dtype in NUMBERS:
    for shape, axis in [((4,), 0), ((2, 3), 0), ((2, 3), 1)]:
        iota(dtype, shape, axis)
iota("FLOAT16", (2, 3, 4), 1)
iota("INT32", (0,), 0)

INDEX_TYPES = ("INT32", "INT64", "UINT32", "INT8", "UINT64", "INT16", "UINT8", "UINT16")


def dynamic_slice(dtype, index, shape, sizes, starts):
    def build(case):
        x = case.graph.input(dtype, shape)
        at = [case.graph.input(index, ()) for _ in shape]
        case.graph.op("STABLEHLO_DYNAMIC_SLICE", [x, *at], [case.graph.output(dtype, shape=sizes)], sliceSizes=list(sizes))
        values = case.values(dtype, shape)
        for start in starts:
            case.feed(values, *(np.array(s, NUMPY[index]) for s in start))

        def expected(x, *at):
            first = [min(max(int(a), 0), d - s) for a, d, s in zip(at, shape, sizes)]
            return [x[tuple(slice(f, f + s) for f, s in zip(first, sizes))]]

        case.expected, case.tolerance = expected, EXACT

    add("STABLEHLO_DYNAMIC_SLICE", label(dtype, index, shape, "to", sizes), build)


def dynamic_update(dtype, index, shape, part, starts):
    def build(case):
        x, update = case.graph.input(dtype, shape), case.graph.input(dtype, part)
        at = [case.graph.input(index, ()) for _ in shape]
        case.graph.op("STABLEHLO_DYNAMIC_UPDATE_SLICE", [x, update, *at], [case.graph.output(dtype, shape=shape)])
        values = case.values(dtype, shape), case.values(dtype, part)
        for start in starts:
            case.feed(*values, *(np.array(s, NUMPY[index]) for s in start))

        def expected(x, update, *at):
            first = [min(max(int(a), 0), d - s) for a, d, s in zip(at, shape, part)]
            out = x.copy()
            out[tuple(slice(f, f + s) for f, s in zip(first, part))] = update
            return [out]

        case.expected, case.tolerance = expected, EXACT

    add("STABLEHLO_DYNAMIC_UPDATE_SLICE", label(dtype, index, shape, "with", part), build)


for i, dtype in enumerate(ALL_TYPES):
    index = INDEX_TYPES[i % len(INDEX_TYPES)]
    low = -3 if index.startswith("INT") else 0
    rows = [("INT32", (3, 4), (2, 2), [(1, 2), (-1, 9)]), (index, (5,), (2,), [(1,), (low,), (9,)]), ("INT64", (2, 3), (1, 3), [(1, 0)])]
    for row in some(dtype, rows):
        for build in (dynamic_slice, dynamic_update):
            build(dtype, *row)
for build in (dynamic_slice, dynamic_update):
    build("FLOAT32", "INT64", (2, 3, 4), (2, 1, 2), [(0, 2, 1), (5, 5, 5)])
    build("FLOAT32", "INT32", (), (), [()])
    build("FLOAT32", "INT32", (3, 2), (0, 2), [(1, 0)])
    build("FLOAT32", "UINT64", (4, 4), (4, 4), [(2**63, 3)])


def pad(dtype, shape, low, high, interior):
    served = dtype not in ("BFLOAT16", "COMPLEX128")

    def build(case):
        x, value = case.graph.input(dtype, shape), case.graph.input(dtype, ())
        out = spec.pad(np.empty(shape), 0.0, low, high, interior).shape
        case.graph.op("STABLEHLO_PAD", [x, value], [case.graph.output(dtype, shape=out)],
                      edgePaddingLow=list(low), edgePaddingHigh=list(high), interiorPadding=list(interior))  # fmt: skip
        if not served or 0 in out:
            case.expected = lambda x, v: [spec.pad(x, v, low, high, interior)]
        case.tolerance = EXACT

    add("STABLEHLO_PAD", label(dtype, shape, "low", low, "high", high, "between", interior), build)


PADS = [((3,), (1,), (2,), (0,)), ((2, 3), (-1, 1), (1, 0), (0, 2)), ((4, 2), (0, -1), (-2, 2), (1, 0))]
for dtype in ALL_TYPES:
    for row in some(dtype, PADS):
        pad(dtype, *row)
pad("FLOAT32", (2, 2, 3), (1, 0, -2), (0, 2, 3), (0, 1, 2))
pad("FLOAT32", (5,), (-1,), (-1,), (3,))
pad("FLOAT32", (3, 2), (-4, 0), (0, 0), (0, 0))
pad("FLOAT32", (0, 2), (1, 0), (1, 1), (2, 0))
pad("FLOAT32", (2, 3), (0, 0), (0, 0), (0, 0))


def dilate(dtype, shape, factors, fixed=True):
    served = dtype not in ("BFLOAT16", "COMPLEX128")

    def build(case):
        x = case.graph.input(dtype, shape)
        by = case.graph.const("INT32", factors) if fixed else case.graph.input("INT32", (len(factors),))
        value = case.graph.input(dtype, ())
        out = tuple((d - 1) * f + 1 for d, f in zip(shape, factors))
        case.graph.op("DILATE", [x, by, value], [case.graph.output(dtype, shape=out, dynamic=not fixed)])
        case.feed(*([case.values(dtype, shape)] + ([] if fixed else [np.array(factors, np.int32)]) + [case.values(dtype, ())]))
        if not served:
            case.expected = lambda x, v: [spec.pad(x, v, [0] * x.ndim, [0] * x.ndim, [f - 1 for f in factors])]
        case.tolerance = EXACT

    add("DILATE", label(dtype, shape, "by", factors, "" if fixed else "at_run_time"), build)


for dtype in ALL_TYPES:
    for shape, factors in some(dtype, [((3,), (2,)), ((2, 3), (1, 3)), ((2, 2), (3, 2))]):
        dilate(dtype, shape, factors)
dilate("FLOAT32", (2, 1, 3), (2, 4, 1))
dilate("FLOAT32", (2, 3, 2, 2), (1, 2, 1, 3))
dilate("FLOAT32", (2, 3), (1, 1))
dilate("INT32", (2, 3), (2, 2), fixed=False)


def embeddings(dtype, index, tables, columns):
    """Input 0 names rows of the tables, the columns of one table after the other's."""

    def build(case):
        rows = [case.rng.integers(0, t[0], (3, c)) for t, c in zip(tables, columns)]
        positions = case.graph.input(index, (3, sum(columns)))
        operands = [case.graph.input(dtype, t) for t in tables]
        width = sum(c * t[1] for t, c in zip(tables, columns))
        case.graph.op("CONCAT_EMBEDDINGS", [positions, *operands], [case.graph.output(dtype, shape=(3, width))],
                      numChannels=len(tables), numColumnsPerChannel=list(columns), embeddingDimPerChannel=[t[1] for t in tables])  # fmt: skip
        case.feed(np.concatenate(rows, 1).astype(NUMPY[index]), *(case.values(dtype, t) for t in tables))

        def expected(at, *values):
            split = np.split(at, np.cumsum(columns)[:-1], 1)
            return [np.concatenate([v[a].reshape(3, -1) for v, a in zip(values, split)], 1)]

        case.expected, case.tolerance = expected, EXACT

    add("CONCAT_EMBEDDINGS", label(dtype, index, *tables, "columns", columns), build)


for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "INT32", "INT64", "UINT32", "BOOL"):
    rows = [("INT32", [(4, 2)], (2,)), ("INT64", [(3, 1), (2, 3)], (2, 1)), ("INT32", [(2, 2), (5, 1), (1, 2)], (1, 2, 1))]
    for row in some(dtype, rows):
        embeddings(dtype, *row)
