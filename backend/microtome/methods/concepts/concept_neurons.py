"""Neurons that know a concept by themselves: chosen on one half of the texts, tried on the other, then switched off."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.expert_ablation import ablation_curve, held_texts
from microtome.methods.concepts.labelled import activations, labelled
from microtome.methods.concepts.measures import average_precision
from microtome.methods.concepts.prompts import Prompts
from microtome.methods.concepts.sparse_probing import doubling, layers_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Curves, Result, Scorecard, UnitTable

_RESAMPLES = 200


class Params(MethodParams):
    positives: list[str] = Field(default=[], max_length=200, description="Texts about the concept, 2 to 200; empty to take 'concept'.")
    negatives: list[str] = Field(default=[], max_length=200, description="Texts that are not, 2 to 200.")
    concept: str = Field("", max_length=200, description="Concept of the probe set, 'category:name', or 'class:name'; instead of texts.")
    shown: int = Field(50, ge=1, le=2000, description="Neurons of each layer that are listed.")
    most: int = Field(64, ge=1, le=1024, description="Neurons that are switched off at most: 1, 2, 4, ... up to so many.")
    draws: int = Field(200, ge=0, le=2000, description="Random sets of as many neurons at each point, for the chance band; 0 for none.")
    ablated_texts: int = Field(16, ge=1, le=500, description="Texts with the concept, and as many without, on which the loss is taken.")
    texts: int = Field(500, ge=4, le=100_000, description="First texts of the probe set.")
    tokens: int = Field(10_000, ge=20, le=200_000, description="Tokens that are drawn of them at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the halves, the drawn tokens and the random neurons.")


@method(
    "concept-neurons",
    title="Neurons of a concept",
    question="Which neurons know the concept by themselves, and what is lost without them?",
    subjects=("model",),
    optional_subjects=("probe", "layers"),
    modalities=("text",),
    returns=(UnitTable, Curves, Scorecard),
    params=Params,
    example_params=Params(concept="lexical:word", shown=4, most=2, draws=2, ablated_texts=2),
    cite="Suau, Zappella, Apostoloff 2020, arXiv:2005.07647; 2022, arXiv:2110.02802",
    cost=Cost(passes=100.0, times="draws"),
)
def concept_neurons(
    *, model: Model, probe: ProbeSet | None = None, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """Average precision of every neuron as a detector of a concept, on texts that it was not chosen on, and the loss without the best.

    The concept is given by texts about it and others, or by a probe set: one of its classes, or tokens with one of its concepts. A
    neuron ranks tokens by its activation, and texts by its largest over their tokens; its average precision stands beside that of a
    ranking by lot, the share with the concept. Neurons of all layers are ordered by what they reach on half of the texts; everything
    reported is of the other half, where the best lose what was luck.

    Of a model that predicts the next token, the curve shows the change of the mean loss in nats per token when the first 1, 2, 4, ...
    of them are set to zero, over tokens with the concept (of texts with it) and over others, with the band of random neurons.

    Raises:
        InvalidInput: the model takes no texts (``model``); texts and a concept at once, or too few texts (``params.positives``,
            ``params.negatives``); a concept without a probe set (``probe``), that it has not, or of which there is too little
            (``params.concept``).
    """
    reading = text_model(model)
    run.check()
    texts, concept = _asked(probe, params)
    chosen = layers_of(reading, layers, "neurons")
    rows = labelled(reading, texts, concept, params.texts, params.tokens, params.seed)
    at: list[tuple[Layer, int]] = []
    choosing: list[npt.NDArray[np.float64]] = []
    tables: dict[str, Result] = {}
    kept: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    for layer, values in activations(reading, texts, chosen, rows, "max", run):
        chose = average_precision(rows.has[~rows.held], values[~rows.held])
        order = np.argsort(-chose, kind="stable")
        reported = average_precision(rows.has[rows.held], values[rows.held])
        tables[f"units_{layer.label.replace('.', '_')}"] = _table(layer, order[: params.shown], chose, reported, rows.prevalence, rows.name)
        at += [(layer, int(unit)) for unit in order[: params.most]]
        choosing.append(chose[order[: params.most]])
        kept |= {(layer.name, int(unit)): values[rows.held, unit].copy() for unit in order[: params.most]}
    best_first = np.argsort(-np.concatenate(choosing), kind="stable")
    experts = [at[i] for i in best_first][: params.most]
    has = rows.has[rows.held]
    held = np.stack([kept[layer.name, unit] for layer, unit in experts], axis=1)
    results = tables | {"summary": _summary(experts, held, has, rows.text[rows.held], rows.name, rows.what, params.seed)}
    if reading.task == "causal":
        batches = held_texts(reading, texts, rows, params.ablated_texts)
        sizes = doubling(len(experts))
        results["ablation"] = ablation_curve(reading, batches, experts, sizes, params.draws, params.seed, rows.name, run)
    return results


def _asked(probe: ProbeSet | None, params: Params) -> tuple[TextSet, str]:
    """Texts, and the concept that is asked for in them."""
    if params.positives or params.negatives:
        if params.concept:
            raise InvalidInput("Give texts, or a concept of the probe set, not both.", field="params.positives")
        return Prompts(params.positives, params.negatives), "class:positive"
    if probe is None:
        raise InvalidInput("Choose a probe set with the concept, or give positive and negative texts.", field="probe")
    return cast("TextSet", probe), params.concept


def _table(
    layer: Layer, units: npt.NDArray[np.int64], chose: npt.NDArray[np.float64], reported: npt.NDArray[np.float64], chance: float, name: str
) -> UnitTable:
    return UnitTable.of(
        title=f"Neurons of {layer.label} for {name}",
        note=f"In order of average precision on the half to choose on; the other half is reported. By lot it is {chance:.3g}.",
        layer=layer.name, units=units,
        columns=[
            Column("rank", "Rank", "integer", np.arange(1, len(units) + 1)),
            Column("ap", "Average precision", "number", reported[units]),
            Column("ap_chosen", "Average precision where chosen", "number", chose[units]),
            Column("prevalence", "Average precision by lot", "number", np.full(len(units), chance)),
        ],
    )  # fmt: skip


def _summary(
    experts: list[tuple[Layer, int]], values: npt.NDArray[np.float32], has: npt.NDArray[np.bool_], text: npt.NDArray[np.int64],
    name: str, what: str, seed: int,
) -> Scorecard:  # fmt: skip
    """The first neurons with an interval over texts."""
    found = average_precision(has, values)
    members = [np.flatnonzero(text == t) for t in np.unique(text)]
    generator = np.random.default_rng(seed)
    shown = min(10, len(experts))
    boot = np.full((_RESAMPLES, shown), np.nan)
    for sample in range(_RESAMPLES):
        rows = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        if has[rows].any():
            boot[sample] = average_precision(has[rows], values[rows, :shown])
    low, high = np.nanquantile(boot, [0.025, 0.975], axis=0)
    layers = [layer.label for layer, _ in experts]
    return Scorecard(
        title=f"Neurons of {name}",
        note=f"Average precision on {len(has):,} {what} that they were not chosen on. Interval: {_RESAMPLES} bootstraps over texts. "
        "Chance: the share with the concept.",
        scores=[
            Scorecard.Score(
                name=f"{layer.label}/{unit}", value=float(found[i]), low=float(low[i]), high=float(high[i]), chance=float(has.mean()),
                group="neurons",
            )
            for i, (layer, unit) in enumerate(experts[:shown])
        ],
        facts={
            "neurons": len(experts), "prevalence": float(has.mean()), "rows": len(has), "what": what,
            "most_in": max(dict.fromkeys(layers), key=layers.count),
        },
    )  # fmt: skip
