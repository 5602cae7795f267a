"""TensorFlow functions that the converter lowers to builtin operators, and the axes along which `sweep.py` varies them.

Every entry names an operator, gives the values of each axis, and builds from one choice of them the function with its inputs.
`QUANTIZABLE` functions are also converted with quantized weights or activations; `open_` says which dimensions of the inputs the
converted model leaves to the caller.
"""

from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import tensorflow as tf

FUNCTIONS = {}  # operator -> Function
FLOATS = ("float32",)
INTEGERS = ("int32", "int64")
NUMBERS = FLOATS + INTEGERS
NARROW = ("int8", "uint8", "int16")
ANY = NUMBERS + NARROW + ("bool",)
SHAPES = ((3,), (1, 4), (2, 3, 4), (1, 3, 4, 3), (2, 1, 3, 2, 2), ())
PAIRS = (((2, 3), (2, 3)), ((2, 3, 4), (4,)), ((1, 3, 4, 3), (1, 3, 4, 1)), ((), (3, 2)), ((2, 1, 3, 2, 2), (2, 2)), ((0, 3), (1, 3)))
MODES = ("plain", "float16", "dynamic", "int8", "int16x8")
OPEN = ("none", "first", "all")


@dataclass
class Function:
    """One operator's function: `build(draw, **axes)` returns (callable, input arrays)."""

    operator: str
    build: Callable
    axes: dict = field(default_factory=dict)


