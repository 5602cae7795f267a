"""Convolutions and matrix products: 64 cases for each combination of types."""

from ops.conv import convolution, transposed
from ops.dense import batch_matmul, fully_connected, shuffled
from ops.sixty_four import sized, sweep
from ops.types_computed import dense_to_other, depthwise_of_words
from ops.types_stateful import dense_of_words

ACTIVATIONS = ("none", "relu", "relu_n1", "relu6")
CHANNELS = (1, 2, 3, 4, 8, 19)
GROUPED = ("f32", "f16w", "i8", "i8_pc", "hybrid_pc", "i16_pc", "u8")

# Each list of flavours is one combination of types.
CONVOLUTIONS = [("f32", "f16w"), ("hybrid", "hybrid_pc"), ("hybrid_u8",), ("hybrid_w4",), ("i8", "i8_pc"), ("i8_w4",), ("u8",), ("i16_b32",), ("i16", "i16_pc"),
                ("i16_w4_b32",), ("i16_w4",)]  # fmt: skip
for flavours in CONVOLUTIONS:

    def draw_convolution(rng, flavour, kh, kw, stride, dilation, padding, activation, groups):
        groups = groups if flavour in GROUPED else 1
        least = [dilation * (k - 1) + 1 for k in (kh, kw)]
        shape = (int(rng.integers(1, 3)), *(n + int(rng.integers(4)) for n in least), groups * int(rng.choice(CHANNELS[:5])))
        stride = (1, 1) if dilation > 1 else stride
        convolution("CONV_2D", flavour, shape, groups * int(rng.choice(CHANNELS)), (kh, kw), padding, stride, (dilation, dilation), activation, groups, note="pairs")

    axes = {"flavour": flavours, "kh": (1, 2, 3), "kw": (1, 3, 4), "stride": ((1, 1), (2, 1), (1, 2), (2, 2), (3, 3)), "dilation": (1, 1, 2), "padding": ("same", "valid"),
            "activation": ACTIVATIONS, "groups": (1, 1, 2)}  # fmt: skip
    sweep("CONV_2D", flavours[0], axes, draw_convolution)

for flavours in [("f32", "f16w"), ("hybrid_pc",), ("i8", "i8_pc"), ("i8_w4",), ("u8",), ("i16", "i16_pc")]:

    def draw_depthwise(rng, flavour, kernel, stride, dilation, padding, activation, multiplier):
        least = [dilation * (k - 1) + 1 for k in kernel]
        shape = (int(rng.integers(1, 3)), *(n + int(rng.integers(5)) for n in least), int(rng.choice(CHANNELS)))
        stride = 1 if dilation > 1 else stride
        convolution("DEPTHWISE_CONV_2D", flavour, shape, 0, kernel, padding, (stride, stride), (dilation, dilation), activation, multiplier=multiplier, note="pairs")

    axes = {"flavour": flavours, "kernel": ((1, 1), (2, 3), (3, 3), (3, 1), (5, 5)), "stride": (1, 2, 3), "dilation": (1, 1, 2), "padding": ("same", "valid"),
            "activation": ACTIVATIONS, "multiplier": (1, 2, 3)}  # fmt: skip
    sweep("DEPTHWISE_CONV_2D", flavours[0], axes, draw_depthwise)


def draw_words(rng, kernel, multiplier, relu, channels):
    image = (int(rng.integers(1, 3)), *(k + int(rng.integers(5)) for k in kernel), channels)
    depthwise_of_words(image, kernel, multiplier, relu)


sweep("DEPTHWISE_CONV_2D", "i16_w4", {"kernel": ((1, 1), (2, 3), (3, 3), (3, 1)), "multiplier": (1, 2, 3), "relu": (False, True), "channels": (1, 2, 3, 8)}, draw_words)

