"""The stacked LSTM of the zoo, written operator by operator: the converter unrolls Keras' LSTM into a loop instead."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conformance"))
from onebuild import Graph, Quant, Signature, serialize  # noqa: E402

STEPS, FEATURES, UNITS, LAYERS, CLASSES = 50, 40, 128, 2, 12
FORGET, TANH = 1, 4
INPUT_QUANT = Quant(np.float32(8 / 256), 0)
HIDDEN_QUANT = Quant(np.float32(1 / 128), 0)
CELL_QUANT = Quant(np.float32(2.0**-11), 0)
LOGITS_QUANT = Quant(np.float32(16 / 256), 0)
SOFTMAX_QUANT = Quant(np.float32(1 / 256), -128)


def matrix(graph, rng, fmt, rows, columns):
    """A seeded weight matrix in the format's type; returns the tensor and its scale (1 where it is float)."""
    values = rng.normal(0, 1.5 / np.sqrt(columns), (rows, columns)).astype(np.float32)
    if fmt == "f32":
        return graph.const("FLOAT32", values), 1.0
    if fmt == "f16":
        wide = graph.tensor("FLOAT32", values.shape)
        graph.op("DEQUANTIZE", [graph.const("FLOAT16", values)], [wide])
        return wide, 1.0
    scale = np.float32(np.abs(values).max() / 127)
    return graph.const("INT8", np.round(values / scale), Quant(scale, 0)), float(scale)


def bias(graph, rng, fmt, count, scale, shift=0.0):
    """A seeded bias; int32 in the accumulator's scale for integer arithmetic."""
    values = rng.normal(shift, 0.2, count).astype(np.float32)
    if fmt == "int8":
        return graph.const("INT32", np.round(values / scale), Quant(np.float32(scale), 0))
    return graph.const("FLOAT32", values)


def layer(graph, rng, fmt, x, features):
    """Adds one LSTM layer without peepholes, projection or normalization; returns its output sequence."""
    integer = fmt == "int8"
    dtype = "INT8" if integer else "FLOAT32"
    quant = HIDDEN_QUANT if integer else None
    from_input = [matrix(graph, rng, fmt, UNITS, features) for _ in range(4)]
    from_hidden = [matrix(graph, rng, fmt, UNITS, UNITS) for _ in range(4)]
    in_scale = float(x.quant.scale) if integer else 1.0
    biases = [
        bias(graph, rng, fmt, UNITS, in_scale * scale, shift=1.0 if gate == FORGET else 0.0)
        for gate, (_, scale) in enumerate(from_input)
    ]
    state = graph.tensor(dtype, (1, UNITS), quant, variable=True)
    cell = graph.tensor("INT16" if integer else "FLOAT32", (1, UNITS), CELL_QUANT if integer else None, variable=True)
    tensors = lambda pairs: [tensor for tensor, _ in pairs]
    operands = [x, *tensors(from_input), *tensors(from_hidden), None, None, None, *biases, None, None, state, cell] + [None] * 4
    intermediates = []
    if integer:
        intermediates = [graph.tensor("INT16", (), Quant(np.float32(2.0**-12), 0)) for _ in range(4)]
        intermediates.append(graph.tensor("INT8", (), HIDDEN_QUANT))
    y = graph.tensor(dtype, (1, STEPS, UNITS), quant)
    return graph.op("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, [y], intermediates, fusedActivationFunction=TANH)


def lstm_stack(fmt):
    """The .tflite bytes: LSTM layers over feature frames, then a dense layer and a softmax on the last step."""
    rng = np.random.default_rng(3)
    graph = Graph()
    integer = fmt == "int8"
    dtype = "INT8" if integer else "FLOAT32"
    frames = graph.input(dtype, (1, STEPS, FEATURES), INPUT_QUANT if integer else None, name="frames")
    x, features = frames, FEATURES
    for _ in range(LAYERS):
        x, features = layer(graph, rng, fmt, x, features), UNITS
    last = graph.tensor(dtype, (1, UNITS), HIDDEN_QUANT if integer else None)
    bounds = [graph.const("INT32", values) for values in ((0, STEPS - 1, 0), (1, STEPS, UNITS), (1, 1, 1))]
    graph.op("STRIDED_SLICE", [x, *bounds], [last], shrinkAxisMask=2)
    head, scale = matrix(graph, rng, fmt, CLASSES, UNITS)
    offset = bias(graph, rng, fmt, CLASSES, scale * float(HIDDEN_QUANT.scale))
    logits = graph.tensor(dtype, (1, CLASSES), LOGITS_QUANT if integer else None)
    graph.op("FULLY_CONNECTED", [last, head, offset], [logits])
    classes = graph.output(dtype, SOFTMAX_QUANT if integer else None, shape=(1, CLASSES), name="classes")
    graph.op("SOFTMAX", [logits], [classes], beta=1.0)
    return serialize([graph], [Signature("serving_default", graph, {"frames": frames}, {"classes": classes})])
