"""Label randomisation test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call, neighbours_of
from microtome.methods.attribution.target import targets_of
from microtome.methods.benchmarks.contest import MethodsParams, Quiet
from microtome.methods.contract import Cost, method
from microtome.methods.faithfulness.model_randomisation import interval
from microtome.methods.faithfulness.order import Floats
from microtome.methods.faithfulness.randomisation import FAILS, changed
from microtome.methods.faithfulness.similarity import SIMILARITIES, Similarity, spearman_band
from microtome.methods.interventions.ablate_units import spread
from microtome.models.identity import builtin_names
from microtome.models.image import ImageModel
from microtome.models.loading import load_model
from microtome.probes import ImageSet
from microtome.results import Scorecard

_SUFFIX = "-permuted"
MEASURES: dict[Similarity, str] = {"spearman": "rank correlation", "ssim": "structural similarity"}


class Params(MethodsParams):
    examples: int = Field(24, ge=2, le=500, description="Images, spread evenly over the probe set.")


#: Not validated here: the methods that it names are known once all of them are imported.
EXAMPLE = Params.model_construct(methods=["saliency", "grad-cam"], examples=2)


def twin_of(model: ImageModel) -> ImageModel:
    """The network of the same architecture that was trained on labels drawn by lot.

    Raises:
        InvalidInput: none is known of this model.
    """
    names = builtin_names()
    name = model.source.removeprefix("builtin:") + _SUFFIX
    if not model.source.startswith("builtin:") or name not in names:
        have = ", ".join(f"builtin:{n.removesuffix(_SUFFIX)}" for n in names if n.endswith(_SUFFIX))
        raise InvalidInput(
            f"No network is known that learnt labels drawn by lot as {model.source} learnt its own. The test is for {have}; for yours, "
            "model-randomisation asks the same of its weights.",
            field="model",
        )
    twin = load_model(f"builtin:{name}", device=str(model.device))
    assert isinstance(twin, ImageModel)
    return twin


@method(
    "label-randomisation",
    title="Label randomisation test",
    question="Does a map depend on what the labels taught the network?",
    subjects=("model", "probe"),
    returns=(Scorecard,),
    params=Params,
    example_params=EXAMPLE,
    cite="Adebayo et al. 2018, arXiv:1810.03292, section 4",
    cost=Cost(passes=2.0, per_probe=True, maps=2.0),
)
def label_randomisation(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """How alike the maps of a network are to those of its twin, which learnt labels drawn by lot by heart.

    The twin has the same architecture and reached the same training accuracy, but nothing of what it learnt has to do with what the
    pictures show. Both are asked about the class that the trained network predicts. A map that stays as it was shows the picture, or the
    architecture, not what was learnt. The interval is 95 % of bootstrap means over images.

    Formula:
        similarity(map on the network trained with true labels, map on the network trained with labels drawn by lot), of absolute maps:
        Spearman's rank correlation, and structural similarity; mean over images.

    Known failures:
        Both networks see the same pictures, so what depends on pictures alone (borders, colours that stand out) is alike in faithful maps
        too. Passing says that a map depends on what was learnt, not that it is right. Where a mark is drawn (0.7) is a convention. Only
        networks whose twin is shipped can be tested: a twin has to be trained.
    """
    run.check()
    twin = twin_of(model)
    chosen = spread(len(probe), params.examples, len(probe.classes))
    contestants = params.contestants()
    values: dict[str, dict[Similarity, list[float]]] = {one.spec.title: {m: [] for m in MEASURES} for one in contestants}
    pixels = 1
    for number, index in enumerate(chosen):
        example = probe.example(index)
        inputs = model.inputs([example.image])
        call = Call(model, inputs, targets_of(model, inputs, None), Quiet(run), params.seed, neighbours_of(model, example, params.seed))
        for turn, one in enumerate(contestants):
            run.check()
            run.progress(number * len(contestants) + turn, len(chosen) * len(contestants), "pairs of maps")
            own = one.explain(call)
            other = one.explain(replace(call, model=twin)) if own is not None else None
            if own is None or other is None:
                continue
            pixels = own[0].size
            for measure in MEASURES:
                values[one.spec.title][measure].append(SIMILARITIES[measure](own[0], other[0]))
    return {"scores": _card(values, {one.spec.title: one for one in contestants}, pixels, len(chosen), twin, params)}


def _card(
    values: dict[str, dict[Similarity, list[float]]], contestants: dict[str, Any], pixels: int, count: int, twin: ImageModel, params: Params
) -> Scorecard:
    """
    Raises:
        InvalidInput: no method has two maps to compare.
    """
    scores: list[Scorecard.Score] = []
    facts: dict[str, str | int | float | bool | None] = {}
    for title, by_measure in values.items():
        for measure, name in MEASURES.items():
            found: Floats = np.array([v for v in by_measure[measure] if np.isfinite(v)])
            if not len(found):
                continue
            band = spearman_band(pixels) if measure == "spearman" else None
            low, high = interval(found[:, None], params.seed) or (None, None)
            scores.append(
                Scorecard.Score(
                    name=name, value=float(found.mean()), group=title, low=low, high=high, chance=0.0 if band else None,
                    chance_low=-band if band else None, chance_high=band,
                )
            )  # fmt: skip
            if measure == "spearman":
                facts[f"verdict: {title}"] = "passes" if changed(float(found.mean())) else "fails"
                if len(found) < count:
                    facts[f"left out: {title}"] = f"{count - len(found)} of {count} images have no two maps to compare"
        if contestants[title].reasons:
            facts[f"refused: {title}"] = "; ".join(f"{reason} ({n} maps)" for reason, n in contestants[title].reasons.items())
        facts[f"version: {title}"] = contestants[title].spec.version
    if not scores:
        raise InvalidInput("No method has a map of both networks here, so there is nothing to compare.", field="params.methods")
    return Scorecard(
        title="Similarity with maps of the network that learnt labels drawn by lot",
        note="Absolute maps. Near zero: the map depends on what was learnt. Interval: bootstrap over images.",
        scores=scores,
        facts={"images": count, "twin": twin.source, "twin's hash": twin.hash, "fails from": FAILS, "seed": params.seed, **facts},
    )
