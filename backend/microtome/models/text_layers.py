"""The layers of a model that reads: what every block takes in, computes and gives out, found by watching one forward pass.

Blocks are the equal children of a list, as in image models. Inside a block the weighted modules are told apart by their place
alone: those under a module whose name says attention, and the others. The last of either is what writes into the residual stream;
what it reads are the outputs of the heads, or the neurons after their activation function and gate.

=============  =====================================  ==========================================
kind           what is read                           units
=============  =====================================  ==========================================
embeddings     residual stream before the first block coordinates
neurons        input of the feed-forward's last map   neurons
heads          input of the attention's last map      heads, by the norm of what each gives
head values    the same                               coordinates, head by head
attention      output of that map                     coordinates
feed-forward   output of the feed-forward's last map  coordinates
residual       residual stream after the block        coordinates
=============  =====================================  ==========================================

The residual stream before any other block is the one after the block before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer, blocks, first_tensor

#: Dissected unless chosen otherwise.
DEFAULT = ("neurons", "heads", "residual")


@dataclass(frozen=True, slots=True)
class Block:
    """The parts of a block by their path; those that it does not have are empty.

    Attributes:
        heads: the map that reads the heads' outputs. neurons: the map that reads the neurons.
    """

    path: str
    heads: str
    neurons: str


def _weighted(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return not list(module.children()) and isinstance(weight, torch.Tensor) and weight.ndim == 2


def _watch(
    network: nn.Module, run: Callable[[torch.Tensor], object], sample: torch.Tensor
) -> tuple[list[str], dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Modules in order of completion, and the shapes of the first inputs and outputs of each.

    What lays the tokens of all texts in a row ([B T, D], as OPT does before its feed-forward) has the shape that it would have else.
    """
    order: list[str] = []
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[int, ...]] = {}

    def shape(tensor: torch.Tensor) -> tuple[int, ...]:
        in_a_row = tensor.ndim == 2 and tensor.shape[0] == sample.numel()
        return (*sample.shape, tensor.shape[1]) if in_a_row else tuple(tensor.shape)

    def hook(name: str) -> Any:
        def note(_: nn.Module, args: Any, output: Any) -> None:
            order.append(name)
            given, made = first_tensor(args), first_tensor(output)
            if given is not None:
                inputs[name] = shape(given)
            if made is not None:
                outputs[name] = shape(made)

        return note

    handles = [m.register_forward_hook(hook(n)) for n, m in network.named_modules() if n]
    try:
        with torch.no_grad():
            run(sample)
    finally:
        for handle in handles:
            handle.remove()
    return order, inputs, outputs


def find_blocks(
    network: nn.Module, order: list[str], inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]
) -> list[Block]:
    """The blocks in order of execution."""
    found: list[Block] = []
    names = blocks(network)
    if not names:
        names = {n for n in order if n.split(".")[-1].isdigit()}
    shaped = [n for n in dict.fromkeys(order) if n in names and len(outputs.get(n, ())) == 3]
    for path in shaped:
        inner = [n for n in order if n.startswith(path + ".") and _weighted(network.get_submodule(n)) and len(outputs.get(n, ())) == 3]
        width = outputs[path][2]
        writing = [n for n in inner if outputs[n][2] == width]
        attending = [n for n in writing if "att" in n[len(path) :].lower()]
        others = [n for n in writing if n not in attending]
        heads = attending[-1] if attending else ""
        neurons = others[-1] if others and inputs[others[-1]][2] != width else ""
        found.append(Block(path, heads, neurons))
    return found


def find_text_layers(
    network: nn.Module, run: Callable[[torch.Tensor], object], sample: torch.Tensor, heads: int, special: int, window: int
) -> tuple[list[Layer], list[Block]]:
    """All layers in order of execution, and the blocks they belong to.

    Args:
        run: makes one forward pass. sample: int64 [2, T], what to make it with.
        heads: attention heads of a block; 0 where that is not known.
        special: tokens at the beginning of every text that are no part of it. window: tokens of a text, at most.
    """
    order, inputs, outputs = _watch(network, run, sample)
    parts = find_blocks(network, order, inputs, outputs)
    again = next((b.path for b in parts if order.count(b.path) > 1), None)
    if again is not None:
        raise InvalidInput(
            f"The network goes through its block {again} {order.count(again)} times (as ALBERT does), so that a unit has as many "
            "activations for one token. Such networks cannot be looked into.",
            field="source",
        )
    layers: list[Layer] = []

    def add(name: str, label: str, kind: str, units: int, module: str, point: Any, group: int = 0) -> None:
        depth, default = module.count("."), kind in DEFAULT
        at = (name, label, kind, units, 1, window)
        layers.append(Layer(*at, "sequence", special, default, len(layers), depth, module, point, group))

    for number, block in enumerate(parts):
        width = outputs[block.path][2]
        label = _label(block.path, number)
        if number == 0:
            add(f"{block.path}.input", "embeddings", "embeddings", width, block.path, "input")
        if block.heads:
            values = inputs[block.heads][2]
            if heads and values % heads == 0:
                add(f"{block.path}.heads", f"{label}.heads", "heads", heads, block.heads, "input", values // heads)
            add(f"{block.path}.head_values", f"{label}.head_values", "head values", values, block.heads, "input")
            add(f"{block.path}.attention", f"{label}.attention", "attention", width, block.heads, "output")
        if block.neurons:
            add(f"{block.path}.neurons", f"{label}.mlp", "neurons", inputs[block.neurons][2], block.neurons, "input")
            add(f"{block.path}.feed_forward", f"{label}.mlp_out", "feed-forward", width, block.neurons, "output")
        add(block.path, label, "residual", width, block.path, "output")
    return layers, parts


def _label(path: str, number: int) -> str:
    """``transformer.h.3`` -> ``h3``, ``bert.encoder.layer.0`` -> ``layer0``."""
    words = [p for p in path.split(".") if not p.isdigit()]
    return re.sub(r"(?<=[a-z])s$", "", words[-1] if words else "block") + str(number)
