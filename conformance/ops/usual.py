"""The operators that models use most, filled up to 64 cases with seeded draws of types, shapes and options."""

import zlib

import numpy as np

from cases import CASES, add
from ops.arith import ARITHMETIC, FUSED, binary
from ops.conv import transposed
from ops.dense import MATMUL_FLAVOURS, batch_matmul
from ops.pool import pool, resize
from ops.quantize import dequantize, quantize
from ops.reduce import REDUCTIONS, reduction
from ops.shape import PLAIN, WIDE, i32, i64, move
from ops.unary import FUNCTIONS, OPTIONS, softmax, unary

ENOUGH = 64
INTEGERS = (i32, i64)


def fill(op, draw):
    """Calls `draw(rng)`, which adds a case of `op`, until there are enough; a draw that is there already is dropped."""
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    while len(CASES[op]) < ENOUGH:
        draw(rng)
        *before, (name, _) = CASES[op]
        if any(name == other for other, _ in before):
            CASES[op].pop()


def one_of(rng, options):
    return options[int(rng.integers(len(options)))]


def sizes(rng, least, most, largest=5):
    """A shape of `least` to `most` dimensions; few are wide."""
    shape = rng.integers(1, largest + 1, int(rng.integers(least, most + 1)))
    if len(shape) and len(shape) < 4 and rng.random() < 0.3:
        shape[-1] = rng.integers(8, 40)
    return tuple(int(d) for d in shape)


def broadcast_pair(rng):
    """Two shapes that broadcast: some dimensions of either are 1, some leading ones are absent."""
    shape = sizes(rng, 0, 6, 3 if rng.random() < 0.5 else 5)
    pair = [tuple(1 if rng.random() < 0.25 else d for d in shape) for _ in range(2)]
    shorter = int(rng.integers(2))
    pair[shorter] = pair[shorter][int(rng.integers(len(shape) + 1)) :] if rng.random() < 0.4 else pair[shorter]
    return tuple(pair)


for op in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"):

    def draw(rng, op=op):
        dtype = one_of(rng, ARITHMETIC[op])
        fused = op in FUSED and dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32")
        activation = one_of(rng, ("none", "relu", "relu_n1", "relu6")) if fused else "none"
        binary(op, dtype, broadcast_pair(rng), activation, constant=bool(rng.random() < 0.3))

    fill(op, draw)

for op in ("RELU", "RELU6", "LOGISTIC", "TANH", "LEAKY_RELU", "HARD_SWISH", "GELU", "ABS", "EXP", "RSQRT", "SQRT"):

    def draw(rng, op=op):
        unary(op, one_of(rng, FUNCTIONS[op][0]), sizes(rng, 0, 6), one_of(rng, OPTIONS.get(op, [{}])))

    fill(op, draw)

fill("SOFTMAX", lambda rng: softmax(one_of(rng, ("FLOAT32", "FLOAT16", "UINT8", "INT8", "INT16")), sizes(rng, 1, 4), one_of(rng, (0.25, 1.0, 3.0))))

for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):

    def draw(rng, op=op):
        shape = tuple(int(d) for d in rng.integers((1, 3, 3, 1), (3, 9, 9, 8)))
        window, stride = (tuple(int(d) for d in rng.integers(1, 4, 2)) for _ in range(2))
        geometry = (shape, window, stride, one_of(rng, ("same", "valid")))
        pool(op, one_of(rng, ("FLOAT32", "UINT8", "INT8", "INT16")), geometry, one_of(rng, ("none", "relu", "relu6")))

    fill(op, draw)

for op in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):

    def draw(rng, op=op):
        shape = tuple(int(d) for d in rng.integers((1, 1, 1, 1), (3, 8, 8, 5)))
        corners, half = one_of(rng, ((False, False), (True, False), (False, True)))
        resize(op, one_of(rng, ("FLOAT32", "UINT8", "INT8", "INT16")), shape, tuple(int(d) for d in rng.integers(1, 10, 2)), corners, half)

    fill(op, draw)

