"""Definitions of StableHLO operators in NumPy, after the specification, for what LiteRT has no kernel for.

They are written to be read next to the specification: index by index, without a thought for speed. 16-bit floats are
computed in float32 and rounded.
"""

import itertools

import numpy as np


def halves(function):
    """A function of arrays whose 16-bit floats are computed in float32."""

    def wrapped(*arrays):
        dtype = arrays[0].dtype
        if dtype.itemsize == 2 and dtype.kind in "fV":
            return np.asarray(function(*(a.astype(np.float32) for a in arrays))).astype(dtype)
        with np.errstate(all="ignore"):
            return np.asarray(function(*arrays)).astype(dtype)

    return wrapped


def divide(a, b):
    if a.dtype.kind not in "iu":
        return a / b
    safe = np.where(b == 0, 1, b)
    quotient = np.where((a < 0) != (safe < 0), -(np.abs(a.astype(object)) // np.abs(safe.astype(object))), np.abs(a.astype(object)) // np.abs(safe.astype(object)))
    return wrap(np.where(b == 0, -1, quotient), a.dtype)


def remainder(a, b):
    if a.dtype.kind not in "iu":
        return np.fmod(a, b)
    wide = [np.abs(x.astype(object)) for x in (a, np.where(b == 0, 1, b))]
    left = (wide[0] % wide[1]) * np.where(a < 0, -1, 1)
    return wrap(np.where(b == 0, a.astype(object), left), a.dtype)


def wrap(values, dtype):
    """Python integers cut to the bits of a type."""
    bits = np.dtype(dtype).itemsize * 8
    return np.vectorize(lambda v: int(v) & ((1 << bits) - 1), otypes=[np.uint64])(values).astype(f"u{bits // 8}").view(dtype)


def power(a, b):
    if a.dtype.kind not in "iu":
        return np.power(a, b)

    def one(x, n):
        x, n = int(x), int(n)
        if n < 0:
            return 1 if x == 1 else (-1) ** n if x == -1 else 0
        return x**n

    return wrap(np.vectorize(one, otypes=[object])(a, b), a.dtype)


def shift_left(a, b):
    bits = a.dtype.itemsize * 8
    return wrap(np.vectorize(lambda x, n: int(x) << int(n) if 0 <= int(n) < bits else 0, otypes=[object])(a, b), a.dtype)


def plus(a, b):
    return a | b if a.dtype == bool else a + b


def times(a, b):
    return a & b if a.dtype == bool else a * b


def below(a, b):
    return (a.real < b.real) | ((a.real == b.real) & (a.imag < b.imag)) if a.dtype.kind == "c" else a < b


def greatest(a, b):
    return np.where(below(a, b), b, a)


def least(a, b):
    return np.where(below(b, a), b, a)


def maximum(a, b):
    return np.where(below(a, b) | (b != b), b, a)


def minimum(a, b):
    return np.where(below(b, a) | (b != b), b, a)


def cube_root(x):
    return np.power(x, 1 / 3) if x.dtype.kind == "c" else np.cbrt(x)


BINARY = {
    "ADD": plus, "MULTIPLY": times, "SUBTRACT": lambda a, b: a - b, "DIVIDE": divide, "REMAINDER": remainder, "POWER": power,
    "MAXIMUM": greatest, "MINIMUM": least, "AND": lambda a, b: a & b, "OR": lambda a, b: a | b, "SHIFT_LEFT": shift_left,
}  # fmt: skip
UNARY = {
    "ABS": np.abs, "CBRT": cube_root, "COSINE": np.cos, "EXPONENTIAL": np.exp, "FLOOR": np.floor, "LOG": np.log,
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)), "NEGATE": lambda x: -x, "RSQRT": lambda x: 1 / np.sqrt(x), "TANH": np.tanh,
}  # fmt: skip
REDUCERS = {"ADD": plus, "MULTIPLY": times, "MAXIMUM": maximum, "MINIMUM": minimum, "AND": lambda a, b: a & b, "OR": lambda a, b: a | b}


def wide(array):
    """16-bit floats as float32: the type that sums are kept in."""
    return array.astype(np.float32) if array.dtype.itemsize == 2 and array.dtype.kind in "fV" else array


