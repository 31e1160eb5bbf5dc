"""A direction for a concept from pairs of texts: read on every token, tried on other pairs, added or taken out while writing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, method
from microtome.methods.interventions.contrast import Floats, direction_of, states
from microtome.methods.interventions.steering import push
from microtome.methods.interventions.writing import Reading, WritingParams, unchanged, written_under
from microtome.methods.language import inputs_of, names_of, prompt_tokens, text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Generation, Result, Scorecard, TokenMap

#: Pairs of texts: at least two to find the direction on and two to try it on.
FEWEST = 4
_RESAMPLES = 1000
#: States that differ less than this along the direction are the same but for rounding.
LEAST = 1e-6


class Params(WritingParams):
    positives: list[str] = Field(default=[], max_length=200, description="Texts with the concept, 4 to 200.")
    negatives: list[str] = Field(default=[], max_length=200, description="Their counterparts without it, one for each, in the same order.")
    by: Literal["mean difference", "pca"] = Field(
        "mean difference", description="The direction: mean of the pairs' differences, or their first principal direction."
    )
    control: Literal["add", "remove"] = Field("add", description="While writing: add the direction, or take out what lies along it.")
    strength: float = Field(
        1.0, ge=-100.0, le=100.0, description="What is added, in distances between negative and positive texts: 1 takes one to the other."
    )
    draws: int = Field(200, ge=0, le=2000, description="Random directions for the chance band of the accuracy; 0 for none.")


class Direction(NamedTuple):
    """Unit vector [D]; the middle between both kinds of texts along it, and their distance."""

    vector: Floats
    middle: float
    gap: float

    def read(self, values: torch.Tensor) -> torch.Tensor:
        """[...] of states [..., D]: -0.5 where negative texts are on average, 0.5 where positive ones are."""
        return (values.double() @ torch.from_numpy(self.vector).to(values.device) - self.middle) / self.gap


@method(
    "representation-engineering",
    title="Representation engineering",
    question="Is there a direction for this concept, and what is written along it?",
    subjects=("model", "prompt"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(TokenMap, Generation, Scorecard),
    params=Params,
    example_params=Params(
        positives=["def a(b)", "def run(x)", "def out()", "def left(a, b)"],
        negatives=["a = b", "run = x", "import out", "left = a"],
        max_tokens=3,
        draws=5,
    ),
    cite="Zou et al. 2023, arXiv:2310.01405",
    cost=Cost(passes=100.0),
)
def representation_engineering(
    *, model: Model, prompt: str, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """A direction in a layer from pairs of texts; how well it tells other pairs; where the prompt stands along it; writing with it.

    States are taken at the last token of each text, in the first of the layers, by default the residual stream two thirds of the way
    up. Half of the pairs, drawn by the seed, give the direction d: the normed mean of the differences positive - negative, or their
    first principal direction. On the other half the accuracy is the share of pairs whose positive text lies further along d; its
    interval is a 95 % bootstrap over pairs, its chance band that of random directions.

    A reading is ``(h . d - middle) / gap``: -0.5 where the negative texts of the first half are on average, 0.5 where the positive ones
    are. While writing, ``strength * gap * d`` is added to the layer at every token, or the part along d is set to the middle.

    Raises:
        InvalidInput: the model does not predict the next token (``model``); too few pairs, or texts that cannot be told apart
            (``params.positives``, ``params.negatives``); units that are read by a norm (``layers``).
    """
    reading = text_model(model, "causal")
    _check(params)
    run.check()
    layer = _layer(reading, layers)
    positive = states(reading, params.positives, layer, "last", "params.positives", run)
    negative = states(reading, params.negatives, layer, "last", "params.negatives", run)
    generator = np.random.default_rng(params.seed)
    order = generator.permutation(len(positive))
    fitted, tried = order[: len(order) // 2], order[len(order) // 2 :]
    found = fit_direction(positive[fitted], negative[fitted], params.by)
    tokens = prompt_tokens(reading, prompt)
    with torch.no_grad(), reading.record([layer]) as outputs:
        reading.forward(inputs_of(reading, [tokens]))
    values = found.read(outputs[layer.name][0]).cpu().numpy()
    change = _Change(reading, layer, found, params)
    quantity = "reading (-0.5: negative texts, 0.5: positive texts)"
    return {
        "reading": TokenMap(
            title=f"Reading of the direction in {layer.label}",
            note="Special tokens before the text may lie far out.",
            tokens=names_of(reading, tokens), rows=["direction"], row_axis="target", quantity=quantity,
            arrays={"values": values[None].astype(np.float32)},
        ),
        "text": written_under(
            reading, prompt, {"as it is": unchanged, change.name: change}, params, run,
            title=f"Writing along the direction in {layer.label}",
            reading=Reading(layer, lambda x: found.read(x.T), quantity),
        ),
        "accuracy": _accuracy(positive[tried] - negative[tried], found, layer, len(fitted), params, generator),
    }  # fmt: skip


def fit_direction(positive: Floats, negative: Floats, by: Literal["mean difference", "pca"]) -> Direction:
    """
    Raises:
        InvalidInput: the states of both kinds are the same on average (``params.positives``).
    """
    vector = direction_of(positive, negative, by)
    high, low = float((positive @ vector).mean()), float((negative @ vector).mean())
    if high - low < LEAST:
        raise InvalidInput(
            "Positive and negative texts leave the same state after their last token, so there is no direction. Let their ends differ.",
            field="params.positives",
        )
    return Direction(vector, (high + low) / 2, high - low)


class _Change:
    """Calling it opens the change."""

    def __init__(self, model: TextModel, layer: Layer, direction: Direction, params: Params) -> None:
        self._model, self._layer, self._direction, self._params = model, layer, direction, params
        self.name = f"{params.strength:+g} added" if params.control == "add" else "taken out"

    def __call__(self) -> AbstractContextManager[None]:
        found = self._direction
        vector = torch.from_numpy(found.vector).to(self._model.device)
        if self._params.control == "add":
            return push(self._model, self._layer, self._params.strength * found.gap * vector)

        def take_out(tensor: torch.Tensor) -> torch.Tensor:
            along = tensor.double() @ vector - found.middle
            return (tensor.double() - along[..., None] * vector).to(tensor)

        return self._model.changed(self._layer, take_out)


def _accuracy(
    differences: Floats, found: Direction, layer: Layer, fitted: int, params: Params, generator: np.random.Generator
) -> Scorecard:  # fmt: skip
    right = _ordered(differences @ found.vector)
    boot = right[generator.integers(0, len(right), (_RESAMPLES, len(right)))].mean(1)
    random = _ordered(differences @ generator.standard_normal((len(found.vector), params.draws))).mean(0)
    band = np.quantile(random, [0.025, 0.975]) if params.draws else (None, None)
    return Scorecard(
        title=f"Direction in {layer.label} on pairs it was not made from",
        note=f"Chance band: {params.draws} random directions, central 95 %. Interval: bootstrap over {len(right)} pairs.",
        scores=[
            Scorecard.Score(
                name="pairs in the right order", value=float(right.mean()), low=float(np.quantile(boot, 0.025)),
                high=float(np.quantile(boot, 0.975)), chance=0.5, chance_low=band[0], chance_high=band[1], draws=params.draws or None,
            )
        ],
        facts={"layer": layer.name, "fitted": fitted, "tried": len(right), "gap": found.gap, "by": params.by},
    )  # fmt: skip


def _ordered(along: Floats) -> Floats:
    """1 where the positive text lies further along, half where both lie alike."""
    return np.asarray((along > 0) + 0.5 * (along == 0))


def _check(params: Params) -> None:
    texts: tuple[tuple[str, Sequence[str]], ...] = (("positives", params.positives), ("negatives", params.negatives))
    for name, given in texts:
        if len(given) < FEWEST or len(given) != len(params.positives):
            raise InvalidInput(
                f"Give {FEWEST} to 200 pairs of texts; there are {len(params.positives)} positives and {len(params.negatives)} negatives.",
                field=f"params.{name}",
            )


def _layer(model: TextModel, layers: Sequence[str] | None) -> Layer:
    if layers:
        found = model.layer(layers[0])
        if found.group:
            raise InvalidInput(
                f"Units of {found.label} are read by their norm, so they have no direction. Take head values.", field="layers"
            )
        return found
    stream = [layer for layer in model.layers.values() if layer.kind == "residual"] or model.default_layers()
    return stream[(2 * len(stream)) // 3 - 1 if len(stream) > 1 else 0]
