"""Operators that move or copy values without computing: reshaping, slicing, joining, padding, transposing."""

import itertools

import numpy as np

from cases import add, label

PLAIN = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL")
HALVES = ("FLOAT16", "BFLOAT16")


def move(op, name, dtypes, inputs, options=(), outputs=1, quantized=True, out_dtype=None, otherwise=None):
    """One case per type: `inputs` lists shapes (data of that type) and (type, constant values) pairs.

    `otherwise` gives the outputs for the data where LiteRT has no kernel.
    """
    for dtype in dtypes:

        def build(case, dtype=dtype):
            quant = case.quant(dtype) if quantized else None
            operands = []
            for operand in inputs:
                if isinstance(operand, tuple) and operand and isinstance(operand[0], str):
                    operands.append(case.graph.const(*operand))
                else:
                    operands.append(case.graph.input(dtype, operand, quant))
            made = [case.graph.output(out_dtype or dtype, None if out_dtype else quant) for _ in range(outputs)]
            case.graph.op(op, operands, made, **dict(options))
            case.otherwise = otherwise

        add(op, label(dtype, name), build)


def i32(*values):
    return ("INT32", values)


def i64(*values):
    return ("INT64", values)


WIDE = PLAIN + HALVES
for name, shape, new in [
    ("flatten", (1, 3, 5, 2), (-1,)), ("split", (12,), (3, 1, 4)), ("same", (2, 3), (2, 3)), ("to_scalar", (1, 1), ()),
    ("from_scalar", (), (1, 1, 1)), ("rank8", (2, 12), (1, 2, 1, 2, 3, 1, 2, 1)),
]:  # fmt: skip
    move("RESHAPE", name, PLAIN if name == "flatten" else ("FLOAT32", "INT8"), [shape, i32(*new)], {"newShape": list(new)})
move("RESHAPE", "option_only", ("FLOAT32", "INT8"), [(4, 3)], {"newShape": [2, 6]})
move("RESHAPE", "empty", ("FLOAT32",), [(0, 3), i32(0, 5)], {"newShape": [0, 5]})
move("RESHAPE", "empty_wildcard", ("FLOAT32",), [(2, 0, 3), i32(3, 0, -1)], {"newShape": [3, 0, -1]})
move("RESHAPE", "strings", ("STRING",), [(2, 3), i32(3, 2)], {"newShape": [3, 2]})


def reshape_at_run_time(dtype):
    """The new shape is an input."""

    def build(case):
        x = case.graph.input(dtype, (2, 6))
        shape = case.graph.input("INT32", (3,))
        case.graph.op("RESHAPE", [x, shape], [case.graph.output(dtype, shape=(1, 1, 1), dynamic=True)])
        case.feed(case.values(dtype, (2, 6)), np.array([3, -1, 2], np.int32))

    add("RESHAPE", label(dtype, "shape_is_input"), build)


reshape_at_run_time("FLOAT32")
reshape_at_run_time("INT8")

for name, shape, dims in [
    ("all", (1, 3, 1, 2), []),
    ("first", (1, 3, 1, 2), [0]),
    ("negative", (1, 3, 1, 2), [-2]),
    ("to_scalar", (1, 1), []),
]:
    move("SQUEEZE", name, PLAIN if name == "all" else ("FLOAT32", "INT8"), [shape], {"squeezeDims": dims})
move("SQUEEZE", "strings", ("STRING",), [(1, 3)], {"squeezeDims": [0]})
for name, shape, axis in [("first", (3, 2), i32(0)), ("last", (3, 2), i32(-1)), ("middle", (3, 2), i64(1)), ("scalar", (), i32(0))]:
    axis = (axis[0], axis[1][0])
    move("EXPAND_DIMS", name, PLAIN if name == "first" else ("FLOAT32", "INT8"), [shape, axis])
