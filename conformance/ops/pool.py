"""Pooling and resizing over the two middle dimensions of NHWC tensors."""

import itertools

from cases import ACTIVATIONS, PADDING, add, label

GEOMETRIES = [
    ((1, 5, 7, 3), (2, 2), (2, 2), "same"),
    ((1, 6, 5, 4), (3, 2), (1, 2), "valid"),
    ((2, 4, 4, 5), (3, 3), (1, 1), "same"),
    ((1, 7, 7, 17), (7, 7), (7, 7), "valid"),
    ((1, 5, 5, 2), (1, 1), (2, 2), "same"),
    ((1, 9, 4, 1), (4, 3), (3, 2), "same"),
]


def pool(op, dtype, geometry, activation="none"):
    """One pooling window slid over the input; in and out share their quantization."""
    shape, window, stride, padding = geometry

    def build(case):
        quant = case.quant(dtype)
        x = case.graph.input(dtype, shape, quant)
        case.graph.op(op, [x], [case.graph.output(dtype, quant)], padding=PADDING[padding], strideH=stride[0], strideW=stride[1],
                      filterHeight=window[0], filterWidth=window[1], fusedActivationFunction=ACTIVATIONS[activation])

    add(op, label(dtype, shape, f"k{window[0]}x{window[1]}", f"s{stride[0]}x{stride[1]}", padding,
                  activation if activation != "none" else ""), build)


for op, dtypes in {
    "AVERAGE_POOL_2D": ("FLOAT32", "UINT8", "INT8", "INT16"),
    "MAX_POOL_2D": ("FLOAT32", "UINT8", "INT8", "INT16"),
    "L2_POOL_2D": ("FLOAT32",),
}.items():
    for dtype in dtypes:
        for geometry in GEOMETRIES:
            pool(op, dtype, geometry)
        for activation in ("relu", "relu_n1", "relu6"):
            pool(op, dtype, GEOMETRIES[0], activation)


def resize(op, dtype, shape, size, corners, half):
    """One resize to a constant size."""

    def build(case):
        quant = case.quant(dtype) if op == "RESIZE_BILINEAR" or dtype in ("INT8", "UINT8") else None
        x = case.graph.input(dtype, shape, quant)
        to = case.graph.const("INT32", size)
        case.graph.op(op, [x, to], [case.graph.output(dtype, quant)], alignCorners=corners, halfPixelCenters=half)

    add(op, label(dtype, shape, "to", size, "corners" if corners else "", "half" if half else ""), build)


SIZES = [((1, 3, 5, 2), (7, 4)), ((2, 4, 4, 3), (8, 8)), ((1, 7, 6, 1), (3, 2)), ((1, 1, 1, 3), (2, 3)), ((1, 5, 4, 2), (1, 1))]
for op, dtypes in {
    "RESIZE_BILINEAR": ("FLOAT32", "UINT8", "INT8", "INT16"),
    "RESIZE_NEAREST_NEIGHBOR": ("FLOAT32", "UINT8", "INT8", "INT16", "INT32", "FLOAT16", "BOOL"),
}.items():
    for dtype in dtypes:
        chosen = SIZES if dtype in ("FLOAT32", "INT8") else SIZES[:2] if op == "RESIZE_BILINEAR" else SIZES[:1]
        for (shape, size), (corners, half) in itertools.product(chosen, [(False, False), (True, False), (False, True)]):
            resize(op, dtype, shape, size, corners, half)
resize("RESIZE_NEAREST_NEIGHBOR", "FLOAT32", *SIZES[0], True, True)
