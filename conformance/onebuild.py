"""Builds small .tflite models tensor by tensor and operator by operator, for cases the converter would never emit."""

from dataclasses import dataclass, field
from typing import Optional

import flatbuffers
import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from catalog import CUSTOM, OPERATORS

NUMPY = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "BFLOAT16": ml_dtypes.bfloat16,
    "FLOAT64": np.float64,
    "FLOAT8_E4M3FN": ml_dtypes.float8_e4m3fn,
    "FLOAT8_E5M2": ml_dtypes.float8_e5m2,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
    "COMPLEX64": np.complex64,
    "COMPLEX128": np.complex128,
    "STRING": np.object_,
    "INT4": np.int8,
    "UINT4": np.uint8,
    "INT2": np.int8,
}
PACKED_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}
NO_BUFFER = 0
ABSENT = -1


class AlignedBuffer(schema.BufferT):
    """A buffer whose data starts at a multiple of 16 bytes, as the schema asks and the generated packer does not do."""

    def Pack(self, builder):
        if self.data is None:
            return super().Pack(builder)
        content = bytes(self.data)
        builder.StartVector(1, len(content), 16)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack_bits(values, bits):
    """Packs small integers, the first in the lowest bits of the first byte."""
    per_byte = 8 // bits
    flat = np.asarray(values).reshape(-1).astype(np.int64) & ((1 << bits) - 1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % per_byte, np.int64)]).reshape(-1, per_byte)
    return (flat << (np.arange(per_byte) * bits)).sum(axis=1).astype(np.uint8).tobytes()


def pack_strings(values):
    """The string tensor layout: count, then count + 1 byte offsets, all int32, then the bytes of every string."""
    strings = [bytes(value) for value in np.asarray(values, object).reshape(-1)]
    offsets = np.cumsum([4 * (len(strings) + 2)] + [len(string) for string in strings])
    return np.concatenate([[len(strings)], offsets]).astype("<i4").tobytes() + b"".join(strings)


def to_bytes(dtype, values):
    """The bytes a tensor of type `dtype` holds for `values`."""
    if dtype in PACKED_BITS:
        return pack_bits(values, PACKED_BITS[dtype])
    if dtype == "STRING":
        return pack_strings(values)
    return np.ascontiguousarray(np.asarray(values, NUMPY[dtype])).tobytes()


@dataclass(frozen=True)
class Quant:
    """Affine quantization: one scale and zero point, or one of each per index of dimension `axis`."""

    scale: object
    zero: object = 0
    axis: int = 0

    def scales(self):
        return [float(s) for s in np.atleast_1d(self.scale)]

    def zeros(self):
        zeros = [int(z) for z in np.atleast_1d(self.zero)]
        return zeros * len(self.scales()) if len(zeros) == 1 else zeros


@dataclass(frozen=True)
class BlockQuant:
    """Zero-centred quantization with one scale for each block of `size` elements along the last dimension."""

    scales: "Tensor"  # constant, of the same graph
    size: int


@dataclass
class Tensor:
    dtype: str
    shape: Optional[tuple]
    values: Optional[np.ndarray] = None
    quant: Optional[Quant] = None
    variable: bool = False
    dynamic: bool = False
    name: str = ""
    index: int = -1
    sparsity: Optional[object] = None
    holds: tuple = ()


@dataclass
class Operator:
    code: str
    inputs: list
    outputs: list
    options: dict
    intermediates: list


@dataclass
class Graph:
    """One subgraph under construction. Output shapes may be left open (None) for the reference to fill in."""

    name: str = "main"
    tensors: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    operators: list = field(default_factory=list)

    def tensor(self, dtype, shape=None, quant=None, **more):
        shape = None if shape is None else tuple(int(d) for d in shape)
        made = Tensor(dtype, shape, quant=quant, index=len(self.tensors), **more)
        made.name = made.name or f"t{made.index}"
        self.tensors.append(made)
        return made

    def input(self, dtype, shape, quant=None, **more):
        made = self.tensor(dtype, shape, quant, **more)
        self.inputs.append(made)
        return made

    def const(self, dtype, values, quant=None):
        values = np.asarray(values, NUMPY[dtype])
        return self.tensor(dtype, values.shape, quant, values=values)

    def output(self, dtype, quant=None, shape=None, **more):
        made = self.tensor(dtype, shape, quant, **more)
        self.outputs.append(made)
        return made

    def op(self, code, inputs, outputs, intermediates=(), **options):
        """Adds an operator; inputs may contain None for an absent optional one.

        Options use the schema's names; those of a custom operator are the keys of a FlexBuffers map, or `raw` its bytes.
        """
        self.operators.append(Operator(code, list(inputs), list(outputs), options, list(intermediates)))
        return outputs[0] if outputs else None


@dataclass(frozen=True)
class Signature:
    key: str
    graph: Graph
    inputs: dict
    outputs: dict


def _quantization(quant):
    packed = schema.QuantizationParametersT()
    if isinstance(quant, BlockQuant):
        packed.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        packed.details = schema.BlockwiseQuantizationT()
        packed.details.scales, packed.details.zeroPoints, packed.details.blockSize = quant.scales.index, ABSENT, quant.size
        return packed
    packed.scale = np.array(quant.scales(), np.float32)
    packed.zeroPoint = np.array(quant.zeros(), np.int64)
    packed.quantizedDimension = quant.axis
    return packed


