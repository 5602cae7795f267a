"""Putting elements in another order or place, and finding them."""

import numpy as np

from cases import add, label

INTS = {"INT16": np.int16, "INT32": np.int32, "INT64": np.int64}


def reverse(dtype, shape, axes):
    def build(case):
        quant = case.quant(dtype)
        x = case.graph.input(dtype, shape, quant)
        at = case.graph.const("INT32", axes)
        case.graph.op("REVERSE_V2", [x, at], [case.graph.output(dtype, quant)])

    add("REVERSE_V2", label(dtype, shape, "axes", axes), build)


for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"):
    reverse(dtype, (2, 5, 3), (1,))
    reverse(dtype, (4, 3), (0, 1))
reverse("FLOAT32", (2, 3, 4, 5), (1, 2))
reverse("FLOAT32", (3, 4, 5), (2,))


def reverse_sequence(dtype, shape, sequence, batch, length_dtype):
    def build(case):
        x = case.graph.input(dtype, shape)
        lengths = case.graph.input(length_dtype, (shape[batch],))
        case.graph.op("REVERSE_SEQUENCE", [x, lengths], [case.graph.output(dtype)], seqDim=sequence, batchDim=batch)
        drawn = case.rng.integers(0, shape[sequence], (shape[batch],), endpoint=True)
        case.feed(case.values(dtype, shape), drawn.astype(INTS[length_dtype]))

    add("REVERSE_SEQUENCE", label(dtype, shape, f"seq{sequence}", f"batch{batch}", length_dtype), build)


for dtype in ("FLOAT32", "UINT8", "INT16", "INT32", "INT64"):
    reverse_sequence(dtype, (3, 6, 2), 1, 0, "INT32")
    reverse_sequence(dtype, (5, 4, 3), 0, 1, "INT64")
    reverse_sequence(dtype, (4, 2, 5), 0, 2, "INT32")


