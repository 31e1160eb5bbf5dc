"""What is explained: a number that the model gives for an input, of one class, of two, of a unit, a direction, or likeness to an image."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.probes import Example


@dataclass(frozen=True, slots=True)
class Reference:
    """What another image gives at a layer, mean over sites; equal references have equal bytes.

    It stays what the model as it is made of the image, also where the evidence asks networks with other weights.

    Attributes:
        sha256: of the vector's bytes.
        vector: float32 [units], not zero everywhere.
    """

    sha256: str
    vector: Tensor = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """A weighted sum of logits (``layer`` is None), or of the units of a layer; or how like a layer's output is to that of another image.

    Attributes:
        name: what is shown: ``village``, ``village - harbour``, ``stage4.1 / 42``.
        layer: recorded for :meth:`number`; None for classes.
        weights: (index, weight) of classes or units, sorted by index.
        site: row and column of the layer's grid; None for the mean over all sites.
        like: where the number is the cosine of the angle between the layer's output, mean over sites, and this; ``weights`` are empty.
    """

    name: str
    layer: Layer | None
    weights: tuple[tuple[int, float], ...]
    site: tuple[int, int] | None = None
    like: Reference | None = None

    def number(self, logits: Tensor, recorded: Mapping[str, Tensor]) -> Tensor:
        """[B], differentiable, of logits [B, classes] and the raw outputs of layers by name."""
        if self.layer is None:
            values = logits
        else:
            maps = self.layer.canonical(recorded[self.layer.name])
            values = maps.mean((2, 3)) if self.site is None else maps[:, :, self.site[0], self.site[1]]
            if self.like is not None:
                return torch.nn.functional.cosine_similarity(values, self.like.vector.to(values)[None], dim=1)
        if len(self.weights) == 1 and self.weights[0][1] == 1.0:
            return values[:, self.weights[0][0]]
        index = torch.tensor([i for i, _ in self.weights], device=values.device)
        return values[:, index] @ torch.tensor([w for _, w in self.weights], dtype=values.dtype, device=values.device)

    @property
    def index(self) -> int | None:
        """The class, where the target is the logit of one; else None."""
        return self.weights[0][0] if self.layer is None and len(self.weights) == 1 and self.weights[0][1] == 1.0 else None

    @property
    def unit(self) -> str:
        """What its number is measured in."""
        if self.like is not None:
            return "cosine similarity"
        return "logits" if self.layer is None else "activation"


def resolve(model: ImageModel, logits: Tensor, spec: Any) -> Target:
    """The target that a subject names: a class index, ``{"minus": [a, b]}``, ``{"layer", "unit", "site"}``, ``{"layer", "weights"}`` or
    ``{"like", "layer"}``, to which whoever fetched the other image has added it as ``"example"``.

    Args:
        logits: [classes] of the image; ``None`` as ``spec`` is its predicted class.

    Raises:
        InvalidInput, NotFound: a class, layer, unit or site the model does not have.
    """
    if spec is None:
        spec = int(logits.argmax())
    if isinstance(spec, int):
        return Target(_class_name(model, spec), None, ((spec, 1.0),))
    if "minus" in spec:
        one, other = (int(i) for i in spec["minus"])
        if one == other:
            raise InvalidInput(f"Class {one} minus itself is always nothing; name two classes.", field="targets")
        return Target(f"{_class_name(model, one)} - {_class_name(model, other)}", None, tuple(sorted(((one, 1.0), (other, -1.0)))))
    if "like" in spec:
        return _likeness(model, spec["like"], spec["example"], spec.get("layer"))
    layer = model.layer(spec["layer"])
    weights = {int(spec["unit"]): 1.0} if "unit" in spec else {int(i): float(w) for i, w in spec["weights"].items()}
    for unit, weight in weights.items():
        if not 0 <= unit < layer.units:
            raise InvalidInput(f"{layer.label} has {layer.units} units, 0 to {layer.units - 1}; there is no {unit}.", field="targets")
        if not math.isfinite(weight):
            raise InvalidInput(f"The weight of unit {unit} is {weight}; it must be a finite number.", field="targets")
    site = tuple(int(i) for i in spec["site"]) if spec.get("site") is not None else None
    if site is not None and not (0 <= site[0] < layer.height and 0 <= site[1] < layer.width):
        raise InvalidInput(f"{layer.label} has {layer.height} x {layer.width} sites; there is none at {list(site)}.", field="targets")
    name = f"{layer.label} / {next(iter(weights))}" if "unit" in spec else f"{layer.label} / direction of {len(weights)} units"
    return Target(name + (f" at {site[0]}, {site[1]}" if site else ""), layer, tuple(sorted(weights.items())), site)  # type: ignore[arg-type]


def _likeness(model: ImageModel, name: str, other: Example, layer_name: str | None) -> Target:
    """Likeness to another image in what a layer, by default the last of the main ones, gives for both."""
    layer = model.layer(layer_name) if layer_name is not None else model.default_layers()[-1]
    with torch.inference_mode(), model.record([layer]) as recorded:
        model.forward(model.inputs([other.image]))
    vector = layer.canonical(recorded[layer.name])[0].float().mean((1, 2)).cpu()
    if not torch.isfinite(vector).all() or not vector.any():
        raise InvalidInput(
            f"{layer.label} gives {'zero' if torch.isfinite(vector).all() else 'values that are not finite'} for {name}, so nothing can be "
            "said to be like it. Choose another layer or another image.",
            field="targets",
        )
    sha256 = hashlib.sha256(vector.numpy().tobytes()).hexdigest()
    kind, _, number = name.rpartition(":")
    shown = f"upload {number[:8]}" if kind == "upload" else f"{kind}/{number}"
    return Target(f"like {shown}" + (f" at {layer.label}" if layer_name else ""), layer, (), None, Reference(sha256, vector.clone()))


def _class_name(model: ImageModel, index: int) -> str:
    if not 0 <= index < len(model.classes):
        raise InvalidInput(
            f"The model has {len(model.classes)} classes, 0 to {len(model.classes) - 1}; there is no {index}.", field="targets"
        )
    return model.classes[index]


def targets_of(model: ImageModel, inputs: Tensor, specs: Sequence[Any] | None) -> list[Target]:
    """Targets of one image [1, 3, H, W], in order and without repetition; its predicted class if none are named.

    Raises:
        InvalidInput: as :func:`resolve`, or logits that are not finite.
    """
    with torch.inference_mode():
        logits = check_finite(model.forward(inputs)[0])
    return list(dict.fromkeys(resolve(model, logits, spec) for spec in (specs or [None])))


def check_finite(logits: Tensor) -> Tensor:
    """The logits themselves.

    Raises:
        InvalidInput: a value that is not finite.
    """
    if not torch.isfinite(logits).all():
        raise InvalidInput("The model's output for this image is not finite, so there is nothing to explain.", field="example")
    return logits


@contextmanager
def recording(model: ImageModel, targets: Sequence[Target]) -> Iterator[dict[str, Tensor]]:
    """Raw outputs of the layers that targets are read from, in the passes made inside the block."""
    layers = list({t.layer.name: t.layer for t in targets if t.layer is not None}.values())
    with model.record(layers, keep_graph=torch.is_grad_enabled()) as recorded:
        yield recorded


def numbers(model: ImageModel, inputs: Tensor, targets: Sequence[Target]) -> Tensor:
    """[B]: row i is targets[i] of inputs[i]. One forward pass; gradients flow if the caller enables them."""
    with recording(model, targets) as recorded:
        logits = model.forward(inputs)
    return pick(targets, logits, recorded)


def every_number(model: ImageModel, inputs: Tensor, targets: Sequence[Target]) -> Tensor:
    """[B, targets]: every target of every input, from one forward pass."""
    with recording(model, targets) as recorded:
        logits = model.forward(inputs)
    return torch.stack([t.number(logits, recorded) for t in targets], 1)


def pick(targets: Sequence[Target], logits: Tensor, recorded: Mapping[str, Tensor]) -> Tensor:
    """[B]: target i of row i, of logits [B, classes] and raw outputs of layers; equal targets are read together."""
    rows: dict[Target, list[int]] = {}
    for row, target in enumerate(targets):
        rows.setdefault(target, []).append(row)
    if len(rows) == 1:
        return targets[0].number(logits, recorded)
    parts, order = [], []
    for target, places in rows.items():
        own = {} if target.layer is None else {target.layer.name: recorded[target.layer.name][places]}
        parts.append(target.number(logits[places], own))
        order += places
    return torch.cat(parts)[torch.tensor(order, device=logits.device).argsort()]
