"""Regions joined once more: everything computed anew at every step, by a function of sets of parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Set = frozenset[int]


def pair_of_values(number: Callable[[Set], float], everything: Set, region: Set) -> tuple[float, float]:
    """What a region adds alone, and what is lost without it."""
    return number(region) - number(frozenset()), number(everything) - number(everything - region)


def touch(places: np.ndarray, one: Set, other: Set) -> bool:
    height, width = places.shape
    for y in range(height):
        for x in range(width):
            if places[y, x] in one:
                near = [places[v, u] for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)) if 0 <= v < height and 0 <= u < width]
                if any(n in other for n in near):
                    return True
    return False


def joined(number: Callable[[Set], float], places: np.ndarray) -> list[Set]:
    """The regions that come about, in order; the last is everything."""
    left: list[Set] = [frozenset([int(i)]) for i in np.unique(places)]
    everything = frozenset().union(*left)
    made = []
    while len(left) > 1:
        best, chosen = -1.0, None
        for i, one in enumerate(left):
            for other in left[i + 1 :]:
                if touch(places, one, other):
                    union, a, b = (pair_of_values(number, everything, s) for s in (one | other, one, other))
                    strength = sum(abs(u - v - w) for u, v, w in zip(union, a, b, strict=True)) / 2
                    strength /= np.isin(places, list(one)).sum() * np.isin(places, list(other)).sum()
                    if strength > best:
                        best, chosen = strength, (one, other)
        assert chosen is not None
        left = [s for s in left if s not in chosen] + [chosen[0] | chosen[1]]
        made.append(left[-1])
    return made
