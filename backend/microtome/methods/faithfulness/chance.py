"""Random maps, drawn once for an image and shared by all methods that explain it.

A random map is Gaussian noise of one of five grains, from single pixels to blobs of a sixth of the image: a map must beat random
maps of whatever grain, since a network bears the loss of scattered pixels and of whole regions quite differently. The noise and its
negative are equally likely; so the curve of an order read backwards is an insertion curve of the reversed order, and 200 orders cost
one set of images for both curves. The same images serve infidelity as perturbations.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.faithfulness.order import SHARES, Answers, Floats, Ranks, Removal, answers, counts, ranks
from microtome.models.image import ImageModel

if TYPE_CHECKING:
    from microtome.methods.attribution.target import Target

DRAWS = 200
#: Standard deviation of the blur of the noise, as a share of the shorter side.
GRAINS = (0.0, 1 / 96, 1 / 48, 1 / 24, 1 / 12)
_INSIDE = len(SHARES) - 2
_KEPT = 8


def random_fields(height: int, width: int, seed: int, draws: int = DRAWS) -> Floats:
    """Gaussian noise float64 [draws, height, width], of the grains in turn; the edges wrap around."""
    generator = np.random.default_rng([seed, 0xC4A2CE])
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    out = np.empty((draws, height, width))
    for number in range(draws):
        deviation = GRAINS[number % len(GRAINS)] * min(height, width)
        spectrum = np.fft.rfft2(generator.standard_normal((height, width)))
        out[number] = np.fft.irfft2(spectrum * np.exp(-2 * (np.pi * deviation) ** 2 * (rows**2 + columns**2)), (height, width))
    return out


@lru_cache(maxsize=2)
def random_ranks(height: int, width: int, seed: int) -> Ranks:
    """Orders [DRAWS, pixels] of the random maps; read-only."""
    places = ranks(random_fields(height, width, seed).reshape(DRAWS, -1))
    places.flags.writeable = False
    return places


def shuffled(values: Floats, places: Ranks) -> Floats:
    """Random maps with the values of a map [pixels]: [draws, pixels]; same values, random places."""
    return np.sort(values)[::-1][places]


@dataclass(slots=True)
class Chance:
    """What the model says of an image while random pixels are filled.

    Attributes:
        places: orders [DRAWS, pixels].
        said: of every draw at the inner ``SHARES``, draw by draw.
    """

    places: Ranks
    said: Answers

    def numbers(self, target: Target) -> Floats:
        """The target's number with the first pixels of an order filled: float64 [DRAWS, inner shares]."""
        return self.said.numbers(target).reshape(-1, _INSIDE)

    def curves(self, target: Target, whole: float, filled: float) -> Floats:
        """Deletion curves [DRAWS, shares], with the exact ends; read backwards they are insertion curves."""
        inner = self.said.values(target).reshape(-1, _INSIDE)
        ends = np.ones((len(inner), 1))
        return np.hstack([ends * whole, inner, ends * filled])


_shared: OrderedDict[str, Chance] = OrderedDict()
_lock = threading.Lock()


def chance_of(model: ImageModel, image: Tensor, fill: Tensor, targets: Sequence[Target], seed: int, run: RunContext) -> Chance:
    """The random orders of an image [1, 3, H, W], from the last few images that were asked about or drawn now.

    A model without identity is never taken for another.
    """
    digest = hashlib.sha256(image.cpu().contiguous().numpy().tobytes() + fill.cpu().contiguous().numpy().tobytes()).hexdigest()
    key = f"{model.hash}/{digest}/{seed}/{tuple(image.shape)}"
    with _lock:
        kept = _shared.get(key) if model.hash else None
        if kept is not None:
            _shared.move_to_end(key)
    wanted = {t for t in targets if t.layer is not None}
    if kept is not None and wanted <= kept.said.at_layers.keys():
        return kept
    height, width = image.shape[2:]
    places = random_ranks(height, width, seed)
    inner = counts(height * width)[1:-1]
    removals = [Removal(row, 0, count) for row in range(DRAWS) for count in inner]
    said = answers(model, image, fill, places, removals, sorted(wanted, key=lambda t: t.name), run, "images with random fills")
    if kept is not None:
        said = Answers(said.logits, kept.said.at_layers | said.at_layers, said.multilabel)
    found = Chance(places, said)
    with _lock:
        if model.hash:
            _shared[key] = found
            _shared.move_to_end(key)
            while len(_shared) > _KEPT:
                _shared.popitem(last=False)
    return found
