"""Scoreboard of attribution methods over a probe set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.benchmarks.contest import Contestant, MethodsParams
from microtome.methods.benchmarks.measures import (
    MEMORY,
    METRICS,
    SECONDS,
    Facts,
    Measures,
    Metric,
    Shown,
    conditions,
    failures,
    mean_score,
    measure,
    shown_of,
    table,
)
from microtome.methods.contract import Cost, method
from microtome.methods.interventions.ablate_units import spread
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Matrix, Scorecard

TITLE = "Scoreboard of attribution methods"


#: For every example the passes of random maps and of curves, which all methods share, and about fifteen maps of each method.
EVIDENCE_COST = Cost(passes=2000.0, times="examples", maps=15.0)


class EvidenceParams(MethodsParams):
    """Base of the parameters of whatever compares the evidence of methods over a set."""

    examples: int = Field(24, ge=2, le=500, description="Examples, spread evenly over the probe set.")
    metrics: list[Metric] = Field(METRICS, min_length=1, max_length=10, description="Scores of the evidence that are compared.")


class Params(EvidenceParams):
    competing: float = Field(
        0.2, ge=0, le=1, description="Probability of the second class from which on it competes with the first."
    )  # fmt: skip


@method(
    "method-scoreboard",
    title=TITLE,
    question="Which attribution method does the model's behaviour bear out best, and on which images?",
    subjects=("model", "probe"),
    returns=(Scorecard, Matrix),
    params=Params,
    #: Not validated here: the methods that it names are known once all of them are imported.
    example_params=Params.model_construct(
        methods=["saliency", "grad-cam"], examples=2, metrics=["deletion", "pointing-game", "randomisation"]
    ),
    cite="Petsiuk, Das, Saenko 2018, arXiv:1806.07421; Yeh et al. 2019, arXiv:1901.09392; Adebayo et al. 2018, arXiv:1810.03292; "
    "Rong et al. 2022, arXiv:2202.00449",
    cost=EVIDENCE_COST,
)
def method_scoreboard(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """The evidence of several methods, averaged over examples, apart for easy, contested and misclassified ones.

    Every method explains the class that the model predicts (for a misclassified image the wrong one: that is what the model did; the true
    class is not explained). Straightforward: the model is right and no second class reaches `competing`. Competing: it is right and one
    does. Misclassified: it is wrong. Without classes that match by name, its predictions stand for the truth. Beside the evidence: seconds
    of a map (median), memory that one map takes at its peak, and the share of maps that fail the randomisation test.

    Formula:
        `mean over examples of the score of the evidence`; interval: 95 % of bootstrap means over examples. Chance: what a method whose
        maps are random, drawn anew for every image, gets as mean over as many examples (central 95 % of 1,000).

    Known failures:
        Scores that disagree are normal: each measures something else, and no sum of them is meant. Insertion and deletion compare maps of
        one model, never models. Methods that have no score for some examples are averaged over the others, so that rows may rest on
        different examples: the counts are told, and the numbers of every example are kept. Memory is what the process takes from the
        system: what it held free already, or what other threads take, blurs it. Few examples give wide intervals; nothing is corrected for
        the many comparisons that a table invites.
    """
    contestants = params.contestants()
    run.check()
    shown = shown_of(model, probe, spread(len(probe), params.examples, len(probe.classes)), run)
    found = measure(model, probe, shown, contestants, params.metrics, params.seed, run, costs=True)
    check_some(found, contestants)
    groups = strata(shown, params.competing)
    facts: Facts = {
        "examples": len(shown.index), "explained": "the predicted class", "competing from": params.competing, "seed": params.seed,
        "strata by": "classes of the probe set" if shown.labelled else "predictions alone: the set has no classes of the model",
        **{f"examples: {name}": int(inside.sum()) for name, inside in groups.items()},
        **{f"absent: {name}": "no example is of this kind" for name, inside in groups.items() if not inside.any()},
        "examples without a known class": int((~shown.known()).sum()), **failures(contestants, found),
    }  # fmt: skip
    if all(MEMORY not in own.values for own in found.values()):
        facts["absent: memory"] = "the system does not say how much memory a map takes at its peak"
    results: dict[str, Scorecard | Matrix] = {
        name: card(name, inside, contestants, found, facts, params.seed) for name, inside in groups.items() if inside.any()
    }
    for name in [*params.metrics, SECONDS, MEMORY]:
        if any(name in own.values for own in found.values()):
            results[f"by-example-{name}"] = table(TITLE, name, shown, contestants, found)
    results["by-example-conditions"] = conditions(TITLE, shown)
    return results


def check_some(found: Mapping[str, Measures], contestants: Sequence[Contestant]) -> None:
    """
    Raises:
        InvalidInput: no method has a score for any example; with the reasons.
    """
    if not any(own.values for own in found.values()):
        reasons = " ".join(f"{one.spec.title}: {'; '.join(found[one.spec.id].reasons) or 'no score applies'}" for one in contestants)
        raise InvalidInput(f"No method has a score for any example, so there is nothing to compare. {reasons}"[:2000], field="model")


def strata(shown: Shown, competing: float) -> dict[str, npt.NDArray[np.bool_]]:
    """Name -> which examples, bool [examples]; an example whose class is not known is in "all" only."""
    right, contested = shown.right() & shown.known(), shown.second >= competing
    return {
        "all": np.ones(len(right), bool), "straightforward": right & ~contested, "competing": right & contested,
        "misclassified": shown.known() & ~right,
    }  # fmt: skip


def card(
    name: str, inside: npt.NDArray[np.bool_], contestants: Sequence[Contestant], found: Mapping[str, Measures], facts: Facts, seed: int
) -> Scorecard:
    """The means of the examples ``inside``: one group per method, one score per metric."""
    scores, fewer = [], {}
    for one in contestants:
        own = found[one.spec.id]
        for metric in own.names():
            kept = inside & np.isfinite(own.values[metric])
            if not kept.any():
                continue
            scores.append(mean_score(own, metric, kept, metric, one.spec.title, seed))
            if kept.sum() < inside.sum():
                fewer[f"{one.spec.title}, {metric}"] = int(kept.sum())
    counts: Facts = {f"averaged over: {what}": count for what, count in fewer.items()}
    note = (
        f"Means over {int(inside.sum())} examples; interval: 95 % of bootstrap means. Chance: a method of random maps, as mean over as "
        "many examples, central 95 %."
    )
    return Scorecard(title=f"{TITLE}: {name}", note=note, scores=scores, facts=facts | counts)
