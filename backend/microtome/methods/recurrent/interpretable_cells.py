"""Cells that follow a concept, or a place: in the line, in brackets, in the text."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.concepts.labelled import activations
from microtome.methods.concepts.measures import average_precision
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.methods.recurrent.cells import Against, Followed, Rows, follow, rows_of
from microtome.methods.recurrent.following import PLACES, correlations
from microtome.methods.recurrent.reading import layers_of_kind
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Result, Scorecard, UnitTable

_SHOWN, _RESAMPLES = 10, 200


class Params(MethodParams):
    against: Against = Field("token", description="What a cell must tell more than: the token by itself, or a ranking by lot.")
    fewest: int = Field(20, ge=1, le=100_000, description="A concept counts if so many tokens have it, and so many have not, in each half.")
    texts: int = Field(400, ge=2, le=100_000, description="First texts of the probe set.")
    tokens: int = Field(10_000, ge=20, le=200_000, description="Tokens that are drawn of them at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the halves, the drawn tokens and the bootstrap.")


@method(
    "interpretable-cells",
    title="Interpretable cells",
    question="Which cells follow a concept, or a place in the line?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(UnitTable, Scorecard),
    params=Params,
    example_params=Params(fewest=3),
    cite="Karpathy, Johnson, Li 2015, arXiv:1506.02078",
    cost=Cost(passes=1.0, per_probe=True),
)
def interpretable_cells(
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """For every cell the concept that it tells best, rising or falling with it, and its correlation with places of tokens.

    Of all concepts and both directions the best is chosen on half of the texts, by the gain of its average precision AP over a base b,
    ``(AP - b) / (1 - b)``; what is reported is of the other half. The base is the average precision of the token by itself, ranked by
    how often that token had the concept on the first half, and at least that of a ranking by lot, the share with the concept. A concept
    that the token gives away entirely (a comma) is then left out; ``against`` lot it is not. Correlations (Pearson) are with the
    characters before a token in its line, the brackets open before it (counted in the characters alone, those in strings and comments
    too), and the characters before it in the text. Cells of the summary are chosen on the first half; intervals are 95 % bootstraps
    over texts of the other.

    Even cells of an untrained network echo the last few tokens, and so stand above the base where a few are enough (indentation).

    Named layers may hold anything else that the network computes, hidden states for instance.

    That a cell can be read says neither that the network uses it nor that it is the only one: ablate it to see.

    Raises:
        InvalidInput: a model that takes no texts or has no cells (``model``), or fewer than two texts (``probe``).
    """
    run.check()
    reading, texts = text_model(model), cast("TextSet", probe)
    cells = layers_of_kind(reading, "cell")
    if layers:
        cells = [reading.layer(name) for name in dict.fromkeys(layers)]
    rows = rows_of(reading, texts, params.texts, params.tokens, params.against, params.seed)
    results: dict[str, Result] = {}
    found: dict[str, Followed] = {}
    kept: dict[str, npt.NDArray[np.float32]] = {}
    for layer, values in activations(reading, texts, cells, rows.at, "mean", run):
        followed = follow(rows, values, params.fewest, run)
        found[layer.name], kept[layer.name] = followed, values[rows.at.held]
        results[f"units_{layer.label.replace('.', '_')}"] = _table(layer, followed, rows)
    return results | {"summary": _summary(cells, found, kept, rows, params.seed)}


def _table(layer: Layer, found: Followed, rows: Rows) -> UnitTable:
    order = np.argsort(-np.nan_to_num(found.gain, nan=-np.inf), kind="stable")
    names = [rows.names[c] if c >= 0 else None for c in found.concept[order]]
    followed = found.concept[order] >= 0
    direction = ["rises" if up else "falls" for up in found.rises[order]]
    return UnitTable.of(
        title=f"What cells of {layer.label} follow",
        note=f"Concept and direction were chosen on {int((~rows.at.held).sum()):,} tokens; all else is of {int(rows.at.held.sum()):,} "
        "tokens of other texts. Gain: average precision above the base, as a share of what is possible; the base is that of "
        f"{'the token by itself' if rows.against == 'token' else 'a ranking by lot'}.",
        layer=layer.name, units=order,
        columns=[
            Column("concept", "Concept", "text", names),
            Column("direction", "With it", "text", [d if there else None for d, there in zip(direction, followed, strict=True)]),
            Column("gain", "Gain", "number", found.gain[order]),
            Column("ap", "Average precision", "number", found.ap[order]),
            Column("ap_token", "Average precision of the token by itself", "number", found.token[order]),
            Column("prevalence", "Average precision by lot", "number", found.prevalence[order]),
            Column("ap_chosen", "Average precision where chosen", "number", found.chosen[order]),
            *(
                Column("r_" + place.split()[-1], f"Correlation with {place}", "number", found.r[p, order])
                for p, place in enumerate(PLACES)
            ),
        ],
    )  # fmt: skip


def _summary(cells: list[Layer], found: dict[str, Followed], kept: dict[str, npt.NDArray[np.float32]], rows: Rows, seed: int) -> Scorecard:
    """The cells that were best where they were chosen, and for each place the one that correlated most."""
    at = [(layer, unit) for layer in cells for unit in range(layer.units)]
    joined = [found[layer.name] for layer in cells]
    concept, gain = np.concatenate([f.concept for f in joined]), np.concatenate([f.gain_chosen for f in joined])
    held_text, has = rows.at.text[rows.at.held], rows.has[rows.at.held]
    members = [np.flatnonzero(held_text == t) for t in np.unique(held_text)]
    generator = np.random.default_rng(seed)
    samples = [np.concatenate([members[m] for m in generator.integers(0, len(members), len(members))]) for _ in range(_RESAMPLES)]
    scores = []
    for i in np.argsort(-gain, kind="stable")[:_SHOWN]:
        if concept[i] < 0:
            break
        layer, unit = at[i]
        f, own = found[layer.name], has[:, concept[i]]
        values = kept[layer.name][:, [unit]] * (1 if f.rises[unit] else -1)
        boot = [average_precision(own[s], values[s])[0] for s in samples if own[s].any()]
        low, high = np.quantile(boot, [0.025, 0.975])
        word = "rises" if f.rises[unit] else "falls"
        scores.append(
            Scorecard.Score(
                name=f"{layer.label}/{unit} {word} with {rows.names[concept[i]]}", value=float(f.ap[unit]), low=float(low),
                high=float(high), chance=float(found[layer.name].base[unit]), group="average precision",
            )
        )  # fmt: skip
    strength = np.abs(np.concatenate([f.r_chosen for f in joined], axis=1))
    for p, place in enumerate(PLACES):
        if np.isnan(strength[p]).all():
            continue
        layer, unit = at[int(np.nanargmax(strength[p]))]
        values, where = kept[layer.name][:, [unit]], rows.places[rows.at.held][:, [p]]
        boot = [correlations(where[s], values[s])[0, 0] for s in samples]
        low, high = np.nanquantile(boot, [0.025, 0.975])
        r = float(found[layer.name].r[p, unit])
        if not np.isnan([r, low, high]).any():
            scores.append(
                Scorecard.Score(
                    name=f"{layer.label}/{unit} with {place}", value=r, low=float(low), high=float(high), chance=0.0, group="correlation"
                )
            )  # fmt: skip
    return Scorecard(
        title="Cells that follow something",
        note=f"Chosen on one half of the texts, reported on the other. Interval: {len(samples)} bootstraps over texts. Chance of an "
        f"average precision: {'the token by itself' if rows.against == 'token' else 'the share with the concept'}.",
        scores=scores,
        facts={
            "cells": len(at), "tokens": int(rows.at.held.sum()), "texts": len(members),
            "concepts_followed": len(np.unique(concept[concept >= 0])),
        },
    )  # fmt: skip