for op in ("MEAN", "SUM", "REDUCE_MAX"):

    def draw(rng, op=op):
        shape = sizes(rng, 1, 5)
        axes = tuple(int(a) for a in sorted(rng.permutation(len(shape))[: int(rng.integers(1, len(shape) + 1))]))
        reduction(op, one_of(rng, REDUCTIONS[op]), shape, axes, bool(rng.integers(2)))

    fill(op, draw)


def draw_matmul(rng):
    rows, depth, columns = (int(n) for n in rng.integers(1, 9, 3))
    batch, flips = sizes(rng, 0, 3, 3), (bool(rng.integers(2)), bool(rng.integers(2)))
    left = (*batch, depth, rows) if flips[0] else (*batch, rows, depth)
    right = (columns, depth) if flips[1] else (depth, columns)
    right = (*(1 if rng.random() < 0.3 else d for d in batch), *right)
    batch_matmul(one_of(rng, [name for name in MATMUL_FLAVOURS if name != "hybrid"]), left, right, flips)


fill("BATCH_MATMUL", draw_matmul)


def draw_transposed(rng):
    kernel, stride = (tuple(int(d) for d in rng.integers(low, 4, 2)) for low in (2, 1))
    shape = tuple(int(d) for d in rng.integers((1, 2, 2, 1), (3, 6, 6, 6)))
    transposed(one_of(rng, ("f32", "i8", "i8_pc", "u8")), shape, int(rng.integers(1, 7)), kernel, one_of(rng, ("same", "valid")), stride,
               one_of(rng, ("none", "relu")), bool(rng.integers(2)))


fill("TRANSPOSE_CONV", draw_transposed)


def draw_quantize(rng):
    source = one_of(rng, ("FLOAT32", "INT8", "UINT8", "INT16"))
    quantize(source, one_of(rng, ("INT8", "INT16") if source == "INT16" else ("INT8", "UINT8", "INT16")), sizes(rng, 1, 5))


fill("QUANTIZE", draw_quantize)
fill("DEQUANTIZE", lambda rng: dequantize(one_of(rng, ("INT8", "UINT8", "INT16", "FLOAT16")), sizes(rng, 0, 6)))


def draw_reshape(rng):
    shape = sizes(rng, 0, 6, 4)
    factors = [int(d) for d in rng.permutation(shape)] if shape else [1, 1]
    split = int(rng.integers(len(factors) + 1))
    wanted = [int(np.prod(factors[:split])), *factors[split:]]
    if rng.random() < 0.5:
        wanted[int(rng.integers(len(wanted)))] = -1
    move("RESHAPE", "x".join(map(str, (*shape, "to", *wanted))), (one_of(rng, WIDE),), [shape, i32(*wanted)], {"newShape": wanted})


def draw_transpose(rng):
    shape = sizes(rng, 1, 7, 4)
    order = [int(a) for a in rng.permutation(len(shape))]
    name = "x".join(map(str, shape)) + "_" + "".join(map(str, order))
    move("TRANSPOSE", name, (one_of(rng, WIDE),), [shape, i32(*order)])


def draw_concatenation(rng):
    shape = list(sizes(rng, 1, 5))
    axis = int(rng.integers(-len(shape), len(shape)))
    shapes = [tuple(int(rng.integers(1, 6)) if k == axis % len(shape) else d for k, d in enumerate(shape)) for _ in range(int(rng.integers(1, 5)))]
    name = "_".join("x".join(map(str, s)) for s in shapes) + f"_axis{axis}"
    move("CONCATENATION", name, (one_of(rng, WIDE),), shapes, {"axis": axis})


def draw_pad(rng):
    shape = sizes(rng, 1, 5, 4)
    pads = rng.integers(0, 4, (len(shape), 2)).tolist()
    name = "x".join(map(str, shape)) + "_by" + "".join(str(n) for pair in pads for n in pair)
    move("PAD", name, (one_of(rng, WIDE),), [shape, (one_of(rng, ("INT32", "INT64")), pads)])


