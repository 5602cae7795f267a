"""8-bit floats, in every operator that takes them. LiteRT 2.3.0 refuses them; the answers are NumPy's with the types of `ml_dtypes`.

Numbers are cast as LiteRT's later sources do it: through float32, which is rounded to the nearest 8-bit float, ties to even.
"""

import math

import numpy as np

import ops.usual  # noqa: F401  draws up to a number of cases, before more are added here
from cases import EXACT, add, label
from onebuild import NUMPY, Graph
from ops.control import handle
from ops.quantize import type_code
from ops.types_computed import CASTABLE, LITTLE
from ops.types_moved import (BLOCKED, BROADCASTS, ENTRIES, INDICES, INTEGER_MAKERS, MIRRORS, ORDERS, PAD_KINDS, PADS, REVERSALS, ROWS, SLICES, SPLITS, STRIDES, TABLES, TILES,
                             UNBLOCKED, UPDATES, cut, from_batches, i32, name_of, padded, to_batches, with_each)  # fmt: skip

FLOAT8 = ("FLOAT8_E4M3FN", "FLOAT8_E5M2")
PACKED_RANGES = {"INT4": (-8, 7), "UINT4": (0, 15), "INT2": (-2, 1)}


def every_code(dtype):
    return np.arange(256, dtype=np.uint8).view(NUMPY[dtype])


def codes(case, dtype, shape):
    """Any of the 256, infinities and NaN included."""
    return every_code(dtype)[case.rng.integers(0, 256, shape)].reshape(shape)


def answer(case, function):
    """The case's outputs are what `function` makes of its inputs."""
    case.expected = lambda *data: [np.array(array, order="C") for array in function(*data)]
    case.tolerance, case.allow_special = EXACT, True


# Conversions.


def hard_numbers(dtype):
    """The numbers of a format, those halfway between two of them, both a little more and less, and what is beyond them all."""
    exact = every_code(dtype).astype(np.float64)
    exact = np.unique(exact[np.isfinite(exact)])
    step = exact[-1] - exact[-2]
    halves = np.concatenate([(exact[1:] + exact[:-1]) / 2, [exact[-1] + step / 2, -exact[-1] - step / 2]])
    near = [halves * (1 + side * 2.0**-bits) for side in (-1, 1) for bits in (7, 22)]
    return np.concatenate([exact, halves, *near, [-0.0, 1e-30, -1e-30, 1e9, -1e9, np.inf, -np.inf, np.nan]])


def numbers(case, source, target, shape):
    """Numbers to cast, all that are of interest for the shape None."""
    if source in FLOAT8:
        return every_code(source) if shape is None else codes(case, source, shape)
    shape_or_many = (200,) if shape is None else shape
    if source == "BOOL":
        return case.rng.random(shape_or_many) < 0.5
    if source in PACKED_RANGES:
        return case.rng.integers(*PACKED_RANGES[source], shape_or_many, endpoint=True).astype(NUMPY[source])
    if source.startswith(("INT", "UINT")):  # of every magnitude
        limits = np.iinfo(NUMPY[source])
        powers = 2.0 ** case.rng.uniform(0, limits.bits - 1, shape_or_many)
        return (powers * (1 if limits.min == 0 else case.rng.choice([-1, 1], shape_or_many))).astype(NUMPY[source])
    pool = hard_numbers(target)
    with np.errstate(over="ignore"):
        values = (pool if shape is None else case.rng.choice(pool, shape)).astype(np.float32 if source == "COMPLEX64" else NUMPY[source])
    return (values + 1j * case.rng.integers(-3, 3, values.shape)).astype(np.complex64) if source == "COMPLEX64" else np.asarray(values)


