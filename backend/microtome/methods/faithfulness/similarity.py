"""How alike two maps are, regardless of sign and scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from microtome.methods.faithfulness.order import Floats

Similarity = Literal["spearman", "ssim"]


def mean_ranks(values: Floats) -> Floats:
    """Ranks of values [n] from 0; equal values share the mean of theirs."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    return (times.cumsum() - (times + 1) / 2)[place.reshape(-1)]


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation of the absolute values of two maps; NaN if one is the same everywhere."""
    first, second = (mean_ranks(np.abs(m).reshape(-1)) for m in (one, other))
    first, second = first - first.mean(), second - second.mean()
    length = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / length) if length > 0 else float("nan")


#: Deviations from the mean that hold the central 95 % of a normal distribution.
NORMAL = 1.959964


def spearman_band(pixels: int) -> float:
    """Half width of the 95 % band around 0 of the rank correlation of independent random maps (Kendall, Stuart: variance 1 / (n - 1))."""
    return float(NORMAL / np.sqrt(pixels - 1))


def ssim(one: Floats, other: Floats) -> float:
    """Structural similarity (Wang et al. 2004) of the absolute values of two maps [H, W], each scaled to 0 to 1.

    Gaussian window of 11 pixels with deviation 1.5, mean over all windows that fit; NaN if one map is the same everywhere.
    """
    scaled = []
    for values in (np.abs(one), np.abs(other)):
        low, high = values.min(), values.max()
        if high <= low:
            return float("nan")
        scaled.append((values - low) / (high - low))
    side = min(11, *one.shape)
    side -= 1 - side % 2  # odd, so that it has a middle
    line = torch.exp(-((torch.arange(side, dtype=torch.float64) - side // 2) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    x, y = (torch.from_numpy(s)[None, None] for s in scaled)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(values, window)

    a, b = mean(x), mean(y)
    spread_x, spread_y, both = mean(x * x) - a * a, mean(y * y) - b * b, mean(x * y) - a * b
    c1, c2 = 0.01**2, 0.03**2
    found = (2 * a * b + c1) * (2 * both + c2) / ((a * a + b * b + c1) * (spread_x + spread_y + c2))
    return float(found.mean())


SIMILARITIES = {"spearman": spearman, "ssim": ssim}
