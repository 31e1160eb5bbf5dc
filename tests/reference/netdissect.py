"""The tally of NetDissect-Lite as its paper and README describe it: image by image, unit by unit, with Pillow's resize.

Written from the description; a peer for the benchmark and one more oracle for the counts.
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def tally(maps: np.ndarray, thresholds: np.ndarray, labels: np.ndarray, concepts: int) -> tuple[np.ndarray, np.ndarray]:
    """(unit areas [U], shared [U, concepts]) for maps [N, U, h, w], thresholds [U] and labels [N, L, S, S]."""
    units, size = maps.shape[1], labels.shape[2:]
    areas, shared = np.zeros(units, np.int64), np.zeros((units, concepts + 1), np.int64)
    for i in range(len(maps)):
        for u in range(units):
            if maps[i, u].max() <= thresholds[u]:
                continue
            large = np.asarray(Image.fromarray(maps[i, u]).resize(size[::-1], Image.Resampling.BILINEAR))
            where = np.nonzero(large > thresholds[u])
            areas[u] += len(where[0])
            for layer in labels[i]:
                shared[u] += np.bincount(layer[where], minlength=concepts + 1)
    return areas, shared[:, 1:]
