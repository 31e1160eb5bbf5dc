"""Bilinear interpolation as data: which neighbours and which weight belong to every position (DESIGN section 13)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Axis(NamedTuple):
    """One axis of an interpolation from ``cells`` to ``positions``.

    Between cell ``c`` and the next one lie the positions ``first[c]`` to ``first[c + 1]``, with the next cell's ``weight``.
    At the border both neighbours are the same cell.
    """

    first: npt.NDArray[np.int64]  # [cells + 1]
    weight: npt.NDArray[np.float32]  # [positions]


def bilinear_grid(source: int, target: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Neighbours and weight of each of ``target`` positions on an axis of ``source`` cells, half-pixel centres.

    As ``torch.nn.functional.interpolate(align_corners=False)``, in float32.
    """
    scale = np.float32(source) / np.float32(target)
    place = np.maximum((np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
    low = np.minimum(place.astype(np.int32), source - 1)
    high = np.minimum(low + 1, source - 1).astype(np.int32)
    # At the border both neighbours are the same cell; a weight of zero keeps its value exact instead of nearly so.
    return low, high, np.where(high > low, place - low, 0).astype(np.float32)


def axis(source: int, target: int) -> Axis:
    """The same interpolation by cell."""
    low, _, weight = bilinear_grid(source, target)
    return Axis(np.searchsorted(low, np.arange(source + 1)).astype(np.int64), weight)