def _tensor(tensor, buffers):
    packed = schema.TensorT()
    packed.type = getattr(schema.TensorType, tensor.dtype)
    packed.shape = np.array(tensor.shape or (), np.int32)
    if tensor.dynamic:
        packed.shapeSignature = np.full(len(packed.shape), -1, np.int32)
        packed.shape = np.ones(len(packed.shape), np.int32)
    packed.hasRank = tensor.shape is not None
    packed.name = tensor.name
    packed.isVariable = tensor.variable
    packed.buffer = NO_BUFFER
    if tensor.quant is not None:
        packed.quantization = _quantization(tensor.quant)
    packed.sparsity = tensor.sparsity
    if tensor.holds:
        packed.variantTensors = [schema.VariantSubTypeT()]
        dtype, shape = tensor.holds
        packed.variantTensors[0].type = getattr(schema.TensorType, dtype)
        packed.variantTensors[0].shape = np.array(shape, np.int32)
        packed.variantTensors[0].hasRank = True
    if tensor.values is not None:
        packed.buffer = len(buffers)
        buffers.append(AlignedBuffer())
        buffers[-1].data = to_bytes(tensor.dtype, tensor.values)
    return packed


def attributes(fields):
    """A FlexBuffers map; lists of numbers become typed vectors."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in fields.items():
            if isinstance(value, (bool, np.bool_)):
                builder.Bool(key, bool(value))
            elif isinstance(value, (int, np.integer)):
                builder.Int(key, int(value))
            elif isinstance(value, (float, np.floating)):
                builder.Float(key, float(value))
            elif isinstance(value, str):
                builder.String(key, value)
            else:
                builder.TypedVectorFromElements(key, list(value))
    return bytes(builder.Finish())


def _options(code, fields):
    """The (union type, table) of an operator's options; (0, None) where the schema has no table for it."""
    table, _ = OPERATORS[code]
    if not table:
        return 0, None
    packed = getattr(schema, table + "T")()
    for name, value in fields.items():
        if not hasattr(packed, name):
            raise AttributeError(f"{table} has no field {name}")
        setattr(packed, name, value.encode() if isinstance(value, bytes) else value)
    union = schema.BuiltinOptions2 if not hasattr(schema.BuiltinOptions, table) else schema.BuiltinOptions
    return getattr(union, table), packed


def _operator(operator, codes):
    packed = schema.OperatorT()
    if operator.code not in codes:
        codes.append(operator.code)
    packed.opcodeIndex = codes.index(operator.code)
    packed.inputs = np.array([ABSENT if t is None else t.index for t in operator.inputs], np.int32)
    packed.outputs = np.array([t.index for t in operator.outputs], np.int32)
    if operator.intermediates:
        packed.intermediates = np.array([t.index for t in operator.intermediates], np.int32)
    if operator.code in CUSTOM:
        raw = operator.options.get("raw")
        packed.customOptions = np.frombuffer(attributes(operator.options) if raw is None else raw, np.uint8)
        return packed
    union, table = _options(operator.code, operator.options)
    if hasattr(schema.BuiltinOptions, OPERATORS[operator.code][0] or "NONE"):
        packed.builtinOptionsType, packed.builtinOptions = union, table
    else:
        packed.builtinOptions2Type, packed.builtinOptions2 = union, table
    return packed


def _operator_code(code):
    packed = schema.OperatorCodeT()
    if code in CUSTOM:
        packed.builtinCode = packed.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        packed.customCode, packed.version = code, CUSTOM[code]
        return packed
    packed.builtinCode = getattr(schema.BuiltinOperator, code)
    packed.deprecatedBuiltinCode = min(packed.builtinCode, 127)
    packed.version = OPERATORS[code][1]
    return packed


def _signature(signature, graphs):
    def maps(tensors):
        made = []
        for name, tensor in tensors.items():
            made.append(schema.TensorMapT())
            made[-1].name, made[-1].tensorIndex = name, tensor.index
        return made

    packed = schema.SignatureDefT()
    packed.signatureKey = signature.key
    packed.subgraphIndex = graphs.index(signature.graph)
    packed.inputs, packed.outputs = maps(signature.inputs), maps(signature.outputs)
    return packed


def serialize(graphs, signatures=()):
    """The .tflite bytes of a model with these subgraphs; operator versions are the newest the reference registers."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [AlignedBuffer()]
    model.subgraphs = []
    codes = []
    for graph in graphs:
        packed = schema.SubGraphT()
        packed.name = graph.name
        packed.tensors = [_tensor(tensor, model.buffers) for tensor in graph.tensors]
        packed.inputs = np.array([t.index for t in graph.inputs], np.int32)
        packed.outputs = np.array([t.index for t in graph.outputs], np.int32)
        packed.operators = [_operator(operator, codes) for operator in graph.operators]
        model.subgraphs.append(packed)
    model.operatorCodes = [_operator_code(code) for code in codes]
    if signatures:
        model.signatureDefs = [_signature(signature, graphs) for signature in signatures]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
