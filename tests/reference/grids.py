"""Grids of images as their paper says it, one pixel or one cell at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mosaic(images: list[Floats]) -> Floats:
    """[C, n h, n w] of n * n images [C, h, w], row by row."""
    side = math.isqrt(len(images))
    return np.concatenate([np.concatenate(images[row * side : (row + 1) * side], axis=2) for row in range(side)], axis=1)


def localisation(map: Floats, cells: int, cell: int) -> float:
    """Share of the positive values of a map [H, W] whose pixel has its centre in a cell."""
    height, width = map.shape
    inside = whole = 0.0
    for y in range(height):
        for x in range(width):
            value = max(map[y, x], 0.0)
            whole += value
            if (int((y + 0.5) / height * cells), int((x + 0.5) / width * cells)) == divmod(cell, cells):
                inside += value
    return inside / whole if whole else math.nan


def smoothed(map: Floats, width: int) -> Floats:
    """Gaussian of deviation width / 4 over an odd square, zeros outside."""
    reach = (width | 1) // 2
    steps = range(-reach, reach + 1)
    total = sum(math.exp(-8 * (dy * dy + dx * dx) / width**2) for dy in steps for dx in steps)
    out = np.zeros_like(map)
    for y in range(map.shape[0]):
        for x in range(map.shape[1]):
            for dy in steps:
                for dx in steps:
                    if 0 <= y + dy < map.shape[0] and 0 <= x + dx < map.shape[1]:
                        out[y, x] += map[y + dy, x + dx] * math.exp(-8 * (dy * dy + dx * dx) / width**2) / total
    return out