for name, shape, out in [("rank4", (1, 3, 5, 2), "INT32"), ("scalar", (), "INT32"), ("wide", (2, 0), "INT64"), ("rank1", (9,), "INT64")]:
    for dtype in ("FLOAT32", "INT8", "INT64", "BOOL"):
        move("SHAPE", f"{name}_{out.lower()}", (dtype,), [shape], {"outType": 2 if out == "INT32" else 4}, out_dtype=out)
for name, shape in [("rank4", (1, 2, 1, 3)), ("scalar", ()), ("rank2", (0, 3))]:
    move("RANK", name, ("FLOAT32", "INT8", "INT32", "BOOL"), [shape], out_dtype="INT32")

for name, shape, axis, count in [("first", (3, 2), 0, 2), ("last", (2, 3), -1, 3), ("middle", (2, 3, 2), 1, 2), ("scalars", (), 0, 4)]:
    dtypes = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "UINT32", "INT64") if name != "last" else ("FLOAT32", "INT8")
    move("PACK", name, dtypes, [shape] * count, {"axis": axis, "valuesCount": count})
for name, shape, axis, count in [("first", (3, 2), 0, 3), ("last", (2, 3, 2), -1, 2), ("vector", (3,), 0, 3), ("middle", (2, 4, 3), 1, 4)]:
    dtypes = ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "BOOL") if name != "last" else ("FLOAT32", "INT8")
    move("UNPACK", name, dtypes, [shape], {"axis": axis, "num": count}, outputs=count)

for name, shapes, axis in [
    ("channels", [(1, 5, 3, 2), (1, 5, 3, 4)], 3), ("rows", [(2, 3), (1, 3), (4, 3)], 0), ("negative", [(2, 1, 3), (2, 5, 3)], -2),
    ("with_empty", [(2, 0), (2, 3)], 1), ("one", [(4, 3)], 1), ("six", [(1, 2)] * 6, 0),
]:  # fmt: skip
    dtypes = WIDE + ("UINT32",) if name in ("channels", "rows", "negative") else ("FLOAT32", "INT8")
    move("CONCATENATION", name, dtypes, shapes, {"axis": axis})


def concatenation_rescaled():
    """uint8 inputs whose quantization differs from the output's."""

    def build(case):
        operands = [case.graph.input("UINT8", (2, n, 3), case.quant("UINT8", span)) for n, span in ((1, 4.0), (4, 9.0), (2, 8.0))]
        case.graph.op("CONCATENATION", operands, [case.graph.output("UINT8", case.quant("UINT8", 9.0))], axis=1)

    add("CONCATENATION", "u8_rescaled", build)


concatenation_rescaled()

COPIED = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64")
for name, shape, axis, count in [("last", (1, 3, 6), 2, 3), ("first", (4, 3), 0, 2), ("negative", (2, 4, 3), -2, 4)]:
    move("SPLIT", name, COPIED, [("INT32", axis), shape], {"numSplits": count}, outputs=count)
for name, shape, sizes, axis in [("uneven", (2, 7), (1, 4, 2), 1), ("rest", (6, 2), (2, -1), 0), ("negative", (2, 5, 3), (3, 2), -2)]:
    move("SPLIT_V", name, COPIED, [shape, i32(*sizes), ("INT32", axis)], {"numSplits": len(sizes)}, outputs=len(sizes))

for name, shape, begin, size, integer in [
    ("inner", (3, 5), (1, 2), (2, 2), i32), ("rest", (2, 4, 3), (0, 1, 2), (-1, -1, 1), i32), ("rank1", (9,), (3,), (4,), i64),
    ("rank4", (2, 3, 4, 2), (1, 0, 2, 0), (1, 3, 2, -1), i32), ("empty", (3, 4), (1, 2), (0, 2), i32), ("rank5", (2, 1, 3, 2, 2), (0, 0, 1, 1, 0), (2, 1, 2, 1, 1), i32),
]:  # fmt: skip
    dtypes = PLAIN + ("FLOAT16", "STRING") if name in ("inner", "rest", "rank1") else ("FLOAT32", "INT8")
    move("SLICE", name, dtypes, [shape, integer(*begin), integer(*size)])

