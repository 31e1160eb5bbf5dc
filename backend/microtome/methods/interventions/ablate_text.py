"""Switching off units of a language model: what its loss becomes, over all tokens and over those of each concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.reading import token_labels
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.language import inputs_of, text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.replay import Replay
from microtome.models.text import PAD, TextModel
from microtome.models.tokens import Tokens
from microtome.probes import TextSet
from microtome.results import Scorecard

_BATCH, _RESAMPLES = 8, 1000
#: A concept is reported if so many of the predicted tokens have it.
FEWEST = 50
Floats = npt.NDArray[np.float64]


def token_losses(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """float32 [B, T - 1]: nats that each token but the first costs, given those before it; NaN behind the end of a text."""
    chances = logits[:, :-1].float().log_softmax(-1)
    following = ids[:, 1:]
    losses = -chances.gather(2, following.clamp(min=0)[..., None])[..., 0]
    return losses.masked_fill(following == PAD, torch.nan)


def _means(model: Model, layer: Layer, batches: Sequence[tuple[Replay, torch.Tensor]]) -> torch.Tensor:
    """Mean activation of every unit over the tokens of all texts, [units]."""
    total, count = torch.zeros(layer.units, dtype=torch.float64, device=model.device), 0
    for replay, ids in batches:
        with model.record([layer]) as outputs:
            replay.run()
        maps = layer.canonical(outputs[layer.name])[:, :, 0]
        there = (ids != PAD)[:, layer.special :, None].transpose(1, 2)
        total += (maps.double() * there).sum((0, 2))
        count += int(there.sum())
    return (total / max(count, 1)).float()


def ablate_text(
    model: TextModel, probe: TextSet, layer: Layer, units: Sequence[int], others: npt.NDArray[np.int64], draws: int, examples: int,
    value: str, seed: int, run: RunContext,
) -> dict[str, Scorecard]:  # fmt: skip
    """Change of the loss with ``units`` off, beside the same for ``draws`` random sets of ``others``.

    The interval is a 95 % bootstrap over texts: tokens of one text are not independent.

    Raises:
        InvalidInput: the model does not predict the next token, or units that are read by a norm are to be set to their mean.
    """
    text_model(model, "causal")
    if layer.group and value == "mean":
        raise InvalidInput(
            f"A unit of {layer.label} is read by its norm, so it has no mean to be set to; choose zero.", field="params.value"
        )
    chosen = sorted({int(i) for i in np.linspace(0, len(probe) - 1, min(examples, len(probe))).round()})
    encoded = {i: model.tokenizer.encode(probe.text(i)) for i in chosen}
    texts = {i: tokens for i, tokens in encoded.items() if tokens.last - tokens.first > 1}
    batches = []
    for start in range(0, len(texts), _BATCH):
        run.check()
        ids = inputs_of(model, list(texts.values())[start : start + _BATCH])
        batches.append((Replay(model, layer, ids), ids))
        run.progress(min(start + _BATCH, len(texts)), len(texts), "texts prepared")
    means = _means(model, layer, batches) if value == "mean" else None
    names, members = _groups(model, probe, texts)

    def losses(off: Any) -> Floats:
        """Nats of every predicted token, texts one after the other."""
        values = means[torch.as_tensor(off, device=means.device)] if means is not None else None
        parts = []
        with model.ablated(layer, list(off), values):
            for replay, ids in batches:
                found = token_losses(replay.run(), ids)[:, max(0, layer.special - 1) :]
                parts += [row[~row.isnan()].double().cpu().numpy() for row in found]
        return np.concatenate([p[: len(m)] for p, m in zip(parts, members, strict=True)])

    before = np.concatenate(
        [
            row[~row.isnan()].double().cpu().numpy()[: len(members[start + place])]
            for start, (replay, ids) in zip(range(0, len(texts), _BATCH), batches, strict=True)
            for place, row in enumerate(token_losses(replay.logits, ids)[:, max(0, layer.special - 1) :])
        ]
    )
    effect = losses(units) - before
    has = np.concatenate(members)  # [tokens, groups]
    text_of = np.repeat(np.arange(len(members)), [len(m) for m in members])
    generator = np.random.default_rng(seed)
    random = np.empty((draws, len(names)))
    for draw in range(draws):
        run.check()
        picked = losses(generator.choice(others, len(units), replace=False)) - before
        random[draw] = [picked[has[:, g]].mean() for g in range(len(names))]
        run.progress(draw + 1, draws, "random sets")
    resampled = generator.integers(0, len(members), (_RESAMPLES, len(members)))
    scores = []
    for column, name in enumerate(names):
        mask = has[:, column]
        sums = np.bincount(text_of[mask], effect[mask], len(members))
        counts = np.bincount(text_of[mask], minlength=len(members)).astype(float)
        boot = sums[resampled].sum(1) / np.maximum(counts[resampled].sum(1), 1)
        low, high = np.quantile(boot, [0.025, 0.975])
        band = np.quantile(random[:, column], [0.025, 0.975]) if draws else (None, None)
        scores.append(
            Scorecard.Score(
                name=name, value=float(effect[mask].mean()), unit="nats per token", group="total" if column == 0 else "class",
                low=float(low), high=float(high), chance=float(random[:, column].mean()) if draws else None,
                chance_low=band[0], chance_high=band[1], draws=draws or None,
            )
        )  # fmt: skip
    return {
        "effect": Scorecard(
            title=f"Change of the loss with {len(units)} of {layer.units} units of {layer.label} set to {value}",
            note=f"Chance band: {draws} random sets of other units of the layer, central 95 %. Interval: bootstrap over texts. "
            f"Concepts of the predicted token; those of fewer than {FEWEST} tokens are left out.",
            scores=scores,
            facts={
                "measure": "loss", "examples": len(texts), "tokens": len(before), "layer": layer.name, "units": len(units), "draws": draws,
                "before": float(before.mean()),
            },
        )
    }  # fmt: skip


def _groups(model: TextModel, probe: TextSet, texts: Mapping[int, Tokens]) -> tuple[list[str], list[npt.NDArray[np.bool_]]]:
    """Names of the groups of tokens, all of them first; per text bool [predicted tokens, groups].

    Predicted are all tokens of a text, where a special token is before it, else all but the first.
    """
    skipped = 0 if model.special else 1
    per_text = []
    for i, tokens in texts.items():
        count = tokens.last - tokens.first
        has = np.zeros((count, len(probe.concepts) + 1), bool)
        has[:, 0] = True
        characters = probe.labels(i)
        if characters is not None:
            for row in token_labels(characters, probe.text(i), tokens, len(probe.concepts)):
                at = np.flatnonzero(row)
                has[at, row[at]] = True
        per_text.append(has[skipped:])
    total = np.sum([h.sum(axis=0) for h in per_text], axis=0)
    kept = [0, *(c.index + 1 for c in probe.concepts if total[c.index + 1] >= FEWEST)]
    names = ["all tokens", *(c.key for c in probe.concepts if total[c.index + 1] >= FEWEST)]
    return names, [h[:, kept] for h in per_text]
