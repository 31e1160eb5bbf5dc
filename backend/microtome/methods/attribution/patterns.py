"""What the inputs of every unit look like when it is active: patterns of a network, estimated over images (Kindermans et al. 2018).

A unit computes y = w x. Its weights also cancel what disturbs y, so they do not show what y is about; the pattern a, how x
moves with y, does. ``w a`` is one for every unit.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import BATCH, Call, portions
from microtome.methods.attribution.layerwise import Layerwise, Plan, Weighted
from microtome.methods.attribution.operations import RECTIFIERS, Operations, Rule
from microtome.methods.attribution.target import numbers

Estimator = Literal["two-component", "linear"]
#: Patterns are as large as the network's weights: two networks' worth are kept (one is that with random weights).
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of a network.

    Attributes:
        of: by place of the layer, in the shape of its weights; [2, channels] for a sum of two branches.
        images: over how many images they were estimated.
        units, without: how many units there are, and how many did not vary over the images and have their weights' direction instead.
    """

    of: Mapping[int, Tensor]
    images: int
    units: int
    without: int


def pattern_rules(walk: Layerwise) -> dict[str, Rule]:
    """Rules of a pass in which rectifiers differentiate as they do."""
    return {name: rule for name, rule in walk.rules().items() if name not in RECTIFIERS}


def channel_axis(layer: Weighted, value: Tensor) -> int:
    """The axis of ``value`` along which the layer's units lie."""
    return value.ndim - 1 if layer.kind == "dense" or value.ndim == 3 else 1


class _Sums:
    """Sums over images and sites of one layer, in float64: of x, y and x y, by unit.

    Args:
        rectified: count x and x y only where the unit is active, as the two-component estimator does.
    """

    def __init__(self, layer: Weighted, *, rectified: bool) -> None:
        self.kind, self.rectified = layer.kind, rectified
        self.weight = None if layer.weight is None else layer.weight.detach().double()
        self.active = self.all = self.y = self.x = self.xy = torch.zeros((), dtype=torch.float64)

    def add(self, layer: Weighted, value: Tensor) -> None:
        axis = channel_axis(layer, value)
        others = [i for i in range(value.ndim) if i != axis]
        plain = value if layer.bias is None else value - layer.bias
        marks = (value > 0).to(value) if self.rectified else torch.ones_like(value)
        self.active = self.active + marks.double().sum(others)
        self.all = self.all + value.numel() / value.shape[axis]
        self.y = self.y + plain.double().sum(others)
        self.x = self.x + self._over_inputs(layer, marks, others).double()
        self.xy = self.xy + self._over_inputs(layer, marks * plain, others).double()

    def _over_inputs(self, layer: Weighted, amounts: Tensor, others: list[int]) -> Tensor:
        """Sum of x times ``amounts`` of every unit: in the shape of the weights, of which it is the gradient."""
        if layer.weight is None:
            return torch.stack([(x.detach() * amounts).sum(others) for x in layer.inputs])
        with torch.enable_grad():
            weight = layer.weight.detach().clone().requires_grad_(True)
            return torch.autograd.grad(layer.times(layer.inputs[0].detach(), weight), weight, amounts)[0]

    def pattern(self) -> tuple[Tensor, int]:
        """The pattern of every unit, float32, and how many have none of their own."""
        first = self.weight is not None  # units lie along the first axis of weights, along the last of a sum's

        def spread(by_unit: Tensor) -> Tensor:
            return by_unit.view(-1, *[1] * (self.x.ndim - 1)) if first else by_unit

        def per_unit(terms: Tensor) -> Tensor:
            return terms.flatten(1).sum(1) if first else terms.sum(0)

        active = self.active.clamp(min=1)
        moving = self.xy / spread(active) - self.x / spread(active) * spread(self.y / self.all)
        weight = torch.ones_like(self.x) if self.weight is None else self.weight
        along, size = per_unit(weight * moving), per_unit((weight * moving).abs())
        # What cancels to rounding is no estimate; the weights' own direction has w a = 1 as well.
        still = (along <= 1e-6 * size) | (self.active < 2)
        own = weight / spread(per_unit(weight.square()).clamp(min=1e-30))
        found = torch.where(spread(still), own, moving / spread(torch.where(still, 1.0, along)))
        return found.float(), int(still.sum())


def estimate(call: Call, images: Tensor, plan: Plan, estimator: Estimator, title: str) -> Patterns:
    """Patterns of every layer of the call's model over ``images`` [n, 3, H, W], in one pass."""
    sums: dict[int, _Sums] = {}

    def note(layer: Weighted, value: Tensor) -> Tensor:
        kept = sums.get(layer.place)
        if kept is None:
            rectified = estimator == "two-component" and layer.place in plan.rectified
            kept = sums[layer.place] = _Sums(layer, rectified=rectified)
        kept.add(layer, value)
        return layer.inputs[0].sum() * 0  # nothing goes back in this pass; the next layer only has to see a graph

    for start, end in portions(len(images), BATCH):
        call.run.check()
        call.run.progress(start, len(images), "images for patterns")
        with torch.enable_grad():
            leaf = images[start:end].detach().clone().requires_grad_(True)
            walk = Layerwise(leaf, title, note, None, plan)
            with Operations(pattern_rules(walk)):
                numbers(call.model, leaf, [call.targets[0]] * (end - start))
    found = {place: kept.pattern() for place, kept in sums.items()}
    units = sum(kept.y.numel() for kept in sums.values())
    return Patterns({place: pattern for place, (pattern, _) in found.items()}, len(images), units, sum(n for _, n in found.values()))


_kept: OrderedDict[str, Patterns] = OrderedDict()
#: What a set of images drew, by count: the evidence asks the same set again and again, and need not load it again.
_drawn: WeakKeyDictionary[Callable[[int], Tensor], dict[int, str]] = WeakKeyDictionary()
_lock = threading.Lock()


def patterns_of(call: Call, count: int, plan: Plan, estimator: Estimator, title: str) -> Patterns:
    """Patterns over ``count`` other images of the example's set, from the last few that were asked for or estimated now.

    A model without identity is never taken for another.

    Raises:
        InvalidInput: the image belongs to no set.
    """
    draw = call.neighbours
    if draw is None:
        raise InvalidInput(
            f"{title} estimates patterns over other images of the example's set, and this image belongs to none. "
            "Take an example of a probe set that looks like it.",
            field="example",
        )
    images: Tensor | None = None
    with _lock:
        digest = _drawn.get(draw, {}).get(count)
    if digest is None:
        images = draw(count)
        digest = hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).hexdigest()
    key = f"{call.model.hash}/{digest}/{count}/{estimator}"
    with _lock:
        _drawn.setdefault(draw, {})[count] = digest
        found = _kept.get(key) if call.model.hash else None
        if found is not None:
            _kept.move_to_end(key)
            return found
    found = estimate(call, draw(count) if images is None else images, plan, estimator, title)
    with _lock:
        if call.model.hash:
            _kept[key] = found
            while len(_kept) > _KEPT:
                _kept.popitem(last=False)
    return found
