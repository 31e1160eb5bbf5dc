"""Perturbation methods written once more: one image after another, every subset, every place of a mask."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import factorial

import numpy as np
import torch


def rise(
    inputs: torch.Tensor, fill: torch.Tensor, number_of: Callable[[torch.Tensor], float], masks: np.ndarray, keep: float, centre: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Map and standard error of every pixel, from masks [N, H, W], one forward pass per mask."""
    numbers = [number_of(inputs * torch.tensor(m)[None, None] + fill * (1 - torch.tensor(m)[None, None])) for m in masks]
    mean = sum(numbers) / len(numbers) if centre else 0.0
    terms = np.array([(n - mean) * (m.astype(np.float64) - (keep if centre else 0)) / keep for n, m in zip(numbers, masks, strict=True)])
    return terms.sum(0) / (len(masks) - centre), terms.std(0, ddof=1) / len(masks) ** 0.5


def rise_covariance(grid: int, keep: float, size: tuple[int, int]) -> np.ndarray:
    """[pixels, pixels]: covariance of the mask's values at two pixels, over all cells and all shifts."""
    lines = []
    for side in size:
        cell = -(-side // grid)
        large = (grid + 1) * cell
        weights = np.zeros((large, grid))
        for i in range(large):
            at = min(max((i + 0.5) * grid / large - 0.5, 0), grid - 1)
            low = int(at)
            weights[i, low] += 1 - (at - low)
            weights[i, min(low + 1, grid - 1)] += at - low
        shifted = [weights[s : s + side] for s in range(cell)]
        lines.append(sum(w @ w.T for w in shifted) / cell)
    return keep * (1 - keep) * np.einsum("ab,cd->acbd", *lines).reshape(size[0] * size[1], -1)


def shapley(count: int, number_of: Callable[[tuple[bool, ...]], float]) -> np.ndarray:
    """Shapley values by their definition: what a feature adds, over all subsets of the others."""
    others_first = [factorial(size) * factorial(count - size - 1) / factorial(count) for size in range(count)]
    values = {key: number_of(key) for key in product((False, True), repeat=count)}
    out = np.zeros(count)
    for key, value in values.items():
        for feature in range(count):
            if not key[feature]:
                with_it = (*key[:feature], True, *key[feature + 1 :])
                out[feature] += others_first[sum(key)] * (values[with_it] - value)
    return out


def switched(image: torch.Tensor, off: torch.Tensor, places: np.ndarray, present: tuple[bool, ...]) -> torch.Tensor:
    """[1, 3, H, W] where features that are absent are taken from ``off``."""
    out = off.clone()
    for feature, on in enumerate(present):
        if on:
            where = torch.tensor(places == feature)
            out[:, :, where] = image[:, :, where]
    return out