def top_k(dtype, shape, k, k_dtype="INT32", index_dtype="INT32"):
    def build(case):
        quant = case.quant(dtype)
        x = case.graph.input(dtype, shape, quant)
        count = case.graph.const(k_dtype, k)
        case.graph.op("TOPK_V2", [x, count], [case.graph.output(dtype, quant), case.graph.output(index_dtype)])

    add("TOPK_V2", label(dtype, shape, f"k{k}", k_dtype, index_dtype), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"):
    top_k(dtype, (3, 9), 4)
    top_k(dtype, (2, 3, 40), 7)
    top_k(dtype, (300,), 300)
    top_k(dtype, (2, 8), 3, "INT16", "INT16")


def scatter_nd(dtype, index_shape, output, unique):
    """Rows added up at positions; some positions come twice unless they are drawn without repetition."""

    def build(case):
        named = index_shape[-1]
        rows = int(np.prod(index_shape[:-1]))
        limits = output[:named]
        flat = case.rng.choice(int(np.prod(limits)), rows, replace=not unique)
        places = np.stack(np.unravel_index(flat, limits), axis=-1).reshape(index_shape).astype(np.int32)
        updates_shape = index_shape[:-1] + output[named:]
        at = case.graph.input("INT32", index_shape)
        updates = case.graph.input(dtype, updates_shape)
        case.graph.op("SCATTER_ND", [at, updates, case.graph.const("INT32", output)], [case.graph.output(dtype)])
        case.feed(places, case.values(dtype, updates_shape))

    add("SCATTER_ND", label(dtype, index_shape, output, "unique" if unique else "repeated"), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "INT64", "BOOL"):
    scatter_nd(dtype, (3, 1), (5, 4), True)
    scatter_nd(dtype, (6, 2), (3, 4), True)
    if dtype != "BOOL":
        scatter_nd(dtype, (7, 1), (4, 3), False)


def sparse_to_dense(dtype, index_dtype, output, count, scalar):
    def build(case):
        kind = INTS[index_dtype]
        flat = np.sort(case.rng.choice(int(np.prod(output)), count, replace=False))
        places = np.stack(np.unravel_index(flat, output), axis=-1).astype(kind)
        places = places[:, 0] if len(output) == 1 else places
        at = case.graph.input(index_dtype, places.shape)
        shape = case.graph.const(index_dtype, output)
        values_shape = () if scalar else (count,)
        values, default = case.graph.input(dtype, values_shape), case.graph.input(dtype, ())
        case.graph.op("SPARSE_TO_DENSE", [at, shape, values, default], [case.graph.output(dtype)])
        case.feed(places, case.values(dtype, values_shape), case.values(dtype, ()))

    add("SPARSE_TO_DENSE", label(dtype, index_dtype, output, count, "scalar" if scalar else ""), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "INT64"):
    sparse_to_dense(dtype, "INT32", (9,), 4, False)
    sparse_to_dense(dtype, "INT64", (3, 4, 2), 5, False)
    sparse_to_dense(dtype, "INT32", (4, 5), 3, True)


def segment_sum(dtype, shape, segments):
    def build(case):
        x, ids = case.graph.input(dtype, shape), case.graph.const("INT32", segments)
        case.graph.op("SEGMENT_SUM", [x, ids], [case.graph.output(dtype)])

    add("SEGMENT_SUM", label(dtype, shape, segments), build)


for dtype in ("FLOAT32", "INT32"):
    segment_sum(dtype, (5, 3), (0, 0, 1, 2, 2))
    segment_sum(dtype, (4,), (0, 0, 0, 0))
    segment_sum(dtype, (3, 2, 2), (0, 1, 2))


def matrix_diag(dtype, shape):
    def build(case):
        x = case.graph.input(dtype, shape)
        case.graph.op("MATRIX_DIAG", [x], [case.graph.output(dtype)])

    add("MATRIX_DIAG", label(dtype, shape), build)


def matrix_set_diag(dtype, shape):
    def build(case):
        x = case.graph.input(dtype, shape)
        diagonal = case.graph.input(dtype, shape[:-2] + (min(shape[-2:]),))
        case.graph.op("MATRIX_SET_DIAG", [x, diagonal], [case.graph.output(dtype)])

    add("MATRIX_SET_DIAG", label(dtype, shape), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"):
    matrix_diag(dtype, (4,))
    matrix_diag(dtype, (2, 3, 5))
    matrix_set_diag(dtype, (3, 3))
    matrix_set_diag(dtype, (2, 4, 3))
    matrix_set_diag(dtype, (2, 2, 5))


def where(dtype, shape):
    def build(case):
        x = case.graph.input(dtype, shape)
        case.graph.op("WHERE", [x], [case.graph.output("INT64", shape=(1, len(shape)), dynamic=True)])
        values = case.values(dtype, shape)
        case.feed(values if dtype == "BOOL" else np.where(case.rng.random(shape) < 0.5, values, np.zeros_like(values)))

    add("WHERE", label(dtype, shape), build)


for dtype in ("BOOL", "FLOAT32", "INT64", "INT32", "INT8", "UINT8", "UINT32"):
    where(dtype, (20,))
    where(dtype, (3, 4, 2))


def unique(dtype, count, index_dtype):
    def build(case):
        x = case.graph.input(dtype, (count,))
        values = case.graph.output(dtype, shape=(1,), dynamic=True)
        code = {"INT32": 2, "INT64": 4}[index_dtype]
        case.graph.op("UNIQUE", [x], [values, case.graph.output(index_dtype)], idxOutType=code)
        drawn = case.values(dtype, (count,), low=1, high=6)
        case.feed(np.floor(drawn) if dtype == "FLOAT32" else drawn)

    add("UNIQUE", label(dtype, count, index_dtype), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"):
    unique(dtype, 17, "INT32")
    unique(dtype, 40, "INT64")


def local_response(shape, radius, bias, alpha, beta):
    def build(case):
        x = case.graph.input("FLOAT32", shape)
        out = case.graph.output("FLOAT32")
        options = {"radius": radius, "bias": bias, "alpha": alpha, "beta": beta}
        case.graph.op("LOCAL_RESPONSE_NORMALIZATION", [x], [out], **options)

    add("LOCAL_RESPONSE_NORMALIZATION", label("FLOAT32", shape, f"r{radius}", f"b{bias}", f"a{alpha}", f"e{beta}"), build)


local_response((1, 2, 3, 8), 2, 1.0, 0.5, 0.75)
local_response((2, 1, 1, 5), 1, 2.0, 0.25, 0.5)
local_response((1, 1, 2, 6), 20, 9.0, 4.0, 1.0)
local_response((1, 3, 3, 16), 5, 1.0, 1e-4, 0.75)


def dynamic_update_slice(dtype, shape, update, start, start_dtype):
    def build(case):
        quant = case.quant(dtype)
        x, part = case.graph.input(dtype, shape, quant), case.graph.input(dtype, update, quant)
        at = case.graph.input(start_dtype, (len(shape),))
        case.graph.op("DYNAMIC_UPDATE_SLICE", [x, part, at], [case.graph.output(dtype, quant)])
        case.feed(case.values(dtype, shape, quant), case.values(dtype, update, quant), np.array(start, INTS[start_dtype]))

    name = [str(i).replace("-", "m") for i in start]
    add("DYNAMIC_UPDATE_SLICE", label(dtype, shape, update, "at", name, start_dtype), build)


for dtype in ("FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"):
    dynamic_update_slice(dtype, (4, 5), (2, 3), (1, 2), "INT32")
    dynamic_update_slice(dtype, (3, 4, 2), (1, 4, 1), (9, -3, 1), "INT64")
