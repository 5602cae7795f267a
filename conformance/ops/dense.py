"""Matrix products: FULLY_CONNECTED and BATCH_MATMUL."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cases import ACTIVATIONS, HYBRID, add, label
from onebuild import BlockQuant, Quant
from ops.conv import FLAVOURS, bias, bias_option, output_span, weights

FLAVOURS.update(
    {
        "u8_i8": ("UINT8", "UINT8", "INT32", False),
        "i16_w16": ("INT16", "INT16", "INT32", False),
        "i8_w4_pt": ("INT8", "INT4", "INT32", False),
        "hybrid_u8": ("FLOAT32", "UINT8", "FLOAT32", False),
        "hybrid_w4_pt": ("FLOAT32", "INT4", "FLOAT32", False),
    }
)


def fully_connected(flavour, shape, units, activation="none", with_bias=True, keep=False, asymmetric=False, dynamic=False,
                    output=None):
    """One dense layer; `dynamic` makes the weights an input, `output` sets another output type."""

    def build(case):
        graph = case.graph
        dtype = FLAVOURS[flavour][0]
        input_quant = case.quant(dtype)
        x = graph.input(dtype, shape, input_quant)
        depth = shape[-1]
        if flavour == "i16_w16":
            quant = Quant(np.float32(1 / 32768), 0)
            w = graph.const("INT16", case.values("INT16", (units, depth), quant), quant)
        elif dynamic:
            quant = None if dtype == "FLOAT32" else case.quant(dtype, 2.0)
            w = graph.input(dtype, (units, depth), quant)
        else:
            w, quant = weights(case, flavour, (units, depth), 0)
        b = bias(case, flavour, units, input_quant, quant) if with_bias else None
        y = graph.output(output or dtype, case.quant(output or dtype, output_span(flavour, depth)))
        graph.op("FULLY_CONNECTED", [x, w, b], [y], keepNumDims=keep, asymmetricQuantizeInputs=asymmetric,
                 fusedActivationFunction=ACTIVATIONS[activation], **bias_option(flavour))
        if flavour.startswith("hybrid"):
            case.tolerance = HYBRID

    add("FULLY_CONNECTED", label(flavour, shape, f"u{units}", activation if activation != "none" else "", "" if with_bias else "nobias",
                                 "keep" if keep else "", "asym" if asymmetric else "", "dynamic" if dynamic else "", output or ""), build)


for flavour in ("f32", "f16w", "hybrid", "hybrid_pc", "hybrid_u8", "hybrid_w4", "hybrid_w4_pt", "u8", "i8", "i8_pc", "i8_w4",
                "i8_w4_pt", "i16", "i16_pc", "i16_b32", "i16_w16"):
    fully_connected(flavour, (1, 13), 7)
    fully_connected(flavour, (3, 16), 5, "relu")
    fully_connected(flavour, (2, 3, 8), 4, with_bias=False, keep=True)
    fully_connected(flavour, (2, 2, 3, 5), 6, "relu6")
    if flavour.startswith("hybrid"):
        fully_connected(flavour, (3, 16), 5, asymmetric=True)
        fully_connected(flavour, (2, 37), 9, "relu", asymmetric=True)
for flavour in ("f32", "i8_pc", "u8", "hybrid_pc"):
    fully_connected(flavour, (5, 67), 33)
    fully_connected(flavour, (1, 1), 1, "relu_n1")
    fully_connected(flavour, (7, 4), 3)
for flavour in ("f32", "i8", "u8"):
    fully_connected(flavour, (3, 9), 4, dynamic=True)
    fully_connected(flavour, (3, 9), 4, dynamic=True, with_bias=False)
fully_connected("f32", (0, 4), 3)
# LiteRT leaves the bias of rows without elements out.
fully_connected("f32", (3, 0), 4, with_bias=False)
fully_connected("f32", (3, 0), 5, "relu", dynamic=True, with_bias=False)
# Not "i8": LiteRT takes the bytes for unsigned ones when the output has 16 bits.
fully_connected("u8", (2, 6), 3, output="INT16")



def in_blocks(shape, units, block, activation="none", with_bias=True):
    """A dense layer of floats with 4-bit weights that have a scale for each block along the depth."""

    def build(case):
        graph = case.graph
        depth = shape[-1]
        scales = graph.const("FLOAT16", case.values("FLOAT16", (units * depth // block,), low=1 / 32, high=0.25))
        x = graph.input("FLOAT32", shape)
        w = graph.const("INT4", case.values("INT4", (units, depth)), BlockQuant(scales, block))
        b = graph.const("FLOAT32", case.values("FLOAT32", (units,))) if with_bias else None
        graph.op("FULLY_CONNECTED", [x, w, b], [graph.output("FLOAT32")], keepNumDims=len(shape) > 2,
                 asymmetricQuantizeInputs=True, fusedActivationFunction=ACTIVATIONS[activation])
        case.tolerance = HYBRID

    add("FULLY_CONNECTED", label("blocks", block, shape, f"u{units}", activation if activation != "none" else "",
                                 "" if with_bias else "nobias"), build)


in_blocks((1, 64), 8, 32)
in_blocks((3, 32), 5, 32)
in_blocks((2, 3, 64), 7, 32, with_bias=False)
in_blocks((4, 128), 16, 64, "relu")


def by_rows(values, block):
    """The blocks of columns that hold something, row after row, and the schema's description of where they go."""
    rows, columns = values.shape
    blocks = values.reshape(rows, columns // block, block)
    present = blocks.any(axis=2)
    packed = schema.SparsityParametersT()
    packed.traversalOrder, packed.blockMap = np.arange(2 + (block > 1), dtype=np.int32), np.array([1] * (block > 1), np.int32)
    packed.dimMetadata = [schema.DimensionMetadataT() for _ in packed.traversalOrder]
    packed.dimMetadata[0].denseSize = rows
    listed = packed.dimMetadata[1]
    listed.format = schema.DimensionType.SPARSE_CSR
    listed.arraySegmentsType = listed.arrayIndicesType = schema.SparseIndexVector.Int32Vector
    listed.arraySegments, listed.arrayIndices = schema.Int32VectorT(), schema.Int32VectorT()
    listed.arraySegments.values = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
    listed.arrayIndices.values = np.nonzero(present)[1].astype(np.int32)
    if block > 1:
        packed.dimMetadata[2].denseSize = block
    return blocks[present], packed


def shuffled(rows, depth, units, activation="none"):
    """A dense layer whose weights are stored in tiles of 4 rows by 16 columns; its second output is the input in that order."""

    def build(case):
        graph = case.graph
        input_quant, quant = Quant(np.float32(1 / 64), 128), Quant(np.float32(1 / 128), 128)
        x = graph.input("UINT8", (rows, depth), input_quant)
        tiles = case.values("UINT8", (units, depth), quant).reshape(units // 4, 4, depth // 16, 16).transpose(0, 2, 1, 3)
        w = graph.const("UINT8", (tiles ^ 0x80).reshape(units, depth), quant)
        b = bias(case, "u8", units, input_quant, quant)
        y, workspace = graph.output("INT16", Quant(np.float32(8 / 32768), 0)), graph.tensor("UINT8", (rows, depth), input_quant)
        graph.op("FULLY_CONNECTED", [x, w, b], [y, workspace], weightsFormat=1, fusedActivationFunction=ACTIVATIONS[activation])

    add("FULLY_CONNECTED", label("shuffled", (rows, depth), f"u{units}", activation if activation != "none" else ""), build)


shuffled(1, 16, 4)
shuffled(1, 48, 12, "relu")
shuffled(4, 32, 8)
shuffled(4, 16, 4, "relu6")


def sparse_dense(dtype, shape, units, block, activation="none", with_bias=True):
    """A dense layer whose weights are stored sparsely."""

    def build(case):
        graph = case.graph
        depth = shape[-1]
        kept = np.repeat(case.rng.random((units, depth // block)) < 0.4, block, axis=1)
        input_quant = case.quant(dtype)
        x = graph.input(dtype, shape, input_quant)
        quant = None if dtype == "FLOAT32" else Quant(np.float32(0.01), 0)
        values = case.values(dtype, (units, depth), quant, low=-1.0 if quant is None else -127, high=1.0 if quant is None else 127)
        stored, sparsity = by_rows(values * kept.astype(values.dtype), block)
        w = graph.const(dtype, stored, quant)
        w.shape, w.sparsity = (units, depth), sparsity
        b = bias(case, "f32" if quant is None else "i8", units, input_quant, quant) if with_bias else None
        y = graph.output(dtype, case.quant(dtype, output_span("i8", depth)))
        graph.op("FULLY_CONNECTED", [x, w, b], [y], fusedActivationFunction=ACTIVATIONS[activation])
        case.undelegated = True

    add("FULLY_CONNECTED", label("sparse", dtype, f"block{block}", shape, f"u{units}", activation if activation != "none" else "",
                                 "" if with_bias else "nobias"), build)


for block in (1, 4):
    sparse_dense("FLOAT32", (1, 16), 8, block)
    sparse_dense("FLOAT32", (3, 32), 12, block, "relu")
    sparse_dense("FLOAT32", (2, 16), 4, block, with_bias=False)
for block in (1, 16):
    sparse_dense("INT8", (1, 32), 8, block)
    sparse_dense("INT8", (3, 64), 6, block, "relu")

MATMULS = [
    dict(left=(5, 7), right=(7, 3)),
    dict(left=(2, 4, 5), right=(2, 5, 3)),
    dict(left=(2, 1, 3, 4), right=(1, 3, 4, 5)),
    dict(left=(2, 3, 6), right=(6, 5)),
    dict(left=(3, 5, 4), right=(3, 5, 2), adjoint=(True, False)),
    dict(left=(2, 3, 5), right=(2, 4, 5), adjoint=(False, True)),
    dict(left=(6, 3), right=(5, 6), adjoint=(True, True)),
]
RANK_FIVE = dict(left=(2, 1, 2, 3, 4), right=(1, 3, 1, 4, 2))
MATMUL_FLAVOURS = {
    "f32": ("FLOAT32", "FLOAT32", "FLOAT32"),
    "i8": ("INT8", "INT8", "INT8"),
    "i8_i32": ("INT8", "INT8", "INT32"),
    "i16": ("INT16", "INT16", "INT16"),
    "i16_i8": ("INT16", "INT8", "INT16"),
    "hybrid": ("FLOAT32", "INT8", "FLOAT32"),
}


def batch_matmul(flavour, left, right, adjoint=(False, False), constant=False, asymmetric=False):
    """One batched product; `constant` makes the right operand part of the model."""

    def build(case):
        graph = case.graph
        left_type, right_type, out_type = MATMUL_FLAVOURS[flavour]
        depth = left[-2] if adjoint[0] else left[-1]
        left_quant = case.quant(left_type)
        right_quant = Quant(np.float32(0.01), 0) if flavour in ("hybrid", "i16_i8") else case.quant(right_type, 2.0)
        x = graph.input(left_type, left, left_quant)
        if constant:
            y = graph.const(right_type, case.values(right_type, right, right_quant), right_quant)
        else:
            y = graph.input(right_type, right, right_quant)
        out_quant = Quant(np.float32(0.001), 0) if out_type == "INT32" else case.quant(out_type, output_span(flavour, depth))
        graph.op("BATCH_MATMUL", [x, y], [graph.output(out_type, out_quant)], adjX=adjoint[0], adjY=adjoint[1],
                 asymmetricQuantizeInputs=asymmetric)
        if flavour == "hybrid":
            case.tolerance = HYBRID

    add("BATCH_MATMUL", label(flavour, left, right, "adjx" if adjoint[0] else "", "adjy" if adjoint[1] else "",
                              "const" if constant else "", "asym" if asymmetric else ""), build)


for flavour in MATMUL_FLAVOURS:
    for shapes in MATMULS:
        if flavour != "hybrid":
            batch_matmul(flavour, **shapes)
        if flavour in ("f32", "i8", "hybrid"):
            batch_matmul(flavour, **shapes, constant=True)
    if flavour == "hybrid":
        batch_matmul(flavour, **MATMULS[1], constant=True, asymmetric=True)
        batch_matmul(flavour, **MATMULS[3], constant=True, asymmetric=True)
batch_matmul("f32", **RANK_FIVE)
batch_matmul("i8", **RANK_FIVE)
batch_matmul("f32", (1, 33, 17), (1, 17, 40))
