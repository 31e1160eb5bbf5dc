"""The gradient of a feed-forward layer's matrices in its two halves: what goes into the map at every token, and what comes back to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.context import RunContext
from microtome.methods.language import inputs_of
from microtome.methods.lens.weights import neuron_reads
from microtome.methods.lens.words import residual_layers
from microtome.models.layers import first_tensor
from microtome.models.readout import blocks_of, watched
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Halves:
    """Of one map: the gradient of its matrix [in, out] is the sum over tokens of ``outer(given, slope)``.

    Attributes:
        module: path of the map. given: float32 [T, in]. slope: float32 [T, out], derivatives of the loss by the map's outputs.
    """

    module: str
    given: Tensor = field(repr=False)
    slope: Tensor = field(repr=False)

    @property
    def sizes(self) -> Tensor:
        """[T]: Frobenius norm of every token's part."""
        return self.given.norm(dim=1) * self.slope.norm(dim=1)

    @property
    def norm(self) -> float:
        """Frobenius norm of the whole gradient, without writing it down."""
        return float(((self.given @ self.given.T) * (self.slope @ self.slope.T)).double().sum().clamp(min=0).sqrt())


@contextmanager
def _kept(modules: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Live inputs and outputs of modules in the pass made inside the block."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            given, made = first_tensor(args), first_tensor(output)
            assert given is not None
            assert made is not None
            seen[name] = given, made

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def halves(model: TextModel, tokens: Tokens, place: int, target: int, run: RunContext) -> tuple[list[Halves], list[Halves], float]:
    """Of the first map that feeds the neurons of every block, and of the map that they write through; and the loss in nats.

    The loss is that of predicting ``target`` at token ``place``.

    Raises:
        InvalidInput: of the field ``model``; a block without neurons.
    """
    blocks = blocks_of(model)
    firsts, calls = [], watched(model)
    for block in blocks:
        run.check()
        firsts.append(neuron_reads(model, block, calls).path)
    seconds = [b.neurons for b in blocks]
    start = residual_layers(model)[0]
    modules = {name: model.network.get_submodule(name) for name in (*firsts, *seconds)}
    # Weights take no gradients here: the graph begins at the residual stream before the first block.
    with torch.enable_grad(), model.changed(start, lambda t: t.detach().clone().requires_grad_()), _kept(modules) as seen:
        logits = model.forward(inputs_of(model, [tokens]))[0, place].float()
        loss = -logits.log_softmax(-1)[target]
        slopes = torch.autograd.grad(loss, [seen[name][1] for name in modules])
    run.check()
    # One text, whether its map was given [1, T, in] or [T, in].
    found = {
        name: Halves(name, seen[name][0].flatten(0, -2).detach().float(), slope.flatten(0, -2).float())
        for name, slope in zip(modules, slopes, strict=True)
    }
    return [found[n] for n in firsts], [found[n] for n in seconds], float(loss.detach())