for flavours in [("f32", "f16w"), ("hybrid", "hybrid_pc"), ("i8", "i8_pc"), ("u8",), ("i16_b32",), ("i16", "i16_pc")]:

    def draw_transposed(rng, flavour, kernel, stride, padding, activation, with_bias):
        shape = (int(rng.integers(1, 3)), *(int(n) for n in rng.integers(2, 5, 2)), int(rng.choice(CHANNELS[:5])))
        transposed(flavour, shape, int(rng.choice(CHANNELS)), kernel, padding, stride, activation, with_bias)

    # Only the bias tells the two products of 16-bit activations apart.
    biased = (True,) if flavours[0].startswith("i16") else (False, True)
    axes = {"flavour": flavours, "kernel": ((2, 2), (3, 3), (4, 3), (3, 2)), "stride": ((1, 1), (2, 2), (1, 2), (2, 1)), "padding": ("same", "valid"),
            "activation": ("none", "relu", "relu6"), "with_bias": biased}  # fmt: skip
    sweep("TRANSPOSE_CONV", flavours[0], axes, draw_transposed)

LAYERS = [("f32", "f16w"), ("hybrid", "hybrid_pc"), ("hybrid_u8",), ("hybrid_w4", "hybrid_w4_pt"), ("hybrid_w2",), ("i8", "i8_pc"), ("i8_w4", "i8_w4_pt"), ("i8_w2",), ("u8",),
          ("i16_b32",), ("i16", "i16_pc"), ("i16_w4_b32",), ("i16_w4",), ("i16_w2_b32",), ("i16_w2",), ("i16_w16",)]  # fmt: skip
for flavours in LAYERS:

    def draw_layer(rng, flavour, rank, depth, units, activation, keep, asymmetric):
        shape = (*(int(n) for n in rng.integers(1, 4, rank - 1)), depth + int(rng.integers(4)) * 4)
        asymmetric = asymmetric and flavour.startswith("hybrid")
        fully_connected(flavour, shape, units + int(rng.integers(3)), activation, True, keep, asymmetric)

    axes = {"flavour": flavours, "rank": (2, 3, 4), "depth": (4, 6, 13, 16, 32), "units": (1, 4, 8, 17), "activation": ACTIVATIONS, "keep": (False, True),
            "asymmetric": (False, True)}  # fmt: skip
    sweep("FULLY_CONNECTED", flavours[0], axes, draw_layer)
for out in ("INT16", "UINT8"):

    def draw_to_other(rng, rows, depth, units, out=out):
        dense_to_other("INT8", "INT8", out, (rows, depth + int(rng.integers(8))), units)

    sweep("FULLY_CONNECTED", f"i8 {out}", {"rows": (1, 2, 3, 5, 8), "depth": (2, 8, 16, 31), "units": (1, 2, 4, 7, 9)}, draw_to_other)


def draw_shuffled(rng, rows, depth, units, activation):
    shuffled(rows, 16 * depth, 4 * units, activation)


sweep("FULLY_CONNECTED", "shuffled", {"rows": (1, 4), "depth": (1, 2, 3, 4, 6), "units": (1, 2, 3, 5, 7), "activation": ("none", "relu")}, draw_shuffled)


def draw_dense_of_words(rng, rows, depth, units):
    dense_of_words((rows, depth + int(rng.integers(8))), units)


sweep("FULLY_CONNECTED", "words", {"rows": (1, 2, 3, 5), "depth": (2, 8, 16, 31), "units": (1, 2, 4, 7)}, draw_dense_of_words)

for flavour in ("f32", "hybrid", "i8", "i8_i32", "i16", "i16_i8"):

    def draw_matmul(rng, batches, flips, constant, asymmetric, flavour=flavour):
        rows, depth, columns = (int(n) for n in rng.integers(1, 10, 3))
        batch = sized(rng, batches, largest=3)
        left = (*batch, depth, rows) if flips[0] else (*batch, rows, depth)
        right = (columns, depth) if flips[1] else (depth, columns)
        right = (*(1 if rng.random() < 0.3 else d for d in batch), *right)
        batch_matmul(flavour, left, right, flips, constant, asymmetric and flavour == "hybrid")

    constant = (True,) if flavour == "hybrid" else (False, True) if flavour in ("f32", "i8") else (False,)
    axes = {"batches": range(4), "flips": ((False, False), (True, False), (False, True), (True, True)), "constant": constant, "asymmetric": (False, True)}
    sweep("BATCH_MATMUL", flavour, axes, draw_matmul)
