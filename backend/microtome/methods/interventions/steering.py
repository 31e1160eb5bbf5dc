"""What can be done to units while a model runs: set, scale, switch off, or add the direction that they write along."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np
import torch

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer
from microtome.models.text import TextModel

Action = Literal["none", "set", "scale", "ablate", "add"]


def act(model: TextModel, layer: Layer, units: Sequence[int], action: Action, strength: float) -> AbstractContextManager[None]:
    """Units at every token of the passes made inside: set to ``strength``, multiplied by it, or set to zero.

    Raises:
        InvalidInput: a unit that is read by a norm is to be set to a value (``params.intervention``).
    """
    index = torch.as_tensor(list(units), dtype=torch.long, device=model.device)

    def change(tensor: torch.Tensor) -> torch.Tensor:
        out = tensor.clone()
        if layer.group:
            out.unflatten(-1, (layer.units, layer.group))[..., index, :] *= strength
        elif action == "set":
            out[..., index] = strength
        else:
            out[..., index] *= strength
        return out

    if action == "ablate":
        return model.ablated(layer, units)
    if action == "set" and layer.group:
        raise InvalidInput(
            f"A unit of {layer.label} is a group of coordinates, read by its norm: it can be scaled or ablated, not set.",
            field="params.intervention",
        )
    return model.changed(layer, change)


def push(model: TextModel, layer: Layer, direction: torch.Tensor) -> AbstractContextManager[None]:
    """``direction`` [D] added to what ``layer`` is read from, at every token."""
    return model.changed(layer, lambda tensor: tensor + direction.to(tensor))


def writes_into(model: TextModel, layer: Layer, units: Sequence[int]) -> tuple[Layer, torch.Tensor]:
    """The layer in the residual stream that units write into, and the unit vector [D] along which they do, equally weighted.

    Of neurons: the sum of their output weights. Of coordinates of the residual stream and of what is written into it: the coordinates.

    Raises:
        InvalidInput: units that write along more than one direction (``params.intervention``).
    """
    if layer.kind in ("residual", "embeddings", "attention", "feed-forward", "hidden"):
        direction = torch.zeros(layer.units, device=model.device)
        direction[list(units)] = 1.0
        return layer, direction / direction.norm()
    if layer.kind not in ("neurons", "head values"):
        raise InvalidInput(
            f"A unit of {layer.label} writes along many directions; add the direction of neurons, or of coordinates.",
            field="params.intervention",
        )
    target = next(x for x in model.layers.values() if x.module == layer.module and x.point == "output")
    ones = torch.zeros(2, 1, layer.units, device=model.device)
    ones[1, 0, list(units)] = 1.0
    with torch.no_grad():
        # A linear map with a bias, whichever way round its weights are kept: what it gives for the units less what it gives for nothing.
        nothing, given = model.module(layer)(ones.to(next(model.module(layer).parameters()).dtype)).float()[:, 0]
    direction = given - nothing
    if float(direction.norm()) == 0.0:
        raise InvalidInput(f"These units of {layer.label} write nothing.", field="units")
    return target, direction / direction.norm()


def random_direction(generator: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    """A direction of the same norm, all equally likely."""
    drawn = torch.from_numpy(generator.standard_normal(like.shape[0])).to(like)
    return drawn / drawn.norm() * like.norm()
