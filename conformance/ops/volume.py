"""Convolutions of volumes and their gradients."""

import numpy as np

from cases import ACTIVATIONS, FLOAT, PADDING, SAME, add, label


def options(padding, strides, dilations, activation):
    made = dict(zip(("strideD", "strideH", "strideW"), strides)) | dict(zip(("dilationDFactor", "dilationHFactor", "dilationWFactor"), dilations))
    return made | {"padding": PADDING[padding], "fusedActivationFunction": ACTIVATIONS[activation]}


def outputs_of(sizes, kernel, padding, strides, dilations):
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    if PADDING[padding] == SAME:
        return [-(-n // s) for n, s in zip(sizes, strides)]
    return [-(-(n + 1 - r) // s) for n, r, s in zip(sizes, reach, strides)]


def name(op, shape, kernel, channels, padding, strides, dilations, activation, bias, constant):
    parts = [shape, "k", kernel, f"c{channels}", padding, "s", strides]
    parts += ["d", dilations] if max(dilations) > 1 else []
    return label(*parts, activation if activation != "none" else "", "" if bias else "nobias", "" if constant else "dynamic")


def conv3d(shape, kernel, channels, padding="same", strides=(1, 1, 1), dilations=(1, 1, 1), activation="none", bias=True, constant=True):
    def build(case):
        graph = case.graph
        dims = (*kernel, shape[-1], channels)
        filters = graph.const("FLOAT32", case.values("FLOAT32", dims)) if constant else graph.input("FLOAT32", dims)
        x = graph.input("FLOAT32", shape)
        operands = [x, filters] + ([graph.const("FLOAT32", case.values("FLOAT32", (channels,)))] if bias else [])
        graph.op("CONV_3D", operands, [graph.output("FLOAT32")], **options(padding, strides, dilations, activation))
        case.tolerance = FLOAT

    add("CONV_3D", name("CONV_3D", shape, kernel, channels, padding, strides, dilations, activation, bias, constant), build)


def conv3d_transpose(shape, kernel, channels, padding="same", strides=(1, 1, 1), dilations=(1, 1, 1), activation="none", bias=True,
                     constant=True):
    """`shape` is that of the output."""

    def build(case):
        graph = case.graph
        sizes = outputs_of(shape[1:4], kernel, padding, strides, dilations)
        dims = (*kernel, shape[-1], channels)
        filters = graph.const("FLOAT32", case.values("FLOAT32", dims)) if constant else graph.input("FLOAT32", dims)
        x = graph.input("FLOAT32", (shape[0], *sizes, channels))
        operands = [graph.const("INT32", shape), filters, x]
        operands += [graph.const("FLOAT32", case.values("FLOAT32", shape[-1:]))] if bias else []
        graph.op("CONV_3D_TRANSPOSE", operands, [graph.output("FLOAT32")], **options(padding, strides, dilations, activation))
        case.tolerance = FLOAT

    add("CONV_3D_TRANSPOSE", name("", shape, kernel, channels, padding, strides, dilations, activation, bias, constant), build)


for make in (conv3d, conv3d_transpose):
    make((1, 3, 4, 5, 2), (2, 3, 3), 3)
    make((2, 4, 4, 4, 3), (3, 3, 3), 5, "valid", activation="relu")
    make((1, 5, 6, 7, 2), (2, 2, 3), 4, strides=(2, 3, 2), activation="relu6")
    make((1, 5, 6, 7, 2), (2, 2, 3), 4, "valid", strides=(1, 2, 3), activation="relu_n1")
    make((1, 6, 5, 6, 1), (2, 2, 2), 3, dilations=(2, 1, 3))
    make((1, 6, 7, 6, 2), (2, 3, 2), 17, "valid", dilations=(1, 2, 2))
    make((1, 2, 3, 3, 4), (1, 1, 1), 6)
    make((2, 2, 3, 4, 3), (3, 5, 5), 2, bias=False)
    make((1, 3, 3, 3, 2), (2, 2, 2), 2, constant=False)
