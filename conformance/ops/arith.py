"""Elementwise arithmetic on two operands, with broadcasting and fused activations."""

from cases import ACTIVATIONS, QUANTIZED, add, label

SHAPES = [
    ((1, 5, 7, 3), (1, 5, 7, 3)),
    ((1, 5, 7, 3), (3,)),
    ((2, 1, 4, 3), (1, 5, 1, 3)),
    ((), (4, 3)),
    ((11,), ()),
    ((2, 1, 3, 2, 5), (4, 1, 2, 1)),
]
NARROW_SHAPES = [
    ((1, 3, 5, 3), (1, 3, 5, 3)),
    ((1, 3, 5, 3), (3,)),
    ((2, 1, 4, 3), (1, 3, 1, 3)),
]
RANK_SIX = ((1, 2, 1, 3, 2, 4), (2, 1, 2, 1, 1, 4))
EMPTY = ((0, 4), (1, 4))

ARITHMETIC = {
    "ADD": ("FLOAT32", "FLOAT16", "INT32", "INT64", "INT8", "UINT8", "INT16"),
    "SUB": ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "INT16"),
    "MUL": ("FLOAT32", "FLOAT16", "INT32", "UINT32", "INT64", "COMPLEX64", "INT8", "UINT8", "INT16"),
    "DIV": ("FLOAT32", "INT32", "UINT8", "INT8", "INT16"),
    "MAXIMUM": ("FLOAT32", "FLOAT16", "BFLOAT16", "INT32", "INT64", "INT16", "INT8", "UINT8"),
    "MINIMUM": ("FLOAT32", "FLOAT16", "BFLOAT16", "INT32", "INT64", "INT16", "INT8", "UINT8"),
    "SQUARED_DIFFERENCE": ("FLOAT32", "INT32", "INT8"),
    "POW": ("FLOAT32", "INT32"),
    "FLOOR_DIV": ("FLOAT32", "INT32", "INT16", "INT8"),
    "FLOOR_MOD": ("FLOAT32", "INT32", "INT64", "INT16", "INT8"),
}
FUSED = {"ADD", "SUB", "MUL", "DIV"}
PLAIN_WHEN_NARROW = {"FLOOR_DIV", "FLOOR_MOD"}  # these take int8 and int16 as numbers, not as quantized values
SAME_QUANT = {"MAXIMUM", "MINIMUM"}
DIVIDES = {"DIV", "FLOOR_DIV", "FLOOR_MOD"}
OUTPUT_SPAN = {"ADD": 12.0, "SUB": 12.0, "MUL": 20.0, "DIV": 10.0, "SQUARED_DIFFERENCE": 40.0}


def away_from_zero(values, dtype, quant):
    """Moves the values that mean zero to the next one, for divisors."""
    zero = quant.zero if quant is not None else 0
    return values + (values == zero).astype(values.dtype)


def binary(op, dtype, shapes, activation="none", constant=False, seed=""):
    """One operator of two operands; `constant` makes the second one part of the model."""

    def build(case):
        graph = case.graph
        quantized = dtype in QUANTIZED and op not in PLAIN_WHEN_NARROW
        left = case.quant(dtype) if quantized else None
        right = (left if op in SAME_QUANT else case.quant(dtype)) if quantized else None
        out = (left if op in SAME_QUANT else case.quant(dtype, OUTPUT_SPAN.get(op, 8.0))) if quantized else None
        a, b = case.values(dtype, shapes[0], left), case.values(dtype, shapes[1], right)
        if op in DIVIDES:
            b = away_from_zero(b, dtype, right)
        if op == "POW":
            a = case.values(dtype, shapes[0], low=1, high=4) if dtype == "INT32" else case.values(dtype, shapes[0], low=0.1)
            b = case.values(dtype, shapes[1], low=0, high=5) if dtype == "INT32" else b
        x = graph.input(dtype, shapes[0], left)
        y = graph.const(dtype, b, right) if constant else graph.input(dtype, shapes[1], right)
        options = {"fusedActivationFunction": ACTIVATIONS[activation]} if op in FUSED else {}
        if op in ("ADD", "SUB") and dtype == "INT16":
            options["potScaleInt16"] = False
        graph.op(op, [x, y], [graph.output(dtype, out)], **options)
        case.feed(*([a] if constant else [a, b]))

    add(op, label(dtype, *shapes, activation if activation != "none" else "", "const" if constant else "", seed), build)


for op, dtypes in ARITHMETIC.items():
    for dtype in dtypes:
        full = dtype == "FLOAT32" or (dtype == "INT8" and op in FUSED)
        shapes_of_type = SHAPES if full else NARROW_SHAPES
        for shapes in shapes_of_type:
            binary(op, dtype, shapes)
        binary(op, dtype, shapes_of_type[1], constant=True)
        if dtype == "FLOAT32" or (dtype == "INT32" and op in FUSED):
            binary(op, dtype, RANK_SIX)
            binary(op, dtype, EMPTY)
        if op in FUSED and dtype in ("FLOAT32", "INT8", "UINT8", "INT16", "INT32"):
            for activation in ("relu", "relu_n1", "relu6"):
                binary(op, dtype, shapes_of_type[0], activation)
