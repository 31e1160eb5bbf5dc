"""What every part of a model adds to one logit, or to the difference of two, at one place of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.language import inputs_of
from microtome.methods.lens.words import residual_layers
from microtome.models.readout import alike, bias, blocks_of, head_writes, neuron_writes, readout_of, refused
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Contributions:
    """Logits that the parts add, the final norm held at the scale it has in this place. Everything adds up to ``logit``.

    Attributes:
        heads: float32 [blocks, heads]. attention_bias, feed_forward_bias: float32 [blocks].
        neurons: float32 [blocks, neurons].
        constant: of the final norm's shift and the unembedding's bias, the same for every text.
        logit: the model's own number. scale: of the final norm.
    """

    embeddings: float
    heads: Tensor = field(repr=False)
    attention_bias: Tensor = field(repr=False)
    neurons: Tensor = field(repr=False)
    feed_forward_bias: Tensor = field(repr=False)
    constant: float
    logit: float
    scale: float

    @property
    def total(self) -> float:
        parts = (self.heads, self.attention_bias, self.neurons, self.feed_forward_bias)
        return self.embeddings + self.constant + sum(float(p.double().sum()) for p in parts)

    @property
    def gap(self) -> float:
        return self.logit - self.total


@torch.no_grad()
def contributions(
    model: TextModel, tokens: Tokens, place: int, answers: Sequence[int], weights: Sequence[float], run: RunContext
) -> Contributions:
    """Of the sum of the logits of ``answers`` by ``weights``, at token ``place``.

    Raises:
        InvalidInput: of the field ``model``; its logits are no sum of what its parts write.
    """
    readout, blocks, stream = readout_of(model), blocks_of(model), residual_layers(model)
    if any(not b.heads or not b.neurons for b in blocks):
        raise refused(model, "has blocks without heads or without neurons")
    wanted = [model.layers[b.path + end] for b in blocks for end in (".head_values", ".attention", ".neurons", ".feed_forward")]
    with model.record([*wanted, *stream]) as recorded:
        logits = model.forward(inputs_of(model, [tokens]))[0, place].float()

    def at(name: str) -> Tensor:
        return recorded[name][0, place].float()

    start, end = at(stream[0].name), at(stream[-1].name)
    written = start + torch.stack([at(b.path + part) for b in blocks for part in (".attention", ".feed_forward")]).sum(0)
    if not alike(written, end):
        raise refused(model, "puts a norm or a scale behind what its attention and neurons write, so its residual stream is no sum of that")
    norm = model.network.get_submodule(readout.norm_path)
    assert readout.norm is not None
    own = recorded[stream[-1].name][:, place : place + 1]
    scale = float(readout.norm.scale(end, norm(own)[0, 0].float()))
    direction, constant = readout.direction(answers, weights)
    direction = direction * scale
    heads, neurons, biases = [], [], []
    for number, block in enumerate(blocks):
        run.check()
        reads = head_writes(model, block) @ direction
        heads.append((at(f"{block.path}.head_values").unflatten(0, (model.heads, -1)) * reads).sum(-1))
        neurons.append(at(f"{block.path}.neurons") * (neuron_writes(model, block) @ direction))
        biases.append([bias(model.network.get_submodule(m), len(direction)) @ direction for m in (block.heads, block.neurons)])
        run.progress(number + 1, len(blocks), "blocks")
    if len({len(n) for n in neurons}) > 1:
        raise refused(model, "has blocks of unequal numbers of neurons")
    return Contributions(
        float(start @ direction), torch.stack(heads), torch.stack([b[0] for b in biases]), torch.stack(neurons),
        torch.stack([b[1] for b in biases]), constant, sum(w * float(logits[a]) for a, w in zip(answers, weights, strict=True)), scale,
    )  # fmt: skip
