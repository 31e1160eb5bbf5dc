"""Where the parts of a model are read and changed: residual stream, attention, feed-forward, single heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel

Kind = Literal["residual", "attention", "feed-forward", "heads"]
KINDS: tuple[Kind, ...] = ("residual", "attention", "feed-forward", "heads")
_LAYERS: dict[Kind, tuple[str, ...]] = {
    "residual": ("embeddings", "residual"), "attention": ("attention",), "feed-forward": ("feed-forward",), "heads": ("head values",),
}  # fmt: skip


class Site(NamedTuple):
    """Coordinates ``start`` to ``stop`` of what a layer is read from: all of them, or one head's."""

    name: str
    layer: Layer
    start: int
    stop: int


def sites_of(model: TextModel, kind: Kind) -> list[list[Site]]:
    """The sites of one kind, those of one layer together, in order of execution.

    Raises:
        InvalidInput: of the field ``model``, which has no such parts.
    """
    if kind == "heads":
        return [
            [Site(f"{block_label(layer)}.{head}", layer, head * width, (head + 1) * width) for head in range(model.heads)]
            for layer in head_values(model)
            for width in [layer.units // model.heads]
        ]
    layers = [layer for layer in model.layers.values() if layer.kind in _LAYERS[kind]]
    if not layers:
        raise InvalidInput(f"{model.source} has no parts of the kind '{kind}' that can be told apart.", field="model")
    return [[Site(layer.label, layer, 0, layer.units)] for layer in layers]


def head_values(model: TextModel) -> list[Layer]:
    """The outputs of the heads side by side, of every block that has heads, in order of execution.

    Raises:
        InvalidInput: of the field ``model``, which has none.
    """
    found = [layer for layer in model.layers.values() if layer.kind == "head values"]
    if not model.heads or not found or any(layer.units % model.heads for layer in found):
        raise InvalidInput(f"{model.source} has no attention heads that can be told apart.", field="model")
    return found


def block_label(layer: Layer) -> str:
    """``h3`` of ``h3.head_values``."""
    return layer.label.rsplit(".", 1)[0]


def recorded(model: Model, layers: Iterable[Layer], ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits [B, T, vocabulary], and what the layers are read from, [B, T, D] by name; without gradients."""
    with torch.no_grad(), model.record(list(layers)) as outputs:
        return model.forward(ids), dict(outputs)


def chosen_blocks(model: TextModel, layers: Sequence[str] | None) -> list[int]:
    """Places in :func:`head_values` of the blocks that the named layers are part of; all if none are named.

    Raises:
        NotFound: a layer that the model has not.
        InvalidInput: none of the layers is part of a block with heads.
    """
    all_layers = head_values(model)
    if not layers:
        return list(range(len(all_layers)))
    names = {model.layer(name).name for name in layers}
    found = [i for i, layer in enumerate(all_layers) if any((n + ".").startswith(layer.name.rsplit(".", 1)[0] + ".") for n in names)]
    if not found:
        raise InvalidInput(
            f"None of these layers belongs to a block with attention heads: {', '.join(sorted(names))[:200]}.", field="layers"
        )
    return found
