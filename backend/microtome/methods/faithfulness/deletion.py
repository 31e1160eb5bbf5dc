"""Deletion and insertion (Petsiuk, Das, Saenko 2018, arXiv:1806.07421).

Deletion fills pixels in the order of a map and follows what the model says; insertion starts from the filled image and puts them back.
Both use the blurred image as fill, which adds no edges of its own, where the paper inserts into a blurred image and deletes to grey.
A map that knows what matters has a low area under the first curve and a high one under the second.
"""

from __future__ import annotations

import numpy as np

from microtome.methods.faithfulness.order import SHARES, Floats, Removal, counts


def removals(rows: int, pixels: int) -> list[Removal]:
    """The images of the curves of ``rows`` orders: the whole image, the filled one, then of each row deletion and insertion inside."""
    inner = counts(pixels)[1:-1]
    out = [Removal(0, 0, 0), Removal(0, 0, pixels)]
    for row in range(rows):
        out += [Removal(row, 0, count) for count in inner] + [Removal(row, count, pixels) for count in inner]
    return out


def curves(values: Floats, row: int) -> tuple[Floats, Floats]:
    """Deletion and insertion curve [shares] of a row, of the values of all ``removals``."""
    inside = len(SHARES) - 2
    start = 2 + 2 * inside * row
    deletion, insertion = values[start : start + inside], values[start + inside : start + 2 * inside]
    return np.array([values[0], *deletion, values[1]]), np.array([values[1], *insertion, values[0]])


def area(curve: Floats) -> Floats:
    """Area under curves [..., shares], by trapezoids over the share of pixels: the mean height."""
    return np.asarray(np.trapezoid(curve, np.array(SHARES), axis=-1))
