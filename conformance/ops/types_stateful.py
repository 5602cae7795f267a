"""Layers with state whose weights are bytes in tensors of uint8, further geometries of the others, and custom operators that are thin."""

import numpy as np

import ops.usual  # noqa: F401  draws up to a number of cases, before more are added here
from cases import add, label
from onebuild import NUMPY, Quant
from ops.compare import verify
from ops.control import assign_then_read
from ops.conv import convolution, transposed
from ops.dense import fully_connected, shuffled
from ops.detect import postprocess
from ops.index import number_range
from ops.lists import from_and_back, listed
from ops.perception import pool3d, unpool
from ops.place import local_response
from ops.pool import resize
from ops.recurrent import lstm, svdf
from ops.reduce import reduction
from ops.signal import microfrontend
from ops.stablehlo import ALL_TYPES
from ops.stateful import both_directions, classes, lstm_basic, lstm_narrow, lstm_step, numbers, rnn, rnn_both_directions, table
from ops.text import TABLES, custom_table
from ops.unary import unary

for kind in ("hybrid_u8",):
    lstm(kind)
    lstm(kind, features=3, units=9, steps=4, batch=1)
    lstm(kind, runs=3, steps=3)
    lstm(kind, time_major=True, batch=3)
    lstm(kind, cifg=True)
    lstm(kind, peephole=True)
    lstm(kind, projection=3)
    lstm(kind, normalize=True)
    lstm(kind, asymmetric=True)
for kind in ("hybrid_u8", "float", "hybrid", "integer"):
    lstm_step(kind, features=3, units=6, batch=1)
    lstm_step(kind, features=8, units=5, batch=3, runs=2)
    lstm_step(kind, cifg=True)
    lstm_step(kind, peephole=True)
    lstm_step(kind, batch=1, projection=2, cifg=True)
lstm_step("hybrid_u8")
lstm_step("hybrid_u8", batch=1, cifg=True, peephole=True)
lstm_step("hybrid_u8", projection=3)
for row in [(5, 2, 1), (2, 8, 2), (7, 3, 3), (4, 4, 1), (9, 5, 2), (1, 6, 1)]:
    lstm_basic("u8", *row)
for sizes in [(4, 6, 3, 1), (8, 5, 4, 3), (3, 9, 7, 2), (5, 5, 5, 1), (7, 4, 2, 2)]:
    lstm_narrow(*sizes)
both_directions("float", batch=3)
both_directions("float", batch=1, peephole=True)
for kind in ("hybrid_u8",):
    both_directions(kind)
    both_directions(kind, merge=False)
    both_directions(kind, merge=False, time_major=False, peephole=True)
    both_directions(kind, batch=1, time_major=False)
    both_directions(kind, aux="stacked", merge=False)
    both_directions(kind, aux="crossed", merge=False)
    both_directions(kind, projection=True)
    both_directions(kind, batch=3)
    rnn_both_directions(kind)
    rnn_both_directions(kind, merge=True)
    rnn_both_directions(kind, time_major=True)
    rnn_both_directions(kind, time_major=True, merge=True)
    rnn_both_directions(kind, aux="stacked")
    rnn_both_directions(kind, aux="crossed")
    rnn_both_directions(kind, batch=1)
    rnn_both_directions(kind, batch=3, merge=True)
for kind in ("float", "hybrid"):
    rnn_both_directions(kind, batch=1)
for kind in ("float", "hybrid", "hybrid_u8"):
    for k, (features, units, batch) in enumerate([(3, 4, 1), (7, 5, 3), (2, 9, 2), (8, 8, 1)]):
        activation = ("tanh", "relu", "relu6", "none")[k]
        rnn("RNN", kind, features, units, 1, batch + 3, activation=activation)
        rnn("UNIDIRECTIONAL_SEQUENCE_RNN", kind, features, units, 2 + k, batch + 3, time_major=k % 2 == 1, activation=activation)
    for activation in ("relu6", "relu_n1", "none"):
        rnn("UNIDIRECTIONAL_SEQUENCE_RNN", kind, steps=2, activation=activation)
for activation in ("tanh", "relu", "relu6", "relu_n1", "none"):
    rnn("RNN", "hybrid_u8", activation=activation)
