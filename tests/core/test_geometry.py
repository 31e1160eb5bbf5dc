"""Labels through the transform of the image: every position takes the pixel under its centre."""

from __future__ import annotations

import numpy as np
import pytest

from microtome.core.geometry import Geometry


@pytest.mark.parametrize(
    ("geometry", "source", "size"),
    [
        (Geometry("exact", (8, 8), (8, 8)), (8, 8), (8, 8)),
        (Geometry("exact", (8, 8), (8, 8)), (16, 24), (4, 4)),
        (Geometry("shortest", (10, 10), (8, 8)), (13, 29), (5, 7)),
        (Geometry("none", (0, 0), (12, 12)), (7, 9), (6, 6)),  # smaller than the crop: padded
        (Geometry("exact", (1, 1), (1, 1)), (3, 3), (1, 1)),
    ],
)
def test_labels_are_the_nearest_pixels(geometry: Geometry, source: tuple[int, int], size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(1, 60_000, (2, *source)).astype(np.uint16)
    left, top, right, bottom = geometry.box(*source)
    wanted = np.full((2, *size), 65_535, np.uint16)
    for y in range(size[0]):
        for x in range(size[1]):
            row = int(np.floor(top + (y + 0.5) * (bottom - top) / size[0]))
            column = int(np.floor(left + (x + 0.5) * (right - left) / size[1]))
            if 0 <= row < source[0] and 0 <= column < source[1]:
                wanted[:, y, x] = labels[:, row, column]
    taken = geometry.labels(labels, size, outside=65_535)
    np.testing.assert_array_equal(taken, wanted)
    taken[...] = 0  # a copy: what is written to it does not reach the source
    assert labels.all()
