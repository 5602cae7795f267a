"""Operators that move elements, in every element type and with every type of index: eight cases and more for each.

Where LiteRT has no kernel for a type, NumPy answers.
"""

import numpy as np

import ops.usual  # noqa: F401  draws up to a number of cases, before more are added here
from cases import EXACT, add, label
from onebuild import NUMPY, Quant
from ops.shape import i32, i64, move
from ops.stablehlo import ALL_TYPES

REAL_TYPES = tuple(t for t in ALL_TYPES if t != "COMPLEX128")
INTEGER_MAKERS = (i32, i64)
PACKED = {"INT4": Quant(np.float32(0.5), 0), "UINT4": Quant(np.float32(0.25), 7)}


def with_each(variants, choices):
    """Every variant with every choice."""
    return [(*variant, choice) for variant in variants for choice in choices]


def numpy_of(function, *arguments, **named):
    """A definition for `otherwise`: the outputs of `function` applied to the data."""
    return lambda *data: [np.ascontiguousarray(function(*data, *arguments, **named))]


def name_of(*parts):
    return label(*(tuple(p) if isinstance(p, (list, tuple)) else p for p in parts)).replace("-", "m")


# Repeating and filling.
BROADCASTS = [((3,), (2, 3)), ((2, 1), (2, 4)), ((), (3, 2)), ((1, 2, 1), (3, 2, 2)), ((4,), (4,)), ((1, 1), (1, 5)), ((2, 1, 2, 1), (2, 3, 2, 2)), ((1,), (0,))]
for shape, target, integer in with_each(BROADCASTS, INTEGER_MAKERS):
    move("BROADCAST_TO", name_of(shape, "to", target, integer.__name__), ALL_TYPES, [shape, integer(*target)],
         otherwise=numpy_of(np.broadcast_to, target))  # fmt: skip
TILES = [((3,), (2,)), ((2, 2), (3, 1)), ((2, 1, 3), (1, 2, 2)), ((1,), (5,)), ((2, 3), (1, 1)), ((1, 2, 2, 1), (2, 1, 2, 3)), ((4, 1), (1, 3)), ((2, 2), (0, 2))]
for shape, multiples, integer in with_each(TILES, INTEGER_MAKERS):
    move("TILE", name_of(shape, "by", multiples, integer.__name__), REAL_TYPES + ("STRING",), [shape, integer(*multiples)],
         otherwise=numpy_of(np.tile, multiples))  # fmt: skip


def fill(dtype, dims, dims_dtype):
    def build(case):
        quant = case.quant(dtype)
        shape = case.graph.const(dims_dtype, dims)
        case.graph.op("FILL", [shape, case.graph.input(dtype, (), quant)], [case.graph.output(dtype, quant)])
        expected = lambda value: [np.full(dims, value, NUMPY[dtype])]
        if dtype == "STRING":  # LiteRT's strings differ from run to run
            case.expected = expected
        case.otherwise = expected
        case.tolerance = EXACT

    add("FILL", label(dtype, "all_of", dims, dims_dtype), build)


for dtype in REAL_TYPES + ("STRING",):
    for dims, dims_dtype in with_each([((3,),), ((2, 2),), ((1, 3, 2),), ((1,),), ((2, 1, 1, 2),), ((5,),), ((0, 2),), ((3, 3),)], ("INT32", "INT64")):
        fill(dtype, dims, dims_dtype)

# Padding.
PADS = [((3,), [[1, 2]]), ((2, 3), [[0, 1], [2, 0]]), ((1, 2, 2), [[0, 0], [1, 1], [0, 2]]), ((1, 2, 3, 1), [[0, 0], [1, 0], [0, 1], [2, 1]]),
        ((4,), [[0, 0]]), ((2, 2), [[1, 1], [1, 1]]), ((1, 1, 2), [[2, 0], [0, 0], [0, 0]]), ((5,), [[3, 0]])]  # fmt: skip


