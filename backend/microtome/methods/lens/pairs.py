"""Matrices that are too large to write down: factors of low rank between all pairs of tokens, looked through strip by strip."""

from __future__ import annotations

import torch
from torch import Tensor

from microtome.core.context import RunContext

#: Entries of a matrix of pairs that stand in memory at a time: 64 MB in float32.
ENTRIES = 1 << 24


@torch.no_grad()
def strongest_pairs(left: Tensor, right: Tensor, count: int, run: RunContext, entries: int = ENTRIES) -> tuple[Tensor, Tensor]:
    """The largest entries of ``left @ right.T``, strongest first, without the whole of it.

    Args:
        left: float32 [n, rank]. right: float32 [m, rank].

    Returns:
        Values float32 [count], and int64 [count, 2] row and column of each; fewer if there are not so many.
    """
    rows = max(1, entries // len(right))
    values = left.new_zeros(0)
    pairs = torch.zeros(0, 2, dtype=torch.long, device=left.device)
    for start in range(0, len(left), rows):
        run.check()
        strip = left[start : start + rows] @ right.T
        row = torch.arange(start, start + len(strip), device=left.device)
        if len(values) == count:
            # Most rows hold nothing that is among the strongest so far, and their largest entry says so.
            hopeful = strip.amax(1) > values[-1]
            strip, row = strip[hopeful], row[hopeful]
        best = strip.flatten().topk(min(count, strip.numel()))
        places = torch.div(best.indices, len(right), rounding_mode="floor")
        values = torch.cat([values, best.values])
        pairs = torch.cat([pairs, torch.stack([row[places], best.indices % len(right)], 1)])
        kept = values.topk(min(count, len(values)))
        values, pairs = kept.values, pairs[kept.indices]
        run.progress(min(start + rows, len(left)), len(left), "tokens")
    return values, pairs