def fold(function, values, start):
    """Combines values from the first to the last."""
    with np.errstate(all="ignore"):
        for value in values:
            start = np.asarray(function(start, value)).astype(np.asarray(start).dtype)
    return start


def reduce(function, dims, operand, init):
    kept = [d for d in range(operand.ndim) if d not in dims]
    source = np.transpose(wide(operand), kept + list(dims))
    out = np.empty([operand.shape[d] for d in kept], source.dtype)
    for at in np.ndindex(out.shape):
        out[at] = fold(function, source[at].reshape(-1), wide(init)[()])
    return out.astype(operand.dtype)


def pad(operand, value, low, high, interior):
    size = [max(0, max(0, d + (d - 1) * i if d else 0) + lo + hi) for d, lo, hi, i in zip(operand.shape, low, high, interior)]
    out = np.full(size, value, operand.dtype)
    for at in np.ndindex(operand.shape):
        to = tuple(lo + a * (i + 1) for a, lo, i in zip(at, low, interior))
        if all(0 <= t < s for t, s in zip(to, size)):
            out[to] = operand[at]
    return out


def reduce_window(function, operand, init, size, stride, base, dilation, padding):
    padded = pad(operand, init, [p[0] for p in padding], [p[1] for p in padding], [b - 1 for b in base])
    reach = [(s - 1) * d + 1 for s, d in zip(size, dilation)]
    shape = [max(0, (p - r) // s + 1) if p >= r else 0 for p, r, s in zip(padded.shape, reach, stride)]
    source, out = wide(padded), np.empty(shape, wide(operand).dtype)
    for at in np.ndindex(*shape):
        window = tuple(slice(a * s, a * s + r, d) for a, s, r, d in zip(at, stride, reach, dilation))
        out[at] = fold(function, source[window].reshape(-1), wide(init)[()])
    return out.astype(operand.dtype)


def index_vector(indices, at, dim):
    """The index vector of a batch position; a trailing dimension of one is implied."""
    if dim == indices.ndim:
        return [int(indices[at])]
    return [int(v) for v in indices[at[:dim] + (slice(None),) + at[dim:]]]


def gather(operand, indices, offset_dims, collapsed, index_map, dim, sizes):
    batch = [d for i, d in enumerate(indices.shape) if i != dim]
    window = [s for d, s in enumerate(sizes) if d not in collapsed]
    rank = len(batch) + len(window)
    batch_dims = [d for d in range(rank) if d not in offset_dims]
    shape = [0] * rank
    for d, s in list(zip(batch_dims, batch)) + list(zip(offset_dims, window)):
        shape[d] = s
    out = np.empty(shape, operand.dtype)
    for at in np.ndindex(*shape):
        start = [0] * operand.ndim
        for d, v in zip(index_map, index_vector(indices, tuple(at[d] for d in batch_dims), dim)):
            start[d] = min(max(v, 0), operand.shape[d] - sizes[d])
        offset = iter(at[d] for d in offset_dims)
        full = [0 if d in collapsed else next(offset) for d in range(operand.ndim)]
        out[at] = operand[tuple(s + f for s, f in zip(start, full))]
    return out


def scatter(function, operand, indices, updates, window_dims, inserted, index_map, dim):
    out = operand.copy()
    batch_dims = [d for d in range(updates.ndim) if d not in window_dims]
    for at in np.ndindex(updates.shape):
        start = [0] * operand.ndim
        for d, v in zip(index_map, index_vector(indices, tuple(at[d] for d in batch_dims), dim)):
            start[d] = v
        offset = iter(at[d] for d in window_dims)
        to = tuple(s + (0 if d in inserted else next(offset)) for d, s in enumerate(start))
        if all(0 <= t < s for t, s in zip(to, operand.shape)):
            with np.errstate(all="ignore"):
                out[to] = np.asarray(function(wide(out[to]), wide(updates[at]))).astype(out.dtype)
    return out


def dot_general(left, right, left_batch, right_batch, left_sum, right_sum, dtype):
    free = [[d for d in range(a.ndim) if d not in b and d not in s] for a, b, s in ((left, left_batch, left_sum), (right, right_batch, right_sum))]
    batch = [left.shape[d] for d in left_batch]
    sides = []
    for a_is_left, a, b, f, s in ((True, left, left_batch, free[0], left_sum), (False, right, right_batch, free[1], right_sum)):
        a = np.transpose(a, list(b) + f + list(s))
        a = a.astype(np.float32 if a.dtype.itemsize == 2 and a.dtype.kind in "fV" else np.int64 if a.dtype.kind in "iu" else a.dtype)
        rows = int(np.prod([(left if a_is_left else right).shape[d] for d in f]))
        sides.append(a.reshape(int(np.prod(batch)), rows, int(np.prod([left.shape[d] for d in left_sum]))))
    product = np.einsum("bmk,bnk->bmn", *sides)
    return product.reshape(batch + [left.shape[d] for d in free[0]] + [right.shape[d] for d in free[1]]).astype(dtype)


def convolution(image, kernel, o, dtype):
    """`o` has the schema's fields."""
    n, groups, batches = len(o["inputSpatialDimensions"]), o["featureGroupCount"], o["batchGroupCount"]
    image = np.transpose(image, [o["inputBatchDimension"], o["inputFeatureDimension"], *o["inputSpatialDimensions"]])
    kernel = np.transpose(kernel, [o["kernelOutputFeatureDimension"], o["kernelInputFeatureDimension"], *o["kernelSpatialDimensions"]])
    work = np.float32 if image.dtype.itemsize == 2 and image.dtype.kind in "fV" else np.int64 if image.dtype.kind in "iu" else image.dtype
    image, kernel = image.astype(work), kernel.astype(work)
    for d, turned in enumerate(o["windowReversal"]):
        kernel = np.flip(kernel, d + 2) if turned else kernel
    padding = np.reshape(o["padding"], (n, 2)).tolist()
    image = pad(image, work(0) if isinstance(work, type) else work.type(0), [0, 0] + [p[0] for p in padding], [0, 0] + [p[1] for p in padding], [0, 0] + [d - 1 for d in o["lhsDilation"]])
    reach = [(s - 1) * d + 1 for s, d in zip(kernel.shape[2:], o["rhsDilation"])]
    shape = [(p - r) // s + 1 if p >= r else 0 for p, r, s in zip(image.shape[2:], reach, o["windowStrides"])]
    out_batch, features = image.shape[0] // batches, kernel.shape[0]
    out = np.zeros([out_batch, features] + shape, work)
    per_group = features // (groups * batches)
    for b, f in itertools.product(range(out_batch), range(features)):
        group = f // per_group
        row = group * out_batch + b if batches > 1 else b
        first = group * kernel.shape[1] if groups > 1 else 0
        for at in np.ndindex(*shape):
            window = tuple(slice(a * s, a * s + r, d) for a, s, r, d in zip(at, o["windowStrides"], reach, o["rhsDilation"]))
            out[(b, f) + at] = (image[row, first : first + kernel.shape[1]][(slice(None),) + window] * kernel[f]).sum()
    order = [o["outputBatchDimension"], o["outputFeatureDimension"], *o["outputSpatialDimensions"]]
    return np.transpose(out, np.argsort(order)).astype(dtype)


def total_order(array):
    bits = array.view(f"i{array.dtype.itemsize}").astype(object)
    least = -(1 << (array.dtype.itemsize * 8 - 1))
    return np.where(bits < 0, least - bits - 1, bits)


def sort(operands, dim, before):
    """Stable insertion by `before(a, b)`, which gets one tuple of elements of all operands for each side."""
    out = [a.copy() for a in operands]
    for at in np.ndindex(*[1 if d == dim else s for d, s in enumerate(operands[0].shape)]):
        line = tuple(slice(None) if d == dim else i for d, i in enumerate(at))
        rows = list(zip(*(a[line] for a in operands)))
        done = []
        for row in rows:
            place = len(done)
            while place and before(row, done[place - 1]):
                place -= 1
            done.insert(place, row)
        for k, a in enumerate(out):
            a[line] = [row[k] for row in done]
    return out


def convert(array, dtype):
    dtype = np.dtype(dtype)
    if dtype == bool:
        return array != 0
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = array.real
    if array.dtype.kind in "fV" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        held = [0 if x != x else min(max(int(x) if abs(x) < 1e30 else int(np.sign(x)) << 70, limits.min), limits.max) for x in array.astype(np.float64).reshape(-1)]
        return np.array(held, object).reshape(array.shape).astype(dtype)
    with np.errstate(all="ignore"):
        return array.astype(dtype)
