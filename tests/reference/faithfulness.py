"""Measures of faithfulness as their papers write them, one pixel, pair or image at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Number = Callable[[torch.Tensor], float]


def descending(map: Floats) -> list[int]:
    """Pixel indices of a map [pixels], largest first, ties by index."""
    return sorted(range(len(map)), key=lambda i: (-map[i], i))


def filled(image: torch.Tensor, fill: torch.Tensor, pixels: Sequence[int]) -> torch.Tensor:
    """[1, 3, H, W] with some pixels taken from ``fill``."""
    out = image.clone()
    width = image.shape[3]
    for p in pixels:
        out[0, :, p // width, p % width] = fill[0, :, p // width, p % width]
    return out


def deletion(image: torch.Tensor, fill: torch.Tensor, map: Floats, number: Number, counts: Sequence[int]) -> Floats:
    order = descending(map)
    return np.array([number(filled(image, fill, order[:k])) for k in counts])


def insertion(image: torch.Tensor, fill: torch.Tensor, map: Floats, number: Number, counts: Sequence[int]) -> Floats:
    order = descending(map)
    return np.array([number(filled(fill, image, order[:k])) for k in counts])


def area(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))


def infidelity(map: Floats, removals: Sequence[Sequence[int]], drops: Sequence[float]) -> float:
    """Mean squared difference between the scaled sum of the map over the removed pixels and the drop of the number."""
    stated = [sum(map[p] for p in pixels) for pixels in removals]
    square = sum(s * s for s in stated)
    scale = max(0.0, sum(s * d for s, d in zip(stated, drops, strict=True)) / square) if square else 0.0
    return sum((scale * s - d) ** 2 for s, d in zip(stated, drops, strict=True)) / len(drops)


def max_sensitivity(map: Floats, moved: Sequence[Floats]) -> float:
    length = math.sqrt(sum(v * v for v in map))
    return max(math.sqrt(sum((a - b) ** 2 for a, b in zip(m, map, strict=True))) for m in moved) / length


def gini(map: Floats) -> float:
    """Mean absolute difference of all pairs, over twice the mean."""
    values = [abs(v) for v in map]
    total = sum(abs(a - b) for a in values for b in values)
    return total / (2 * len(values) * sum(values))


def widened(region: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    out = np.zeros_like(region)
    inside = list(zip(*np.nonzero(region), strict=True))
    for y in range(region.shape[0]):
        for x in range(region.shape[1]):
            out[y, x] = any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in inside)
    return out


def inside_mass(map: Floats, region: npt.NDArray[np.bool_]) -> float:
    inside = total = 0.0
    for value, belongs in zip(map.reshape(-1), region.reshape(-1), strict=True):
        if value > 0:
            total += value
            inside += value if belongs else 0.0
    return inside / total


def inside_rank(map: Floats, region: npt.NDArray[np.bool_]) -> float:
    flat = region.reshape(-1)
    size = int(flat.sum())
    return sum(bool(flat[p]) for p in descending(map.reshape(-1))[:size]) / size


def ssim(one: Floats, other: Floats, side: int = 11, deviation: float = 1.5) -> float:
    """Mean structural similarity of two pictures scaled to 0 to 1, window by window (equation 13 of Wang et al. 2004)."""

    def scaled(picture: Floats) -> Floats:
        picture = np.abs(picture)
        return (picture - picture.min()) / (picture.max() - picture.min())

    x, y = scaled(one), scaled(other)
    weights = np.array(
        [[math.exp(-((i - side // 2) ** 2 + (j - side // 2) ** 2) / (2 * deviation**2)) for j in range(side)] for i in range(side)]
    )
    weights /= weights.sum()
    found = []
    for top in range(x.shape[0] - side + 1):
        for left in range(x.shape[1] - side + 1):
            a, b = x[top : top + side, left : left + side], y[top : top + side, left : left + side]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            both = (weights * (a - ma) * (b - mb)).sum()
            found.append((2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    return float(np.mean(found))