def converted(values, target):
    """The numbers in another type: integers are cut and held to their range, NaN gives the greatest."""
    real = (values.real if values.dtype.kind == "c" else values).astype(np.float32)
    if target == "BOOL":
        return real != 0
    if target.startswith(("INT", "UINT")):
        limits = np.iinfo(NUMPY[target])
        least, most = PACKED_RANGES.get(target, (limits.min, limits.max))
        held = lambda x: most if math.isnan(x) or x >= most else least if x <= least else int(x)
        return np.array([held(float(x)) for x in real.reshape(-1)], NUMPY[target]).reshape(real.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return real.astype(NUMPY[target])


def cast(source, target, shape):
    def build(case):
        values = numbers(case, source, target, shape)
        x = case.graph.input(source, values.shape)
        case.graph.op("CAST", [x], [case.graph.output(target)], inDataType=type_code(source), outDataType=type_code(target))
        case.feed(values)
        answer(case, lambda x: [converted(x, target)])

    add("CAST", label(source, "to", target, shape or ("all" if shape is None else shape)), build)


for small in FLOAT8:
    others = CASTABLE + tuple(PACKED_RANGES)
    for source, target in [(small, other) for other in others + FLOAT8] + [(other, small) for other in others]:
        for shape in [None, *LITTLE]:
            cast(source, target, shape)


def dequantized(dtype, shape, constant=False):
    def build(case):
        values = codes(case, dtype, shape) if shape else every_code(dtype)
        x = case.graph.const(dtype, values) if constant else case.graph.input(dtype, values.shape)
        case.graph.op("DEQUANTIZE", [x], [case.graph.output("FLOAT32")])
        case.runs = [[]] if constant else [[values]]
        answer(case, lambda *_: [values.astype(np.float32)])

    add("DEQUANTIZE", label(dtype, shape or "all", "const" if constant else ""), build)


for dtype in FLOAT8:
    for shape in [None, (5,), (2, 3), (1, 4), (2, 1, 3), (3, 2, 1, 2), (1,), (0, 2)]:
        for constant in (False, True):
            dequantized(dtype, shape, constant)


# Movement.


def moved(op, name, inputs, function, outputs=1, **options):
    """One case per format: `inputs` lists shapes (data of that format) and (type, constant values) pairs."""
    for dtype in FLOAT8:

        def build(case, dtype=dtype):
            constant = lambda operand: len(operand) == 2 and isinstance(operand[0], str)
            operands = [case.graph.const(*operand) if constant(operand) else case.graph.input(dtype, operand) for operand in inputs]
            case.graph.op(op, operands, [case.graph.output(dtype) for _ in range(outputs)], **options)
            case.feed(*(codes(case, dtype, tensor.shape) for tensor in case.graph.inputs))
            answer(case, function)

        add(op, label(dtype, name), build)


def split_at(data, sizes, axis):
    """Parts of these sizes, of which one may be -1 for the rest."""
    rest = data.shape[axis] - sum(size for size in sizes if size >= 0)
    return np.split(data, np.cumsum([rest if size < 0 else size for size in sizes])[:-1], axis)


for shape, target, integer in with_each(BROADCASTS, INTEGER_MAKERS):
    moved("BROADCAST_TO", name_of(shape, "to", target, integer.__name__), [shape, integer(*target)], lambda x, to=target: [np.broadcast_to(x, to)])
for shape, multiples, integer in with_each(TILES, INTEGER_MAKERS):
    moved("TILE", name_of(shape, "by", multiples, integer.__name__), [shape, integer(*multiples)], lambda x, by=multiples: [np.tile(x, by)])
for dims, integer in with_each([((3,),), ((2, 2),), ((1, 3, 2),), ((1,),), ((2, 1, 1, 2),), ((5,),), ((0, 2),), ((3, 3),)], INTEGER_MAKERS):
    moved("FILL", name_of("all_of", dims, integer.__name__), [integer(*dims), ()], lambda x, dims=dims: [np.broadcast_to(x, dims)])
for shape, pads, kind in with_each(PADS, PAD_KINDS):
    name = name_of(shape, "pads", [n for pair in pads for n in pair], kind)
    moved("PAD", name, [shape, (kind, pads)], lambda x, pads=pads: [padded(x, pads)])
    moved("PADV2", name, [shape, (kind, pads), (1,)], lambda x, fill, pads=pads: [padded(x, pads, fill)])
for k, (shape, pads, kind) in enumerate(with_each(MIRRORS, ("INT32", "INT64"))):
    mode = k // 2 % 2
    name = name_of(shape, "pads", [n for pair in pads for n in pair], kind, ("reflect", "symmetric")[mode])
    moved("MIRROR_PAD", name, [shape, (kind, pads)], lambda x, pads=pads, mode=mode: [np.pad(x, pads, ("reflect", "symmetric")[mode])], mode=mode)
for shape, steps in [((3,), (2,)), ((2, 3), (1, 2)), ((2, 2), (3, 1)), ((2, 1, 2), (2, 2, 2)), ((4,), (1,)), ((1, 3), (2, 4)), ((2, 2, 2), (1, 3, 1)), ((5,), (3,))]:

    def spread(x, value, steps=steps):
        made = np.full([(n - 1) * step + 1 for n, step in zip(x.shape, steps)], value, x.dtype)
        made[tuple(slice(None, None, step) for step in steps)] = x
        return [made]

    moved("DILATE", name_of(shape, "steps", steps), [shape, i32(*steps), ()], spread)

for shape, begin, size, integer in with_each(SLICES, INTEGER_MAKERS):
    moved("SLICE", name_of(shape, "from", begin, "of", size, integer.__name__), [shape, integer(*begin), integer(*size)], lambda x, a=begin, n=size: [cut(x, a, n)])
for shape, begin, end, step in STRIDES:
    parts = tuple(slice(*s) for s in zip(begin, end, step))
    moved("STRIDED_SLICE", name_of(shape, "from", begin, "to", end, "by", step), [shape, i32(*begin), i32(*end), i32(*step)], lambda x, parts=parts: [x[parts]])
for shape, order in ORDERS:
    moved("TRANSPOSE", name_of(shape, "order", order), [shape, i32(*order)], lambda x, order=order: [np.transpose(x, order)])
for shape, axes in REVERSALS:
    moved("REVERSE_V2", name_of(shape, "along", axes), [shape, i32(*axes)], lambda x, axes=axes: [np.flip(x, axes)])

for shape, axis, count in [((6,), 0, 3), ((2, 4), 1, 2), ((4, 3), 0, 2), ((2, 4, 3), -2, 4), ((1, 3, 6), 2, 3), ((5,), 0, 5), ((2, 2), -1, 1), ((4, 1, 2), 0, 4)]:
    moved("SPLIT", name_of(shape, f"axis{axis}", count), [("INT32", axis), shape], lambda x, n=count, axis=axis: np.split(x, n, axis), count, numSplits=count)
for shape, sizes, axis, integer in with_each(SPLITS, INTEGER_MAKERS):
    moved("SPLIT_V", name_of(shape, "in", sizes, f"axis{axis}", integer.__name__), [shape, integer(*sizes), ("INT32", axis)],
          lambda x, sizes=sizes, axis=axis: split_at(x, sizes, axis), len(sizes), numSplits=len(sizes))  # fmt: skip
for shapes, axis in [([(2,), (3,)], 0), ([(2, 1), (2, 2)], 1), ([(1, 3), (2, 3), (1, 3)], 0), ([(2, 2, 1), (2, 2, 1)], -1), ([(1, 2, 2)] * 4, 1), ([(3,)], 0), ([(2, 0), (2, 3)], 1),
                     ([(1, 5, 3, 2), (1, 5, 3, 4)], 3)]:  # fmt: skip
    moved("CONCATENATION", name_of(*shapes, f"axis{axis}"), shapes, lambda *parts, axis=axis: [np.concatenate(parts, axis)], axis=axis)
for shape, axis, count in [((2, 3), 0, 2), ((3, 2), 1, 2), ((4,), 0, 4), ((2, 1, 3), 2, 3), ((1, 2), -2, 1), ((2, 4, 3), 1, 4), ((3, 0), 0, 3), ((2, 2, 2, 2), -1, 2)]:
    moved("UNPACK", name_of(shape, f"axis{axis}"), [shape], lambda x, axis=axis: np.moveaxis(x, axis, 0), count, axis=axis, num=count)
for shape, axis, count in [((2,), 0, 3), ((2, 3), 1, 3), ((), 0, 4), ((3, 2), 0, 2), ((2, 3), -1, 3), ((2, 3, 2), 1, 2), ((1, 0), 0, 2), ((4,), 0, 1)]:
    moved("PACK", name_of(shape, f"axis{axis}", f"of{count}"), [shape] * count, lambda *parts, axis=axis: [np.stack(parts, axis)], axis=axis, valuesCount=count)
for shape, block, pads in BLOCKED:
    name = name_of(shape, "block", block, "pads", [n for pair in pads for n in pair])
    moved("SPACE_TO_BATCH_ND", name, [shape, i32(*block), ("INT32", pads)], lambda x, block=block, pads=pads: [to_batches(x, block, pads)])
for shape, block, crops in UNBLOCKED:
    name = name_of(shape, "block", block, "crops", [n for pair in crops for n in pair])
    moved("BATCH_TO_SPACE_ND", name, [shape, i32(*block), ("INT32", crops)], lambda x, block=block, crops=crops: [from_batches(x, block, crops)])

for shape, new in [((6,), (2, 3)), ((2, 3), (-1,)), ((), (1, 1)), ((1, 1), ()), ((2, 0, 3), (0, 5)), ((4, 3), (2, 6)), ((2, 12), (1, 2, 1, 2, 3, 1, 2, 1)), ((5,), (5,))]:
    moved("RESHAPE", name_of(shape, "to", new), [shape, i32(*new)], lambda x, new=new: [x.reshape(new)], newShape=list(new))
for shape, dims in [((1, 3, 1, 2), ()), ((1, 3, 1, 2), (0,)), ((1, 3, 1, 2), (-2,)), ((1, 1), ()), ((2, 1), (1,)), ((1, 0), (0,)), ((3, 2), ()), ((1, 1, 4), (0, 1))]:
    squeezed = lambda x, dims=dims: [np.squeeze(x, dims or None)]
    moved("SQUEEZE", name_of(shape, "without", dims or "all"), [shape], squeezed, squeezeDims=list(dims))
for shape, axis in [((3, 2), 0), ((3, 2), -1), ((3, 2), 1), ((), 0), ((4,), 1), ((2, 0), 0), ((1, 2, 3), 2), ((2, 2, 2), -4)]:
    moved("EXPAND_DIMS", name_of(shape, f"axis{axis}"), [shape, ("INT32", axis)], lambda x, axis=axis: [np.expand_dims(x, axis)])


def bitcast(source, shape, target, result):
    def build(case):
        x = case.graph.input(source, shape)
        case.graph.op("BITCAST", [x], [case.graph.output(target, shape=result)])
        bits = case.rng.integers(0, 256, int(np.prod(shape)) * np.dtype(NUMPY[source]).itemsize, dtype=np.uint8)
        case.feed(bits.view(NUMPY[source]).reshape(shape))
        answer(case, lambda x: [np.frombuffer(x.tobytes(), NUMPY[target]).reshape(result)])

    add("BITCAST", label(source, shape, target), build)


for dtype in FLOAT8:
    for shape in [(4,), (2, 3), (), (1, 2, 2)]:
        bitcast(dtype, shape, "UINT8", shape)
        bitcast("INT8", shape, dtype, shape)
    for other, size in (("INT16", 2), ("INT32", 4)):
        for shape in [(3,), (2, 2)]:
            bitcast(dtype, (*shape, size), other, shape)
            bitcast(other, shape, dtype, (*shape, size))


# Positions.


def indexed(op, dtype, kind, name, inputs, function, **options):
    """`inputs` gives the arrays for a case: codes and integers."""

    def build(case):
        arrays = inputs(case)
        operands = [case.graph.input(dtype if array.dtype == NUMPY[dtype] else kind, array.shape) for array in arrays]
        case.graph.op(op, operands, [case.graph.output(dtype)], **options)
        case.feed(*arrays)
        answer(case, function)

    add(op, name_of(dtype, name, kind), build)


for dtype in FLOAT8:
    for kind in INDICES:
        for shape, at, *axes in ROWS:
            axis = axes[0] if axes else 0
            draw = lambda case, shape=shape, at=at, axis=axis, kind=kind, dtype=dtype: (
                codes(case, dtype, shape), np.asarray(case.rng.integers(0, shape[axis], at)).astype(NUMPY[kind]))  # fmt: skip
            take = lambda x, positions, axis=axis: [np.take(x, positions, axis)]
            indexed("GATHER", dtype, kind, name_of(shape, "along", axis, "at", at), draw, take, axis=axis)
        for shape, at in ENTRIES:
            draw = lambda case, shape=shape, at=at, kind=kind, dtype=dtype: (
                codes(case, dtype, shape), np.stack([case.rng.integers(0, n, at[:-1]) for n in shape[: at[-1]]], -1).astype(NUMPY[kind]))  # fmt: skip
            take = lambda x, positions: [x[tuple(np.moveaxis(positions, -1, 0))]]
            indexed("GATHER_ND", dtype, kind, name_of(shape, "at", at), draw, take)
    for shape, count in TABLES[:8]:
        draw = lambda case, shape=shape, count=count, dtype=dtype: (case.rng.integers(0, shape[0], count).astype(np.int32), codes(case, dtype, shape))
        indexed("EMBEDDING_LOOKUP", dtype, "INT32", name_of(shape, count), draw, lambda ids, table: [table[ids]])
    for shape, part, start, kind in with_each(UPDATES, ("INT32", "INT64")):

        def updated(x, new, at):
            first = [min(max(int(a), 0), d - p) for a, d, p in zip(at, x.shape, new.shape)]
            x = x.copy()
            x[tuple(slice(f, f + p) for f, p in zip(first, new.shape))] = new
            return [x]

        draw = lambda case, shape=shape, part=part, start=start, kind=kind, dtype=dtype: (
            codes(case, dtype, shape), codes(case, dtype, part), np.array(start, NUMPY[kind]))  # fmt: skip
        indexed("DYNAMIC_UPDATE_SLICE", dtype, kind, name_of(shape, part, "from", start), draw, updated)


# Through other subgraphs and variables, and what only asks for a shape.


def joined_by_branches(dtype, first, second):
    """IF between two orders in which the operands are joined, with both conditions."""

    def build(case):
        total = first[0] + second[0]
        for name, turned in (("then", False), ("else", True)):
            graph = Graph(name)
            operands = [graph.input(dtype, first), graph.input(dtype, second)]
            graph.op("CONCATENATION", operands[::-1] if turned else operands, [graph.output(dtype, shape=(total, *first[1:]))], axis=0)
            case.graphs.append(graph)
        operands = [case.graph.input("BOOL", ()), case.graph.input(dtype, first), case.graph.input(dtype, second)]
        case.graph.op("IF", operands, [case.graph.output(dtype, shape=(total, *first[1:]))], thenSubgraphIndex=1, elseSubgraphIndex=2)
        for flag in (True, False):
            case.feed(np.array(flag), codes(case, dtype, first), codes(case, dtype, second))
        answer(case, lambda flag, x, y: [np.concatenate([x, y] if flag else [y, x])])

    add("IF", label(dtype, first, second), build)


def turned_in_a_loop(dtype, shape, turns):
    """WHILE counter < turns: the rows are turned around."""

    def build(case):
        cond, body = Graph("cond"), Graph("body")
        (i, _), (j, x) = [(graph.input("INT32", ()), graph.input(dtype, shape)) for graph in (cond, body)]
        cond.op("LESS", [i, cond.const("INT32", turns)], [cond.output("BOOL", shape=())])
        body.op("ADD", [j, body.const("INT32", 1)], [body.output("INT32", shape=())])
        body.op("REVERSE_V2", [x, body.const("INT32", [0])], [body.output(dtype, shape=shape)])
        case.graphs += [cond, body]
        operands = [case.graph.input("INT32", ()), case.graph.input(dtype, shape)]
        case.graph.op("WHILE", operands, [case.graph.output("INT32", shape=()), case.graph.output(dtype, shape=shape)], condSubgraphIndex=1, bodySubgraphIndex=2)
        case.feed(np.array(0, np.int32), codes(case, dtype, shape))
        answer(case, lambda i, x: [np.array(turns, np.int32), x[::-1] if turns % 2 else x])

    add("WHILE", label(dtype, shape, f"{turns}_turns"), build)


def kept_in_a_variable(op, dtype, shape):
    def build(case):
        x, variable = case.graph.input(dtype, shape), handle(case.graph, "v")
        case.graph.op("ASSIGN_VARIABLE", [variable, x], [])
        case.graph.op("READ_VARIABLE", [variable], [case.graph.output(dtype, shape=shape)])
        case.feed(codes(case, dtype, shape))
        answer(case, lambda x: [x])

    add(op, label(dtype, shape, "kept"), build)


def measured(op, dtype, shape, function, **options):
    def build(case):
        case.graph.op(op, [case.graph.input(dtype, shape)], [case.graph.output("INT32")], **options)
        case.feed(codes(case, dtype, shape))
        answer(case, lambda x: [np.array(function(x), np.int32)])

    add(op, label(dtype, shape), build)


for dtype in FLOAT8:
    for first, second in [((2,), (3,)), ((1, 2), (2, 2)), ((4,), (1,)), ((2, 3, 1), (1, 3, 1)), ((1,), (1,)), ((0, 2), (1, 2)), ((3, 2), (3, 2)), ((5,), (2,))]:
        joined_by_branches(dtype, first, second)
    for shape, turns in [((3,), 1), ((2, 3), 2), ((4,), 3), ((1, 2), 1), ((2, 1, 2), 5), ((5,), 0), ((3, 2), 3), ((2,), 4)]:
        turned_in_a_loop(dtype, shape, turns)
    for shape in LITTLE:
        for op in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            kept_in_a_variable(op, dtype, shape)
        measured("SHAPE", dtype, shape, lambda x: x.shape, outType=type_code("INT32"))
        measured("RANK", dtype, shape, lambda x: x.ndim)
