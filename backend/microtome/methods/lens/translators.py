"""Translators of a tuned lens: one affine map per layer of the residual stream, trained to give the model's own answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.language import inputs_of
from microtome.methods.lens.logit_lens import divergence
from microtome.methods.lens.words import residual_layers
from microtome.models.readout import Tail
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens

_TEXTS = 8
#: Vectors that are turned into logits at a time.
_PLACES = 128


@dataclass(frozen=True, slots=True)
class Stream:
    """Residual streams of places in texts: float32 [layers, places, width], and int64 [places] the text of each."""

    states: Tensor = field(repr=False)
    text: Tensor = field(repr=False)


@torch.no_grad()
def stream_of(model: TextModel, texts: Sequence[Tokens], places: int, generator: torch.Generator, run: RunContext) -> Stream:
    """Up to ``places`` places, drawn from all texts as evenly as their lengths allow."""
    layers, each = residual_layers(model), -(-places // len(texts))
    states, owners = [], []
    for start in range(0, len(texts), _TEXTS):
        run.check()
        part = texts[start : start + _TEXTS]
        with model.record(layers) as outputs:
            model.forward(inputs_of(model, part))
        for row, tokens in enumerate(part):
            drawn = tokens.first + torch.randperm(tokens.last - tokens.first, generator=generator)[:each].sort().values
            states.append(torch.stack([outputs[x.name][row, drawn.to(model.device)].float() for x in layers]))
            owners.append(torch.full((len(drawn),), start + row))
        run.progress(min(start + _TEXTS, len(texts)), len(texts), "texts read")
    return Stream(torch.cat(states, 1)[:, :places], torch.cat(owners)[:places])


@dataclass(frozen=True, slots=True)
class Translators:
    """``translate(h) = h + h @ turn + shift`` for every layer but the last, which needs none.

    Attributes:
        turn: float32 [layers - 1, width, width]. shift: float32 [layers - 1, width].
    """

    turn: Tensor = field(repr=False)
    shift: Tensor = field(repr=False)

    def __call__(self, states: Tensor) -> Tensor:
        """[layers, places, width] of the same shape; the last layer stays as it is."""
        return torch.cat([states[:-1] + torch.baddbmm(self.shift[:, None], states[:-1], self.turn), states[-1:]])


def train(
    model: TextModel, stream: Stream, steps: int, batch: int, rate: float, generator: torch.Generator, run: RunContext
) -> Translators:
    """By Adam from the identity, on the divergence of every layer from the last, at a learning rate that falls to zero.

    Layers have nothing in common, so that the sum of their losses trains each as if it were alone.
    """
    layers, places, width = stream.states.shape
    batch = min(batch, places)
    tail = Tail(model, min(batch, _PLACES))
    turn = torch.zeros(layers - 1, width, width, device=model.device, requires_grad=True)
    shift = torch.zeros(layers - 1, width, device=model.device, requires_grad=True)
    found = Translators(turn, shift)
    optimiser = torch.optim.Adam([turn, shift], lr=rate)
    for step in range(steps):
        run.check()
        drawn = torch.randint(places, (batch,), generator=generator).to(model.device)
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        states = stream.states[:, drawn]
        with torch.no_grad():
            final = tail(states[-1]).log_softmax(-1)
        translated = found(states)
        slopes = []
        for hidden in translated[:-1].detach():
            # Layer by layer, so that the logits of one are held at a time.
            hidden.requires_grad_()
            with torch.enable_grad():
                loss = divergence(final, tail(hidden).log_softmax(-1)).mean()
                slopes.append(torch.autograd.grad(loss, hidden)[0])
        translated[:-1].backward(torch.stack(slopes))
        optimiser.step()
        run.progress(step + 1, steps, "steps")
    return Translators(turn.detach(), shift.detach())


@torch.no_grad()
def divergences(model: TextModel, states: Tensor, run: RunContext) -> Tensor:
    """float32 [layers, places]: nats between what each layer says of a place and what the last layer of ``states`` does."""
    tail, rows = Tail(model, _PLACES), []
    for part in states.split(_PLACES, dim=1):
        run.check()
        final = tail(part[-1]).log_softmax(-1)
        rows.append(torch.stack([divergence(final, tail(hidden).log_softmax(-1)) for hidden in part]))
    return torch.cat(rows, 1)