PADDED = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL")


def padded(data, pads, fill=None):
    data = np.asarray(data)
    return np.pad(data, pads, constant_values=np.zeros((), data.dtype) if fill is None else fill.reshape(-1)[0])


PAD_KINDS = ("INT32", "INT64", "INT8", "INT16")
for shape, pads, kind in with_each(PADS, PAD_KINDS):
    flat = [n for pair in pads for n in pair]
    move("PAD", name_of(shape, "pads", flat, kind), PADDED, [shape, (kind, pads)], otherwise=numpy_of(padded, pads))


def pad_with_value(dtype, kind, shape, pads):
    def build(case):
        quant = case.quant(dtype)
        x, fill = case.graph.input(dtype, shape, quant), case.graph.input(dtype, (1,), quant)
        case.graph.op("PADV2", [x, case.graph.const(kind, pads), fill], [case.graph.output(dtype, quant)])
        case.otherwise = lambda data, value: [padded(data, pads, value)]

    add("PADV2", name_of(dtype, shape, "pads", [n for pair in pads for n in pair], kind), build)


for dtype in PADDED:
    for shape, pads, kind in with_each(PADS, PAD_KINDS):
        pad_with_value(dtype, kind, shape, pads)
MIRRORS = [((4,), [[1, 2]]), ((3, 3), [[0, 1], [2, 0]]), ((2, 3, 2), [[0, 1], [1, 1], [0, 0]]), ((5,), [[3, 0]]), ((2, 4), [[1, 0], [2, 3]]),
           ((3,), [[0, 2]]), ((1, 3, 2), [[0, 0], [2, 0], [1, 0]]), ((2, 2), [[1, 1], [1, 1]])]  # fmt: skip
for k, (shape, pads, kind) in enumerate(with_each(MIRRORS, ("INT32", "INT64"))):
    flat, mode = [n for pair in pads for n in pair], k // 2 % 2
    move("MIRROR_PAD", name_of(shape, "pads", flat, kind, ("reflect", "symmetric")[mode]), REAL_TYPES, [shape, (kind, pads)], {"mode": mode},
         otherwise=numpy_of(np.pad, pads, ("reflect", "symmetric")[mode]))  # fmt: skip

# Cutting and ordering.
SLICES = [((5,), (1,), (3,)), ((3, 4), (0, 1), (-1, 2)), ((2, 3, 2), (1, 0, 1), (1, 2, -1)), ((4,), (4,), (0,)), ((1, 3, 2, 2), (0, 1, 0, 1), (1, 2, 2, 1)),
          ((6,), (0,), (-1,)), ((2, 5), (1, 2), (1, 3)), ((2, 1, 2, 1, 3), (0, 0, 1, 0, 0), (2, 1, 1, 1, 2))]  # fmt: skip


def cut(data, begin, size):
    return data[tuple(slice(b, None if s < 0 else b + s) for b, s in zip(begin, size))]


for shape, begin, size, integer in with_each(SLICES, INTEGER_MAKERS):
    move("SLICE", name_of(shape, "from", begin, "of", size, integer.__name__), REAL_TYPES + ("STRING",), [shape, integer(*begin), integer(*size)],
         otherwise=numpy_of(cut, begin, size))  # fmt: skip
STRIDES = [((6,), (1,), (5,), (2,)), ((3, 4), (0, 3), (3, 0), (1, -1)), ((2, 3, 2), (0, 1, 0), (2, 3, 2), (1, 1, 1)), ((7,), (-1,), (0,), (-2,)),
           ((4, 2), (1, 0), (3, 2), (1, 1)), ((2, 2, 3), (0, 0, 2), (1, 2, 3), (1, 1, 1)), ((5,), (0,), (5,), (3,)), ((3, 3), (2, 0), (0, 3), (-1, 2))]  # fmt: skip
