"""At what depth a model knows a concept: a linear probe on the residual stream after every block."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.concepts.labelled import Floats, Labelled, activations, labelled
from microtome.methods.concepts.measures import Interval, fit_probe, interval, over_texts
from microtome.methods.concepts.sparse_probing import layers_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.probes import ProbeSet, TextSet
from microtome.results import Curves, Result, Scorecard


class Params(MethodParams):
    concept: str = Field("", max_length=200, description="Concept of the probe set, 'category:name', or 'class:name' for a class of texts.")
    penalty: float = Field(1.0, gt=0, le=1e6, description="Weight of the squared weights of a probe, against the sum of its losses.")
    texts: int = Field(500, ge=4, le=100_000, description="First texts of the probe set.")
    tokens: int = Field(10_000, ge=20, le=200_000, description="Tokens that are drawn of them at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the halves, the drawn tokens and the bootstrap.")


class Depth(NamedTuple):
    """Shares right of all, and the mean of those of either kind, with their intervals."""

    accuracy: float
    ends: Interval
    balanced: float
    balanced_ends: Interval


@method(
    "concept-depth",
    title="Depth of a concept",
    question="At what depth does the model know the concept?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(Curves, Scorecard),
    params=Params,
    example_params=Params(concept="lexical:word"),
    cite="Jin et al. 2024, arXiv:2404.07066",
    cost=Cost(per_probe=True),
)
def concept_depth(
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """Accuracy of a logistic regression on the residual stream before the first block and after each, on texts it was not fitted on.

    Half of the texts fit the probes, the other half is reported: the share of tokens (or texts, for a class, whose stream is averaged
    over tokens) that are told rightly, beside always saying what is more frequent; and the mean of the shares among those with and
    those without the concept, whose chance is 0.5 however rare the concept is. Intervals are 95 % bootstraps over texts.

    A probe finds what can be read off linearly; whether the model uses it is another question.

    Raises:
        InvalidInput: the model takes no texts (``model``); no such concept, or too little of it (``params.concept``).
    """
    reading = text_model(model)
    texts = cast("TextSet", probe)
    run.check()
    chosen = layers_of(reading, layers, "embeddings", "residual")
    rows = labelled(reading, texts, params.concept, params.texts, params.tokens, params.seed)
    found = {layer.label: _depth(values, rows, params) for layer, values in activations(reading, texts, chosen, rows, "mean", run)}
    more = bool(rows.has[~rows.held].mean() > 0.5)
    majority = float((rows.has[rows.held] == more).mean())
    where = f"{int(rows.held.sum()):,} {rows.what} of texts that no probe was fitted on. Interval: bootstrap over texts."
    names = list(found)
    best = max(names, key=lambda n: found[n].balanced)
    goal = 0.5 + 0.9 * (found[best].balanced - 0.5)
    # No layer reaches the goal where even the best is no better than chance.
    reached = next((n for n in names if found[n].balanced >= goal), best)
    score = Scorecard.Score
    return {
        "accuracy": _curves(
            f"Accuracy for {rows.name}", "accuracy", names, [found[n].accuracy for n in names], [found[n].ends for n in names], majority,
            "majority class", where,
        ),
        "balanced": _curves(
            f"Balanced accuracy for {rows.name}", "balanced accuracy", names, [found[n].balanced for n in names],
            [found[n].balanced_ends for n in names], 0.5, "chance", where,
        ),
        "depth": Scorecard(
            title=f"Depth of {rows.name}",
            note=where,
            scores=[
                score(
                    name=f"accuracy at {best}", value=found[best].accuracy, low=found[best].ends.low, high=found[best].ends.high,
                    chance=majority,
                ),
                score(
                    name=f"balanced accuracy at {best}", value=found[best].balanced, low=found[best].balanced_ends.low,
                    high=found[best].balanced_ends.high, chance=0.5,
                ),
            ],
            facts={
                "best": best, "reached": reached, "layers": len(names), "prevalence": rows.prevalence, "rows": int(rows.held.sum()),
                "what": rows.what, "concept": rows.name,
            },
        ),
    }  # fmt: skip


def _depth(values: Floats, rows: Labelled, params: Params) -> Depth:
    probe = fit_probe(values[~rows.held], rows.has[~rows.held], params.penalty)
    has, text = rows.has[rows.held], rows.text[rows.held]
    right = (probe.scores(values[rows.held]) > 0) == has
    ones = np.ones(len(has))
    total, good, with_it, good_with = over_texts(text, ones, right, has, right & has, seed=params.seed)
    # A resample may hold none of either kind; it says nothing of that kind.
    with np.errstate(invalid="ignore", divide="ignore"):
        balanced = (good_with / with_it + (good - good_with) / (total - with_it)) / 2
    return Depth(
        float(right.mean()), interval(good / total), float((right[has].mean() + right[~has].mean()) / 2), interval(balanced)
    )  # fmt: skip


def _curves(
    title: str, quantity: str, names: list[str], values: list[float], ends: list[Interval], chance: float, called: str, note: str
) -> Curves:
    flat = np.full(len(names), chance)
    return Curves(
        title=title, note=f"Layers: {', '.join(f'{i} {n}' for i, n in enumerate(names))}. {note}", series=["probe", called], x_axis="layer",
        y_axis=quantity,
        arrays={
            "x": np.arange(len(names), dtype=np.float32), "y": np.stack([values, flat]).astype(np.float32),
            "low": np.stack([[e.low for e in ends], flat]).astype(np.float32),
            "high": np.stack([[e.high for e in ends], flat]).astype(np.float32),
        },
    )  # fmt: skip
