"""The prefixes of a probe set at which chosen neurons are most active, and the token that follows each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.language import inputs_of
from microtome.models.layers import Layer
from microtome.models.text import PAD, TextModel
from microtome.models.tokens import Tokens
from microtome.probes import TextSet

_BATCH = 8
#: Tokens of a prefix that are shown.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Triggers:
    """
    Attributes:
        activations: float32 [units, count], strongest first. following: int64 [units, count], ids of the next tokens.
        prefixes: the end of the text before it, [units][count].
        next_tokens: int64 [vocabulary], how often each token comes next in all prefixes.
    """

    activations: Tensor = field(repr=False)
    following: Tensor = field(repr=False)
    prefixes: list[list[str]] = field(repr=False)
    next_tokens: Tensor = field(repr=False)

    def agreement(self, unit: int, token: int) -> tuple[float, float]:
        """Share of a unit's triggers that are followed by ``token``, and the share of all prefixes that are."""
        return float((self.following[unit] == token).float().mean()), float(self.next_tokens[token] / self.next_tokens.sum())


def texts_of(model: TextModel, probe: TextSet, examples: int) -> list[Tokens]:
    """Texts evenly over the probe set, those that have a token with another behind it.

    Raises:
        InvalidInput: of the field ``probe``; there are none.
    """
    chosen = sorted({int(i) for i in np.linspace(0, len(probe) - 1, min(examples, len(probe))).round()})
    found = [tokens for i in chosen if (tokens := model.tokenizer.encode(probe.text(i))).last - tokens.first > 1]
    if not found:
        raise InvalidInput("No text of the probe set has two tokens.", field="probe")
    return found


@torch.no_grad()
def triggers(
    model: TextModel, layer: Layer, units: Sequence[int], texts: Sequence[Tokens], count: int, size: int, run: RunContext
) -> Triggers:
    """The ``count`` strongest of every unit, over all tokens of the texts that have one behind them.

    Args:
        size: of the vocabulary.
    """
    strongest = torch.full((len(units), 0), 0.0, device=model.device)
    places = torch.zeros((len(units), 0, 2), dtype=torch.long, device=model.device)
    next_tokens = torch.zeros(size, dtype=torch.long)
    for start in range(0, len(texts), _BATCH):
        run.check()
        part = texts[start : start + _BATCH]
        inputs = inputs_of(model, part)
        with model.record([layer]) as outputs:
            model.forward(inputs)
        values = outputs[layer.name][:, :-1, list(units)].float()
        # A prefix is one of the text itself, and its next token is too.
        inside = torch.tensor([[t.first <= i < t.last - 1 for i in range(values.shape[1])] for t in part], device=model.device)
        next_tokens += torch.bincount(inputs[:, 1:][inside & (inputs[:, 1:] != PAD)].cpu(), minlength=size)
        text, token = inside.nonzero(as_tuple=True)
        here = torch.stack([text + start, token], 1).expand(len(units), -1, 2)
        strongest, places = torch.cat([strongest, values[text, token].T], 1), torch.cat([places, here], 1)
        best = strongest.topk(min(count, strongest.shape[1]))
        strongest, places = best.values, places.gather(1, best.indices[..., None].expand(-1, -1, 2))
        run.progress(min(start + _BATCH, len(texts)), len(texts), "texts")
    following = [[int(texts[t].ids[i + 1]) for t, i in row] for row in places.tolist()]
    prefixes = [[_end(model, texts[t], i) for t, i in row] for row in places.tolist()]
    return Triggers(strongest, torch.tensor(following, device=model.device), prefixes, next_tokens)


def _end(model: TextModel, tokens: Tokens, place: int) -> str:
    """The prefix up to a token, its last tokens only."""
    first = max(tokens.first, place + 1 - SHOWN)
    return ("…" if first > tokens.first else "") + "".join(model.tokenizer.text_of(int(i)) for i in tokens.ids[first : place + 1])
