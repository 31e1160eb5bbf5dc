"""Switching off more and more neurons that know a concept: what the loss becomes on it and elsewhere, beside random neurons."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.context import RunContext
from microtome.methods.concepts.labelled import Labelled, tokens_with
from microtome.methods.interventions.ablate_text import token_losses
from microtome.methods.language import inputs_of
from microtome.models.layers import Layer
from microtome.models.text import TextModel
from microtome.probes import TextSet
from microtome.results import Curves

_BATCH = 8
Floats = npt.NDArray[np.float64]


class Texts(NamedTuple):
    """A batch: ids int64 [B, T], and which of its tokens but the first have the concept, or have not, bool [B, T - 1] each."""

    ids: torch.Tensor
    having: torch.Tensor
    lacking: torch.Tensor


def held_texts(model: TextModel, probe: TextSet, rows: Labelled, most: int) -> list[Texts]:
    """Of the half that is reported on: at most ``most`` texts with the concept and as many without, so spread evenly."""
    with_it = np.unique(rows.text[rows.held & rows.has])
    without = np.setdiff1d(rows.text[rows.held], with_it)
    chosen = [
        int(i) for group in (with_it, without) for i in group[np.linspace(0, len(group) - 1, min(most, len(group))).round().astype(int)]
    ]
    having = {int(i) for i in with_it}
    concept = next((c.index for c in probe.concepts if c.key == rows.name), -1)
    batches = []
    for start in range(0, len(chosen), _BATCH):
        part = [(i, model.tokenizer.encode(probe.text(i))) for i in chosen[start : start + _BATCH]]
        ids = inputs_of(model, [t for _, t in part])
        masks = np.zeros((2, *ids.shape), bool)
        for row, (i, tokens) in enumerate(part):
            own = slice(tokens.first, tokens.last)
            has = tokens_with(probe, i, tokens, concept) if rows.site is not None else np.full(tokens.last - tokens.first, i in having)
            masks[0, row, own], masks[1, row, own] = has, ~has
        found = torch.from_numpy(masks[:, :, 1:]).to(ids.device)
        batches.append(Texts(ids, found[0], found[1]))
    return batches


def mean_losses(model: TextModel, batches: Sequence[Texts]) -> Floats:
    """Nats per token, over those with the concept and those without, float64 [2]; NaN where there are none."""
    sums, counts = np.zeros(2), np.zeros(2)
    for batch in batches:
        with torch.no_grad():
            losses = token_losses(model.forward(batch.ids), batch.ids).double()
        for kind, mask in enumerate((batch.having, batch.lacking)):
            sums[kind] += float(losses[mask].sum())
            counts[kind] += int(mask.sum())
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts)


def ablation_curve(
    model: TextModel, batches: Sequence[Texts], experts: Sequence[tuple[Layer, int]], sizes: Sequence[int], draws: int, seed: int,
    name: str, run: RunContext,
) -> Curves:  # fmt: skip
    """Change of the loss with the first 1, 2, 4, ... experts set to zero; the band is of random neurons, as many of the same layers."""
    before = mean_losses(model, batches)

    def change(neurons: Sequence[tuple[Layer, int]]) -> Floats:
        by_layer: dict[str, list[int]] = {}
        for layer, unit in neurons:
            by_layer.setdefault(layer.name, []).append(unit)
        with ExitStack() as stack:
            for layer_name, units in by_layer.items():
                stack.enter_context(model.ablated(model.layers[layer_name], units))
            return mean_losses(model, batches) - before

    generator = np.random.default_rng(seed)
    values = np.empty((2, len(sizes)))
    band = np.full((2, 2, len(sizes)), np.nan)
    for column, size in enumerate(sizes):
        run.check()
        values[:, column] = change(experts[:size])
        random = np.empty((draws, 2))
        for draw in range(draws):
            run.check()
            random[draw] = change(_like(experts[:size], generator))
            run.progress(column * draws + draw + 1, len(sizes) * draws, "random sets of neurons")
        if draws:
            band[:, :, column] = np.quantile(random, [0.025, 0.975], axis=0)
    bands = {"low": band[0].astype(np.float32), "high": band[1].astype(np.float32)} if draws else {}
    return Curves(
        title=f"Loss without the neurons of {name}",
        note=f"Band: {draws} random sets of as many other neurons of the same layers, central 95 %. Neurons are set to zero. "
        f"Before: {before[0]:.4g} and {before[1]:.4g} nats per token.",
        series=["tokens with the concept", "tokens without it"], x_axis="neurons switched off",
        y_axis="change of the loss (nats per token)",
        arrays={"x": np.array(sizes, np.float32), "y": values.astype(np.float32), **bands},
    )  # fmt: skip


def _like(neurons: Sequence[tuple[Layer, int]], generator: np.random.Generator) -> list[tuple[Layer, int]]:
    """As many neurons of each layer, none of them the same; of a layer of which most are taken, any."""
    found = []
    for name in dict.fromkeys(layer.name for layer, _ in neurons):
        layer = next(x for x, _ in neurons if x.name == name)
        taken = [unit for x, unit in neurons if x.name == name]
        others = np.setdiff1d(np.arange(layer.units), taken)
        pool = others if len(others) >= len(taken) else np.arange(layer.units)
        found += [(layer, int(unit)) for unit in generator.choice(pool, len(taken), replace=False)]
    return found
