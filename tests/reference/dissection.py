"""Network dissection as the definitions of DESIGN section 13 read, image by image, with ``F.interpolate``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import torch


@dataclass
class Reference:
    """Counts per unit (and concept), and how many positions lie so close to the threshold that rounding may decide."""

    threshold: np.ndarray
    unit_areas: np.ndarray
    shared: np.ndarray
    concept_areas: np.ndarray
    positions: int
    uncertain: np.ndarray

    def iou(self) -> np.ndarray:
        out = np.zeros(self.shared.shape)
        for u in range(out.shape[0]):
            for c in range(out.shape[1]):
                union = self.unit_areas[u] + self.concept_areas[c] - self.shared[u, c]
                out[u, c] = self.shared[u, c] / union if union else 0.0
        return out


def threshold_of(values: np.ndarray, quantile: float) -> float:
    """The smallest value that occurs such that at most a share 1 - q of all values is strictly above it."""
    allowed = (1 - Decimal(str(quantile))) * len(values)
    for candidate in np.unique(values):
        if int((values > candidate).sum()) <= allowed:
            return float(candidate)
    raise AssertionError("the maximum always qualifies")


def fast_threshold(values: np.ndarray, quantile: float) -> float:
    """The same by sorting everything; ``threshold_of`` is checked against it on small inputs."""
    allowed = int((1 - Decimal(str(quantile))) * len(values))
    return float(np.sort(values)[::-1][allowed])


def dissect(maps: np.ndarray, labels: np.ndarray, ignore: np.ndarray | None, concepts: int, quantile: float) -> Reference:
    """``maps`` [N, U, h, w] float32; ``labels`` [N, L, S, S], 0 nothing, v concept v - 1; ``ignore`` [N, S, S]."""
    images, units = maps.shape[:2]
    threshold = np.array([fast_threshold(maps[:, u].reshape(-1), quantile) for u in range(units)], np.float32)
    limit = torch.from_numpy(threshold)[:, None, None]
    areas, shared = np.zeros(units, np.int64), np.zeros((units, concepts), np.int64)
    uncertain = np.zeros(units, np.int64)
    concept_areas, positions = np.zeros(concepts, np.int64), 0
    for i in range(images):
        large = torch.nn.functional.interpolate(
            torch.from_numpy(maps[i])[None], size=labels.shape[2:], mode="bilinear", align_corners=False
        )[0]
        kept = torch.ones(labels.shape[2:], dtype=torch.bool) if ignore is None else torch.from_numpy(~ignore[i])
        mask = (large > limit) & kept
        # numpy's spacing is one unit in the last place
        ulp = np.spacing(np.maximum(np.abs(large.numpy()), np.abs(threshold)[:, None, None]))
        near = np.abs(large.numpy() - threshold[:, None, None]) <= 4 * ulp
        # Zeros interpolate to exactly zero in any order of operations, so nothing is open there.
        exact = (large.numpy() == 0) & (threshold[:, None, None] == 0)
        uncertain += (near & ~exact & kept.numpy()).sum((1, 2))
        areas += mask.sum((1, 2)).numpy()
        positions += int(kept.sum())
        for layer in labels[i]:
            for value in np.unique(layer):
                if value == 0 or value > concepts:
                    continue
                here = torch.from_numpy(layer == value) & kept
                concept_areas[value - 1] += int(here.sum())
                shared[:, value - 1] += (mask & here).sum((1, 2)).numpy()
    return Reference(threshold, areas, shared, concept_areas, positions, uncertain)
