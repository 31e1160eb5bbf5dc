"""blocks: two stacked blocks, of which one gives the class and the other nothing.

After BlockMNIST of Shah, Jain, Netrapalli 2021 (arXiv:2102.12781), with scenes of tinyplaces in the place of digits: the signal block
is a scene and gives the picture its class; the null block is a scene of any class cut into tiles that were shuffled, drawn
independently of it. Which one is above is decided by a coin. A map that marks the null block marks what cannot matter.
"""

from __future__ import annotations

from random import Random

import numpy as np

from microtome.probes import tinyplaces
from microtome.probes.base import Concept, Drawn

SIDE, VERSION = 48, "1"
_TILE = 6
SPLITS = tinyplaces.SPLITS
CLASSES = tuple(tinyplaces.CLASSES)
CONCEPTS = (Concept("signal", "block", 0), Concept("null", "block", 1))
#: Scenes for null blocks begin here, beyond those that are signals.
_ELSEWHERE = 10_000_000


def _half(image: np.ndarray) -> np.ndarray:
    """[96, 96, 3] to [48, 48, 3], pixels averaged."""
    return np.asarray(image.reshape(SIDE, 2, SIDE, 2, 3).astype(np.float32).mean((1, 3)).round().astype(np.uint8))


def render(split: str, index: int) -> Drawn:
    """The picture of an index: image uint8 [96, 48, 3], labels uint8 [1, 96, 48]."""
    rng = Random(f"blocks {VERSION} {split} {index}")
    signal = tinyplaces.render(split, index)
    null = _half(tinyplaces.render(split, _ELSEWHERE + rng.randrange(_ELSEWHERE)).image)
    count = SIDE // _TILE
    tiles = null.reshape(count, _TILE, count, _TILE, 3).swapaxes(1, 2).reshape(-1, _TILE, _TILE, 3)
    order = rng.sample(range(len(tiles)), len(tiles))
    null = tiles[order].reshape(count, count, _TILE, _TILE, 3).swapaxes(1, 2).reshape(SIDE, SIDE, 3)
    blocks = [(_half(signal.image), 1), (null, 2)]
    if rng.random() < 0.5:
        blocks.reverse()
    labels = np.concatenate([np.full((SIDE, SIDE), value, np.uint8) for _, value in blocks])[None]
    return Drawn(np.concatenate([image for image, _ in blocks]), labels, signal.label)