for kind in ("float", "hybrid", "hybrid_u8", "integer"):
    plain = "relu" if kind == "integer" else "none"
    for row in [(3, 2, 1, 4, 1), (8, 3, 2, 3, 3), (5, 5, 1, 6, 2), (12, 4, 3, 2, 1)]:
        svdf(kind, *row, activation=plain)
    if kind == "hybrid_u8":
        svdf(kind)
        svdf(kind, activation="relu")
        svdf(kind, with_bias=False, runs=2)
        svdf(kind, asymmetric=True)

# Builtin operators of one or two types that had few cases.
for shape, radius, bias, alpha, beta in [((1, 1, 1, 4), 1, 1.0, 1.0, 0.5), ((2, 2, 1, 6), 3, 0.5, 0.25, 1.0), ((1, 2, 2, 3), 2, 4.0, 2.0, 0.75), ((3, 1, 1, 9), 4, 1.0, 0.1, 0.25)]:
    local_response(shape, radius, bias, alpha, beta)
for dtype in ("INT32", "INT64"):
    number_range(dtype, 2, 11, 3, False)
    number_range(dtype, -3, 8, 4, True)
for op in ("REDUCE_MIN", "REDUCE_MAX"):
    for dtype in ("INT32", "INT64", "UINT8", "INT8", "INT16"):
        for shape, axes in [((4,), (0,)), ((2, 3), (1,)), ((2, 2, 3), (0, 2))]:
            reduction(op, dtype, shape, axes, len(shape) == 2)
for dtype in ("INT32", "INT64", "INT8", "INT16"):
    for shape, axes in [((3,), (0,)), ((2, 2), (1,)), ((2, 1, 2), (0, 1))]:
        reduction("REDUCE_PROD", dtype, shape, axes, len(shape) == 2)
for shape, axes in [((3,), (0,)), ((2, 4), (0,)), ((1, 3, 2), (1, 2))]:
    reduction("MEAN", "INT32", shape, axes, False)
for dtype in ("INT32", "INT64"):
    for row in [(1, 2, 4), (2, 3, 1), (4, 2, 3), (1, 8, 9), (2, 6, 5)]:
        classes(dtype, *row)
for op in ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"):
    for shape, seed, seed2, known in [((3,), 1, 2, True), ((2, 2), 99, 7, True), ((1, 5), 3, 1 << 33, True), ((2, 3), 8, 9, False)]:
        numbers(op, shape, seed, seed2, known)
for op in ("HASHTABLE", "HASHTABLE_IMPORT", "HASHTABLE_FIND", "HASHTABLE_SIZE"):
    for turns in range(1, 9):
        table(op, "STRING", "INT64", turns)
        table(op, "INT64", "STRING", turns)
for names in TABLES.values():
    for op in names:
        for shape in [(4,), (1, 2), (3, 2), (2, 2, 2)]:
            custom_table(names, op, "INT64", "STRING", shape)
            custom_table(names, op, "STRING", "INT64", shape)

# Products.
for row in [((1, 4, 4, 2), 3, (2, 2)), ((2, 3, 5, 1), 4, (3, 1)), ((1, 6, 6, 3), 2, (3, 3))]:
    convolution("DEPTHWISE_CONV_2D", "hybrid_pc", *row, note="more")
    transposed("i16_b32", *row, "same", (2, 2))
for rows, depth, units in [(1, 16, 8), (4, 32, 4), (1, 48, 12)]:
    shuffled(rows, depth, units)
fully_connected("i16_w16", (2, 6), 3)



