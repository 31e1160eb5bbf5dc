"""Switching units off, against random units of the same layer."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.interventions.ablate_text import ablate_text
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.replay import Replay
from microtome.models.text import TextModel
from microtome.probes import ImageSet, ProbeSet, TextSet
from microtome.results import Scorecard

_BATCH = 32
_RESAMPLES = 1000


class Params(MethodParams):
    examples: int = Field(240, ge=2, le=100_000, description="Examples, spread evenly over the probe set.")
    draws: int = Field(200, ge=0, le=2000, description="Random sets of as many units of the layer, for the chance band; 0 for none.")
    value: Literal["zero", "mean"] = Field("zero", description="What the units are set to: zero, or their mean over these examples.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random units and of the bootstrap.")


def spread(total: int, count: int, period: int) -> list[int]:
    """At most ``count`` indices spread evenly over ``total``, keeping each class as frequent as it is.

    Generated sets repeat their classes with a ``period``; a step that shares a factor with it would miss classes.
    """
    if count >= total:
        return list(range(total))
    block = max(period, 1)
    blocks = np.unique(np.linspace(0, max(total // block - 1, 0), max(1, count // block)).round().astype(int))
    return [b * block + i for b in blocks for i in range(block) if b * block + i < total][:count]


def _means(model: Model, layer: Layer, batches: list[Replay], run: RunContext) -> torch.Tensor:
    """Mean activation of every unit over examples and sites, [units]."""
    total, seen = torch.zeros(layer.units, dtype=torch.float64, device=model.device), 0
    for replay in batches:
        run.check()
        with model.record([layer]) as outputs:
            replay.run()
        maps = layer.canonical(outputs[layer.name])
        total += maps.double().sum((0, 2, 3))
        seen += maps.shape[0] * maps.shape[2] * maps.shape[3]
    return (total / seen).float()


def _predicted(model: Model, layer: Layer, batches: list[Replay], units: Any, means: torch.Tensor | None) -> npt.NDArray:
    values = means[torch.as_tensor(units, device=means.device)] if means is not None else None
    with model.ablated(layer, units, values):
        return torch.cat([replay.run().argmax(1) for replay in batches]).cpu().numpy()


@method(
    "ablate-units",
    title="Ablate units",
    question="What if these units are switched off?",
    subjects=("model", "probe", "units"),
    modalities=("image", "text"),
    returns=(Scorecard,),
    params=Params,
    example_params=Params(examples=6, draws=2),
    cite="Zhou, Sun, Bau, Torralba 2018, arXiv:1806.02891",
    cost=Cost(times="draws", per_probe=True, after_layer=True),
)
def ablate_units(*, model: Model, probe: ProbeSet, units: dict[str, Any], params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Accuracy per class with the units off, minus accuracy as it is, in points, beside the same for random units.

    Where the classes of probe set and model do not match by name, agreement with the unchanged model takes the place of
    accuracy, per predicted class. The interval is a 95 % bootstrap over examples; the chance band spans the central 95 % of
    ``draws`` random sets of equally many other units of the layer.

    A language model has no classes to be right about: there it is the change of its loss, in nats per token, over all tokens and over
    those of each concept.
    """
    layer = model.layer(units["layer"])
    indices = sorted(set(units["indices"]))
    if not indices or indices[-1] >= layer.units or indices[0] < 0:
        raise InvalidInput(f"{layer.label} has units 0 to {layer.units - 1}; asked for {indices[:5]}.", field="units")
    others = np.setdiff1d(np.arange(layer.units), indices)
    draws = params.draws if len(others) >= len(indices) else 0
    if isinstance(model, TextModel):
        return ablate_text(model, cast("TextSet", probe), layer, indices, others, draws, params.examples, params.value, params.seed, run)
    assert isinstance(model, ImageModel)
    images = cast("ImageSet", probe)
    chosen = spread(len(probe), params.examples, len(probe.classes))
    batches = []
    for start in range(0, len(chosen), _BATCH):
        run.check()
        part = chosen[start : start + _BATCH]
        batches.append(Replay(model, layer, model.inputs([images.image(i) for i in part])))
        run.progress(start + len(part), len(chosen), "images prepared")
    before = torch.cat([b.logits.argmax(1) for b in batches]).cpu().numpy()
    mapping = match_classes(probe.classes, model.classes)
    labels = np.array([mapping.get(y, -1) if (y := probe.label(i)) is not None else -1 for i in chosen])
    by_name = bool((labels >= 0).any())
    reference = labels if by_name else before
    counted = reference >= 0
    means = _means(model, layer, batches, run) if params.value == "mean" else None

    def change(off: Any) -> npt.NDArray[np.float64]:
        """Per example: +1 newly right, -1 newly wrong."""
        after = _predicted(model, layer, batches, off, means)
        return ((after == reference).astype(float) - (before == reference).astype(float))[counted]

    effect = change(indices)
    generator = np.random.default_rng(params.seed)
    groups = reference[counted]
    names = [("all classes", np.ones(len(groups), bool))]
    names += [(model.classes[c], groups == c) for c in np.unique(groups)]
    random = np.empty((draws, len(names)))
    for draw in range(draws):
        run.check()
        picked = change(generator.choice(others, len(indices), replace=False))
        random[draw] = [picked[mask].mean() for _, mask in names]
        run.progress(draw + 1, draws, "random sets")
    scores = []
    for column, (name, mask) in enumerate(names):
        changes = effect[mask]
        resampled = changes[generator.integers(0, len(changes), (_RESAMPLES, len(changes)))].mean(1)
        band = np.quantile(random[:, column], [0.025, 0.975]) * 100 if draws else (None, None)
        scores.append(
            Scorecard.Score(
                name=name, value=changes.mean() * 100, unit="points", group="total" if column == 0 else "class",
                low=float(np.quantile(resampled, 0.025) * 100), high=float(np.quantile(resampled, 0.975) * 100),
                chance=float(random[:, column].mean() * 100) if draws else None,
                chance_low=band[0], chance_high=band[1], draws=draws or None,
            )
        )  # fmt: skip
    measure = "accuracy" if by_name else "agreement with the unchanged model"
    return {
        "effect": Scorecard(
            title=f"Change of {measure} with {len(indices)} of {layer.units} units of {layer.label} set to {params.value}",
            note=f"Chance band: {draws} random sets of other units of the layer, central 95 %. Interval: bootstrap over examples.",
            scores=scores,
            facts={
                "measure": measure, "examples": int(counted.sum()), "layer": layer.name, "units": len(indices), "draws": draws,
                "before": float((before == reference)[counted].mean() * 100),
            },
        )
    }  # fmt: skip