class Draw:
    """Seeded inputs of one case."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def array(self, dtype, shape, low=-4.0, high=4.0):
        """An array of `dtype`; numbers lie in [low, high], integers and bytes are rounded from there."""
        if dtype == "bool":
            return self.rng.random(shape) < 0.5
        if dtype == "string":
            return np.array([b"abcdefgh"[: int(n)] for n in self.rng.integers(0, 9, int(np.prod(shape)))], object).reshape(shape)
        if dtype.startswith("complex"):
            return np.asarray(self.rng.uniform(low, high, shape) + 1j * self.rng.uniform(low, high, shape)).astype(dtype)
        if dtype.startswith("u"):
            low, high = 0, high - low
        return np.asarray(self.rng.uniform(low, high, shape)).astype(dtype)


def sweep(operator, quantizable=False, open_=OPEN, modes=MODES, **axes):
    """Registers the decorated `build` as the function of `operator`; `modes` are those of a quantizable one."""

    def register(build):
        chosen = modes if quantizable else ("plain",)
        FUNCTIONS[operator] = Function(operator, build, {"mode": chosen, "open": open_, **axes})
        return build

    return register


def unary(operator, function, dtypes=FLOATS, low=-4.0, high=4.0, quantizable=False, shapes=SHAPES):
    """A function of one tensor that keeps its shape."""

    def build(draw, dtype, shape):
        return function, [draw.array(dtype, shape, low, high)]

    sweep(operator, quantizable, dtype=dtypes, shape=shapes)(build)


def binary(operator, function, dtypes=NUMBERS, low=-4.0, high=4.0, quantizable=False):
    """A function of two tensors with broadcasting."""

    def build(draw, dtype, pair, constant):
        a, b = draw.array(dtype, pair[0], low, high), draw.array(dtype, pair[1], low, high)
        if operator.endswith(("DIV", "MOD")):
            b = np.where(b == 0, np.ones_like(b), b)
        return ((lambda x: function(x, b)), [a]) if constant else (function, [a, b])

    sweep(operator, quantizable, dtype=dtypes, pair=PAIRS, constant=(False, True))(build)


for name, function in {"ABS": tf.abs, "RELU": tf.nn.relu, "RELU6": tf.nn.relu6, "LOGISTIC": tf.sigmoid, "TANH": tf.tanh, "ELU": tf.nn.elu,
                       "LEAKY_RELU": lambda x: tf.nn.leaky_relu(x, 0.2), "HARD_SWISH": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
                       "SQUARE": tf.square, "EXP": tf.exp, "GELU": tf.nn.gelu}.items():  # fmt: skip
    unary(name, function, quantizable=True)
for name, function in {"FLOOR": tf.floor, "CEIL": tf.math.ceil, "ROUND": tf.round, "SIN": tf.sin, "COS": tf.cos}.items():
    unary(name, function)
for name, function in {"LOG": tf.math.log, "SQRT": tf.sqrt, "RSQRT": tf.math.rsqrt}.items():
    unary(name, function, low=0.1, quantizable=True)
unary("NEG", tf.negative, NUMBERS)
unary("SIGN", tf.sign, FLOATS + ("int32",))
unary("ZEROS_LIKE", tf.zeros_like, NUMBERS)
unary("LOGICAL_NOT", tf.logical_not, ("bool",))
unary("SHAPE", tf.shape, ANY)
unary("RANK", tf.rank, ANY)
unary("WHERE", tf.where, ("bool", "float32", "int32", "int64", "int8", "uint8"), low=-1.0, high=1.0, shapes=SHAPES[:5])
unary("SOFTMAX", tf.nn.softmax, quantizable=True, shapes=SHAPES[:5])
unary("LOG_SOFTMAX", tf.nn.log_softmax, quantizable=True, shapes=SHAPES[:5])
unary("L2_NORMALIZATION", lambda x: tf.math.l2_normalize(x, -1), quantizable=True, shapes=SHAPES[:5])
for name, function in {"ADD": tf.add, "SUB": tf.subtract, "MUL": tf.multiply}.items():
    binary(name, function, quantizable=True)
binary("DIV", tf.divide, FLOATS)
binary("FLOOR_DIV", tf.math.floordiv, FLOATS + ("int32",))
binary("FLOOR_MOD", tf.math.floormod)
binary("SQUARED_DIFFERENCE", tf.math.squared_difference, FLOATS + ("int32",), quantizable=True)
binary("POW", tf.pow, FLOATS + ("int32",), low=1.0)
for name, function in {"MAXIMUM": tf.maximum, "MINIMUM": tf.minimum}.items():
    binary(name, function, quantizable=True)
for name, function in {"LESS": tf.less, "LESS_EQUAL": tf.less_equal, "GREATER": tf.greater, "GREATER_EQUAL": tf.greater_equal}.items():
    binary(name, function)
for name, function in {"EQUAL": tf.equal, "NOT_EQUAL": tf.not_equal}.items():
    binary(name, function, NUMBERS + ("bool", "string"))
for name, function in {"LOGICAL_AND": tf.logical_and, "LOGICAL_OR": tf.logical_or}.items():
    binary(name, function, ("bool",))


def reduction(operator, function, dtypes=NUMBERS, quantizable=False):
    """A reduction over constant axes."""

    @sweep(operator, quantizable, dtype=dtypes, shape=((2, 3), (1, 3, 4, 3), (2, 1, 3, 2, 2), (0, 3)), axis=((0,), (-1,), (0, 1), (1,), None),
           keep=(False, True))
    def build(draw, dtype, shape, axis, keep):
        return (lambda x: function(x, axis=axis, keepdims=keep)), [draw.array(dtype, shape, -2, 2)]


for name, function in {"MEAN": tf.reduce_mean, "SUM": tf.reduce_sum, "REDUCE_MAX": tf.reduce_max, "REDUCE_MIN": tf.reduce_min}.items():
    reduction(name, function, quantizable=True)
reduction("REDUCE_PROD", tf.reduce_prod)
for name, function in {"REDUCE_ANY": tf.reduce_any, "REDUCE_ALL": tf.reduce_all}.items():
    reduction(name, function, ("bool",))


@sweep("CAST", dtype=("float32", "int32", "int64", "bool", "int8", "uint8", "int16", "float64", "float16", "uint32"), shape=SHAPES,
       to=("float32", "int32", "int64", "bool", "int8", "uint8", "int16", "float64", "float16", "uint16"))  # fmt: skip
def cast(draw, dtype, shape, to):
    return (lambda x: tf.cast(x, to)), [draw.array(dtype, shape)]


@sweep("CONV_2D", quantizable=True, size=((1, 5, 6, 3), (2, 8, 7, 4), (0, 5, 5, 2)), kernel=((3, 3), (1, 1), (2, 3)), channels=(1, 5, 16),
       stride=(1, 2), padding=("SAME", "VALID"), dilation=(1, 2), groups=(False, True), bias=(True, False), activation=(None, tf.nn.relu, tf.nn.relu6))
def convolution(draw, size, kernel, channels, stride, padding, dilation, groups, bias, activation):
    depth = size[3] // 2 if groups and size[3] % 2 == 0 and channels % 2 == 0 else size[3]
    weights, offset = draw.array("float32", (*kernel, depth, channels), -1, 1), draw.array("float32", (channels,))

    def call(x):
        y = tf.nn.conv2d(x, weights, 1 if dilation > 1 else stride, padding, dilations=dilation)
        y = tf.nn.bias_add(y, offset) if bias else y
        return activation(y) if activation else y

    return call, [draw.array("float32", size)]


@sweep("DEPTHWISE_CONV_2D", quantizable=True, size=((1, 5, 6, 3), (2, 8, 7, 4)), kernel=((3, 3), (1, 1), (2, 3)), multiplier=(1, 2), stride=(1, 2),
       padding=("SAME", "VALID"), dilation=(1, 2), bias=(True, False))
def depthwise(draw, size, kernel, multiplier, stride, padding, dilation, bias):
    weights, offset = draw.array("float32", (*kernel, size[3], multiplier), -1, 1), draw.array("float32", (size[3] * multiplier,))
    step = 1 if dilation > 1 else stride

    def call(x):
        y = tf.nn.depthwise_conv2d(x, weights, (1, step, step, 1), padding, dilations=(dilation, dilation))
        return tf.nn.bias_add(y, offset) if bias else y

    return call, [draw.array("float32", size)]


@sweep("TRANSPOSE_CONV", quantizable=True, open_=("none", "first"), size=((1, 3, 4, 2), (2, 5, 5, 3)), kernel=((3, 3), (2, 2)), channels=(1, 4),
       stride=(1, 2), padding=("SAME", "VALID"), bias=(False, True))
def transposed(draw, size, kernel, channels, stride, padding, bias):
    weights, offset = draw.array("float32", (*kernel, channels, size[3]), -1, 1), draw.array("float32", (channels,))
    grow = (lambda n, k: n * stride) if padding == "SAME" else (lambda n, k: (n - 1) * stride + k)

    def call(x):
        shape = (tf.shape(x)[0], grow(size[1], kernel[0]), grow(size[2], kernel[1]), channels)
        y = tf.nn.conv2d_transpose(x, weights, shape, stride, padding)
        return tf.nn.bias_add(y, offset) if bias else y

    return call, [draw.array("float32", size)]


@sweep("FULLY_CONNECTED", quantizable=True, shape=((1, 8), (3, 8), (2, 3, 8), (0, 8)), units=(1, 5, 16), bias=(False, True),
       activation=(None, tf.nn.relu, tf.nn.relu6))
def dense(draw, shape, units, bias, activation):
    weights, offset = draw.array("float32", (8, units), -1, 1), draw.array("float32", (units,))

    def call(x):
        y = tf.linalg.matmul(x, weights) if len(shape) == 2 else tf.tensordot(x, weights, 1)
        y = y + offset if bias else y
        return activation(y) if activation else y

    return call, [draw.array("float32", shape)]


@sweep("BATCH_MATMUL", quantizable=True, pair=(((2, 3, 4), (2, 4, 5)), ((3, 4), (4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((1, 2, 3, 4), (4, 2))),
       flip=(False, True))
def products(draw, pair, flip):
    a, b = pair
    b = (*b[:-2], b[-1], b[-2]) if flip else b
    return (lambda x, y: tf.linalg.matmul(x, y, adjoint_b=flip)), [draw.array("float32", a), draw.array("float32", b)]


@sweep("AVERAGE_POOL_2D", quantizable=True, size=((1, 5, 6, 3), (2, 8, 7, 1)), window=((2, 2), (3, 2), (1, 1)), stride=(1, 2), padding=("SAME", "VALID"))
def average(draw, size, window, stride, padding):
    return (lambda x: tf.nn.avg_pool2d(x, window, stride, padding)), [draw.array("float32", size)]


@sweep("MAX_POOL_2D", quantizable=True, size=((1, 5, 6, 3), (2, 8, 7, 1)), window=((2, 2), (3, 2), (1, 1)), stride=(1, 2), padding=("SAME", "VALID"))
def greatest(draw, size, window, stride, padding):
    return (lambda x: tf.nn.max_pool2d(x, window, stride, padding)), [draw.array("float32", size)]


@sweep("CONCATENATION", quantizable=True, dtype=ANY, shape=((2, 3), (1, 3, 4, 3), (0, 2)), axis=(0, -1, 1), count=(1, 2, 4))
def joined(draw, dtype, shape, axis, count):
    return (lambda *x: tf.concat(x, axis)), [draw.array(dtype, shape) for _ in range(count)]


@sweep("PACK", dtype=ANY, shape=((), (3,), (2, 3), (2, 1, 2)), axis=(0, -1), count=(1, 3))
def stacked(draw, dtype, shape, axis, count):
    return (lambda *x: tf.stack(x, axis)), [draw.array(dtype, shape) for _ in range(count)]


@sweep("UNPACK", dtype=("float32", "int32", "int8", "bool"), shape=((3,), (2, 3), (2, 3, 2)), axis=(0, -1), open_=("none",))
def unstacked(draw, dtype, shape, axis):
    return (lambda x: tf.unstack(x, axis=axis)), [draw.array(dtype, shape)]


@sweep("RESHAPE", quantizable=True, dtype=ANY + ("string",), case=(((2, 3), (3, 2)), ((2, 3), (-1,)), ((1,), ()), ((2, 0), (0, -1)), ((2, 3, 4), (1, 4, -1, 1, 2))))
def reshaped(draw, dtype, case):
    return (lambda x: tf.reshape(x, case[1])), [draw.array(dtype, case[0])]


@sweep("SQUEEZE", dtype=ANY + ("string",), case=(((1, 3, 1), None), ((1, 3, 1), (0,)), ((1, 3, 1), (-1,)), ((1, 1), (0, 1))))
def squeezed(draw, dtype, case):
    return (lambda x: tf.squeeze(x, case[1])), [draw.array(dtype, case[0])]


@sweep("EXPAND_DIMS", dtype=ANY, shape=((), (3,), (2, 3)), axis=(0, -1))
def expanded(draw, dtype, shape, axis):
    return (lambda x: tf.expand_dims(x, axis)), [draw.array(dtype, shape)]


@sweep("TRANSPOSE", quantizable=True, dtype=ANY, case=(((2, 3), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((1, 3, 4, 3), (0, 3, 1, 2)), ((2, 1, 3, 2, 2), (4, 3, 2, 1, 0)), ((2, 1, 2, 1, 2, 2), (5, 0, 4, 1, 3, 2)), ((0, 2), (1, 0))))
def transpose(draw, dtype, case):
    return (lambda x: tf.transpose(x, case[1])), [draw.array(dtype, case[0])]


@sweep("PAD", quantizable=True, dtype=ANY, case=(((3,), ((1, 2),)), ((2, 3), ((0, 1), (2, 0))), ((1, 3, 4, 3), ((0, 0), (1, 1), (0, 2), (1, 0)))), width=("int32", "int64"), known=(True, False))
def padded(draw, dtype, case, width, known):
    by = np.array(case[1], width)
    x = draw.array(dtype, case[0])
    return ((lambda x: tf.pad(x, by)), [x]) if known else ((lambda x, p: tf.pad(x, p)), [x, by])


@sweep("PADV2", dtype=NUMBERS, case=(((3,), ((1, 2),)), ((1, 3, 4, 3), ((0, 0), (1, 1), (0, 2), (1, 0)))), value=(1, -3))
def padded_with(draw, dtype, case, value):
    return (lambda x: tf.pad(x, case[1], constant_values=np.array(value, dtype))), [draw.array(dtype, case[0])]


@sweep("MIRROR_PAD", dtype=NUMBERS + NARROW, case=(((4,), ((1, 2),)), ((3, 3), ((0, 1), (2, 0))), ((1, 3, 4, 3), ((0, 0), (1, 1), (0, 2), (1, 0)))), kind=("REFLECT", "SYMMETRIC"))
def mirrored(draw, dtype, case, kind):
    return (lambda x: tf.pad(x, case[1], kind)), [draw.array(dtype, case[0])]


@sweep("SLICE", quantizable=True, dtype=ANY + ("string",), case=(((4,), (1,), (2,)), ((3, 4), (0, 1), (-1, 2)), ((1, 3, 4, 3), (0, 1, 0, 2), (1, 2, -1, 1)), ((3, 4), (3, 0), (0, 4))), width=("int32", "int64"), known=(True, False))
def sliced(draw, dtype, case, width, known):
    x, begin, size = draw.array(dtype, case[0]), np.array(case[1], width), np.array(case[2], width)
    return ((lambda x: tf.slice(x, begin, size)), [x]) if known else (tf.slice, [x, begin, size])


@sweep("STRIDED_SLICE", quantizable=True, dtype=ANY, case=(
    ((5,), np.s_[1:4:2]), ((5,), np.s_[::-1]), ((3, 4), np.s_[1]), ((3, 4), np.s_[..., 0]), ((3, 4), np.s_[:, tf.newaxis, 1:]),
    ((1, 3, 4, 3), np.s_[:, -2:, 3:0:-1, 1]), ((2, 1, 3, 2, 2), np.s_[0, ..., 1]), ((3, 4), np.s_[5:]), ((3, 4), np.s_[2:1, :])))  # fmt: skip
def strided(draw, dtype, case):
    return (lambda x: x[case[1]]), [draw.array(dtype, case[0])]


@sweep("SPLIT", quantizable=True, dtype=NUMBERS + NARROW, case=(((4,), 0, 2), ((2, 6), -1, 3), ((1, 4, 3, 2), 1, 4)), open_=("none",))
def split(draw, dtype, case):
    return (lambda x: tf.split(x, case[2], case[1])), [draw.array(dtype, case[0])]


@sweep("SPLIT_V", dtype=NUMBERS + NARROW, case=(((4,), 0, (1, 3)), ((2, 6), -1, (1, -1, 2)), ((4, 2), 0, (0, 4))), open_=("none",))
def split_by(draw, dtype, case):
    return (lambda x: tf.split(x, case[2], case[1])), [draw.array(dtype, case[0])]


@sweep("TILE", dtype=ANY + ("string",), case=(((3,), (2,)), ((2, 3), (1, 2)), ((2, 1, 3), (2, 3, 1)), ((2, 3), (0, 1))), width=("int32", "int64"), known=(True, False))
def tiled(draw, dtype, case, width, known):
    x, times = draw.array(dtype, case[0]), np.array(case[1], width)
    return ((lambda x: tf.tile(x, times)), [x]) if known else (tf.tile, [x, times])


@sweep("BROADCAST_TO", dtype=ANY, case=(((3,), (2, 3)), ((2, 1), (2, 4)), ((), (2, 2)), ((1, 3, 1), (2, 3, 2))), width=("int32", "int64"), known=(True, False))
def broadcast(draw, dtype, case, width, known):
    x, shape = draw.array(dtype, case[0]), np.array(case[1], width)
    return ((lambda x: tf.broadcast_to(x, shape)), [x]) if known else (tf.broadcast_to, [x, shape])


@sweep("FILL", dtype=ANY + ("string",), shape=((3,), (2, 3), (), (0, 2)), width=("int32", "int64"))
def filled(draw, dtype, shape, width):
    return tf.fill, [np.array(shape, width), draw.array(dtype, ())]


@sweep("GATHER", quantizable=True, dtype=ANY, case=(((5,), (3,), 0, 0), ((4, 3), (2, 2), 1, 0), ((2, 4, 3), (2, 3), 1, 1), ((3, 4), (), 0, 0)), width=("int32", "int64"))
def gathered(draw, dtype, case, width):
    shape, at, axis, batch = case
    return (lambda x, i: tf.gather(x, i, axis=axis, batch_dims=batch)), [draw.array(dtype, shape), draw.rng.integers(0, shape[axis], at).astype(width)]


@sweep("GATHER_ND", dtype=ANY + ("string",), case=(((5,), (3, 1)), ((4, 3), (2, 2)), ((4, 3), (2, 1)), ((2, 4, 3), (2, 2, 2))), width=("int32", "int64"))
def gathered_nd(draw, dtype, case, width):
    shape, at = case
    return tf.gather_nd, [draw.array(dtype, shape), np.stack([draw.rng.integers(0, shape[k], at[:-1]) for k in range(at[-1])], -1).astype(width)]


@sweep("SCATTER_ND", dtype=NUMBERS + ("int8", "uint8", "bool"), case=(((3, 1), (5,)), ((2, 2), (3, 4)), ((2, 1), (4, 3))))
def scattered(draw, dtype, case):
    at, shape = case
    indices = np.stack([draw.rng.permutation(shape[k])[: at[0]] for k in range(at[-1])], -1).astype("int32")
    return (lambda i, x: tf.scatter_nd(i, x, shape)), [indices, draw.array(dtype, (*at[:-1], *shape[at[-1] :]))]


@sweep("ONE_HOT", dtype=NUMBERS + ("int8", "uint8", "bool"), shape=((3,), (2, 2), ()), axis=(-1, 0), width=("int32", "int64"))
def hot(draw, dtype, shape, axis, width):
    on, off = np.array(1, dtype), np.array(0, dtype)
    return (lambda i: tf.one_hot(i, 4, on, off, axis=axis)), [draw.rng.integers(-1, 5, shape).astype(width)]


@sweep("SELECT_V2", dtype=ANY, case=(((2, 3), (2, 3), (2, 3)), ((2, 1), (2, 3), (3,)), ((), (2, 2), (2, 2)), ((3,), (), (3,))))
def selected(draw, dtype, case):
    return tf.where, [draw.array("bool", case[0]), draw.array(dtype, case[1]), draw.array(dtype, case[2])]


@sweep("ARG_MAX", quantizable=True, dtype=("float32", "int32", "int8", "uint8"), shape=((3,), (2, 3), (1, 3, 4, 3)), axis=(0, -1), to=("int32", "int64"), least=(False, True))
def extreme(draw, dtype, shape, axis, to, least):
    return (lambda x: (tf.argmin if least else tf.argmax)(x, axis, tf.as_dtype(to))), [draw.array(dtype, shape)]


@sweep("TOPK_V2", dtype=("float32", "int32", "int64", "int8", "uint8"), shape=((5,), (2, 4), (1, 2, 3)), k=(1, 3), known=(True, False))
def top(draw, dtype, shape, k, known):
    x = draw.array(dtype, shape)
    return ((lambda x: tf.math.top_k(x, k)), [x]) if known else (tf.math.top_k, [x, np.int32(k)])


@sweep("CUMSUM", dtype=NUMBERS, shape=((4,), (2, 3), (2, 3, 2)), axis=(0, -1), exclusive=(False, True), reverse=(False, True))
def running(draw, dtype, shape, axis, exclusive, reverse):
    return (lambda x: tf.cumsum(x, axis, exclusive, reverse)), [draw.array(dtype, shape)]


@sweep("REVERSE_V2", dtype=ANY, case=(((3,), (0,)), ((2, 3), (1,)), ((2, 3, 4), (0, 1)), ((2, 3, 4), (-1,))))
def turned(draw, dtype, case):
    return (lambda x: tf.reverse(x, case[1])), [draw.array(dtype, case[0])]


@sweep("REVERSE_SEQUENCE", dtype=("float32", "int32", "int64", "uint8", "int16"), case=(((2, 4), 1, 0), ((4, 2, 3), 0, 1)), width=("int32", "int64"))
def turned_in_part(draw, dtype, case, width):
    shape, along, batch = case
    return (lambda x, n: tf.reverse_sequence(x, n, along, batch)), [draw.array(dtype, shape), draw.rng.integers(1, shape[along] + 1, shape[batch]).astype(width)]


@sweep("RESIZE_BILINEAR", quantizable=True, size=((1, 3, 4, 2), (2, 5, 5, 3)), to=((6, 8), (2, 3), (5, 4)), corners=(False, True), centers=(False, True))
def smooth(draw, size, to, corners, centers):
    half = centers and not corners
    return (lambda x: tf.compat.v1.image.resize_bilinear(x, to, corners, half_pixel_centers=half)), [draw.array("float32", size)]


@sweep("RESIZE_NEAREST_NEIGHBOR", quantizable=True, size=((1, 3, 4, 2), (2, 5, 5, 3)), to=((6, 8), (2, 3), (5, 4)), corners=(False, True), centers=(False, True))
def nearest(draw, size, to, corners, centers):
    half = centers and not corners
    return (lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, to, corners, half_pixel_centers=half)), [draw.array("float32", size)]


@sweep("SPACE_TO_DEPTH", dtype=NUMBERS + ("int8", "uint8"), size=((1, 4, 6, 2), (2, 2, 2, 1)))
def deeper(draw, dtype, size):
    return (lambda x: tf.nn.space_to_depth(x, 2)), [draw.array(dtype, size)]


@sweep("DEPTH_TO_SPACE", dtype=NUMBERS + ("int8", "uint8"), size=((1, 2, 3, 8), (2, 1, 1, 4)))
def wider(draw, dtype, size):
    return (lambda x: tf.nn.depth_to_space(x, 2)), [draw.array(dtype, size)]


@sweep("SPACE_TO_BATCH_ND", dtype=NUMBERS + ("int8", "uint8"), case=(((1, 4, 6, 2), (2, 3), ((0, 0), (0, 0))), ((2, 3, 3), (2,), ((1, 0),))))
def batched(draw, dtype, case):
    return (lambda x: tf.space_to_batch(x, case[1], case[2])), [draw.array(dtype, case[0])]


@sweep("BATCH_TO_SPACE_ND", dtype=NUMBERS + ("int8", "uint8"), case=(((4, 2, 3, 2), (2, 2), ((0, 0), (1, 0))), ((2, 3, 3), (2,), ((1, 0),))))
def unbatched(draw, dtype, case):
    return (lambda x: tf.batch_to_space(x, case[1], case[2])), [draw.array(dtype, case[0])]


@sweep("RANGE", dtype=NUMBERS, case=((0, 5, 1), (5, 0, -2), (3, 3, 1)), open_=("none",))
def counting(draw, dtype, case):
    return tf.range, [np.array(value, dtype) for value in case]


@sweep("UNIQUE", dtype=("float32", "int32", "int64"), size=(1, 6), to=("int32", "int64"))
def distinct(draw, dtype, size, to):
    return (lambda x: tf.unique(x, tf.as_dtype(to))[:2]), [draw.array(dtype, (size,), -2, 2)]


@sweep("DYNAMIC_UPDATE_SLICE", dtype=NUMBERS, known=(True, False))
def updated(draw, dtype, known):
    indices = np.array([[1], [3]], "int32")
    return (lambda x, u: tf.tensor_scatter_nd_update(x, indices, u)), [draw.array(dtype, (5, 2)), draw.array(dtype, (2, 2))]


@sweep("LOCAL_RESPONSE_NORMALIZATION", size=((1, 2, 3, 6), (2, 1, 1, 3)), radius=(1, 2), alpha=(1.0, 0.1))
def local(draw, size, radius, alpha):
    return (lambda x: tf.nn.local_response_normalization(x, radius, 1.0, alpha, 0.5)), [draw.array("float32", size)]


@sweep("PRELU", quantizable=True, shape=((1, 3, 4, 3), (2, 3)))
def leaky(draw, shape):
    layer_slopes = draw.array("float32", shape[-1:], 0.1, 0.4)
    return (lambda x: tf.nn.relu(x) + -layer_slopes * tf.nn.relu(-x)), [draw.array("float32", shape)]


# Recurrent layers. The converter fuses Keras' LSTM into one operator where it knows the batch; the others become loops, or, unrolled,
# one step after the other. Cells of TensorFlow 1 are the ones that the converter's own tests use.
STEPS = ((1, 4, 3), (2, 5, 4), (3, 1, 2))
UNCALIBRATED = ("plain", "float16", "dynamic")  # the converter dies while it calibrates fused layers and loops


def with_weights(draw, layer, shape):
    """A built Keras layer whose weights are drawn."""
    layer.build((None, *shape[1:]))
    layer.set_weights([draw.array("float32", w.shape, -0.6, 0.6) for w in layer.get_weights()])
    return layer


def recurrent(name, make):
    """A Keras layer; `make(units, **options)` builds it."""

    @sweep(name, quantizable=True, open_=("none", "first"), modes=UNCALIBRATED, size=STEPS, units=(1, 4, 9), sequences=(True, False), backwards=(False, True),
           unroll=(False, True), activation=("tanh", "relu"))
    def build(draw, size, units, sequences, backwards, unroll, activation):
        layer = make(units, return_sequences=sequences, go_backwards=backwards, unroll=unroll, activation=activation)
        return with_weights(draw, layer, size), [draw.array("float32", size, -2, 2)]


recurrent("LSTM", tf.keras.layers.LSTM)
recurrent("SIMPLE_RNN", tf.keras.layers.SimpleRNN)
recurrent("GRU", tf.keras.layers.GRU)
recurrent("GRU_RESET_BEFORE", lambda units, **options: tf.keras.layers.GRU(units, reset_after=False, **options))


@sweep("RECURRENT_STACK", quantizable=True, open_=("none", "first"), modes=UNCALIBRATED, size=STEPS, kind=("LSTM", "GRU", "SimpleRNN"), units=(2, 5), masked=(False, True))
def stack(draw, size, kind, units, masked):
    """Two layers, the second of which reads the first one's sequence; or one whose first step is masked out."""
    layers = [with_weights(draw, getattr(tf.keras.layers, kind)(units, return_sequences=True), size)]
    layers.append(with_weights(draw, getattr(tf.keras.layers, kind)(units + 1), (*size[:2], units)))
    mask = np.arange(size[1]) > 0 if masked and size[1] > 1 else None

    def call(x):
        known = None if mask is None else tf.broadcast_to(mask, (size[0], size[1]))
        return layers[1](layers[0](x, mask=known))

    return call, [draw.array("float32", size, -2, 2)]