STRIDED = [
    ("plain", (4, 5), (1, 0), (3, 4), (1, 2), {}),
    ("reversed", (4, 5), (3, 4), (0, 1), (-1, -2), {}),
    ("begin_end_masks", (3, 4, 5), (1, 1, 2), (2, 3, 4), (1, 1, 1), dict(beginMask=5, endMask=2)),
    ("reversed_masks", (3, 4), (0, 0), (0, 0), (-1, -1), dict(beginMask=3, endMask=3)),
    ("shrink", (3, 4, 2), (1, -1, 0), (2, 0, 2), (1, 1, 1), dict(shrinkAxisMask=3)),
    ("new_axis", (3, 4), (0, 0, 1), (0, 3, 3), (1, 1, 1), dict(newAxisMask=1)),
    ("ellipsis", (2, 3, 4), (0, 1), (0, 3), (1, 1), dict(ellipsisMask=1)),
    ("ellipsis_new_axis", (2, 3, 4), (1, 0, 0, 0), (2, 0, 0, 2), (1, 1, 1, 1), dict(ellipsisMask=2, newAxisMask=4, endMask=0)),
    ("negative_indices", (6,), (-4,), (-1,), (1,), {}),
    ("out_of_range", (3, 4), (-9, 1), (9, 99), (1, 1), {}),
    ("empty", (3, 4), (2, 0), (1, 4), (1, 1), {}),
    ("offset", (5, 4), (1, 0), (3, 2), (1, 1), dict(offset=True)),
    ("rank5", (2, 2, 3, 2, 3), (0, 0, 1, 0, 0), (2, 1, 3, 2, 3), (1, 1, 1, 1, 2), {}),
    ("fewer_than_rank", (3, 2, 4), (1,), (3,), (1,), {}),
]
for name, shape, begin, end, strides, masks in STRIDED:
    dtypes = PLAIN + ("FLOAT16", "STRING") if name in ("plain", "reversed", "begin_end_masks") else ("FLOAT32", "INT8")
    move("STRIDED_SLICE", name, dtypes, [shape, i32(*begin), i32(*end), i32(*strides)], masks)

PADDED = [
    ("images", (1, 3, 4, 2), [[0, 0], [1, 2], [0, 1], [0, 0]]), ("all", (2, 3), [[1, 1], [2, 0]]), ("vector", (5,), [[0, 3]]),
    ("rank5", (1, 2, 2, 1, 2), [[0, 1], [1, 0], [0, 0], [2, 1], [0, 1]]), ("nothing", (2, 3), [[0, 0], [0, 0]]), ("channels", (1, 2, 3, 3), [[0, 0], [0, 0], [0, 0], [1, 2]]),
]  # fmt: skip
for name, shape, pads in PADDED:
    dtypes = WIDE if name in ("images", "all", "vector") else ("FLOAT32", "INT8", "UINT8")
    move("PAD", name, dtypes, [shape, ("INT32", pads)])
move("PAD", "wide_paddings", ("FLOAT32", "INT8"), [(2, 3), ("INT64", [[1, 0], [0, 2]])])
move("PAD", "empty", ("FLOAT32",), [(0, 3), ("INT32", [[1, 0], [0, 2]])])
for name, shape, pads in PADDED[:4]:
    for dtype in WIDE if name in ("images", "all", "vector") else ("FLOAT32", "INT8"):

        def padv2(case, dtype=dtype, shape=shape, pads=pads):
            quant = case.quant(dtype)
            x = case.graph.input(dtype, shape, quant)
            fill = case.graph.const(dtype, case.values(dtype, (1,), quant), quant)
            case.graph.op("PADV2", [x, case.graph.const("INT32", pads), fill], [case.graph.output(dtype, quant)])

        add("PADV2", label(dtype, name), padv2)
