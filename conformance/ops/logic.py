"""Comparisons, logic and selection."""

import numpy as np

from cases import add, label

SHAPES = [((1, 3, 3, 3), (1, 3, 3, 3)), ((2, 3, 4), (4,)), ((3, 1), (1, 5)), ((), (6,))]
COMPARED = ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "INT16", "FLOAT16")
COMPARISONS = {
    "EQUAL": COMPARED + ("BOOL", "STRING"),
    "NOT_EQUAL": COMPARED + ("BOOL", "STRING"),
    "LESS": COMPARED + ("BFLOAT16",),
    "GREATER": COMPARED + ("BFLOAT16",),
    "LESS_EQUAL": COMPARED,
    "GREATER_EQUAL": COMPARED,
}


def comparison(op, dtype, left, right, same_scale):
    """One comparison; a third of the operands are made equal."""

    def build(case):
        plain = dtype == "INT16" and op not in ("EQUAL", "NOT_EQUAL")
        a_quant = None if plain else case.quant(dtype)
        b_quant = a_quant if same_scale or plain else case.quant(dtype)
        a, b = case.values(dtype, left, a_quant), case.values(dtype, right, b_quant)
        if left == right:
            b = np.where(case.rng.random(left) < 0.3, a, b)
        x, y = case.graph.input(dtype, left, a_quant), case.graph.input(dtype, right, b_quant)
        case.graph.op(op, [x, y], [case.graph.output("BOOL")])
        case.feed(a, b)

    add(op, label(dtype, left, right, "same_scale" if same_scale else ""), build)


for op, dtypes in COMPARISONS.items():
    for dtype in dtypes:
        for left, right in SHAPES if dtype in ("FLOAT32", "INT8", "INT32") else SHAPES[:3]:
            comparison(op, dtype, left, right, False)
        if dtype in ("INT8", "UINT8"):
            comparison(op, dtype, *SHAPES[0], True)


def not_a_number(op):
    """NaN and signed zeros compared."""

    def build(case):
        special = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1.0], np.float32)
        x, y = case.graph.input("FLOAT32", (6, 1)), case.graph.input("FLOAT32", (1, 6))
        case.graph.op(op, [x, y], [case.graph.output("BOOL")])
        case.feed(special[:, None], special[None])

    add(op, "f32_special_values", build)


for op in COMPARISONS:
    not_a_number(op)


def logical(op, shapes):
    def build(case):
        operands = [case.graph.input("BOOL", shape) for shape in shapes]
        case.graph.op(op, operands, [case.graph.output("BOOL")])

    add(op, label("BOOL", *shapes), build)


for shapes in SHAPES:
    logical("LOGICAL_AND", shapes)
    logical("LOGICAL_OR", shapes)
for shape in [(1, 5, 7, 3), (), (0, 2)]:
    logical("LOGICAL_NOT", (shape,))

SELECTED = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "BOOL")
SELECTIONS = [((2, 3, 4), (2, 3, 4), (2, 3, 4)), ((3,), (3, 2, 2), (3, 2, 2)), ((), (2, 5), (2, 5))]
BROADCAST_SELECTIONS = [((2, 3, 4), (2, 3, 4), (2, 3, 4)), ((3, 1), (1, 4), ()), ((4,), (2, 3, 4), (3, 1)), ((2, 1, 1, 3), (1, 2, 1, 3), (5, 1))]


def selection(op, dtype, shapes):
    """Values from one of two operands by a condition."""

    def build(case):
        quant = case.quant(dtype)
        condition = case.graph.input("BOOL", shapes[0])
        x, y = case.graph.input(dtype, shapes[1], quant), case.graph.input(dtype, shapes[2], quant)
        case.graph.op(op, [condition, x, y], [case.graph.output(dtype, quant)])

    add(op, label(dtype, *shapes), build)


for dtype in SELECTED:
    for shapes in SELECTIONS:
        selection("SELECT", dtype, shapes)
    for shapes in BROADCAST_SELECTIONS if dtype in ("FLOAT32", "INT8") else BROADCAST_SELECTIONS[:3]:
        selection("SELECT_V2", dtype, shapes)