def dense_of_words(shape, units):
    """16-bit weights with a bias of 64 bits, which LiteRT reads as one of 32; NumPy multiplies real numbers."""

    def build(case):
        quants = Quant(np.float32(8 / 65536), 0), Quant(np.float32(1 / 32768), 0), Quant(np.float32(16 / 65536), 0)
        w, scale = case.values("INT16", (units, shape[1]), quants[1]), float(quants[0].scale) * float(quants[1].scale)
        b = np.round(case.rng.uniform(-1, 1, units) / scale).astype(np.int64)
        operands = [case.graph.input("INT16", shape, quants[0]), case.graph.const("INT16", w, quants[1]), case.graph.const("INT64", b, Quant(np.float32(scale), 0))]
        case.graph.op("FULLY_CONNECTED", operands, [case.graph.output("INT16", quants[2], shape=(shape[0], units))])
        case.feed(case.values("INT16", shape, quants[0]))

        def expected(x):
            steps = np.rint((x.astype(np.int64) @ w.T.astype(np.int64) + b) * (scale / float(quants[2].scale)))
            return [np.clip(steps, -32768, 32767).astype(np.int16)]

        case.expected, case.tolerance = expected, ("step", 1)

    add("FULLY_CONNECTED", label("words", shape, f"u{units}", "b64"), build)


for shape, units in [((1, 8), 3), ((2, 12), 4), ((3, 16), 5), ((1, 5), 2), ((4, 7), 1), ((2, 10), 6), ((1, 24), 2), ((2, 6), 3)]:
    dense_of_words(shape, units)
for shape, units in [((2, 6), 3), ((1, 9), 4)]:
    fully_connected("i16", shape, units)
transposed("i16", (1, 3, 4, 2), 3, (2, 2), "same", (2, 1))
transposed("i16", (1, 2, 3, 3), 2, (3, 3), "valid", (1, 2))
for element in [(6,), (2,), (5,), (2, 2), (1, 3), (4,), (3, 2), (1, 1, 2)]:
    for dtype in ALL_TYPES:
        listed("TensorListFromTensor", label("from_and_back", element), dtype, element, from_and_back)
for shape, channels, kernel in [((1, 4, 4, 2), 3, (2, 2)), ((2, 3, 5, 1), 4, (3, 1)), ((1, 6, 6, 3), 2, (3, 3)), ((1, 5, 3, 4), 5, (1, 1)), ((1, 4, 6, 1), 2, (2, 3)), ((1, 3, 3, 2), 8, (3, 3)),
                               ((2, 4, 4, 3), 1, (2, 2)), ((1, 7, 2, 2), 4, (1, 2))]:  # fmt: skip
    convolution("CONV_2D", "hybrid_u8", shape, channels, kernel, note="more")
rnn("UNIDIRECTIONAL_SEQUENCE_RNN", "hybrid_u8")
rnn_both_directions("hybrid_u8", aux="stacked", batch=3)
for shape in [(4,), (2, 3)]:
    unary("NEG", "FLOAT32", shape, {}, "little")
resize("RESIZE_NEAREST_NEIGHBOR", "UINT8", (1, 2, 2, 1), (5, 3), False, False)
resize("RESIZE_NEAREST_NEIGHBOR", "UINT8", (1, 3, 4, 2), (2, 2), False, True)

# Custom operators.
for op in ("AvgPool3D", "MaxPool3D"):
    for dtype in ("FLOAT32", "INT8", "INT16"):
        for padding in ("same", "valid"):
            pool3d(op, dtype, (1, 2, 2, 2, 1), (2, 2, 2), (1, 1, 1), padding)
            pool3d(op, dtype, (1, 3, 3, 3, 2), (1, 2, 1), (2, 2, 1), padding)
for kind in ("FLOAT32", "INT32"):
    for shape, extent in [((1, 2, 2, 1), (2, 2)), ((1, 6, 2, 2), (3, 1)), ((2, 2, 4, 1), (1, 2)), ((1, 4, 4, 3), (4, 2))]:
        unpool(kind, shape, extent)
for dtype, scores_as in (("FLOAT32", "UINT8"), ("UINT8", "FLOAT32")):
    for regular in (False, True):
        for count, classes_, most in [(20, 2, 3), (25, 3, 6), (15, 1, 4), (30, 4, 5)]:
            postprocess(regular, count, classes_, most=most, dtype=dtype, score=0.1, scores_as=scores_as)


def called(target, dtype, shape):
    """STABLEHLO_CUSTOM_CALL of a custom operator."""

    def build(case):
        operands = [case.graph.input(dtype, shape) for _ in range(2 if target == "Atan2" else 1)]
        case.graph.op("STABLEHLO_CUSTOM_CALL", operands, [case.graph.output(dtype, shape=shape)], callTargetName=target)
        case.expected = lambda *arrays: [(np.arctan2 if target == "Atan2" else np.sign)(*arrays)]

    add("STABLEHLO_CUSTOM_CALL", label(dtype, target.lower(), shape), build)


