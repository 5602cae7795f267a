"""Looking up by index, and tensors made from numbers: gathering, embeddings, ranges, fills."""

import numpy as np

from cases import add, label
from onebuild import BlockQuant, Quant

GATHERED = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL")


def gather(dtype, shape, index_shape, axis=0, batch=0, index_dtype="INT32"):
    """Slices along one dimension at the given positions."""

    def build(case):
        quant = case.quant(dtype)
        x = case.graph.input(dtype, shape, quant)
        at = case.graph.input(index_dtype, index_shape)
        case.graph.op("GATHER", [x, at], [case.graph.output(dtype, quant)], axis=axis, batchDims=batch)
        case.feed(case.values(dtype, shape, quant), case.rng.integers(0, shape[axis], index_shape).astype(at_type(index_dtype)))

    add("GATHER", label(dtype, shape, index_shape, f"axis{axis}".replace("-", "m"), f"batch{batch}" if batch else "", index_dtype), build)


def at_type(dtype):
    return {"INT16": np.int16, "INT32": np.int32, "INT64": np.int64}[dtype]


for dtype in GATHERED:
    gather(dtype, (5, 3), (4,))
    gather(dtype, (2, 5, 3), (2, 2), axis=1, index_dtype="INT64")
    gather(dtype, (2, 4, 3), (), axis=-1)
for dtype in ("FLOAT32", "INT8"):
    gather(dtype, (2, 5, 3), (2, 3), axis=1, batch=1)
    gather(dtype, (2, 3, 4, 2), (2, 3, 2), axis=2, batch=2)
    gather(dtype, (7,), (2, 3), index_dtype="INT16")
    gather(dtype, (3, 2), (0,))
gather("STRING", (5,), (3,))


def gather_nd(dtype, shape, index_shape, index_dtype="INT32"):
    """Elements or slices at multi-dimensional positions."""

    def build(case):
        quant = case.quant(dtype)
        x, at = case.graph.input(dtype, shape, quant), case.graph.input(index_dtype, index_shape)
        case.graph.op("GATHER_ND", [x, at], [case.graph.output(dtype, quant)])
        limits = shape[: index_shape[-1]]
        indices = np.stack([case.rng.integers(0, n, index_shape[:-1]) for n in limits], axis=-1)
        case.feed(case.values(dtype, shape, quant), indices.astype(at_type(index_dtype)))

    add("GATHER_ND", label(dtype, shape, index_shape, index_dtype), build)


for dtype in GATHERED + ("STRING",):
    gather_nd(dtype, (4, 3), (5, 2))
    gather_nd(dtype, (3, 2, 2), (2, 2, 1), "INT64")
    gather_nd(dtype, (2, 3, 2), (3, 2), "INT16" if dtype in ("FLOAT32", "INT8") else "INT32")


def embedding(name, dtype, shape, quant, out="FLOAT32", count=4):
    """Rows of a constant table, dequantized where the table is quantized."""

    def build(case):
        ids = case.graph.input("INT32", (count,))
        parameters = quant(case) if quant else None
        table = case.graph.const(dtype, case.values(dtype, shape, parameters), parameters)
        case.graph.op("EMBEDDING_LOOKUP", [ids, table], [case.graph.output(out)])
        case.feed(case.rng.integers(0, shape[0], (count,)).astype(np.int32))

    add("EMBEDDING_LOOKUP", label(dtype, shape, name, out), build)


def per_table(case):
    return Quant(np.float32(case.rng.uniform(0.01, 0.1)), 0)


def per_row(rows):
    return lambda case: Quant(case.rng.uniform(0.01, 0.1, rows).astype(np.float32), 0, 0)


