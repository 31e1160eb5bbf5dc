"""Sparseness: the Gini index of the absolute map (Hurley, Rickard 2009, arXiv:0811.4706; Chalasani et al. 2020, arXiv:1810.06583)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from microtome.methods.faithfulness.order import Floats

#: Of a map of independent uniform values, as the number of pixels grows.
UNIFORM = 1 / 3


def gini(maps: Floats) -> Floats:
    """Gini index of the absolute values of maps [..., pixels]: 0 if all are equal, near 1 if one pixel has everything.

    NaN where a map is nothing but zeros.
    """
    values = np.sort(np.abs(maps), axis=-1)
    pixels = values.shape[-1]
    weights = (pixels - np.arange(1, pixels + 1) + 0.5) / pixels
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - 2 * (values @ weights) / values.sum(-1))


@lru_cache(maxsize=16)
def uniform_band(pixels: int, draws: int) -> tuple[float, float]:
    """2.5 % and 97.5 % of the Gini index of random uniform maps; its mean is ``UNIFORM``."""
    generator = np.random.default_rng([pixels, 0x6171])
    found = [float(gini(generator.random(pixels))) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