@sweep("BIDIRECTIONAL", quantizable=True, open_=("none", "first"), modes=UNCALIBRATED, size=STEPS, kind=("LSTM", "GRU", "SimpleRNN"), units=(2, 5), merge=("concat", "sum", "ave"),
       sequences=(True, False))
def both_ways(draw, size, kind, units, merge, sequences):
    layer = tf.keras.layers.Bidirectional(getattr(tf.keras.layers, kind)(units, return_sequences=sequences), merge_mode=merge)
    return with_weights(draw, layer, size), [draw.array("float32", size, -2, 2)]


@sweep("RECURRENT_STATES", quantizable=True, open_=("none", "first"), modes=UNCALIBRATED, size=STEPS, kind=("LSTM", "GRU", "SimpleRNN"), units=(2, 5))
def states(draw, size, kind, units):
    """The states come in and go out."""
    layer = with_weights(draw, getattr(tf.keras.layers, kind)(units, return_sequences=True, return_state=True), size)
    count = 2 if kind == "LSTM" else 1
    inputs = [draw.array("float32", size, -2, 2)] + [draw.array("float32", (size[0], units), -1, 1) for _ in range(count)]
    return (lambda x, *state: layer(x, initial_state=list(state) if count > 1 else state[0])), inputs


def cell_of(draw, kind, features, units):
    """A recurrent step in plain operators: the state before and the input to the state after."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
    w, b = draw.array("float32", (features + units, gates * units), -0.6, 0.6), draw.array("float32", (gates * units,), -0.3, 0.3)

    def step(x, state):
        hidden = state[0]
        if kind == "rnn":
            return [tf.tanh(tf.matmul(tf.concat([x, hidden], 1), w) + b)]
        if kind == "gru":
            r, z = tf.split(tf.sigmoid(tf.matmul(tf.concat([x, hidden], 1), w[:, : 2 * units]) + b[: 2 * units]), 2, 1)
            c = tf.tanh(tf.matmul(tf.concat([x, r * hidden], 1), w[:, 2 * units :]) + b[2 * units :])
            return [z * hidden + (1 - z) * c]
        i, j, f, o = tf.split(tf.matmul(tf.concat([x, hidden], 1), w) + b, 4, 1)
        cell = tf.sigmoid(f + 1.0) * state[1] + tf.sigmoid(i) * tf.tanh(j)
        return [tf.sigmoid(o) * tf.tanh(cell), cell]

    return step, 2 if kind == "lstm" else 1


@sweep("STATIC_RNN", quantizable=True, open_=("none",), size=STEPS, kind=("rnn", "gru", "lstm"), units=(2, 5))
def static_steps(draw, size, kind, units):
    """One step after the other, as TensorFlow 1's static_rnn lays them out."""
    step, count = cell_of(draw, kind, size[2], units)

    def call(x):
        state, outputs = [tf.zeros((size[0], units))] * count, []
        for part in tf.unstack(x, axis=1):
            state = step(part, state)
            outputs.append(state[0])
        return tf.stack(outputs, 1)

    return call, [draw.array("float32", size, -2, 2)]


@sweep("DYNAMIC_RNN", quantizable=True, open_=("none",), modes=UNCALIBRATED, size=STEPS, kind=("rnn", "gru", "lstm"), units=(2, 5), lengths=(False, True))
def dynamic_steps(draw, size, kind, units, lengths):
    """A loop over time with sequences of different lengths, as TensorFlow 1's dynamic_rnn."""
    step, count = cell_of(draw, kind, size[2], units)

    def call(x, *ends):
        turned = tf.transpose(x, (1, 0, 2))
        start = [tf.zeros((size[0], units)) for _ in range(count)]

        def body(t, state, outputs):
            after = step(turned[t], state)
            if ends:
                alive = tf.expand_dims(t < ends[0], 1)
                after = [tf.where(alive, new, old) for new, old in zip(after, state)]
            return t + 1, after, tf.tensor_scatter_nd_update(outputs, [[t]], [after[0]])

        outputs = tf.zeros((size[1], size[0], units))
        return tf.while_loop(lambda t, *_: t < size[1], body, (tf.constant(0), start, outputs))[2]

    ends = [draw.rng.integers(0, size[1] + 1, size[0]).astype(np.int32)] if lengths else []
    return call, [draw.array("float32", size, -2, 2), *ends]
