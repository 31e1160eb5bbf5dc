"""How alike two orders of pixels are: Kendall's tau-b, and the overlap of what comes first."""

from __future__ import annotations

import math

import numpy as np

from microtome.methods.faithfulness.order import Floats


def tau_b(one: Floats, other: Floats) -> float:
    """Kendall's rank correlation of two lists of values, equal ones counted as ties (tau-b); NaN if one list is all the same.

    Discordant pairs are the inversions of ``other`` in the order of ``one``, counted by merging: n log n steps.
    """
    x, y = (np.unique(v, return_inverse=True)[1].astype(np.int64) for v in (one, other))
    count = len(x)
    pairs = count * (count - 1) // 2
    tied_x, tied_y, tied_both = (_tied_pairs(v) for v in (x, y, x * (y.max() + 1) + y))
    if tied_x == pairs or tied_y == pairs:
        return float("nan")
    discordant = _inversions(y[np.lexsort((y, x))])
    balance = pairs - tied_x - tied_y + tied_both - 2 * discordant
    return balance / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def _tied_pairs(values: np.ndarray) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(values: np.ndarray) -> int:
    """Pairs of which the first is larger, of whole numbers from 0 on: counted between the halves of blocks, from small to large."""
    size = 1 << max(len(values) - 1, 1).bit_length()
    top = int(values.max()) + 1
    # What fills up to a power of two is larger than all and comes last: no inversion.
    blocks = np.concatenate([values, np.full(size - len(values), top)]).reshape(-1, 1)
    found = 0
    while blocks.shape[1] < size:
        width = blocks.shape[1]
        left, right = blocks[0::2], blocks[1::2]
        start = np.arange(len(left))[:, None]
        keys = (left + start * (top + 1)).reshape(-1)
        not_larger = np.searchsorted(keys, right + start * (top + 1), side="right") - start * width
        found += int((width - not_larger).sum())
        blocks = np.sort(blocks.reshape(-1, 2 * width), axis=1)
    return found


def overlap(one: Floats, other: Floats, count: int) -> float:
    """Share of the ``count`` largest values of one list that are among those of the other; ties go by index."""
    first, second = (np.argsort(-v, kind="stable")[:count] for v in (one, other))
    return float(np.isin(first, second, assume_unique=True).mean())
