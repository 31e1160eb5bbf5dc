"""Max-sensitivity (Yeh et al. 2019, arXiv:1901.09392, equation 7): how far a map moves when the image hardly does."""

from __future__ import annotations

import numpy as np
from torch import Tensor, from_numpy

from microtome.methods.faithfulness.chance import shuffled
from microtome.methods.faithfulness.order import Floats, Ranks

#: Largest change of a pixel, of the range of colours; the value of the paper's code.
RADIUS = 0.02
MOST_DRAWS = 8
_PASSES = 256


def draws_for(passes: float) -> int:
    """How many noisy images a map that costs ``passes`` is made for again: at most 256 passes' worth, but always one."""
    return int(max(1, min(MOST_DRAWS, _PASSES // max(passes, 1.0))))


def noisy(image: Tensor, std: tuple[float, ...], seed: int, draws: int, radius: float = RADIUS) -> Tensor:
    """[draws, 3, H, W]: an image [1, 3, H, W] with uniform noise of ``radius`` in colours, scaled as the model's input is."""
    generator = np.random.default_rng([seed, 0x5E2517])
    noise = generator.uniform(-radius, radius, (draws, *image.shape[1:])) / np.array(std).reshape(1, -1, 1, 1)
    return image + from_numpy(noise.astype(np.float32)).to(image.device)


def max_sensitivity(map: Floats, moved: Floats) -> float:
    """Largest distance of the maps ``moved`` [draws, pixels] from ``map`` [pixels], relative to the length of ``map``."""
    return float(np.linalg.norm(moved - map, axis=1).max() / np.linalg.norm(map))


def random_sensitivity(map: Floats, places: Ranks, draws: int) -> Floats:
    """The same for explanations that put the values of the map somewhere else each time: [orders]."""
    distance = np.linalg.norm(shuffled(map, places) - map, axis=1) / np.linalg.norm(map)
    return np.stack([np.roll(distance, step) for step in range(draws)]).max(0)
