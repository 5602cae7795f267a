"""Operators of quantization tools: comparing with floats, rotating features."""

import numpy as np

from cases import EXACT, FLOAT, HALF, add, label
from onebuild import Quant


def verify(dtype, shape, options):
    def build(case):
        graph = case.graph
        quant = case.quant(dtype)
        x, original = graph.input(dtype, shape, quant), graph.input("FLOAT32", shape)
        graph.op("NumericVerify", [x, original], [graph.output("FLOAT32")], **options)
        stored = case.values(dtype, shape, quant)
        if quant is None:
            exact = stored.astype(np.float32)
        else:
            exact = (stored.astype(np.int32) - quant.zero) * quant.scale
        step = np.float32(quant.scale if quant else 0.01)
        case.feed(stored, (exact + case.rng.uniform(-0.4, 0.4, shape) * step).astype(np.float32))
        case.tolerance = ("float", 1e-3)

    add("NumericVerify", label(dtype, shape, "strict" if options.get("log_if_failed") else ""), build)


for dtype in ("INT8", "UINT8", "INT16"):
    for shape in [(3, 5), (17,)]:
        verify(dtype, shape, {"tolerance": 5.0, "log_if_failed": True})
        verify(dtype, shape, {"tolerance": 0.0, "log_if_failed": False})
verify("FLOAT16", (3, 5), {"tolerance": 0.0, "log_if_failed": False})


def rotation(shape, size):
    def build(case):
        x = case.graph.input("FLOAT32", shape)
        case.graph.op("aeq.hadamard_rotation", [x], [case.graph.output("FLOAT32", shape=shape)], hadamard_size=size,
                      random_binary_vector=[1] * size)
        case.tolerance = FLOAT

    add("aeq.hadamard_rotation", label(shape, f"size{size}"), build)


for shape, size in [((2, 4), 4), ((3, 8), 2), ((2, 3, 16), 16), ((1, 2, 64), 64), ((2, 128), 128), ((2, 128), 64), ((1, 1, 512), 256), ((4, 6), 1)]:
    rotation(shape, size)


def table(dtype, shape):
    """A table of an 8-bit function, or of a 16-bit one with 513 entries that are interpolated."""

    def build(case):
        graph = case.graph
        entries = case.values(dtype, (256 if dtype == "INT8" else 513,), Quant(np.float32(1.0)))
        if dtype == "INT16":
            entries = np.sort(entries)
        quant = Quant(np.float32(0.05), 0)
        x = graph.input(dtype, shape, quant)
        graph.op("Table", [x, graph.const(dtype, entries)], [graph.output(dtype, quant)])
        values = case.values(dtype, shape, quant)
        values.reshape(-1)[:2] = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
        case.feed(values)
        wide = values.astype(np.int32)
        if dtype == "INT8":
            answer = entries[wide + 128]
        else:
            entry, rest, wider = (wide >> 7) + 256, wide & 127, entries.astype(np.int32)
            answer = (wider[entry] + (((wider[entry + 1] - wider[entry]) * rest + 64) >> 7)).astype(np.int16)
        case.expect("numpy", answer)
        case.tolerance = EXACT

    add("Table", label(dtype, shape), build)


for dtype in ("INT8", "INT16"):
    for shape in [(17,), (2, 3, 4), (1, 1, 9), (64, 2)]:
        table(dtype, shape)


def pointwise(op, dtype, shape):
    def build(case):
        inputs = [case.graph.input(dtype, shape) for _ in range(2 if op == "Atan2" else 1)]
        case.graph.op(op, inputs, [case.graph.output(dtype)])
        arrays = [case.values(dtype, shape) for _ in inputs]
        case.feed(*arrays)
        case.expect("numpy", (np.arctan2 if op == "Atan2" else np.sign)(*arrays))
        case.tolerance = FLOAT

    add(op, label(dtype, shape), build)


for op in ("Sign", "Atan2"):
    for dtype in ("FLOAT32", "FLOAT64"):
        for shape in [(7,), (2, 3, 4), (), (1, 5)]:
            pointwise(op, dtype, shape)


def gradient_args(dtype, a, b, axes):
    def build(case):
        graph = case.graph
        inputs = [graph.input(dtype, (len(shape),)) for shape in (a, b)]
        graph.op("BroadcastGradientArgs", inputs, [graph.output(dtype, shape=(1,), dynamic=True) for _ in range(2)])
        kind = np.int32 if dtype == "INT32" else np.int64
        case.feed(np.array(a, kind), np.array(b, kind))
        case.expect("numpy", *(np.array(list_, kind) for list_ in axes))
        case.tolerance = EXACT

    add("BroadcastGradientArgs", label(dtype, "a", a, "b", b), build)


for dtype in ("INT32", "INT64"):
    gradient_args(dtype, (2, 3), (2, 3), ((), ()))
    gradient_args(dtype, (2, 3), (3,), ((), (0,)))
    gradient_args(dtype, (2, 1, 4), (3, 4), ((1,), (0,)))
    gradient_args(dtype, (1, 3, 1), (2, 1, 1), ((0, 2), (1, 2)))
    gradient_args(dtype, (4,), (5, 1, 1), ((0, 1), (1, 2)))


def roll(dtype, shape, shifts, axes, kind="INT32"):
    def build(case):
        graph = case.graph
        x = graph.input(dtype, shape)
        graph.op("Roll", [x, graph.const(kind, shifts), graph.const(kind, axes)], [graph.output(dtype)])
        values = case.values(dtype, shape)
        case.feed(values)
        case.expect("numpy", np.roll(values, np.atleast_1d(shifts).tolist(), np.atleast_1d(axes).tolist()))
        case.tolerance = EXACT

    add("Roll", label(dtype, shape, "by", np.atleast_1d(shifts).tolist(), "axes", np.atleast_1d(axes).tolist(), kind), build)


for dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "STRING"):
    roll(dtype, (5, 3), 2, 0)
roll("FLOAT32", (3, 4, 2), (1, -1), (0, 1))
roll("FLOAT32", (3, 4, 2), (1, 2, 5), (2, -1, 0), "INT64")
roll("INT32", (4, 5), (3, 4), (1, 1))
roll("INT8", (7,), 7, 0, "INT64")
