"""Model randomisation test."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.target import targets_of
from microtome.methods.contract import Cost, MethodParams, MethodSpec, method
from microtome.methods.faithfulness.order import Floats
from microtome.methods.faithfulness.randomisation import FAILS, changed, maps_elsewhere, randomised
from microtome.methods.faithfulness.similarity import SIMILARITIES, Similarity, spearman_band
from microtome.models.image import ImageModel
from microtome.probes import Example, ImageSet
from microtome.results import Curves, Scorecard

_RESAMPLES = 1000
_NAMES = {"spearman": "Spearman's rank correlation of absolute maps", "ssim": "structural similarity of absolute maps"}


def explainer(id: str) -> MethodSpec:
    """
    Raises:
        ValueError: there is no attribution method of this name.
    """
    from microtome.methods.registry import methods  # the registry imports every method, this one too

    spec = methods().get(id)
    if spec is None or spec.explain is None:
        have = ", ".join(name for name, other in methods().items() if other.explain is not None)
        raise ValueError(f"'{id[:60]}' is not an attribution method; there are {have}")
    return spec


class OneMethodParams(MethodParams):
    """Base of the parameters of whatever looks at one attribution method."""

    method: str = Field(
        "grad-cam", max_length=100, description="Attribution method that is looked at.", json_schema_extra={"format": "method"}
    )  # fmt: skip
    method_params: dict[str, Any] = Field({}, max_length=50, description="Its parameters; its defaults for what is left out.")

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        return explainer(value).id

    @field_validator("method_params")
    @classmethod
    def _fits(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "method" in info.data:  # else its own error is told
            try:
                explainer(info.data["method"]).parse(value)
            except MicrotomeError as error:
                raise ValueError(error.detail) from None
        return value


class Params(OneMethodParams):
    order: Literal["cascading", "independent"] = Field(
        "cascading", description="Cascading: all layers from the output down to this one. Independent: this layer alone."
    )
    similarity: Similarity = Field("spearman", description="How alike maps are: rank correlation, or structural similarity.")
    examples: int = Field(8, ge=1, le=200, description="First examples of the probe set.")
    draws: int = Field(1, ge=1, le=50, description="Networks that are drawn for every layer.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the networks and of the interval.")


def weight_groups(model: ImageModel) -> list[tuple[str, list[str]]]:
    """Label and parameters of everything that has weights, from the output down: main layers as a whole, other modules one by one."""
    owners: dict[str, list[str]] = {}
    main = {layer.name: layer.label for layer in model.default_layers()}
    for name, _ in model.network.named_parameters():
        owner = next((layer for layer in main if name.startswith(layer + ".")), name.rpartition(".")[0])
        owners.setdefault(owner, []).append(name)
    finished: dict[str, int] = {}

    def note(owner: str) -> Any:
        def hook(*_: Any) -> None:
            finished[owner] = len(finished)

        return hook

    handles = [model.network.get_submodule(owner).register_forward_hook(note(owner)) for owner in owners]
    try:
        with torch.inference_mode():
            model.network(torch.zeros(1, model.channels, *model.preprocess.size, device=model.device))
    finally:
        for handle in handles:
            handle.remove()
    labels = {owner: main.get(owner) or ".".join(owner.split(".")[-2:]) or "network" for owner in owners}
    order = sorted(owners, key=lambda owner: -finished.get(owner, -1))
    return [(labels[o] if list(labels.values()).count(labels[o]) == 1 else o, owners[o]) for o in order]


def interval(values: Floats, seed: int) -> tuple[float, float] | None:
    """95 % interval of the mean over examples [examples, draws], over draws if there is one example; None for a single value."""
    units = values.mean(1) if len(values) > 1 else values[0]
    if len(units) < 2:
        return None
    picks = np.random.default_rng(seed).integers(0, len(units), (_RESAMPLES, len(units)))
    low, high = np.quantile(units[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)


@method(
    "model-randomisation",
    title="Model randomisation test",
    question="Does the map depend on what the network has learnt?",
    subjects=("model",),
    optional_subjects=("example", "probe", "targets"),
    returns=(Curves, Scorecard),
    params=Params,
    example_params=Params(examples=1),
    cite="Adebayo et al. 2018, arXiv:1810.03292",
    cost=Cost(passes=1.0, times="draws", maps=20.0, per_probe=True),
)
def model_randomisation(  # type: ignore[no-untyped-def]
    *, model: ImageModel, example: Example | None = None, probe: ImageSet | None = None, targets: list[Any] | None = None, params: Params,
    run: RunContext,
):  # fmt: skip
    """How alike a map stays when layers lose what they have learnt: weights drawn anew with each tensor's mean and deviation.

    Explained are the example, the first examples of the probe set, or both: the class that the trained network predicts, or the targets
    that are named. The interval is 95 % of bootstrap means over examples; over drawn networks where there is one example. A map that
    stays as it was fails: it shows the image, not the network.

    Formula:
        similarity(map on the trained network, map on the network whose tensors w of the chosen layers are mean(w) + deviation(w) z),
        z standard normal. Spearman's rank correlation, or structural similarity, of absolute maps, averaged over examples.

    Known failures:
        A high similarity may come from what both maps show of the image (edges, black borders) and a low one from noise in a map that is
        faithful: passing says that a map depends on the weights, not that it is right. Where a mark is drawn (0.7) is a convention.
        Running statistics of batch norms are not drawn anew.
    """
    spec = explainer(params.method)
    assert spec.explain is not None
    own = spec.parse(params.method_params)
    shown = ([example] if example is not None else []) + [probe.example(i) for i in range(min(params.examples, len(probe or ())))]  # type: ignore[union-attr]
    if not shown:
        raise InvalidInput("The test needs something to explain: give subjects.example, subjects.probe or both.", field="subjects.example")
    call = _call(model, shown, targets, run, int(getattr(own, "seed", params.seed)))
    trained = spec.explain(call, own).maps.detach().cpu().double().numpy()
    groups = weight_groups(model)
    found: list[tuple[int, str, Floats]] = []
    silent: dict[str, str] = {}
    for step, (label, names) in enumerate(groups, 1):
        drawn = [n for _, parameters in groups[:step] for n in parameters] if params.order == "cascading" else names
        values = np.full((len(trained), params.draws), np.nan)
        for draw in range(params.draws):
            run.progress((step - 1) * params.draws + draw, len(groups) * params.draws, "networks")
            try:
                maps = maps_elsewhere(call, spec.explain, own, randomised(model, params.seed + draw, drawn))
            except InvalidInput as error:
                silent[label] = error.detail
                continue
            alike = SIMILARITIES[params.similarity]
            values[:, draw] = [alike(a, b) for a, b in zip(trained, maps, strict=True)]
        kept = values[np.isfinite(values).all(1)]
        if len(kept):
            found.append((step, label, kept))
            silent.pop(label, None)
        else:
            silent.setdefault(label, "the map is the same everywhere")
    return _results(spec, params, found, silent, len(groups), trained)


def _call(model: ImageModel, shown: Sequence[Example], targets: list[Any] | None, run: RunContext, seed: int) -> Call:
    """All examples and targets as rows of one call."""
    rows, chosen = [], []
    for example in shown:
        run.check()
        inputs = model.inputs([example.image])
        wanted = targets_of(model, inputs, targets)
        rows += [inputs] * len(wanted)
        chosen += wanted
    return Call(model, torch.cat(rows), chosen, run, seed)


def _results(
    spec: MethodSpec, params: Params, found: list[tuple[int, str, Floats]], silent: dict[str, str], layers: int, trained: Floats
) -> dict[str, Any]:
    title = f"{spec.title}, {params.order} randomisation"
    intervals = [interval(values, params.seed) for _, _, values in found]
    chance = params.similarity == "spearman"
    band = spearman_band(trained[0].size)
    scores = [
        Scorecard.Score(
            name=label, value=float(values.mean()), group=spec.title, low=None if i is None else i[0], high=None if i is None else i[1],
            chance=0.0 if chance else None, chance_low=-band if chance else None, chance_high=band if chance else None,
        )
        for (_, label, values), i in zip(found, intervals, strict=True)
    ]  # fmt: skip
    means = np.array([values.mean() for _, _, values in found])
    whole = means[-1:] if params.order == "cascading" and found and found[-1][0] == layers else means
    fails = bool(len(whole)) and not any(changed(float(v)) for v in whole)
    arrays = {"x": np.array([step for step, _, _ in found], np.float32), "y": means.astype(np.float32).reshape(1, -1)}
    if any(i is not None for i in intervals):
        both = [i or (float(v), float(v)) for i, v in zip(intervals, means, strict=True)]
        arrays |= {"low": np.array([[b[0] for b in both]], np.float32), "high": np.array([[b[1] for b in both]], np.float32)}
    facts: dict[str, str | int | float | bool | None] = {
        "method": spec.id, "method version": spec.version, "maps": len(trained), "networks per layer": params.draws, "seed": params.seed,
        "similarity": _NAMES[params.similarity], "fails": fails, "fails from": FAILS, "layers": layers,
    }  # fmt: skip
    if params.order == "cascading":
        # How many layers lose their knowledge before the map shows it: guided backpropagation holds out for most of a network.
        unchanged = list(itertools.takewhile(lambda item: not changed(float(item[2].mean())), found))
        facts["unchanged down to"] = unchanged[-1][1] if unchanged else None
    facts |= {f"left out: {label}": f"no two maps to compare: {reason}" for label, reason in silent.items()}
    note = f"Similarity: {_NAMES[params.similarity]}. Layers are counted from the output; weights keep each tensor's mean and deviation."
    return {
        "similarity": Curves(
            title=title, note=note, series=[spec.title], x_axis="layer, from the output", y_axis=params.similarity, arrays=arrays
        ),
        "layers": Scorecard(title=title, note=note, scores=scores, facts=facts),
    }