def blocks_of_rows(dtype, shape, block, out):
    """A table with one scale for each block of a row."""

    def build(case):
        scales = case.graph.const("FLOAT16", case.values("FLOAT16", (shape[0], shape[1] // block), low=1 / 32, high=1.0))
        ids = case.graph.input("INT32", (3,))
        table = case.graph.const(dtype, case.values(dtype, shape), BlockQuant(scales, block))
        case.graph.op("EMBEDDING_LOOKUP", [ids, table], [case.graph.output(out)])
        case.feed(case.rng.integers(0, shape[0], (3,)).astype(np.int32))

    add("EMBEDDING_LOOKUP", label(dtype, shape, f"blocks{block}", out), build)


for shape in [(7, 5), (4, 2, 3), (9, 8)]:
    embedding("plain", "FLOAT32", shape, None)
    embedding("scale", "INT8", shape, per_table)
for shape in [(7, 6), (5, 4), (9, 8)]:
    embedding("row_scales", "INT8", shape, per_row(shape[0]))
    embedding("scale", "INT4", shape, per_table)
    embedding("row_scales", "INT4", shape, per_row(shape[0]))
    embedding("scale", "UINT8", shape, per_table)
for dtype, block in (("INT4", 32), ("INT4", 4), ("INT2", 8)):
    for out in ("FLOAT32", "FLOAT16"):
        blocks_of_rows(dtype, (5, 2 * block), block, out)
embedding("plain", "INT8", (6, 3), per_table, out="INT8")
embedding("plain", "INT32", (6, 3), None, out="INT32")
embedding("scale", "INT8", (6, 4), per_table, out="FLOAT16")


def fill(dtype, dims, dims_dtype):
    def build(case):
        quant = case.quant(dtype)
        shape = case.graph.const(dims_dtype, dims)
        value = case.graph.input(dtype, (), quant)
        case.graph.op("FILL", [shape, value], [case.graph.output(dtype, quant)])

    add("FILL", label(dtype, dims, dims_dtype), build)


for dtype in ("FLOAT32", "FLOAT16", "INT8", "INT16", "INT32", "INT64", "BOOL", "STRING"):
    for dims, dims_dtype in [((2, 3), "INT32"), ((4,), "INT64"), ((1, 2, 1, 3, 2), "INT32")]:
        fill(dtype, dims, dims_dtype)


def number_range(dtype, start, limit, delta, constant):
    def build(case):
        make = (lambda v: case.graph.const(dtype, v)) if constant else (lambda v: case.graph.input(dtype, ()))
        operands = [make(v) for v in (start, limit, delta)]
        out = case.graph.output(dtype) if constant else case.graph.output(dtype, shape=(1,), dynamic=True)
        case.graph.op("RANGE", operands, [out])
        kind = {"FLOAT32": np.float32, "INT32": np.int32, "INT64": np.int64}[dtype]
        case.feed(*([] if constant else [np.array(v, kind) for v in (start, limit, delta)]))

    add("RANGE", label(dtype, start, limit, delta, "const" if constant else ""), build)


for dtype in ("INT32", "INT64", "FLOAT32"):
    for start, limit, delta in [(0, 7, 1), (9, -4, -3), (3, 4, 2)] + ([(0.5, 2.3, 0.25)] if dtype == "FLOAT32" else []):
        number_range(dtype, start, limit, delta, False)
        number_range(dtype, start, limit, delta, True)


def broadcast_args(dtype, left, right):
    def build(case):
        kind = {"INT32": np.int32, "INT64": np.int64}[dtype]
        x, y = case.graph.input(dtype, (len(left),)), case.graph.input(dtype, (len(right),))
        case.graph.op("BROADCAST_ARGS", [x, y], [case.graph.output(dtype)])
        case.feed(np.array(left, kind), np.array(right, kind))

    add("BROADCAST_ARGS", label(dtype, left, right), build)


for dtype in ("INT32", "INT64"):
    for left, right in [((2, 1, 4), (3, 1)), ((5,), (5,)), ((1,), (2, 3, 4))]:
        broadcast_args(dtype, left, right)


def one_hot(dtype, index_dtype, shape, depth, axis):
    def build(case):
        kind = {"INT32": np.int32, "INT64": np.int64}[index_dtype]
        at = case.graph.input(index_dtype, shape)
        on, off = case.graph.input(dtype, ()), case.graph.input(dtype, ())
        case.graph.op("ONE_HOT", [at, case.graph.const("INT32", depth), on, off], [case.graph.output(dtype)], axis=axis)
        case.feed(case.rng.integers(-1, depth + 1, shape).astype(kind), case.values(dtype, ()), case.values(dtype, ()))

    add("ONE_HOT", label(dtype, index_dtype, shape, f"depth{depth}", f"axis{axis}".replace("-", "m")), build)


for dtype in ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "BOOL"):
    for row in [("INT32", (4,), 3, -1), ("INT64", (2, 3), 4, 1), ("INT32", (5,), 2, 0)]:
        one_hot(dtype, *row)
