"""Many overlapping masks in few label maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.probes.base import LabelArray


def packed(masks: npt.NDArray[np.bool_]) -> LabelArray:
    """uint16 [L, places] of bool [concepts, places]: the concepts of a place, each + 1, one after the other; 0 where there is no more.

    L is the largest number of concepts that one place has, at least 1.
    """
    count = masks.sum(axis=0)
    layers = max(1, int(count.max(initial=0)))
    out = np.zeros((layers, masks.shape[1]), np.uint16)
    places, concepts = np.nonzero(masks.T)  # by place, then by concept
    first = np.concatenate([[0], np.cumsum(count)])[places]
    out[np.arange(len(places)) - first, places] = concepts + 1
    return out
