"""How the operators that models use most get 64 cases for each combination of types."""

import zlib

import numpy as np

import ops.types_computed  # noqa: F401  these modules give every combination eight cases and more
import ops.types_moved  # noqa: F401
import ops.types_stateful  # noqa: F401
from cases import CASES
from ops.usual import ENOUGH
from pairwise import endless

LEAST_BEFORE = 8
TRIES = 10_000
MOST_ELEMENTS = 80
BROADCASTS = ("equal", "vector", "scalar", "ones", "shorter")


def sweep(op, row, axes, draw):
    """Adds cases of one combination of types: `draw(rng, **choice)` adds one with a choice from `axes`, and draws the rest.

    The choices cover the pairs of the axes' values. A case that is there already is dropped.
    """
    seed = zlib.crc32(f"{op}/{row}".encode())
    rng, names, wanted = np.random.default_rng(seed), {name for name, _ in CASES[op]}, len(CASES[op]) + ENOUGH - LEAST_BEFORE
    for _, choice in zip(range(TRIES), endless(axes, seed)):
        draw(rng, **choice)
        name, _ = CASES[op][-1]
        if name in names:
            CASES[op].pop()
        names.add(name)
        if len(CASES[op]) == wanted:
            return
    raise AssertionError(f"{op} of {row} has too few axes for {ENOUGH} cases")


def sized(rng, rank, wide=False, largest=4):
    """A shape of a rank; with `wide` its last dimension fills a vector register and some more. Large ones are cut down."""
    shape = [int(d) for d in rng.integers(1, largest + 1, rank)]
    if wide and shape:
        shape[-1] = int(rng.integers(17, 40))
    while np.prod(shape, initial=1) > MOST_ELEMENTS:
        k = int(np.argmax(shape[:-1] if max(shape[:-1], default=1) > 1 else shape))
        shape[k] = shape[k] // 2
    return tuple(shape)


def broadcast_pair(rng, rank, how):
    """Two shapes that broadcast in one of `BROADCASTS`; either may be the larger one."""
    shape = sized(rng, rank, wide=rank in (1, 2) and rng.random() < 0.4)
    other = {
        "equal": shape,
        "vector": shape[-1:],
        "scalar": (),
        "ones": tuple(1 if rng.random() < 0.5 else d for d in shape),
        "shorter": shape[int(rng.integers(rank + 1)) :],
    }[how]
    mine = tuple(1 if how == "ones" and rng.random() < 0.3 else d for d in shape)
    return (mine, other) if rng.random() < 0.5 else (other, mine)


def divisor(rng, number):
    return int(rng.choice([d for d in range(1, number + 1) if number % d == 0]))