for shape, begin, end, step in STRIDES:
    parts = tuple(slice(*s) for s in zip(begin, end, step))
    move("STRIDED_SLICE", name_of(shape, "from", begin, "to", end, "by", step), REAL_TYPES + ("STRING",), [shape, i32(*begin), i32(*end), i32(*step)],
         otherwise=numpy_of(lambda data, parts: data[parts], parts))  # fmt: skip
ORDERS = [((2, 3), (1, 0)), ((2, 3, 2), (2, 0, 1)), ((3,), (0,)), ((1, 2, 3, 2), (0, 3, 1, 2)), ((2, 2, 3), (0, 2, 1)), ((4, 5), (1, 0)), ((2, 1, 2, 1, 3), (4, 2, 0, 3, 1)),
          ((3, 1, 2), (-1, 0, 1))]  # fmt: skip
for shape, order in ORDERS:
    move("TRANSPOSE", name_of(shape, "order", order), REAL_TYPES, [shape, i32(*order)], otherwise=numpy_of(np.transpose, order))
REVERSALS = [((4,), (0,)), ((2, 3), (1,)), ((3, 2), (0,)), ((2, 3, 2), (0, 1)), ((1, 5), (1,)), ((2, 2, 3), (-1,)), ((3, 1, 2), (0, 1, 2)), ((6,), (-1,))]
for shape, axes in REVERSALS:
    move("REVERSE_V2", name_of(shape, "along", axes), ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"), [shape, i32(*axes)],
         otherwise=numpy_of(np.flip, axes))  # fmt: skip

# Joining and splitting.
COPIED = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64")
SPLITS = [((6,), (1, 2, 3), 0), ((2, 5), (2, 3), 1), ((4, 2), (1, 1, 2), 0), ((2, 4), (-1, 3), -1), ((3, 2, 2), (1, 2), 0), ((7,), (7,), 0), ((2, 3), (0, 3), 1),
          ((1, 8), (2, 2, 2, 2), 1)]  # fmt: skip
for shape, sizes, axis, integer in with_each(SPLITS, INTEGER_MAKERS):
    move("SPLIT_V", name_of(shape, "in", sizes, f"axis{axis}", integer.__name__), COPIED, [shape, integer(*sizes), ("INT32", axis)], {"numSplits": len(sizes)}, outputs=len(sizes))
JOINED = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "UINT32", "INT64", "BOOL")
for shapes, axis in [([(2,), (3,)], 0), ([(2, 1), (2, 2)], 1), ([(1, 3), (2, 3), (1, 3)], 0), ([(2, 2, 1), (2, 2, 1)], -1), ([(1, 2, 2)] * 4, 1)]:
    move("CONCATENATION", name_of(*shapes, f"axis{axis}"), JOINED, shapes, {"axis": axis})
for shape, axis, count in [((2, 3), 0, 2), ((3, 2), 1, 2), ((4,), 0, 4), ((2, 1, 3), 2, 3), ((1, 2), -2, 1)]:
    move("UNPACK", name_of(shape, f"axis{axis}"), ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "BOOL"), [shape], {"axis": axis, "num": count}, outputs=count)
for shape, axis in [((2,), 0), ((2, 3), 1)]:
    move("PACK", name_of(shape, f"axis{axis}", "of3"), ("UINT32", "FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"), [shape] * 3, {"axis": axis, "valuesCount": 3})

