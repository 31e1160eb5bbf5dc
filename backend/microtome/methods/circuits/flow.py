"""What the residual stream at one place is made of: the stream before it, every head from every token, every neuron, and biases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from microtome.methods.circuits.attention import attention_of as patterns_of
from microtome.methods.lens.weights import attention_of
from microtome.methods.lens.words import residual_layers
from microtome.models.readout import alike, blocks_of, head_writes, neuron_writes, readout_of, refused, watched
from microtome.models.text import TextModel


@dataclass(frozen=True, slots=True)
class Parts:
    """Shares of one residual state in which everything that is added to it stands; they add up to 1.

    Attributes:
        residual: of the state before the block. heads: float32 [heads, T], of every head by the token that it reads.
        neurons: float32 [neurons]. biases: of what is added whatever the text.
    """

    residual: float
    heads: Tensor = field(repr=False)
    neurons: Tensor = field(repr=False)
    biases: float

    @property
    def total(self) -> float:
        return self.residual + float(self.heads.double().sum()) + float(self.neurons.double().sum()) + self.biases


class Flow:
    """The forward pass of one text, taken apart state by state.

    The share of a part z in a state y is ``z . y / |y|^2``, with the mean over coordinates taken off where the final norm does so: how
    far the part goes along the way of the whole. It is negative for a part that goes against it.

    Args:
        ids: int64 [1, T].

    Raises:
        InvalidInput: of the field ``model``; its residual stream is no sum of what its parts write, or they cannot be told apart.
    """

    def __init__(self, model: TextModel, ids: Tensor) -> None:
        self.model, self.readout, self.blocks = model, readout_of(model), blocks_of(model)
        if any(not b.heads or not b.neurons for b in self.blocks):
            raise refused(model, "has blocks without heads or without neurons")
        calls = watched(model)
        self._attention = [attention_of(model, b, calls) for b in self.blocks]
        stream = residual_layers(model)
        layers = [model.layers[b.path + end] for b in self.blocks for end in (".head_values", ".attention", ".neurons", ".feed_forward")]
        with torch.no_grad(), model.record([*layers, *stream]) as found, _inputs(model, [a.path for a in self._attention]) as read:
            self.logits = model.forward(ids)[0].float()
        self._found = {name: value[0].float() for name, value in found.items()}
        self._read = [read[a.path][0].float() for a in self._attention]
        self._patterns = [p[0] for p in patterns_of(model, ids)]
        #: float32 [blocks + 1, T, width]: the states, before the first block and after every block.
        self.states = torch.stack([self._found[x.name] for x in stream])
        written = self.states[0] + sum(self._found[b.path + end] for b in self.blocks for end in (".attention", ".feed_forward"))
        if not alike(written, self.states[-1]):
            raise refused(model, "puts a norm or a scale behind what its attention and neurons write, so its residual stream is no sum")
        self._values = [self._values_of(number) for number in range(len(self.blocks))]

    def _values_of(self, number: int) -> Tensor:
        """float32 [heads, T, each]: what a head takes from every token, its bias included."""
        pattern = self._patterns[number]
        own = torch.einsum("tw,hwe->hte", self._read[number], self._attention[number].values)
        gave = self._found[f"{self.blocks[number].path}.head_values"].unflatten(-1, (self.model.heads, -1)).transpose(0, 1)
        # The shares of attention add up to 1, so what is missing is the bias of the values, the same for every token.
        constant = (gave - pattern @ own).mean(1, keepdim=True)
        if not alike(pattern @ (own + constant), gave):
            raise refused(self.model, f"does not give, in {self.blocks[number].path}, values weighted by its attention")
        return own + constant

    def _along(self, level: int, place: int) -> Tensor:
        """float32 [width]: reads the share of a state."""
        state = self.states[level, place]
        away = self.readout.norm.away(state) if self.readout.norm else state
        return away / away.pow(2).sum().clamp(min=1e-30)

    def parts(self, level: int, place: int) -> Parts:
        """Of the state after block ``level - 1`` at token ``place``."""
        number, along = level - 1, self._along(level, place)
        block = self.blocks[number]
        reads = head_writes(self.model, block) @ along
        heads = self._patterns[number][:, place] * torch.einsum("hte,he->ht", self._values[number], reads)
        neurons = self._found[f"{block.path}.neurons"][place] * (neuron_writes(self.model, block) @ along)
        residual = float(self.states[number, place] @ along)
        added = float((self._found[f"{block.path}.attention"][place] + self._found[f"{block.path}.feed_forward"][place]) @ along)
        return Parts(residual, heads, neurons, added - float(heads.sum()) - float(neurons.sum()))

    def head_vector(self, number: int, head: int, place: int) -> Tensor:
        """float32 [width]: what a head writes at a token."""
        gave = self._found[f"{self.blocks[number].path}.head_values"][place].unflatten(0, (self.model.heads, -1))[head]
        return gave @ head_writes(self.model, self.blocks[number])[head]

    def neuron_vector(self, number: int, neuron: int, place: int) -> Tensor:
        return self.activation(number, neuron, place) * neuron_writes(self.model, self.blocks[number])[neuron]

    def activation(self, number: int, neuron: int, place: int) -> float:
        return float(self._found[f"{self.blocks[number].path}.neurons"][place, neuron])


@contextmanager
def _inputs(model: TextModel, paths: list[str]) -> Iterator[dict[str, Tensor]]:
    """The first input of modules in the pass made inside the block, by path."""
    found: dict[str, Tensor] = {}

    def note(path: str) -> Any:
        def hook(_: Any, args: Any, kwargs: Any) -> None:
            found[path] = (args[0] if args else next(iter(kwargs.values()))).detach()

        return hook

    handles = [model.network.get_submodule(p).register_forward_pre_hook(note(p), with_kwargs=True) for p in paths]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
