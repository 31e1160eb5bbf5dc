"""Does a map point at what speaks for the class? For images whose masks say what that is.

Pointing game: Zhang et al. 2018, arXiv:1608.00507, section 4.1. Inside mass and inside rank: relevance mass and rank accuracy of
Arras, Osman, Samek 2022, arXiv:2003.07258, section 2.3. Chance is analytic: a random map puts its maximum, its mass and its first
pixels inside a region as often as the region is large.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from microtome.methods.faithfulness.order import Floats

Mask = npt.NDArray[np.bool_]
#: Tolerance of the pointing game, as a share of the shorter side: the 15 pixels of the paper for its images of about 500.
TOLERANCE = 0.03


def tolerance(height: int, width: int) -> int:
    """Tolerance in pixels."""
    return ceil(TOLERANCE * min(height, width))


def widened(region: Mask, radius: int) -> Mask:
    """All pixels at most ``radius`` from the region [H, W], centre to centre."""
    height, width = region.shape
    out = np.zeros_like(region)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius and abs(dy) < height and abs(dx) < width:
                ys, yt = max(dy, 0), max(-dy, 0)
                xs, xt = max(dx, 0), max(-dx, 0)
                out[ys : height - yt, xs : width - xt] |= region[yt : height - ys, xt : width - xs]
    return out


def pointing(map: Floats, region: Mask) -> float:
    """Whether the largest value of a map [H, W] lies in a region; of several equal ones the share that does."""
    return float(region[map == map.max()].mean())


def inside_mass(maps: Floats, region: Mask) -> Floats:
    """Share of the positive mass of maps [..., H, W] that lies in a region; NaN where nothing is positive."""
    positive = np.maximum(maps, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(positive[..., region].sum(-1) / positive.sum((-2, -1)))


def inside_rank(places: npt.NDArray[np.integer], region: Mask) -> Floats:
    """Share of the region's pixels among as many that come first; ``places`` [..., pixels] are ranks."""
    flat = region.reshape(-1)
    return np.asarray((places[..., flat] < flat.sum()).mean(-1))
