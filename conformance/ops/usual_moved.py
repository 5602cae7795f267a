"""The operators that models use most to move elements: 64 cases for each combination of types."""

import numpy as np

from cases import add
from ops.shape import i32, i64, move
from ops.sixty_four import sized, sweep
from ops.types_moved import COPIED, JOINED, PACKED, PADDED, REAL_TYPES, cut, name_of, numpy_of, packed, padded

INTEGERS = {"INT32": i32, "INT64": i64}
QUARTERS = ("INT4", "UINT4")


def place(op, dtype, name, shape, constants, otherwise=None, **options):
    """One operand to move and constants that say where to, in any type."""
    if dtype in PACKED:
        packed(op, dtype, name, [shape], constants, **options)
    else:
        move(op, name, (dtype,), [shape, *constants], options, otherwise=otherwise)


for dtype in (*REAL_TYPES, "INT4", "UINT4"):

    def draw_transpose(rng, rank, wide, fixed, dtype=dtype):
        shape, order = sized(rng, rank, wide), [int(a) for a in rng.permutation(rank)]
        if fixed == "first":
            order = [0, *(1 + int(a) for a in rng.permutation(rank - 1))]
        if fixed == "last":
            order = [*(int(a) for a in rng.permutation(rank - 1)), rank - 1]
        place("TRANSPOSE", dtype, name_of(shape, "to", order), shape, [i32(*order)], numpy_of(np.transpose, order))

    sweep("TRANSPOSE", dtype, {"rank": range(2, 7 if dtype not in QUARTERS else 5), "wide": (False, True), "fixed": ("", "first", "last")}, draw_transpose)

for dtype in (*JOINED, "INT4"):

    def draw_concatenation(rng, rank, count, backward, wide, dtype=dtype):
        shape, axis = sized(rng, rank, wide), int(rng.integers(rank))
        shapes = [(*shape[:axis], int(rng.integers(1, 6)), *shape[axis + 1 :]) for _ in range(count)]
        axis -= rank if backward else 0
        name = name_of(*shapes, f"on{axis}")
        if dtype in PACKED:
            packed("CONCATENATION", dtype, name, shapes, axis=axis)
        else:
            move("CONCATENATION", name, (dtype,), shapes, {"axis": axis})

    sweep("CONCATENATION", dtype, {"rank": range(1, 6), "count": (1, 2, 3, 5), "backward": (False, True), "wide": (False, True)}, draw_concatenation)

for dtype in PADDED:
    for kind in ("INT32", "INT64", "INT8", "INT16"):

        def draw_pad(rng, rank, before, after, dtype=dtype, kind=kind):
            shape = sized(rng, rank, rng.random() < 0.2, 3)
            pads = [[int(rng.integers(before + 1)), int(rng.integers(after + 1))] for _ in shape]
            move("PAD", name_of(shape, "with", sum(pads, []), kind), (dtype,), [shape, (kind, pads)], otherwise=numpy_of(padded, pads))

        sweep("PAD", f"{dtype} {kind}", {"rank": range(1, 6), "before": (0, 1, 3), "after": (0, 2, 4)}, draw_pad)

for dtype in (*REAL_TYPES, "STRING", "INT4"):
    for kind, integer in INTEGERS.items():

        def draw_slice(rng, rank, wide, rest, dtype=dtype, integer=integer):
            shape = sized(rng, rank, wide, 5)
            begin = [int(rng.integers(d)) for d in shape]
            size = [-1 if rest and rng.random() < 0.5 else int(rng.integers(1, d - b + 1)) for d, b in zip(shape, begin)]
            name = name_of(shape, "at", begin, "of", size, integer.__name__)
            place("SLICE", dtype, name, shape, [integer(*begin), integer(*size)], numpy_of(cut, begin, size))

        sweep("SLICE", f"{dtype} {kind}", {"rank": range(1, 6), "wide": (False, True), "rest": (False, True)}, draw_slice)

