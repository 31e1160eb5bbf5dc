"""The units that a question about weights is put to: neurons or heads of one block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer
from microtome.models.text import TextModel
from microtome.models.text_layers import Block


def chosen_units(model: TextModel, units: Mapping[str, Any], kinds: tuple[str, ...], most: int) -> tuple[Layer, Block, list[int]]:
    """The layer of the units, its block, and their indices.

    Args:
        kinds: of layers that will do. most: units at a time.

    Raises:
        InvalidInput: of ``units.layer`` or ``units.indices``.
    """
    layer, indices = model.layer(units["layer"]), [int(i) for i in units["indices"]]
    if layer.kind not in kinds:
        some = ", ".join(x.label for x in model.layers.values() if x.kind in kinds)
        raise InvalidInput(
            f"{layer.label} is a layer of {layer.kind}; this method is about {' or '.join(kinds)}: {some or 'the model has none'}.",
            field="units.layer",
        )
    if not indices or len(indices) > most:
        raise InvalidInput(f"{len(indices)} units are chosen; this method takes 1 to {most} at a time.", field="units.indices")
    beyond = [i for i in indices if not 0 <= i < layer.units]
    if beyond:
        raise InvalidInput(
            f"{layer.label} has units 0 to {layer.units - 1}; there is no {', '.join(map(str, beyond[:8]))}.", field="units.indices"
        )
    return layer, next(b for b in model.blocks if layer.module in (b.heads, b.neurons)), indices
