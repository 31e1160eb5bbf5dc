"""How a question about layers is cut into passes, so that what a pass keeps stays within a bound. Imports no torch.

Exact thresholds need all activations of a unit at once. Where those of all layers do not fit, the layers are split into several
passes over the examples; where those of one layer do not fit, its units are. Answers do not depend on the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from microtome.core.errors import TooLarge


class HasShape(Protocol):
    """A layer, as far as its size goes."""

    @property
    def name(self) -> str: ...
    @property
    def units(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class Piece(NamedTuple):
    """Units ``start`` to ``stop`` of a layer."""

    layer: str
    start: int
    stop: int

    @property
    def units(self) -> int:
        return self.stop - self.start


def bytes_per_unit(layer: HasShape, examples: int) -> int:
    """Bytes kept of each unit: float32 activations, its peak and the peak's site on every example."""
    return examples * (4 * layer.height * layer.width + 8)


def split(layers: Sequence[HasShape], examples: int, budget: int) -> list[list[Piece]]:
    """Passes in order of the layers; each holds pieces that fit the budget together.

    Raises:
        TooLarge: not even one unit fits.
    """
    passes: list[list[Piece]] = []
    room = 0
    for layer in layers:
        each = bytes_per_unit(layer, examples)
        if each > budget:
            raise TooLarge(
                f"One unit of {layer.name} over {examples:,} examples takes {each / 1e6:.1f} MB; {budget / 1e6:.1f} MB are allowed "
                "(MICROTOME_SCRATCH_BYTES). Raise the bound or limit the images with max_examples.",
                field="params.max_examples",
            )
        whole = each * layer.units
        if passes and whole <= room:
            passes[-1].append(Piece(layer.name, 0, layer.units))
            room -= whole
            continue
        size = min(layer.units, budget // each)
        for start in range(0, layer.units, size):
            stop = min(start + size, layer.units)
            passes.append([Piece(layer.name, start, stop)])
            room = budget - each * (stop - start)
    return passes