# Blocks.
BLOCKS = ("FLOAT32", "INT8", "UINT8", "INT32", "INT64")
for shape, size in [((1, 2, 2, 1), 2), ((2, 4, 2, 3), 2), ((1, 3, 3, 2), 3), ((1, 4, 8, 1), 4), ((1, 6, 2, 2), 2)]:
    move("SPACE_TO_DEPTH", name_of(shape, f"by{size}"), BLOCKS, [shape], {"blockSize": size})
    n, h, w, c = shape
    move("DEPTH_TO_SPACE", name_of((n, h, w, c * size * size), f"by{size}"), BLOCKS, [(n, h // size, w // size, c * size * size)], {"blockSize": size})


def to_batches(data, block, pads):
    """Dimension 0, the divided ones, the rest; the positions within a block become the leading part of dimension 0."""
    data = np.pad(data, [(0, 0), *pads] + [(0, 0)] * (data.ndim - 1 - len(block)))
    spatial = [n for size, step in zip(data.shape[1:], block) for n in (size // step, step)]
    rest, m = data.shape[1 + len(block) :], len(block)
    data = data.reshape(data.shape[0], *spatial, *rest)
    order = [2 * k + 2 for k in range(m)] + [0] + [2 * k + 1 for k in range(m)] + list(range(2 * m + 1, data.ndim))
    data = data.transpose(order)
    return data.reshape(-1, *data.shape[m + 1 :])


def from_batches(data, block, crops):
    m, batch = len(block), data.shape[0] // int(np.prod(block))
    spread = data.reshape(*block, batch, *data.shape[1:])
    order = [m] + [n for k in range(m) for n in (m + 1 + k, k)] + list(range(2 * m + 1, spread.ndim))
    spread = spread.transpose(order)
    whole = spread.reshape(batch, *(size * step for size, step in zip(data.shape[1:], block)), *data.shape[1 + m :])
    return whole[(slice(None), *(slice(a, whole.shape[1 + k] - b) for k, (a, b) in enumerate(crops)))]


BATCHED = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "UINT32", "INT64", "BOOL")
BLOCKED = [((1, 2, 2, 1), (2, 2), [[0, 0], [0, 0]]), ((1, 4, 2, 2), (2, 1), [[0, 0], [0, 0]]), ((2, 3, 2), (2,), [[1, 0]]), ((1, 3, 5, 1), (3, 2), [[0, 0], [0, 1]]),
           ((1, 4, 3), (4,), [[0, 0]]), ((2, 1, 3, 1), (2, 2), [[0, 1], [1, 0]]), ((1, 6, 1, 2), (3, 1), [[0, 0], [0, 0]]), ((3, 2, 2), (1,), [[0, 2]])]  # fmt: skip
UNBLOCKED = [((4, 1, 2, 1), (2, 2), [[0, 0], [0, 0]]), ((2, 2, 2, 2), (2, 1), [[0, 0], [0, 0]]), ((4, 3, 2), (2,), [[1, 0]]), ((6, 1, 3, 1), (3, 2), [[0, 0], [0, 1]]),
             ((4, 2, 3), (4,), [[0, 0]]), ((4, 2, 2, 1), (2, 2), [[0, 1], [1, 0]]), ((3, 2, 1, 2), (3, 1), [[1, 1], [0, 0]]), ((3, 3, 2), (1,), [[0, 1]])]  # fmt: skip
for shape, block, pads in BLOCKED:
    flat = [n for pair in pads for n in pair]
    move("SPACE_TO_BATCH_ND", name_of(shape, "block", block, "pads", flat), BATCHED, [shape, i32(*block), ("INT32", pads)], otherwise=numpy_of(to_batches, block, pads))
for shape, block, crops in UNBLOCKED:
    flat = [n for pair in crops for n in pair]
    move("BATCH_TO_SPACE_ND", name_of(shape, "block", block, "crops", flat), BATCHED, [shape, i32(*block), ("INT32", crops)], otherwise=numpy_of(from_batches, block, crops))

# Four bits: LiteRT hands them over one to a byte.


def packed(op, dtype, name, shapes, constants=(), first=(), **options):
    """A case of 4-bit integers with constant operands before and after them."""

    def build(case):
        quant = PACKED[dtype]
        operands = [case.graph.const(*c) for c in first] + [case.graph.input(dtype, shape, quant) for shape in shapes] + [case.graph.const(*c) for c in constants]
        case.graph.op(op, operands, [case.graph.output(dtype, quant)], **options)
        case.feed(*(case.values(dtype, shape) for shape in shapes))

    add(op, label(dtype, name), build)


for dtype in ("INT4", "UINT4"):
    for shape, order in [((2, 4), (1, 0)), ((3, 5), (1, 0)), ((2, 3, 2), (2, 0, 1)), ((1, 2, 3, 3), (0, 3, 1, 2)), ((7,), (0,)), ((2, 2, 3), (0, 2, 1)), ((4, 1), (1, 0)), ((3, 1, 3), (2, 1, 0))]:
        packed("TRANSPOSE", dtype, name_of(shape, "order", order), [shape], [i32(*order)])
for shape, begin, size, integer in with_each(SLICES, INTEGER_MAKERS):
    packed("SLICE", "INT4", name_of(shape, "from", begin, "of", size, integer.__name__), [shape], [integer(*begin), integer(*size)])
for shapes, axis in [([(2,), (4,)], 0), ([(2, 3), (2, 2)], 1), ([(1, 3), (2, 3), (1, 3)], 0), ([(2, 2, 1), (2, 2, 2)], -1), ([(3,)], 0), ([(3,), (3,), (3,)], 0), ([(1, 5), (1, 2)], 1), ([(2, 1, 3)] * 2, 1)]:
    packed("CONCATENATION", "INT4", name_of(*shapes, f"axis{axis}"), shapes, axis=axis)


def updated(dtype, shape, part, start, kind):
    def build(case):
        quant = PACKED.get(dtype, case.quant(dtype))
        x, new, at = case.graph.input(dtype, shape, quant), case.graph.input(dtype, part, quant), case.graph.input(kind, (len(shape),))
        case.graph.op("DYNAMIC_UPDATE_SLICE", [x, new, at], [case.graph.output(dtype, quant)])
        values = (None,) if dtype in PACKED else (quant,)
        case.feed(case.values(dtype, shape, *values), case.values(dtype, part, *values), np.array(start, NUMPY[kind]))

        def expected(x, new, at):
            first = [min(max(int(a), 0), d - p) for a, d, p in zip(at, shape, part)]
            x = x.copy()
            x[tuple(slice(f, f + p) for f, p in zip(first, part))] = new
            return [x]

        case.otherwise = expected

    add("DYNAMIC_UPDATE_SLICE", name_of(dtype, shape, part, "from", start, kind), build)


UPDATES = [((5,), (2,), (1,)), ((3, 4), (2, 2), (0, 1)), ((2, 3, 2), (1, 1, 2), (1, 2, 0)), ((4,), (4,), (0,)), ((3, 3), (1, 3), (9, -1)), ((6,), (1,), (5,)), ((2, 2, 2), (2, 1, 1), (0, 1, 1)),
           ((1, 5), (1, 3), (0, 2))]  # fmt: skip
for dtype in tuple(t for t in REAL_TYPES if t != "COMPLEX64") + ("INT4",):
    for shape, part, start, kind in with_each(UPDATES, ("INT32", "INT64")):
        updated(dtype, shape, part, start, kind)


# Looking up.
INDICES = ("INT16", "INT32", "INT64")


def gathered(dtype, index, shape, at, axis=0, batch=0):
    def build(case):
        quant = PACKED.get(dtype, case.quant(dtype))
        x, positions = case.graph.input(dtype, shape, quant), case.graph.input(index, at)
        case.graph.op("GATHER", [x, positions], [case.graph.output(dtype, quant)], axis=axis, batchDims=batch)
        case.feed(case.values(dtype, shape, None if dtype in PACKED else quant), case.values(index, at, low=0, high=shape[axis] - 1))
        case.otherwise = lambda x, positions: [np.take(x, positions, axis)]

    add("GATHER", name_of(dtype, shape, "along", axis, "at", at, index, f"batch{batch}" if batch else ""), build)


ROWS = [((5,), (3,)), ((4, 2), (2,)), ((2, 3), (2, 2), 1), ((3, 2), ()), ((2, 4, 2), (3,), 1), ((6,), (2, 2)), ((3, 3), (4,), -1), ((2, 2, 2), (1,)), ((4, 3), (0,))]
for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "STRING"):
    for index in INDICES:
        for row in ROWS:
            gathered(dtype, index, *row)
for index in INDICES:  # LiteRT moves whole bytes: rows of an odd size come out of nowhere
    for row in [((4, 2), (2,)), ((3, 2), ()), ((2, 2, 2), (1,)), ((5, 2), (3,)), ((2, 4), (2,)), ((3, 4), (2, 2)), ((6, 6), (1,)), ((2, 2, 4), (2,)), ((4, 2), (5,))]:
        gathered("INT4", index, *row)


def gathered_nd(dtype, index, shape, at):
    def build(case):
        quant = case.quant(dtype)
        x, positions = case.graph.input(dtype, shape, quant), case.graph.input(index, at)
        case.graph.op("GATHER_ND", [x, positions], [case.graph.output(dtype, quant)])
        places = np.stack([case.rng.integers(0, n, at[:-1]) for n in shape[: at[-1]]], -1).astype(NUMPY[index])
        case.feed(case.values(dtype, shape, quant), places)
        case.otherwise = lambda x, positions: [np.ascontiguousarray(x[tuple(np.moveaxis(positions, -1, 0))])]

    add("GATHER_ND", name_of(dtype, shape, "at", at, index), build)


ENTRIES = [((5,), (3, 1)), ((3, 2), (2, 2)), ((3, 2), (2, 1)), ((2, 3, 2), (3, 3)), ((2, 3, 2), (2, 2, 2)), ((4,), (2, 2, 1)), ((2, 2, 3), (2, 1)), ((6, 1), (4, 2)), ((3, 3), (1, 2))]
for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "STRING"):
    for index in INDICES:
        for row in ENTRIES:
            gathered_nd(dtype, index, *row)


def embedding(dtype, shape, count, out=None, quant=None, low=None, high=None):
    def build(case):
        parameters = quant(case) if quant else case.quant(dtype) if (out or dtype) == dtype else None
        ids = case.graph.input("INT32", (count,))
        table = case.graph.const(dtype, case.values(dtype, shape, parameters, low, high), parameters)
        result = case.graph.output(out or dtype, parameters if out is None else None)
        case.graph.op("EMBEDDING_LOOKUP", [ids, table], [result])
        case.feed(case.values("INT32", (count,), low=0, high=shape[0] - 1))
        if out is None:
            case.otherwise = lambda ids: [table.values[ids]]

    add("EMBEDDING_LOOKUP", name_of(dtype, "to", out or dtype, shape, count), build)


TABLES = [((3, 2), 2), ((4, 4), 3), ((2, 3, 2), 1), ((6, 1), 5), ((5, 8), 2), ((3, 6), 4), ((7, 2), 7), ((2, 10), 2), ((3, 12), 2), ((2, 16), 3), ((6, 4), 1), ((1, 8), 2), ((4, 20), 2)]
PLAIN_TABLES = tuple(t for t in ALL_TYPES if not t.startswith("COMPLEX"))
for shape, count in TABLES:
    for dtype in PLAIN_TABLES:
        embedding(dtype, shape, count)
    if len(shape) == 2:
        for dtype, low, high in (("INT8", None, None), ("UINT8", None, None), ("INT4", None, None), ("INT2", -2, 1)):
            if dtype in ("INT4", "INT2") and shape[1] % (2 if dtype == "INT4" else 4):
                continue
            for out in ("FLOAT32", "FLOAT16"):
                embedding(dtype, shape, count, out, lambda case: Quant(np.float32(case.rng.uniform(0.01, 0.1)), 0), low, high)
