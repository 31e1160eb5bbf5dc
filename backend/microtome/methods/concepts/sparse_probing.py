"""How few neurons tell a concept: probes on the best 1, 2, 4, ... neurons of every layer."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.concepts.labelled import Flags, Labelled, activations, labelled
from microtome.methods.concepts.measures import (
    Interval,
    average_precision,
    best_threshold,
    f1,
    f1_interval,
    fit_probe,
    mutual_information,
)
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Curves, Matrix, Result, UnitTable

Ranking = Literal["mean difference", "logistic regression", "mutual information"]


class Params(MethodParams):
    concept: str = Field("", max_length=200, description="Concept of the probe set, 'category:name', or 'class:name' for a class of texts.")
    ranking: Ranking = Field("mean difference", description="What neurons are ordered by, on the half of the texts to choose on.")
    most: int = Field(32, ge=1, le=512, description="Neurons of the largest probe; probes have 1, 2, 4, ... up to so many.")
    texts: int = Field(500, ge=4, le=100_000, description="First texts of the probe set.")
    tokens: int = Field(10_000, ge=20, le=200_000, description="Tokens that are drawn of them at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the halves, the drawn tokens and the bootstrap.")


class Found(NamedTuple):
    """Of one layer: neurons in order, F1 and its interval per size, and the table of neurons."""

    f1: list[float]
    ends: list[Interval]
    table: UnitTable


@method(
    "sparse-probing",
    title="Sparse probing",
    question="How few neurons tell the concept?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(Curves, Matrix, UnitTable),
    params=Params,
    example_params=Params(concept="lexical:word", most=2),
    cite="Gurnee et al. 2023, arXiv:2305.01610",
    cost=Cost(per_probe=True),
)
def sparse_probing(
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """F1 of linear probes on the k best neurons of a layer, for k = 1, 2, 4, ..., on texts that they were not chosen on.

    Texts are split in two halves. On the first, neurons are ordered by the absolute difference of their mean activations with and
    without the concept, over their standard deviation; or by the weights of a logistic regression on all neurons; or by mutual
    information with their deciles, in nats. A logistic regression on the best k, with the threshold of the best F1, is fitted there
    too; everything reported is of the second half. Chance is the F1 of always saying yes, ``2 p / (1 + p)`` for prevalence p;
    the interval is a 95 % bootstrap over texts. Of a class, a neuron's activation is its mean over the text's tokens.

    The tables name the neurons of the largest probe of each layer, with the average precision of each alone (of its negative, if it
    falls with the concept). What they are for, ``ablate-units`` tells.

    Raises:
        InvalidInput: the model takes no texts (``model``); no such concept, or too little of it (``params.concept``).
    """
    reading = text_model(model)
    texts = cast("TextSet", probe)
    run.check()
    chosen = layers_of(reading, layers, "neurons")
    rows = labelled(reading, texts, params.concept, params.texts, params.tokens, params.seed)
    sizes = doubling(params.most)
    found = {
        layer.label: _layer(layer, values, rows, sizes, params) for layer, values in activations(reading, texts, chosen, rows, "mean", run)
    }
    chance = 2 * rows.prevalence / (1 + rows.prevalence)
    names = list(found)
    values = np.array([found[n].f1 for n in names])
    low, high = (np.array([[e[side] for e in found[n].ends] for n in names]) for side in (0, 1))
    flat = np.full((1, len(sizes)), chance)
    note = (
        f"{int(rows.held.sum()):,} {rows.what} of texts that nothing was chosen on, {rows.prevalence:.3g} of them with {rows.name}. "
        "Chance: always saying yes. Interval: bootstrap over texts."
    )
    results: dict[str, Result] = {
        "f1": Curves(
            title=f"F1 of probes for {rows.name}", note=note, series=[*names, "always yes"], x_axis="neurons", y_axis="F1",
            arrays={
                "x": np.array(sizes, np.float32), "y": np.concatenate([values, flat]).astype(np.float32),
                "low": np.concatenate([low, flat]).astype(np.float32), "high": np.concatenate([high, flat]).astype(np.float32),
            },
        ),
        "layers": Matrix(
            title=f"F1 of probes for {rows.name}", note=note, rows=names, columns=[str(k) for k in sizes], row_axis="layer",
            column_axis="neurons", quantity="F1", positions=int(rows.held.sum()),
            arrays={"values": values.astype(np.float32), "chance": np.full(values.shape, chance, np.float32)},
        ),
    }  # fmt: skip
    return results | {f"units_{name.replace('.', '_')}": found[name].table for name in names}


def layers_of(model: TextModel, layers: list[str] | None, *kinds: str) -> list[Layer]:
    """The named layers, or all of these kinds; of a model that has none, its main ones.

    Raises:
        NotFound: with names that exist.
    """
    if layers:
        return [model.layer(name) for name in dict.fromkeys(layers)]
    return [layer for layer in model.layers.values() if layer.kind in kinds] or model.default_layers()


def doubling(most: int) -> list[int]:
    """1, 2, 4, ... up to ``most``, which is the last."""
    return [*(2**i for i in range(most.bit_length()) if 2**i < most), most]


def order_of(values: npt.NDArray, has: Flags, ranking: Ranking) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Units from the best on, equal ones in order, and what each is worth, signed where it has a sign."""
    if ranking == "mutual information":
        worth = mutual_information(has, values)
    elif ranking == "logistic regression":
        worth = fit_probe(values, has).weights
    else:
        spread = values.std(0, dtype=np.float64)
        difference = values[has].mean(0, dtype=np.float64) - values[~has].mean(0, dtype=np.float64)
        worth = difference / np.where(spread > 1e-12, spread, np.inf)
    return np.argsort(-np.abs(worth), kind="stable"), worth


def _layer(layer: Layer, values: npt.NDArray[np.float32], rows: Labelled, sizes: list[int], params: Params) -> Found:
    choose, report = values[~rows.held], values[rows.held]
    has_choose, has = rows.has[~rows.held], rows.has[rows.held]
    order, worth = order_of(choose, has_choose, params.ranking)
    scores, ends = [], []
    for size in sizes:
        best = order[:size]
        probe = fit_probe(choose[:, best], has_choose)
        said = probe.scores(report[:, best]) > best_threshold(has_choose, probe.scores(choose[:, best]))
        scores.append(f1(has, said))
        ends.append(f1_interval(has, said, rows.text[rows.held], params.seed))
    best = order[: sizes[-1]]
    rises = choose[has_choose][:, best].mean(0, dtype=np.float64) >= choose[~has_choose][:, best].mean(0, dtype=np.float64)
    alone = average_precision(has, report[:, best] * np.where(rises, 1, -1))
    table = UnitTable.of(
        title=f"Neurons of {layer.label} for {rows.name}",
        note=f"In order of {params.ranking}. Average precision on the other half of the texts; by lot it is {rows.prevalence:.3g}.",
        layer=layer.name, units=best,
        columns=[
            Column("rank", "Rank", "integer", np.arange(1, len(best) + 1)),
            Column("worth", params.ranking.capitalize(), "number", worth[best]),
            Column("rises", "Rises with the concept", "flag", rises),
            Column("weight", f"Weight in the probe of {len(best)}", "number", probe.weights),
            Column("ap", "Average precision", "number", alone),
            Column("prevalence", "Average precision by lot", "number", np.full(len(best), rows.prevalence)),
        ],
    )  # fmt: skip
    return Found(scores, ends, table)