for (name, shape, pads), mode in itertools.product(
    [("both", (3, 4), [[2, 1], [0, 3]]), ("images", (1, 3, 4, 2), [[0, 0], [1, 2], [2, 1], [0, 0]]), ("vector", (5,), [[4, 2]])],
    [0, 1],
):
    for dtype in PLAIN if name == "both" else ("FLOAT32", "INT8", "UINT8"):
        move("MIRROR_PAD", f"{name}_{('reflect', 'symmetric')[mode]}", (dtype,), [shape, ("INT32" if mode else "INT64", pads)], {"mode": mode})

for name, shape, order in [
    ("matrix", (5, 7), (1, 0)), ("to_nchw", (1, 4, 5, 3), (0, 3, 1, 2)), ("to_nhwc", (2, 3, 4, 5), (0, 2, 3, 1)), ("same", (2, 3), (0, 1)),
    ("rank5", (2, 3, 1, 4, 2), (4, 0, 3, 1, 2)), ("rank6", (1, 2, 3, 1, 2, 2), (5, 3, 1, 0, 2, 4)), ("heads", (1, 6, 2, 4), (0, 2, 1, 3)),
    ("rank8", (1, 2, 1, 2, 1, 2, 3, 1), (7, 6, 5, 4, 3, 2, 1, 0)), ("negative", (2, 3, 4), (-1, 0, 1)),
]:  # fmt: skip
    dtypes = PLAIN + ("FLOAT16",) if name in ("matrix", "to_nchw", "rank5") else ("FLOAT32", "INT8")
    move("TRANSPOSE", name, dtypes, [shape, i32(*order)])

for name, shape, multiples, integer in [
    ("both", (2, 3), (2, 3), i32),
    ("vector", (4,), (3,), i64),
    ("ones", (1, 2, 3), (1, 1, 2), i32),
    ("zero", (2, 3), (0, 1), i32),
    ("rank5", (1, 2, 1, 2, 1), (2, 1, 3, 1, 2), i32),
]:
    dtypes = PLAIN + ("STRING",) if name in ("both", "vector", "ones") else ("FLOAT32", "INT8")
    move("TILE", name, dtypes, [shape, integer(*multiples)])
for name, shape, target, integer in [
    ("rows", (1, 3), (4, 3), i32),
    ("scalar", (), (2, 3), i32),
    ("rank", (3, 1), (2, 3, 2), i64),
    ("rank8", (1, 2, 1), (1, 2, 1, 1, 2, 2, 2, 2), i32),
    ("same", (2, 2), (2, 2), i32),
]:
    dtypes = WIDE if name in ("rows", "scalar", "rank") else ("FLOAT32", "INT8")
    move("BROADCAST_TO", name, dtypes, [shape, integer(*target)])

BLOCKS = ("FLOAT32", "INT8", "UINT8", "INT32", "INT64")
for name, shape, size in [("two", (1, 4, 6, 3), 2), ("three", (2, 3, 6, 1), 3), ("one", (1, 2, 2, 2), 1)]:
    move("SPACE_TO_DEPTH", name, BLOCKS, [shape], {"blockSize": size})
for name, shape, size in [("two", (1, 2, 3, 8), 2), ("three", (2, 1, 2, 9), 3), ("one", (1, 2, 2, 2), 1)]:
    move("DEPTH_TO_SPACE", name, BLOCKS, [shape], {"blockSize": size})
for name, shape, block, pads in [
    ("even", (1, 4, 4, 2), (2, 2), [[0, 0], [0, 0]]),
    ("padded", (2, 5, 3, 1), (2, 3), [[1, 2], [0, 0]]),
    ("rank3", (1, 5, 3), (2,), [[0, 1]]),
]:
    move("SPACE_TO_BATCH_ND", name, BLOCKS + ("INT16",), [shape, i32(*block), ("INT32", pads)])
for name, shape, block, crops in [
    ("even", (4, 2, 2, 2), (2, 2), [[0, 0], [0, 0]]),
    ("cropped", (6, 3, 2, 1), (2, 3), [[1, 2], [0, 1]]),
    ("rank3", (4, 3, 3), (2,), [[0, 1]]),
]:
    move("BATCH_TO_SPACE_ND", name, BLOCKS + ("INT16",), [shape, i32(*block), ("INT32", crops)])
