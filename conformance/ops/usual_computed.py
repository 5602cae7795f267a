"""The element-wise operators, reductions, pools and conversions that models use most: 64 cases for each combination of types."""

from cases import add, label
from ops.arith import ARITHMETIC, FUSED, binary
from ops.pool import pool, resize
from ops.quantize import dequantize, quantize
from ops.reduce import REDUCTIONS, reduction
from ops.sixty_four import BROADCASTS, broadcast_pair, sized, sweep
from ops.types_computed import HALF_FUNCTIONS, HALVES, by_singles, dequantize_pairs_of_bits, nearest
from ops.unary import FUNCTIONS, OPTIONS, softmax, unary

ACTIVATED = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32")
SHORT_FLOATS = ("FLOAT16", "BFLOAT16")

# Arithmetic.
for op in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"):
    for dtype in ARITHMETIC[op]:

        def draw(rng, rank, how, activation, constant, op=op, dtype=dtype):
            shapes = broadcast_pair(rng, rank, how)
            # XNNPACK's answer has the shape of the scalar then, not that of both.
            constant = constant and shapes != ((), (1,))
            binary(op, dtype, shapes, activation, constant, "pairs")

        fused = op in FUSED and dtype in ACTIVATED
        activations = ("none", "relu", "relu_n1", "relu6") if fused else ("none",)
        sweep(op, dtype, {"rank": range(7), "how": BROADCASTS, "activation": activations, "constant": (False, True)}, draw)
    if op in ("SUB", "DIV"):

        def draw_half(rng, rank, how, op=op):
            binary(op, "FLOAT16", broadcast_pair(rng, rank, how), seed="pairs")
            by_singles(op, HALVES[op])

        sweep(op, "FLOAT16", {"rank": range(7), "how": BROADCASTS}, draw_half)


def narrowing(out, shapes, constant):
    """A product of 16-bit integers as bytes; LiteRT aborts where shapes differ."""

    def build(case):
        quants = case.quant("INT16"), case.quant("INT16")
        x = case.graph.input("INT16", shapes[0], quants[0])
        y = case.graph.const("INT16", case.values("INT16", shapes[1], quants[1]), quants[1]) if constant else case.graph.input("INT16", shapes[1], quants[1])
        case.graph.op("MUL", [x, y], [case.graph.output(out, case.quant(out, 20.0))])

    add("MUL", label("INT16", "to", out, *shapes, "const" if constant else "", "pairs"), build)


for out in ("INT8", "UINT8"):

    def draw_narrowing(rng, rank, wide, constant, out=out):
        narrowing(out, [sized(rng, rank, wide)] * 2, constant)

    sweep("MUL", f"INT16 {out}", {"rank": range(1, 7), "wide": (False, True), "constant": (False, True)}, draw_narrowing)

# Functions of one operand.
for op in ("RELU", "RELU6", "LOGISTIC", "TANH", "LEAKY_RELU", "HARD_SWISH", "GELU", "ABS", "EXP", "RSQRT", "SQRT"):
    halves = ("FLOAT16",) if op in HALF_FUNCTIONS and "FLOAT16" not in FUNCTIONS[op][0] else ()
    for dtype in (*FUNCTIONS[op][0], *halves):

        def draw_unary(rng, rank, wide, options, op=op, dtype=dtype, answered=dtype in halves):
            shape = sized(rng, rank, wide)
            if dtype in SHORT_FLOATS:  # a tolerance needs something to be relative to
                shape = (*shape[:-1], max((*shape, 8)[-1], 8)) if shape else (8,)
            unary(op, dtype, shape, options, "pairs")
            if answered:
                by_singles(op, HALVES.get(op))

        options = OPTIONS.get(op, [{}]) if dtype not in halves else OPTIONS.get(op, [{}])[:1]
        sweep(op, dtype, {"rank": range(1, 7), "wide": (False, True), "options": options}, draw_unary)
for dtype, out in [("FLOAT32", None), ("FLOAT16", None), ("UINT8", None), ("UINT8", "INT16"), ("INT8", None), ("INT8", "INT16"), ("INT16", None)]:

    def draw_softmax(rng, rank, wide, beta, dtype=dtype, out=out):
        softmax(dtype, sized(rng, rank, wide, 9), beta, out)

    sweep("SOFTMAX", f"{dtype} {out}", {"rank": (1, 2, 3, 4), "wide": (False, True), "beta": (0.25, 0.5, 1.0, 3.0)}, draw_softmax)

