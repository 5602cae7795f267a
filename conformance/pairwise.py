"""Choices of one value per axis that cover the pairs of values with few cases."""

import itertools
import random

CANDIDATES = 24


def _pairs(choice):
    """What a choice covers: its values, two by two and one by one."""
    items = sorted(choice.items())
    return set(itertools.combinations(items, 2)) | {(item,) for item in items}


def choices(axes, count, rng):
    """At most `count` choices, each the best of a few random ones at covering new pairs; ends when none covers a new one."""
    seen = set()
    for _ in range(count):
        drawn = [{name: rng.randrange(len(values)) for name, values in axes.items()} for _ in range(CANDIDATES)]
        best = max(drawn, key=lambda choice: len(_pairs(choice) - seen))
        if _pairs(best) <= seen:
            return
        seen |= _pairs(best)
        yield {name: axes[name][k] for name, k in best.items()}


def endless(axes, seed):
    """Choices without end, which cover the pairs again and again."""
    rng = random.Random(seed)
    while True:
        yield from choices(axes, CANDIDATES**2, rng)
