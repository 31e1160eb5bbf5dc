"""Does a map depend on what the network has learnt? (Adebayo et al. 2018, arXiv:1810.03292.)

The same method explains the same target on a network whose weights are drawn anew, each tensor with the mean and the deviation it had:
every layer keeps its statistics and loses what it knows. A map that stays as it was shows the image, not the network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from microtome.core.errors import InvalidInput
from microtome.core.keys import sha256
from microtome.methods.faithfulness.order import Floats
from microtome.models.image import ImageModel

if TYPE_CHECKING:
    from microtome.methods.attribution.explain import Attribution, Call

#: A rank correlation of absolute maps from which on a map is said not to change. A convention, stated wherever it is used.
FAILS = 0.7


def randomised(model: ImageModel, seed: int, parameters: Collection[str] | None = None) -> ImageModel:
    """A copy of a model with weights drawn anew: all of them, or the named ``parameters`` of the network.

    Normal with the mean and the deviation of each tensor; seed and name of a tensor give its values, whatever else is drawn. Buffers
    (the running statistics of batch norms) stay. The copy has a hash of its own.
    """
    other = copy.copy(model)
    other.network = copy.deepcopy(model.network)
    with torch.no_grad():
        for name, tensor in other.network.named_parameters():
            if parameters is not None and name not in parameters:
                continue
            generator = torch.Generator().manual_seed(int(sha256(f"{seed}/{name}".encode())[:15], 16))
            drawn = torch.randn(tensor.shape, generator=generator).to(tensor)
            spread = tensor.std(correction=0)
            tensor.copy_(tensor.mean() + drawn * spread)
    drawn_anew = "all" if parameters is None else ",".join(sorted(parameters))
    other.hash = f"{model.hash}/weights drawn with seed {seed}: {drawn_anew}" if model.hash else ""
    return other


def maps_elsewhere(call: Call, explain: Callable[[Call, Any], Attribution], params: Any, model: ImageModel) -> Floats:
    """Maps [rows, H, W] of the same targets on another network.

    Raises:
        InvalidInput: the method has no answer there.
    """
    before = model.forward_passes
    try:
        maps = explain(replace(call, model=model), params).maps
    finally:
        call.model.forward_passes += model.forward_passes - before
    if not torch.isfinite(maps).all():
        raise InvalidInput("On a network with random weights the map has values that are not finite.", field="example")
    return maps.detach().cpu().double().numpy()


def changed(similarity: float) -> bool:
    """Whether a map is said to have changed; one that is the same everywhere (NaN) has."""
    return math.isnan(similarity) or abs(similarity) < FAILS