def draw_slice(rng):
    shape = sizes(rng, 1, 5)
    begin = [int(rng.integers(d)) for d in shape]
    size = [-1 if rng.random() < 0.2 else int(rng.integers(1, d - b + 1)) for d, b in zip(shape, begin)]
    name = "_".join("x".join(map(str, values)) for values in (shape, begin, size))
    integer = one_of(rng, INTEGERS)
    move("SLICE", name, (one_of(rng, WIDE),), [shape, integer(*begin), integer(*size)])


def draw_strided(rng):
    shape = sizes(rng, 1, 5)
    begin, end = ([int(rng.integers(-d - 1, d + 2)) for d in shape] for _ in range(2))
    strides = [int(one_of(rng, (-2, -1, 1, 1, 2, 3))) for _ in shape]
    masks = {mask: int(rng.integers(1 << len(shape))) for mask in ("beginMask", "endMask") if rng.random() < 0.7}
    name = "_".join("x".join(map(str, values)) for values in (shape, begin, end, strides, tuple(masks.values())))
    move("STRIDED_SLICE", name, (one_of(rng, PLAIN),), [shape, i32(*begin), i32(*end), i32(*strides)], masks)


def draw_split(rng):
    shape, parts = list(sizes(rng, 1, 4)), int(rng.integers(1, 5))
    axis = int(rng.integers(-len(shape), len(shape)))
    shape[axis] = parts * int(rng.integers(1, 4))
    name = "x".join(map(str, shape)) + f"_axis{axis}_in{parts}"
    dtype = one_of(rng, ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64"))
    move("SPLIT", name, (dtype,), [("INT32", axis), tuple(shape)], {"numSplits": parts}, outputs=parts)


def draw_pack(rng):
    shape, count = sizes(rng, 0, 4), int(rng.integers(1, 5))
    axis = int(rng.integers(-len(shape) - 1, len(shape) + 1))
    dtype = one_of(rng, ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "UINT32", "INT64"))
    move("PACK", "x".join(map(str, shape)) + f"_axis{axis}_of{count}", (dtype,), [shape] * count, {"axis": axis, "valuesCount": count})


def draw_gather(rng):
    """Positions are an input; every one is within the table."""
    shape, at = sizes(rng, 1, 4), sizes(rng, 0, 3, 3)
    axis = int(rng.integers(len(shape)))
    dtype, index = one_of(rng, WIDE), one_of(rng, ("INT32", "INT64", "INT16"))

    def build(case):
        quant = case.quant(dtype)
        x, positions = case.graph.input(dtype, shape, quant), case.graph.input(index, at)
        case.graph.op("GATHER", [x, positions], [case.graph.output(dtype, quant)], axis=axis)
        case.feed(case.values(dtype, shape, quant), case.values(index, at, low=0, high=shape[axis] - 1))

    add("GATHER", f"{dtype.lower()}_{'x'.join(map(str, shape))}_axis{axis}_at_{'x'.join(map(str, at))}_{index.lower()}", build)


def draw_squeeze(rng):
    shape = tuple(1 if rng.random() < 0.5 else d for d in sizes(rng, 1, 6))
    ones = [k - len(shape) * int(rng.integers(2)) for k, d in enumerate(shape) if d == 1 and rng.random() < 0.7]
    move("SQUEEZE", "x".join(map(str, shape)) + "_dims" + "_".join(map(str, ones)), (one_of(rng, WIDE),), [shape], {"squeezeDims": ones})


def draw_expand(rng):
    shape = sizes(rng, 0, 5)
    axis = int(rng.integers(-len(shape) - 1, len(shape) + 1))
    move("EXPAND_DIMS", "x".join(map(str, shape)) + f"_axis{axis}", (one_of(rng, WIDE),), [shape, ("INT32", axis)])


for op, draw in {
    "RESHAPE": draw_reshape, "TRANSPOSE": draw_transpose, "CONCATENATION": draw_concatenation, "PAD": draw_pad, "SLICE": draw_slice,
    "STRIDED_SLICE": draw_strided, "SPLIT": draw_split, "PACK": draw_pack, "GATHER": draw_gather, "SQUEEZE": draw_squeeze, "EXPAND_DIMS": draw_expand,
}.items():  # fmt: skip
    fill(op, draw)
