"""Disparities of the evidence between subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.benchmarks.contest import Contestant
from microtome.methods.benchmarks.measures import Facts, Measures, Shown, conditions, failures, mean_score, measure, shown_of, table
from microtome.methods.benchmarks.scoreboard import EVIDENCE_COST, EvidenceParams, check_some
from microtome.methods.contract import method
from microtome.methods.faithfulness.order import Floats
from microtome.methods.interventions.ablate_units import spread
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Matrix, Scorecard

TITLE = "Disparities of the evidence"
Codes = npt.NDArray[np.int64]


class Params(EvidenceParams):
    examples: int = Field(48, ge=2, le=500, description="Examples, spread evenly over the probe set.")
    by: Literal["class", "correctness", "confidence", "concept"] = Field(
        "class",
        description="What makes a subgroup: the class, whether the model is right, whether it is surer than at the median, or whether a "
        "concept is in the image.",
    )
    concept: str = Field("", max_length=300, description="Key of the concept, as `category:name`, for subgroups by concept.")
    smallest: int = Field(3, ge=1, le=250, description="Fewest examples of a subgroup that is compared.")
    permutations: int = Field(1000, ge=200, le=20_000, description="Random assignments of the examples to subgroups of the same sizes.")


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference of the means of subgroups.

    Attributes:
        value: largest minus smallest. top, bottom: the subgroups that have them.
        random: the same for random subgroups [permutations]. p: share of those that are as large, counting the real one.
    """

    value: float
    top: int
    bottom: int
    random: Floats
    p: float


def gap_of(values: Floats, codes: Codes, permutations: int, seed: int) -> Gap:
    """Of values [n] in subgroups ``codes`` [n], at least two, numbered by any whole numbers."""
    names, places = np.unique(codes, return_inverse=True)
    member = np.eye(len(names))[places]
    share = member / member.sum(0)
    means = values @ share
    order = np.random.default_rng([seed, 0x6A9]).random((permutations, len(values))).argsort(1)
    random = np.ptp(values[order] @ share, axis=1)
    value = float(np.ptp(means))
    # Sums in another order differ in their last digits: what is equal but for these is as large.
    slack = 1e-9 * float(np.abs(values).max())
    p = float((1 + (random >= value - slack).sum()) / (1 + permutations))
    return Gap(value, int(names[means.argmax()]), int(names[means.argmin()]), random, p)


def subgroups(model: ImageModel, probe: ImageSet, shown: Shown, params: Params) -> tuple[list[str], Codes]:
    """Names, and the subgroup of every example; -1 for none.

    Raises:
        InvalidInput: the set cannot be divided in this way.
    """
    if params.by == "class":
        labels = shown.label if shown.labelled else shown.predicted
        return list(model.classes), labels.astype(np.int64)
    if params.by == "correctness":
        if not shown.labelled:
            raise InvalidInput(
                f"{probe.source} has no classes of {model.source}, so nobody says where the model is right. Choose class or concept.",
                field="params.by",
            )
        return ["right", "wrong"], np.where(shown.known(), np.where(shown.right(), 0, 1), -1)
    if params.by == "confidence":
        return ["sure", "unsure"], np.where(shown.first > np.median(shown.first), 0, 1)
    concept = next((c for c in probe.concepts if c.key == params.concept), None)
    if concept is None:
        some = ", ".join(c.key for c in probe.concepts[:10])
        have = f"it has {len(probe.concepts)}, among them {some}" if some else "it has none"
        raise InvalidInput(f"{probe.source} has no concept '{params.concept[:60]}'; {have}.", field="params.concept")
    inside = []
    for index in shown.index.tolist():
        maps = probe.labels(index)
        inside.append(-1 if maps is None else 0 if (maps == concept.index + 1).any() else 1)
    return [f"with {concept.name}", f"without {concept.name}"], np.array(inside)


