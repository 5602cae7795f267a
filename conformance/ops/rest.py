"""Builtin operators that fit no other family: sums of many, bits, fake quantization, segments, buckets, dilation, sparse constants."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cases import BFLOAT, EXACT, FLOAT, HALF, add, label
from onebuild import NUMPY

UNSIGNED_OR_NOT = ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32")


def add_n(dtype, shape, count):
    def build(case):
        case.graph.op("ADD_N", [case.graph.input(dtype, shape) for _ in range(count)], [case.graph.output(dtype)])

    add("ADD_N", label(dtype, shape, f"n{count}"), build)


for dtype in ("FLOAT32", "INT32"):
    for shape, count in [((3, 4), 2), ((2, 3, 2), 5), ((17,), 9), ((), 3), ((1, 4), 1)]:
        add_n(dtype, shape, count)


def binary(op, dtype, shape, other=None, low=None, high=None):
    def build(case):
        a, b = case.graph.input(dtype, shape), case.graph.input(dtype, other or shape)
        case.graph.op(op, [a, b], [case.graph.output(dtype)])
        second = case.values(dtype, other or shape, None, low, high)
        case.feed(case.values(dtype, shape), second)
        case.tolerance = {"FLOAT32": FLOAT, "FLOAT64": FLOAT, "FLOAT16": HALF, "BFLOAT16": BFLOAT}.get(dtype, EXACT)

    add(op, label(dtype, shape, other), build)


for dtype in ("FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16"):
    for shape in [(7,), (2, 3, 4), ()]:
        binary("ATAN2", dtype, shape)
for dtype in UNSIGNED_OR_NOT:
    binary("BITWISE_XOR", dtype, (3, 5))
    binary("BITWISE_XOR", dtype, (2, 3, 4), (3, 1))
    bits = np.iinfo(NUMPY[dtype]).bits
    binary("RIGHT_SHIFT", dtype, (3, 5), None, 0, bits - 1)
    binary("RIGHT_SHIFT", dtype, (2, 3, 4), (3, 1), 0, bits - 1)
binary("RIGHT_SHIFT", "UINT8", (17,), None, 0, 40)
binary("RIGHT_SHIFT", "INT8", (17,), None, 0, 40)


def bitcast(dtype, shape, to, result):
    def build(case):
        case.graph.op("BITCAST", [case.graph.input(dtype, shape)], [case.graph.output(to, shape=result)])
        case.feed(case.rng.integers(0, 256, (*shape, np.dtype(NUMPY[dtype]).itemsize), np.uint8).view(NUMPY[dtype])[..., 0])
        case.tolerance = EXACT
        case.allow_special = True

    add("BITCAST", label(dtype, shape, to), build)


for dtype, shape, to, result in [
    ("FLOAT32", (2, 3), "INT32", (2, 3)), ("INT32", (4,), "UINT32", (4,)), ("INT32", (2, 3), "INT16", (2, 3, 2)),
    ("INT64", (3,), "UINT8", (3, 8)), ("UINT8", (2, 3, 4), "INT32", (2, 3)), ("INT16", (5, 4), "FLOAT64", (5,)),
    ("UINT16", (3, 2), "UINT16", (3, 2)), ("INT8", (7,), "UINT8", (7,)), ("UINT64", (2,), "INT64", (2,)), ("INT32", (2,), "INT64", ()),
]:  # fmt: skip
    bitcast(dtype, shape, to, result)


def fake_quant(low, high, bits, shape=(4, 7)):
    def build(case):
        case.graph.op("FAKE_QUANT", [case.graph.input("FLOAT32", shape)], [case.graph.output("FLOAT32")], min=low, max=high, numBits=bits)
        case.tolerance = FLOAT

    add("FAKE_QUANT", label(f"min{low}_max{high}_bits{bits}", shape), build)


for low, high, bits in [(0.0, 6.0, 8), (-1.0, 1.0, 8), (-3.0, 2.5, 4), (-3.0, 2.5, 2), (0.5, 4.0, 8), (-4.0, -0.25, 8), (-2.0, 2.0, 16), (-1.5, 3.0, 6)]:
    fake_quant(low, high, bits)
fake_quant(-1.0, 1.0, 8, ())


def zeros_like(dtype, shape):
    def build(case):
        case.graph.op("ZEROS_LIKE", [case.graph.input(dtype, shape)], [case.graph.output(dtype)])

    add("ZEROS_LIKE", label(dtype, shape), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    for shape in [(5,), (2, 3, 4), ()]:
        zeros_like(dtype, shape)


def unsorted_segment(op, dtype, shape, ids_rank, segments, constant):
    def build(case):
        graph = case.graph
        dims = shape[:ids_rank]
        ids = case.rng.integers(-1, segments, dims).astype(np.int32)
        x = graph.input(dtype, shape)
        operands = [x, graph.const("INT32", ids) if constant else graph.input("INT32", dims)]
        operands.append(graph.const("INT32", segments))
        result = (segments, *shape[ids_rank:])
        graph.op(op, operands, [graph.output(dtype, shape=result)])
        low, high = ((-3, 3) if dtype == "INT32" else (-2.0, 2.0)) if op.endswith("PROD") else (None, None)
        case.feed(case.values(dtype, shape, None, low, high), *([] if constant else [ids]))
        case.tolerance = FLOAT if dtype == "FLOAT32" else EXACT

    add(op, label(dtype, shape, f"ids{ids_rank}_of{segments}", "" if constant else "dynamic"), build)


for op in ("UNSORTED_SEGMENT_SUM", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN"):
    for dtype in ("FLOAT32", "INT32"):
        unsorted_segment(op, dtype, (6, 3), 1, 4, True)
        unsorted_segment(op, dtype, (3, 4, 2), 2, 5, True)
        unsorted_segment(op, dtype, (7,), 1, 3, False)
        unsorted_segment(op, dtype, (2, 3), 2, 8, True)


def bucketize(dtype, shape, boundaries):
    def build(case):
        case.graph.op("BUCKETIZE", [case.graph.input(dtype, shape)], [case.graph.output("INT32")], boundaries=np.array(boundaries, np.float32))
        low, high = (-12, 12) if dtype.startswith("INT") else (-12.0, 12.0)
        case.feed(case.values(dtype, shape, None, low, high))

    add("BUCKETIZE", label(dtype, shape, f"n{len(boundaries)}"), build)


for dtype in ("FLOAT32", "FLOAT64", "INT32", "INT64"):
    for shape, boundaries in [((9,), (-5.0, 0.0, 0.0, 3.5)), ((2, 3, 4), (0.0,)), ((3, 2), (-100.0, 100.0))]:
        bucketize(dtype, shape, boundaries)


def dilate(dtype, shape, steps, constant=True):
    def build(case):
        graph = case.graph
        operands = [graph.input(dtype, shape), graph.const("INT32", steps) if constant else graph.input("INT32", (len(steps),))]
        operands.append(graph.const(dtype, case.values(dtype, ())))
        result = tuple((n - 1) * s + 1 for n, s in zip(shape, steps))
        out = graph.output(dtype, shape=result if constant else (1,) * len(shape), dynamic=not constant)
        graph.op("DILATE", operands, [out])
        case.feed(case.values(dtype, shape), *([] if constant else [np.array(steps, np.int32)]))
        case.tolerance = EXACT

    add("DILATE", label(dtype, shape, steps, "" if constant else "dynamic"), build)


for dtype in ("FLOAT32", "INT8", "INT16", "INT64", "BOOL"):
    dilate(dtype, (3, 4), (2, 3))
    dilate(dtype, (2, 3, 2), (1, 2, 1))
for steps in [(1, 1), (3, 1), (1, 4)]:
    dilate("FLOAT32", (2, 3), steps)
dilate("INT32", (5,), (3,))
dilate("FLOAT32", (2, 2, 2, 2), (2, 1, 1, 3))
dilate("FLOAT32", (3, 2), (2, 2), constant=False)


def level(size=None, segments=None, indices=None):
    """Storage of one dimension: dense, or its segments and indices."""
    made = schema.DimensionMetadataT()
    made.format = schema.DimensionType.DENSE if size is not None else schema.DimensionType.SPARSE_CSR
    if size is not None:
        made.denseSize = size
        return made
    vector, kind = (schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector)
    made.arraySegmentsType = made.arrayIndicesType = kind
    made.arraySegments, made.arrayIndices = vector(), vector()
    made.arraySegments.values, made.arrayIndices.values = np.array(segments, np.uint8), np.array(indices, np.uint8)
    return made


def densify(dtype, rows, columns, block, order=None):
    """A matrix of which half of the blocks are stored, by rows; `order` gives the traversal."""

    def build(case):
        graph = case.graph
        sparsity = schema.SparsityParametersT()
        down, across = rows // block[0], columns // block[1]
        kept = case.rng.random((down, across)) < 0.5
        segments = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        blocked = block != (1, 1)
        sparsity.traversalOrder = np.array([0, 1, 2, 3] if blocked else [0, 1], np.int32)
        sparsity.blockMap = np.array([0, 1], np.int32) if blocked else None
        sparsity.dimMetadata = [level(down), level(segments=segments, indices=np.nonzero(kept)[1])]
        sparsity.dimMetadata += [level(block[0]), level(block[1])] if blocked else []
        count = int(kept.sum()) * block[0] * block[1]
        stored = graph.const(dtype, case.values(dtype, (count,)))
        stored.shape, stored.sparsity = (rows, columns), sparsity
        graph.op("DENSIFY", [stored], [graph.tensor(dtype, (rows, columns), name="dense")])
        dense = graph.tensors[-1]
        x = graph.input(dtype, (1, rows, columns))
        graph.op("CONCATENATION", [x, graph.op("RESHAPE", [dense, graph.const("INT32", (1, rows, columns))], [graph.tensor(dtype, (1, rows, columns))],
                                               newShape=np.array((1, rows, columns), np.int32))],
                 [graph.output(dtype, shape=(2, rows, columns))], axis=0)
        case.tolerance = EXACT

    add("DENSIFY", label(dtype, f"{rows}x{columns}", f"block{block[0]}x{block[1]}"), build)


for dtype in ("FLOAT32", "INT8", "FLOAT16"):
    densify(dtype, 6, 5, (1, 1))
    densify(dtype, 8, 8, (1, 4))
    densify(dtype, 4, 12, (2, 3))
