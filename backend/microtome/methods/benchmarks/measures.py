"""The evidence of several methods over examples of a probe set, example by example: what scoreboards and disparities are made from."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, NotFound
from microtome.methods.attribution.explain import Attribution, Call, neighbours_of
from microtome.methods.attribution.target import check_finite, resolve
from microtome.methods.benchmarks.contest import Contestant, Quiet
from microtome.methods.benchmarks.memory import peak_of
from microtome.methods.faithfulness.chance import DRAWS
from microtome.methods.faithfulness.evidence import measured
from microtome.methods.faithfulness.model_randomisation import interval
from microtome.methods.faithfulness.order import Floats
from microtome.methods.faithfulness.randomisation import changed
from microtome.methods.faithfulness.sheet import SCORES
from microtome.methods.faithfulness.similarity import NORMAL
from microtome.models.image import ImageModel
from microtome.probes import Example, ImageSet
from microtome.results import Matrix, Scorecard

Metric = Literal[
    "deletion", "insertion", "infidelity", "max-sensitivity", "sparseness", "completeness-gap", "pointing-game", "inside-mass",
    "inside-rank", "randomisation",
]  # fmt: skip
METRICS: list[Metric] = list(Metric.__args__)  # type: ignore[attr-defined]
#: Measured beside the evidence, without chance levels.
FAILS, SECONDS, MEMORY = "randomisation-fails", "map_seconds", "memory"
_RESAMPLES = 1000
Facts = dict[str, str | int | float | bool | None]


@dataclass(slots=True)
class Shown:
    """Examples that are explained, each for the class that the model predicts.

    Attributes:
        index: in the probe set. predicted, label: class of the model; label -1 where it is not known.
        first, second: probability of the predicted class, and the largest of another.
        labelled: whether the set has classes of the model.
    """

    index: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    first: Floats
    second: Floats
    labelled: bool

    def right(self) -> npt.NDArray[np.bool_]:
        """Where the model is right; where nobody says what is, its answer is taken."""
        return (self.label == self.predicted) if self.labelled else np.ones(len(self.index), bool)

    def known(self) -> npt.NDArray[np.bool_]:
        return (self.label >= 0) if self.labelled else np.ones(len(self.index), bool)


@dataclass(slots=True)
class Measures:
    """What a method got, example by example.

    Attributes:
        values: by metric, float64 [examples]; NaN where there is no score. units: by metric.
        random: by metric with a chance level, what random maps get: float32 [examples, DRAWS], NaN where there is no score.
        reasons: why examples have no map -> how many.
    """

    values: dict[str, Floats] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    random: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, row: int, rows: int, name: str, value: float, unit: str, random: Floats | None = None) -> None:
        self.values.setdefault(name, np.full(rows, np.nan))[row] = value
        self.units[name] = unit
        if random is not None:
            self.random.setdefault(name, np.full((rows, DRAWS), np.nan, np.float32))[row] = random

    def names(self) -> list[str]:
        order = [*SCORES, FAILS, SECONDS, MEMORY]
        return sorted(self.values, key=order.index)


def shown_of(model: ImageModel, probe: ImageSet, chosen: Sequence[int], run: RunContext) -> Shown:
    """What the model says of the chosen examples.

    Raises:
        InvalidInput: its output is not finite.
    """
    chances = []
    for start in range(0, len(chosen), 32):
        run.check()
        with torch.inference_mode():
            logits = check_finite(model.forward(model.inputs([probe.image(i) for i in chosen[start : start + 32]])))
        chances.append(model.probabilities(logits).cpu().numpy())
    table = np.concatenate(chances)
    order = np.sort(table, 1)
    mapping = match_classes(probe.classes, model.classes)
    labels = [mapping.get(y, -1) if (y := probe.label(i)) is not None else -1 for i in chosen]
    second = order[:, -2] if table.shape[1] > 1 else np.zeros(len(table))
    return Shown(np.array(chosen), table.argmax(1), np.array(labels), order[:, -1], second, any(label >= 0 for label in labels))


def measure(
    model: ImageModel, probe: ImageSet, shown: Shown, contestants: Sequence[Contestant], metrics: Collection[str], seed: int,
    run: RunContext, costs: bool = False,
) -> dict[str, Measures]:  # fmt: skip
    """The evidence of every method for the predicted class of every example, by id of the method.

    Chance is drawn once per example and shared by all methods. Memory holds one example at a time, and a number per score and random map.

    Args:
        costs: seconds and memory of a map are measured too.

    Raises:
        RunCancelled.
    """
    found = {one.spec.id: Measures() for one in contestants}
    total = len(shown.index) * len(contestants)
    for row, index in enumerate(shown.index.tolist()):
        run.check()
        example = probe.example(index)
        inputs = model.inputs([example.image])
        target = resolve(model, torch.empty(0), int(shown.predicted[row]))
        call = Call(model, inputs, [target], Quiet(run), seed, neighbours_of(model, example, seed))
        for turn, one in enumerate(contestants):
            run.progress(row * len(contestants) + turn, total, "maps with their evidence")
            own = found[one.spec.id]
            try:
                _one(call, example, one, own, row, len(shown.index), metrics, costs)
            except (InvalidInput, NotFound) as refusal:
                own.reasons[refusal.detail] = own.reasons.get(refusal.detail, 0) + 1
    run.progress(total, total, "maps with their evidence")
    return found


def _one(call: Call, example: Example, one: Contestant, own: Measures, row: int, rows: int, metrics: Collection[str], costs: bool) -> None:
    """One method, one example."""
    assert one.spec.explain is not None
    assert one.spec.passes is not None
    explain = one.spec.explain

    def seeded(other: Call, params: object) -> Attribution:
        return explain(replace(other, seed=getattr(one.params, "seed", call.seed)), params)  # type: ignore[no-any-return]

    with peak_of(call.inputs.device) as peak:
        began = time.monotonic()
        answer = seeded(call, one.params)
        answer = replace(answer, maps=answer.maps.detach().cpu())
        seconds = time.monotonic() - began
    if not torch.isfinite(answer.maps).all():
        raise InvalidInput("the map has values that are not finite", field="example")
    sheet = measured(call, seeded, answer, one.params, example, passes=one.spec.passes(one.params), names=metrics)[0].sheet
    for score in sheet.scores:
        if score.name in metrics and score.value is not None:
            drawn = sheet.draws.get((score.group, score.name))
            random = _random(score, call.seed + row) if drawn is None else drawn
            own.note(row, rows, score.name, score.value, score.unit, random)
            if score.name == "randomisation":
                own.note(row, rows, FAILS, float(not changed(score.value)), "share of maps")
    if costs:
        own.note(row, rows, SECONDS, seconds, "s")
        if peak.megabytes is not None:
            own.note(row, rows, MEMORY, peak.megabytes, "MB")


def _random(score: Scorecard.Score, seed: int) -> Floats | None:
    """Values of random maps where only their law is known: normal in its band, or hit and miss where there is no band."""
    if score.chance is None:
        return None
    generator = np.random.default_rng([seed, 0x5C0E])
    if score.chance_low is None or score.chance_high is None:
        return (generator.random(DRAWS) < score.chance).astype(np.float64)
    return generator.normal(score.chance, (score.chance_high - score.chance_low) / (2 * NORMAL), DRAWS)


def chance_of_mean(random: npt.NDArray[np.float32], seed: int) -> tuple[float, float, float]:
    """Mean and central 95 % of the mean over as many examples [examples, DRAWS] of a method whose maps are random, each drawn anew."""
    generator = np.random.default_rng([seed, 0x3EA2])
    rows = np.arange(len(random))
    means = [float(random[rows, generator.integers(0, random.shape[1], len(random))].mean()) for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(random.mean(dtype=np.float64)), float(low), float(high)


def mean_score(own: Measures, metric: str, kept: npt.NDArray[np.bool_], name: str, group: str, seed: int) -> Scorecard.Score:
    """The mean of a metric over the examples ``kept``, with its interval and what random maps get over as many; said under ``name``."""
    values, unit = own.values[metric][kept], own.units[metric]
    if metric in (SECONDS, MEMORY):  # a median for what has outliers, a maximum for a peak
        return Scorecard.Score(name=name, value=float(np.median(values) if metric == SECONDS else values.max()), unit=unit, group=group)
    low, high = (interval(values[:, None], seed) if len(values) > 1 else None) or (None, None)
    chance = chance_of_mean(own.random[metric][kept], seed) if metric in own.random and metric != FAILS else None
    level, chance_low, chance_high = chance or (None, None, None)
    return Scorecard.Score(
        name=name, value=float(values.mean()), unit=unit, low=low, high=high, chance=level, chance_low=chance_low,
        chance_high=chance_high, draws=None if chance is None else own.random[metric].shape[1], group=group,
    )  # fmt: skip


def table(title: str, name: str, shown: Shown, contestants: Sequence[Contestant], found: Mapping[str, Measures]) -> Matrix:
    """A metric of all examples and methods, NaN where there is no score: the numbers behind the means, to do the statistics again."""
    empty = np.full(len(shown.index), np.nan)
    values = [found[one.spec.id].values.get(name, empty) for one in contestants]
    unit = next((m.units[name] for m in found.values() if name in m.units), "")
    return Matrix(
        title=f"{title}: {name}, example by example", rows=[str(i) for i in shown.index.tolist()],
        columns=[one.spec.title for one in contestants], row_axis="example", column_axis="method",
        quantity=f"{name} ({unit})" if unit else name, note="Empty where a method has no score for an example.",
        arrays={"values": np.stack(values, 1).astype(np.float32)},
    )  # fmt: skip


def conditions(title: str, shown: Shown) -> Matrix:
    """What is known of the examples: classes as places in the model's list, probabilities."""
    label = np.where(shown.label >= 0, shown.label.astype(float), np.nan)
    columns = {"predicted class": shown.predicted, "true class": label, "probability": shown.first, "second probability": shown.second}
    return Matrix(
        title=f"{title}: the examples", rows=[str(i) for i in shown.index.tolist()], columns=list(columns), row_axis="example",
        column_axis="what is known", quantity="index of a class, or a probability", note="Empty where the true class is not known.",
        arrays={"values": np.stack([np.asarray(v, np.float32) for v in columns.values()], 1)},
    )  # fmt: skip


def failures(contestants: Sequence[Contestant], found: Mapping[str, Measures]) -> Facts:
    """Versions of the methods, and how many examples each has no map for."""
    facts: Facts = {f"method: {one.spec.title}": f"{one.spec.id}, version {one.spec.version}" for one in contestants}
    for one in contestants:
        own = found[one.spec.id]
        if own.reasons:
            word = "left out" if own.values else "refused"
            facts[f"{word}: {one.spec.title}"] = "; ".join(f"{reason} ({count} examples)" for reason, count in own.reasons.items())[:1000]
    return facts
