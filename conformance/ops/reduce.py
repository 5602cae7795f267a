"""Reductions along dimensions, arg-reductions and running sums."""

import numpy as np

from cases import QUANTIZED, add, label

AXES = [
    ((1, 4, 5, 3), (1, 2), True),
    ((1, 4, 5, 3), (1, 2), False),
    ((2, 3, 4), (-1,), False),
    ((2, 3, 4), (0,), True),
    ((2, 3, 4), (0, 1, 2), False),
]
MORE_AXES = [
    ((2, 3, 4), (0, 2), False),
    ((5,), (0,), False),
    ((2, 3, 2, 1, 3), (1, 3, 4), False),
    ((2, 3), (), False),
    ((2, 3, 4), (1, -2), False),
    ((1, 4, 4, 9), (1, 2), False),
]
REDUCTIONS = {
    "MEAN": ("FLOAT32", "INT32", "INT64", "UINT8", "INT8", "INT16"),
    "SUM": ("FLOAT32", "INT32", "INT64", "UINT8", "INT8", "INT16"),
    "REDUCE_PROD": ("FLOAT32", "INT32", "INT64", "INT8", "INT16"),
    "REDUCE_MAX": ("FLOAT32", "INT32", "INT64", "UINT8", "INT8", "INT16"),
    "REDUCE_MIN": ("FLOAT32", "INT32", "INT64", "UINT8", "INT8", "INT16"),
    "REDUCE_ANY": ("BOOL",),
    "REDUCE_ALL": ("BOOL",),
}
SAME_QUANT = {"REDUCE_MAX", "REDUCE_MIN"}


def reduction(op, dtype, shape, axes, keep, rescale=True):
    """One reduction over constant axes."""

    def build(case):
        quant = case.quant(dtype)
        terms = int(np.prod([shape[a] for a in set(a % len(shape) for a in axes)])) if axes else 1
        span = {"SUM": 4.0 * np.sqrt(terms), "REDUCE_PROD": 50.0}.get(op, 6.0)
        out = case.quant(dtype, span) if rescale and op not in SAME_QUANT else quant
        x = case.graph.input(dtype, shape, quant)
        axis = case.graph.const("INT32", np.array(axes, np.int32))
        case.graph.op(op, [x, axis], [case.graph.output(dtype, out)], keepDims=keep)
        if op == "REDUCE_PROD":
            low, high = {"FLOAT32": (-1.6, 1.6), "INT32": (-3, 3), "INT64": (-3, 3)}.get(dtype, (None, None))
            case.feed(case.values(dtype, shape, quant, low=low, high=high))
        case.allow_special = 0 in shape

    along = "axes" + "".join(str(a) for a in axes).replace("-", "m")
    add(op, label(dtype, shape, along, "keep" if keep else "", "" if rescale else "same_scale"), build)


for op, dtypes in REDUCTIONS.items():
    for dtype in dtypes:
        for row in AXES + (MORE_AXES if dtype in ("FLOAT32", "BOOL") or (dtype, op) == ("INT8", "MEAN") else []):
            reduction(op, dtype, *row)
        if dtype == "FLOAT32" and op in SAME_QUANT:
            reduction(op, dtype, (0, 3), (0,), False)
        if dtype in QUANTIZED and op in ("MEAN", "SUM"):
            reduction(op, dtype, *AXES[0], rescale=False)
            reduction(op, dtype, *AXES[2], rescale=False)


def arg(op, dtype, shape, axis, out):
    """The position of the largest or smallest value along one dimension; ties go to the first."""

    def build(case):
        x = case.graph.input(dtype, shape, case.quant(dtype))
        at = case.graph.const("INT32", axis)
        case.graph.op(op, [x, at], [case.graph.output(out)], outputType={"INT32": 2, "INT64": 4}[out])
        if dtype != "BOOL":
            values = case.values(dtype, shape)
            case.feed(values // 8 * 8 if dtype == "INT8" else values)

    add(op, label(dtype, shape, f"axis{axis}".replace("-", "m"), out), build)


for op in ("ARG_MAX", "ARG_MIN"):
    for dtype in ("FLOAT32", "INT8", "UINT8", "INT32", "BOOL"):
        for shape, axis, out in [((3, 17), 1, "INT32"), ((2, 3, 4), -2, "INT64"), ((1, 4, 3, 5), 3, "INT64"), ((9,), 0, "INT32")]:
            arg(op, dtype, shape, axis, out)


def cumulative_sum(dtype, shape, axis, exclusive, reverse):
    """Running sums along one dimension."""

    def build(case):
        x = case.graph.input(dtype, shape)
        at = case.graph.const("INT32", axis)
        case.graph.op("CUMSUM", [x, at], [case.graph.output(dtype)], exclusive=exclusive, reverse=reverse)

    add("CUMSUM", label(dtype, shape, f"axis{axis}".replace("-", "m"), "exclusive" if exclusive else "", "reverse" if reverse else ""), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    for shape, axis in [((7,), 0), ((2, 3, 4), 1), ((2, 5), -1)]:
        for exclusive in (False, True):
            cumulative_sum(dtype, shape, axis, exclusive, exclusive and axis != 0)
    cumulative_sum(dtype, (3, 4), 0, False, True)
