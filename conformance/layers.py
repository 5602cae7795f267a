"""Finds the layers at which the two runtimes part, from every tensor that each of them computed."""

from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onebuild import AlignedBuffer

MOST = 20
OPERATOR = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
READABLE = {schema.TensorType.RESOURCE: False, schema.TensorType.VARIANT: False}


@dataclass
class Layer:
    """One operator's output that is not equal in both runtimes."""

    position: int
    operator: str
    tensor: str
    verdict: str
    error: str


def first_name(tensor):
    """A tensor's name; where the converter joined the names of fused layers, the first of them."""
    return (tensor.name or b"").decode(errors="replace").split(";")[0]


def operator_outputs(model):
    """(position, operator name, tensor index, tensor name) of every operator's outputs in the primary subgraph."""
    graph = model.subgraphs[0]
    for position, operator in enumerate(graph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        name = OPERATOR[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for index in operator.outputs:
            if READABLE.get(graph.tensors[index].type, True):
                yield position, name, int(index), first_name(graph.tensors[index])


def expose(model, indices):
    """The model with these tensors as the outputs of its primary subgraph, so that even a delegate keeps them."""
    model.subgraphs[0].outputs = np.array(indices, np.int32)
    model.signatureDefs = None
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def parting_layers(content, reference, arrays, ours, compare):
    """The first layer whose tensor is not equal, then the first beyond tolerance (if none, the next unequal ones).

    `ours` is keyed "subgraph/tensor"; tensors that Ferrolite fused away are absent from it and skipped.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    steps = [step for step in operator_outputs(model) if f"0/{step[2]}" in ours]
    theirs = reference.run(expose(model, [step[2] for step in steps]), [arrays])["outputs"][0]
    found = []
    for (position, operator, index, tensor), expected in zip(steps, theirs):
        result = compare(tensor, expected, ours[f"0/{index}"])
        if result.verdict != "equal":
            found.append(Layer(position, operator, tensor, result.verdict, result.error))
    beyond = [layer for layer in found[1:] if layer.verdict == "different"]
    return (found[:1] + beyond if beyond else found)[:MOST]