for dtype in (*REAL_TYPES, "STRING"):

    def draw_strided(rng, rank, step, open_begin, open_end, dtype=dtype):
        shape = sized(rng, rank, largest=5)
        steps = [int(rng.choice([step, 1])) for _ in shape]
        begin, end = ([int(rng.integers(-d, d)) for d in shape] for _ in range(2))
        # XNNPACK takes an end of 0 for that of the dimension.
        end = [d if e == 0 and s > 0 else e for e, s, d in zip(end, steps, shape)]
        masks = {"beginMask": int(rng.integers(1 << rank)) if open_begin else 0, "endMask": int(rng.integers(1 << rank)) if open_end else 0}
        parts = tuple(
            slice(None if masks["beginMask"] >> k & 1 else b, None if masks["endMask"] >> k & 1 else e, s)
            for k, (b, e, s) in enumerate(zip(begin, end, steps))
        )
        name = name_of(shape, "at", begin, "to", end, "step", steps, list(masks.values()))
        constants = [i32(*begin), i32(*end), i32(*steps)]
        move("STRIDED_SLICE", name, (dtype,), [shape, *constants], masks, otherwise=numpy_of(lambda data, parts: data[parts], parts))

    sweep("STRIDED_SLICE", dtype, {"rank": range(1, 6), "step": (-2, -1, 1, 2, 3), "open_begin": (False, True), "open_end": (False, True)}, draw_strided)

for dtype in COPIED:

    def draw_split(rng, rank, parts, backward, wide, dtype=dtype):
        shape, axis = list(sized(rng, rank, wide)), int(rng.integers(rank))
        shape[axis] = parts * int(rng.integers(1, 4))
        axis -= rank if backward else 0
        move("SPLIT", name_of(shape, f"on{axis}", f"in{parts}"), (dtype,), [("INT32", axis), tuple(shape)], {"numSplits": parts}, outputs=parts)

    sweep("SPLIT", dtype, {"rank": range(1, 6), "parts": (1, 2, 3, 5), "backward": (False, True), "wide": (False, True)}, draw_split)
for dtype in (*COPIED, "UINT32"):

    def draw_pack(rng, rank, count, backward, wide, dtype=dtype):
        shape, axis = sized(rng, rank, wide), int(rng.integers(rank + 1))
        axis -= rank + 1 if backward else 0
        move("PACK", name_of(shape, f"on{axis}", f"of{count}"), (dtype,), [shape] * count, {"axis": axis, "valuesCount": count})

    sweep("PACK", dtype, {"rank": range(5), "count": (1, 2, 3, 5), "backward": (False, True), "wide": (False, True)}, draw_pack)


def rows_of(table, positions, axis, batch):
    """What GATHER takes: positions along an axis, those of each batch from its own part of the table."""
    if batch:
        return np.stack([rows_of(part, at, axis - 1, batch - 1) for part, at in zip(table, positions)])
    return np.take(table, positions, axis)


def gathered(dtype, index, shape, at, axis, batch):
    def build(case):
        quant = PACKED.get(dtype, case.quant(dtype))
        table, positions = case.graph.input(dtype, shape, quant), case.graph.input(index, at)
        case.graph.op("GATHER", [table, positions], [case.graph.output(dtype, quant)], axis=axis, batchDims=batch)
        case.feed(case.values(dtype, shape, None if dtype in PACKED else quant), case.values(index, at, low=0, high=shape[axis] - 1))
        case.otherwise = lambda table, positions: [rows_of(table, positions, axis % len(shape), batch)]

    add("GATHER", name_of(dtype, shape, "on", axis, "at", at, index, f"batches{batch}" if batch else ""), build)


# LiteRT has kernels for tables of these in batches.
BATCHED = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL")
for dtype in ("FLOAT32", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "STRING", "INT4"):
    for index in ("INT16", "INT32", "INT64"):

        def draw_gather(rng, rank, count, batch, last, dtype=dtype, index=index):
            shape, batch = sized(rng, rank, largest=5), min(batch, rank - 1)
            axis = rank - 1 if last else int(rng.integers(batch, rank))
            if dtype == "INT4":  # LiteRT moves whole bytes: rows of an odd size come out of nowhere
                shape, axis = (*shape, int(rng.choice([2, 4, 6]))), 0
            gathered(dtype, index, shape, (*shape[:batch], *sized(rng, count, largest=4)), axis, batch)

        batches = (0, 1, 2) if dtype in BATCHED else (0,)
        sweep("GATHER", f"{dtype} {index}", {"rank": range(1, 5), "count": range(4), "batch": batches, "last": (False, True)}, draw_gather)