for target in ("Atan2", "Sign"):
    for dtype in ("FLOAT32", "FLOAT64"):
        for shape in [(4,), (2, 3)]:
            called(target, dtype, shape)


# Random numbers that cannot but be these: none at all, those of a range of one, the only class that is possible.
def no_numbers(op, dtype, shape):
    def build(case):
        case.graph.op(op, [case.graph.const("INT32", shape)], [case.graph.output(dtype, shape=shape)])
        case.runs = [[]]
        case.expected = lambda: [np.zeros(shape, NUMPY[dtype])]

    add(op, label(dtype, shape), build)


def one_number(dtype, shape, value):
    def build(case):
        limits = [case.graph.const(dtype, v) for v in (value, value + 1)]
        case.graph.op("RandomUniformInt", [case.graph.const("INT32", shape), *limits], [case.graph.output(dtype, shape=shape)])
        case.runs = [[]]
        case.expected = lambda: [np.full(shape, value, NUMPY[dtype])]

    add("RandomUniformInt", label(dtype, shape, "of", value).replace("-", "m"), build)


def one_class(dtype, rows, options, samples):
    def build(case):
        only = case.rng.integers(0, options, rows)
        case.graph.op("Multinomial", [case.graph.input("FLOAT32", (rows, options)), case.graph.const("INT32", samples)], [case.graph.output(dtype, shape=(rows, samples))])
        case.feed(np.where(np.arange(options) == only[:, None], 1, -np.inf).astype(np.float32))
        case.expected = lambda _: [np.repeat(only[:, None], samples, 1).astype(NUMPY[dtype])]

    add("Multinomial", label(dtype, (rows, options), samples), build)


for shape in [(0,), (2, 0), (0, 3), (1, 0, 2), (0, 0), (4, 0), (0, 1), (3, 2, 0)]:
    for dtype in ("FLOAT32", "FLOAT64"):
        no_numbers("RandomUniform", dtype, shape)
        no_numbers("RandomStandardNormal", dtype, shape)
for dtype in ("INT32", "INT64"):
    for k, shape in enumerate([(3,), (2, 2), (), (1, 4), (5,), (2, 1, 3), (1,), (0,)]):
        one_number(dtype, shape, (7, -3, 0, 100)[k % 4])
    for row in [(1, 3, 2), (2, 4, 5), (3, 2, 1), (1, 1, 4), (2, 5, 3), (4, 3, 2), (1, 8, 6), (2, 2, 2)]:
        one_class(dtype, *row)

for dtype in ("INT8", "UINT8", "INT16"):
    for shape in [(2, 3), (5,), (1, 2, 2), (7, 1)]:
        verify(dtype, shape, {"tolerance": 4.0, "log_if_failed": False})
for shape in [(2, 3), (5,), (1, 2, 2), (7, 1), (3, 3), (1,), (2, 2, 2)]:
    verify("FLOAT16", shape, {"tolerance": 0.0, "log_if_failed": False})
for regular in (False, True):
    for count, classes_, most in [(20, 2, 3), (25, 3, 6), (15, 1, 4)]:
        postprocess(regular, count, classes_, most=most, dtype="UINT8", score=0.1)
for name, samples, scale in [("floats_short", 600, 1), ("floats_long", 1800, 32), ("floats_loud", 1000, 8), ("floats_scaled", 1200, 128)]:
    microfrontend(name, samples, floats=True, out_scale=scale, loud=20000 if name == "floats_loud" else 8000)
for name, changes in [("floats_gain", {"enable_pcan": True}), ("floats_context", {"left_context": 1, "right_context": 1}), ("floats_no_log", {"enable_log": False})]:
    microfrontend(name, 1000, floats=True, **changes)
for op in ("READ_VARIABLE", "VAR_HANDLE", "ASSIGN_VARIABLE"):
    for dtype, shape in [("FLOAT32", (7,)), ("INT32", (1, 5)), ("INT64", (2, 1, 2))]:
        assign_then_read(op, dtype, shape)