@method(
    "evidence-disparities",
    title=TITLE,
    question="Are explanations better for some groups of images than for others?",
    subjects=("model", "probe"),
    returns=(Scorecard, Matrix),
    params=Params,
    #: Not validated here: the methods that it names are known once all of them are imported.
    example_params=Params.model_construct(
        methods=["saliency"], examples=4, metrics=["deletion"], by="confidence", smallest=1, permutations=200
    ),
    cite="Dai, Upadhyay, Aivodji, Bach, Lakkaraju 2022, arXiv:2205.07277",
    cost=EVIDENCE_COST,
)
def evidence_disparities(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """The evidence of several methods by subgroups of the examples, and whether the gaps are larger than those of random subgroups.

    Every method explains the class that the model predicts. Subgroups are classes (of the labels; of the predictions where no label
    matches), images where the model is right or wrong, images where the probability of its answer is above the median of these examples
    or not, or images with and without a concept, anywhere in the image. Subgroups with too few examples are left out. The numbers of every
    example are kept.

    Formula:
        `gap = largest - smallest mean of a score over subgroups`. Chance: gaps of random subgroups of the same sizes, mean and central
        95 %; `p = (1 + random gaps as large) / (1 + permutations)`.

    Known failures:
        A gap of the evidence is not yet an unfair method: deletion and insertion follow the model's confidence, which differs between
        classes and between right and wrong answers, and localisation follows the size of what is to be found. The chance level of every
        subgroup stands beside its mean for that reason. Values of p are not corrected for the number of comparisons, which is told. Small
        subgroups have large gaps by chance, and a test of few examples finds only large ones.
    """
    contestants = params.contestants()
    run.check()
    shown = shown_of(model, probe, spread(len(probe), params.examples, len(probe.classes)), run)
    names, codes = subgroups(model, probe, shown, params)
    counts = {code: int((codes == code).sum()) for code in sorted(set(codes.tolist()) - {-1})}
    kept = [code for code, count in counts.items() if count >= params.smallest]
    if len(kept) < 2:
        sizes = ", ".join(f"{names[code]}: {count}" for code, count in list(counts.items())[:20]) or "none"
        raise InvalidInput(
            f"A gap needs two subgroups of at least {params.smallest} examples; there are {sizes}. Raise examples, lower smallest, or "
            "divide the examples otherwise.",
            field="params.examples",
        )
    found = measure(model, probe, shown, contestants, params.metrics, params.seed, run)
    check_some(found, contestants)
    facts: Facts = {
        "by": params.by if params.by != "class" else "class of the labels" if shown.labelled else "predicted class", "seed": params.seed,
        "examples": len(shown.index), "explained": "the predicted class", "permutations": params.permutations,
        **{f"examples: {names[code]}": counts[code] for code in kept},
        **{f"absent: {names[c]}": f"{counts[c]} examples, fewer than {params.smallest}" for c in counts if c not in kept},
        "examples in no subgroup": int((codes < 0).sum()), **failures(contestants, found),
    }  # fmt: skip
    return _results(contestants, found, names, codes, kept, facts, shown, params)


def _results(
    contestants: Sequence[Contestant], found: Mapping[str, Measures], names: Sequence[str], codes: Codes, kept: Sequence[int], facts: Facts,
    shown: Shown, params: Params,
) -> dict[str, Scorecard | Matrix]:  # fmt: skip
    metrics = list(dict.fromkeys(m for own in found.values() for m in own.names()))
    gaps: list[Scorecard.Score] = []
    ends: Facts = {}
    means: dict[str, list[Scorecard.Score]] = {metric: [] for metric in metrics}
    p_values = np.full((len(contestants), len(metrics)), np.nan, np.float32)
    for line, one in enumerate(contestants):
        own = found[one.spec.id]
        for metric in own.names():
            there = {code: np.isfinite(own.values[metric]) & (codes == code) for code in kept}
            there = {code: inside for code, inside in there.items() if inside.sum() >= params.smallest}
            means[metric] += [
                mean_score(own, metric, inside, one.spec.title, names[code], params.seed) for code, inside in there.items()
            ]  # fmt: skip
            if len(there) < 2:
                ends[f"no gap: {one.spec.title}, {metric}"] = f"fewer than two subgroups have {params.smallest} examples with this score"
                continue
            inside = np.any(list(there.values()), axis=0)
            gap = gap_of(own.values[metric][inside], codes[inside], params.permutations, params.seed)
            low, high = np.quantile(gap.random, [0.025, 0.975])
            gaps.append(
                Scorecard.Score(
                    name=metric, value=gap.value, unit=own.units[metric], chance=float(gap.random.mean()), chance_low=float(low),
                    chance_high=float(high), draws=params.permutations, group=one.spec.title,
                )
            )  # fmt: skip
            p_values[line, metrics.index(metric)] = gap.p
            ends[f"gap: {one.spec.title}, {metric}"] = f"largest for {names[gap.top]}, smallest for {names[gap.bottom]}; p {gap.p:.3g}"
    comparisons = int(np.isfinite(p_values).sum())
    note = f"Largest minus smallest mean of a subgroup. Chance: {params.permutations} random assignments to subgroups of the same sizes."
    results: dict[str, Scorecard | Matrix] = {
        "gaps": Scorecard(title=TITLE, note=note, scores=gaps, facts=facts | {"comparisons": comparisons} | ends),
        "p-values": Matrix(
            title=f"{TITLE}: p values", rows=[one.spec.title for one in contestants], columns=metrics, row_axis="method",
            column_axis="score", quantity="p", arrays={"values": p_values},
            note=f"Permutation test; not corrected for {comparisons} comparisons. Empty where there is no gap.",
        ),
    }  # fmt: skip
    for metric, scores in means.items():
        if scores:
            order = [names[code] for code in kept]
            scores.sort(key=lambda s: order.index(s.group))
            about = "Mean of every subgroup; interval: 95 % of bootstrap means; chance: random maps, as mean over as many examples."
            results[f"subgroups-{metric}"] = Scorecard(title=f"{TITLE}: {metric}", note=about, scores=scores, facts=facts)
        results[f"by-example-{metric}"] = table(TITLE, metric, shown, contestants, found)
    results["by-example-conditions"] = conditions(TITLE, shown)
    return results
