"""What every neuron contributes to a token that the model is about to say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.answers import token_id
from microtome.methods.circuits.sites import recorded
from microtome.methods.concepts.conductance import Path, along_embeddings, along_units
from microtome.methods.concepts.sparse_probing import layers_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, prompt_tokens, text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.results import Column, Result, Scorecard, UnitTable

#: Gaps below this share of the difference are called complete.
COMPLETE = 0.01


class Params(MethodParams):
    target: str = Field("", max_length=200, description="Token whose output is explained; the most likely next token if empty.")
    measure: Literal["logit", "probability"] = Field("logit", description="What of the target is explained.")
    path: Literal["neurons", "embeddings"] = Field(
        "neurons",
        description="What goes from the baseline to what it is: the layer's own activations from zero, or the embeddings of the tokens.",
    )
    baseline: str = Field(
        "",
        max_length=200,
        description="For the path of embeddings: token that stands in every place at its start; embeddings of zero if empty.",
    )
    steps: int = Field(32, ge=1, le=2000, description="Points of the path.")
    shown: int = Field(200, ge=1, le=20_000, description="Neurons of each layer that are listed, those with the largest contributions.")


@method(
    "neuron-integrated-gradients",
    title="Integrated gradients of neurons",
    question="Which neurons make the model say this token?",
    subjects=("model", "prompt"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(UnitTable, Scorecard),
    params=Params,
    example_params=Params(steps=4, shown=10),
    cite="Shrikumar, Su, Kundaje 2018, arXiv:1807.09946; Dai et al. 2022, arXiv:2104.08696",
    cost=Cost(passes=30.0, times="steps"),
)
def neuron_integrated_gradients(
    *, model: Model, prompt: str, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """Contribution of every neuron of a layer to the logit or probability of a token after the prompt, integrated along a path.

    Path of the neurons: all activations h of the layer go from zero to what they are, ``h_j * integral over a of dF/dh_j (a h) da``,
    summed over tokens. The contributions of a layer sum to ``F(h) - F(0)``; each layer has a path of its own.

    Path of the embeddings: they go from a baseline to what they are, and a neuron has ``integral of dF/dh_j dh_j`` along it, its
    conductance. Summed over the residual stream after a block this is ``F(x) - F(baseline)``. Past neurons, heads and feed-forward
    parts the residual stream goes by: they have only the part of the difference that goes through them, and no other total to reach.
    Layer norms bend the path sharply near embeddings of zero: give a baseline token, or many steps.

    The scorecard holds the total of every layer and its gap to the difference, in the unit of the output.

    Raises:
        InvalidInput: the model does not predict the next token (``model``); a target or baseline that is not one token
            (``params.target``, ``params.baseline``).
    """
    reading = text_model(model, "causal")
    run.check()
    ids = inputs_of(reading, [prompt_tokens(reading, prompt)])
    chosen = layers_of(reading, layers, "neurons")
    with torch.no_grad():
        last = reading.forward(ids)[0, -1]
    target = token_id(reading, params.target, "params.target") if params.target else int(last.argmax())
    if params.path == "neurons" and params.baseline:
        raise InvalidInput(
            "The path of neurons begins at activations of zero; a baseline token is for that of embeddings.", field="params.baseline"
        )

    def output(logits: torch.Tensor) -> torch.Tensor:
        final = logits[:, -1].float()
        return (final if params.measure == "logit" else final.softmax(-1))[:, target]

    if params.path == "embeddings":
        baseline = None
        if params.baseline:
            baseline = ids.clone()
            baseline[:, reading.special :] = token_id(reading, params.baseline, "params.baseline")
        paths = along_embeddings(reading, chosen, ids, baseline, output, params.steps, run)
    else:
        paths = []
        for number, layer in enumerate(chosen):
            paths.append(along_units(reading, layer, ids, output, params.steps, run))
            run.progress(number + 1, len(chosen), "layers")
    _, outputs = recorded(reading, chosen, ids)
    name = reading.tokenizer.text_of(target)
    unit = "logits" if params.measure == "logit" else "probability"
    results: dict[str, Result] = {}
    for layer, path in zip(chosen, paths, strict=True):
        activation = layer.canonical(outputs[layer.name])[0, :, 0, -1].float().cpu().numpy()
        results[f"units_{layer.label.replace('.', '_')}"] = _table(layer, path, activation, params.shown, name, unit)
    return results | {"completeness": _completeness(chosen, paths, params, name, unit)}


def _table(layer: Layer, path: Path, activation: np.ndarray, shown: int, name: str, unit: str) -> UnitTable:
    total = path.contributions.sum(0)
    order = np.argsort(-np.abs(total), kind="stable")[:shown]
    return UnitTable.of(
        title=f"Contributions of {layer.label} to {name!r}",
        note=f"Summed over all tokens, in {unit}; the {len(order)} largest of {layer.units}.",
        layer=layer.name, units=order,
        columns=[
            Column("rank", "Rank", "integer", np.arange(1, len(order) + 1)),
            Column("contribution", "Contribution", "number", total[order], unit),
            Column("last", "Contribution at the last token", "number", path.contributions[-1, order], unit),
            Column("activation", "Activation at the last token", "number", activation[order]),
        ],
    )  # fmt: skip


def _completeness(layers: list[Layer], paths: list[Path], params: Params, name: str, unit: str) -> Scorecard:
    scores, complete = [], True
    for layer, path in zip(layers, paths, strict=True):
        total, difference = float(path.contributions.sum()), path.after - path.before
        whole = params.path == "neurons" or layer.kind in ("residual", "embeddings")
        scores.append(Scorecard.Score(name="total of the contributions", value=total, unit=unit, group=layer.label))
        scores.append(Scorecard.Score(name="difference of the output", value=difference, unit=unit, group=layer.label))
        if whole:
            scores.append(Scorecard.Score(name="gap", value=total - difference, unit=unit, group=layer.label))
            complete &= abs(total - difference) <= COMPLETE * max(abs(difference), 1e-6)
    ends = "the layer's activations at zero" if params.path == "neurons" else "the baseline embeddings"
    return Scorecard(
        title=f"Completeness for {name!r}",
        note=f"The difference is that of the {params.measure} from {ends} to the prompt. A gap shrinks with more steps; layers that the "
        "residual stream goes past have none, since their total is only what goes through them.",
        scores=scores,
        facts={
            "target": name, "measure": params.measure, "path": params.path, "steps": params.steps, "output": paths[0].after,
            "complete": complete,
        },
    )  # fmt: skip
