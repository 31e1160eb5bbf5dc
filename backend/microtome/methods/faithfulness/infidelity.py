"""Infidelity (Yeh et al. 2019, arXiv:1901.09392, definition 2.1) for perturbations that fill pixels.

A map states how much each pixel contributes, so what a perturbation takes from the number should be the sum of the map over the filled
pixels. Infidelity is the mean squared difference between the two, after the best scaling of the map (the paper's optimal scaling),
which makes maps of different units comparable. The scale is not allowed below zero: a map that says the opposite is not turned round.

Perturbations fill at most 30 % of the pixels. Where more is gone, how much is gone explains nearly all of the drop, and every map without
signs would look faithful.
"""

from __future__ import annotations

import numpy as np

from microtome.methods.faithfulness.chance import shuffled
from microtome.methods.faithfulness.order import Floats, Ranks

#: How many of the inner shares serve as perturbations: 3, 8, 16 and 30 %.
SIZES = 4


def removed_sums(values: Floats, places: Ranks, counts: list[int]) -> Floats:
    """Sum of a map [pixels] over the first ``counts`` pixels of each order: float64 [draws, counts]."""
    ordered = np.empty(places.shape)
    np.put_along_axis(ordered, places.astype(np.int64), np.broadcast_to(values, places.shape), axis=1)
    return ordered.cumsum(1)[:, np.array(counts) - 1]


def infidelity(stated: Floats, observed: Floats) -> tuple[float, float]:
    """Mean squared difference after scaling, and the scale; ``stated`` and ``observed`` of the same shape."""
    square = float((stated**2).sum())
    scale = max(float((stated * observed).sum()) / square, 0.0) if square > 0 else 0.0
    return float(((scale * stated - observed) ** 2).mean()), scale


def random_infidelity(values: Floats, places: Ranks, counts: list[int], observed: Floats) -> Floats:
    """Infidelity [draws] of random maps with the values of a map [pixels], on the same perturbations ``observed`` [draws, counts].

    A random map is not asked about the perturbations that were made from its own order.
    """
    maps = shuffled(values, places).astype(np.float32)
    draws = len(places)
    stated = np.empty((draws, draws, len(counts)), np.float32)  # random map x perturbation
    for number, count in enumerate(counts):
        stated[:, :, number] = maps @ (places < count).astype(np.float32).T
    own = np.arange(draws)
    stated[own, own] = 0.0
    flat, against = stated.reshape(draws, -1).astype(np.float64), observed.reshape(-1)
    product, square = flat @ against, (flat**2).sum(1)
    scale = np.divide(product, square, out=np.zeros(draws), where=square > 0).clip(min=0.0)
    total = (against**2).sum() - (observed**2).sum(1)  # without the own perturbations, which state nothing here
    return (total - 2 * scale * product + scale**2 * square) / (observed.size - observed.shape[1])