# Windows.
for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
    for dtype in ("FLOAT32", "INT8", "UINT8", "INT16"):

        def draw_pool(rng, kh, kw, sh, sw, padding, activation, op=op, dtype=dtype):
            shape = (int(rng.integers(1, 3)), int(rng.integers(kh, kh + 5)), int(rng.integers(kw, kw + 5)), int(rng.choice([1, 2, 3, 5, 8, 19])))
            pool(op, dtype, (shape, (kh, kw), (sh, sw), padding), activation)

        axes = {"kh": (1, 2, 3), "kw": (1, 2, 4), "sh": (1, 2, 3), "sw": (1, 2), "padding": ("same", "valid"), "activation": ("none", "relu", "relu6")}
        sweep(op, dtype, axes, draw_pool)
RESIZED = ("FLOAT32", "UINT8", "INT8", "INT16")
for op, dtypes in {"RESIZE_BILINEAR": RESIZED, "RESIZE_NEAREST_NEIGHBOR": RESIZED + ("FLOAT16", "BFLOAT16", "INT32", "UINT32", "BOOL", "UINT16")}.items():
    for dtype in dtypes:

        def draw_resize(rng, height, width, channels, corners, half, op=op, dtype=dtype):
            shape = (int(rng.integers(1, 3)), *(int(n) for n in rng.integers(1, 6, 2)), channels)
            if dtype in RESIZED:
                resize(op, dtype, shape, (height, width), corners and not half, half)
            else:
                nearest(dtype, shape, (height, width), corners and not half, half)

        axes = {"height": (1, 2, 4, 7), "width": (1, 3, 5, 8), "channels": (1, 2, 3, 5), "corners": (False, True), "half": (False, True)}
        sweep(op, dtype, axes, draw_resize)

# Along dimensions.
for op in ("MEAN", "SUM", "REDUCE_MAX"):
    for dtype in REDUCTIONS[op]:

        def draw_reduction(rng, rank, axes, keep, negative, op=op, dtype=dtype):
            chosen = sorted(int(a) for a in rng.permutation(rank)[: min(axes, rank)])
            reduction(op, dtype, sized(rng, rank, wide=rng.random() < 0.2, largest=5), tuple(a - rank if negative else a for a in chosen), keep)

        sweep(op, dtype, {"rank": range(1, 6), "axes": (1, 2, 3, 5), "keep": (False, True), "negative": (False, True)}, draw_reduction)

# To and from integers that stand for reals.
ROUNDED = {
    "FLOAT32": ("INT8", "UINT8", "INT16", "INT4", "UINT4"), "INT8": ("INT8", "UINT8", "INT16"), "UINT8": ("INT8", "UINT8", "INT16"), "INT16": ("INT8", "INT16", "INT32"),
    "INT32": ("INT8", "INT16"),
}  # fmt: skip
for source, targets in ROUNDED.items():
    for target in targets:

        def draw_quantize(rng, rank, wide, channels, source=source, target=target):
            shape = sized(rng, rank, wide)
            quantize(source, target, shape, int(rng.integers(rank)) if channels else None)

        several = (False, True) if source == "FLOAT32" and target in ("INT8", "UINT8", "INT16") else (False,)
        sweep("QUANTIZE", f"{source} {target}", {"rank": range(1, 6), "wide": (False, True), "channels": several}, draw_quantize)
for source in ("INT8", "UINT8", "INT16", "FLOAT16", "INT4", "UINT4"):

    def draw_dequantize(rng, rank, wide, constant, source=source):
        dequantize(source, sized(rng, rank, wide), constant=constant)

    # XNNPACK fails on models that hold nothing but constants of types it takes.
    constant = {"INT4": (True,), "UINT4": (True,), "FLOAT16": (False,), "INT8": (False,)}.get(source, (False, True))
    sweep("DEQUANTIZE", source, {"rank": range(1, 7), "wide": (False, True), "constant": constant}, draw_dequantize)


def draw_pairs_of_bits(rng, rank, wide, channels):
    dequantize_pairs_of_bits(sized(rng, rank, wide), int(rng.integers(rank)) if channels else None)


sweep("DEQUANTIZE", "INT2", {"rank": range(1, 6), "wide": (False, True), "channels": (False, True)}, draw_pairs_of_bits)
