"""Going on with a prompt, with and without a change to some units, beside what the change costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, method
from microtome.methods.interventions.ablate_text import token_losses
from microtome.methods.interventions.steering import Action, act, push, random_direction, writes_into
from microtome.methods.interventions.writing import Condition, Reading, WritingParams, divergence, unchanged, written_under
from microtome.methods.language import inputs_of, prompt_tokens, text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Generation, Result, Scorecard


class Params(WritingParams):
    intervention: Action = Field(
        "none",
        description="What is done to the units: nothing, set to a value, scaled, ablated, or the direction that they write along added.",
    )
    strength: float = Field(
        1.0, ge=-1e4, le=1e4, description="The value, the factor, or the length of the direction added, in units of the residual stream."
    )
    control: str = Field("", max_length=20_000, description="Text on which the cost is measured; the prompt if empty.")
    draws: int = Field(200, ge=0, le=2000, description="Random units, or directions of the same length, for the chance band; 0 for none.")


@method(
    "generate",
    title="Generate",
    question="What does the model write, and what if these units are changed?",
    subjects=("model", "prompt"),
    optional_subjects=("units",),
    modalities=("text",),
    returns=(Generation, Scorecard),
    params=Params,
    example_params=Params(max_tokens=4, intervention="add", strength=2.0, draws=2),
    cite="Turner et al. 2023, arXiv:2308.10248",
    cost=Cost(passes=80.0, times="draws"),
)
def generate(
    *, model: Model, prompt: str, units: dict[str, Any] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """The model goes on with a prompt, as it is and with units changed at every token, under the same draws.

    Temperature 0 takes the most likely token each time; above it, the same random numbers decide under both conditions, so that texts
    differ only where the probabilities do. Log-probabilities are the model's own, at temperature 1, under the condition of the text.

    The scorecard says what the change does to the next token after the prompt, ``KL(before || after) = sum p log(p / q)`` in nats, and
    what it costs: the change of the mean loss on a control text, in nats per token. Chance: equally many random units of the layer
    treated alike, or random directions of the same length added at the same place; central 95 % of the draws.

    Raises:
        InvalidInput: the model does not predict the next token (``model``); an intervention without units, or units that the layer has
            not (``units``); one that these units do not allow (``params.intervention``); no text (``prompt``, ``params.control``).
    """
    reading = text_model(model, "causal")
    run.check()
    if units is None:
        if params.intervention != "none":
            raise InvalidInput(f"Choose units to '{params.intervention}'.", field="units")
        return {"text": written_under(reading, prompt, {"as it is": unchanged}, params, run, title="What the model writes")}
    layer = reading.layer(units["layer"])
    indices = sorted(set(units["indices"]))
    if not indices or indices[0] < 0 or indices[-1] >= layer.units:
        raise InvalidInput(f"{layer.label} has units 0 to {layer.units - 1}; asked for {indices[:5]}.", field="units")
    conditions: dict[str, Condition] = {"as it is": unchanged}
    results: dict[str, Result] = {}
    if params.intervention != "none":
        change = _Change(reading, layer, indices, params)
        conditions[change.name] = change
        results["effect"] = _effect(reading, prompt, change, params, run)
    note = "" if layer.special == 0 else "Special tokens at the beginning are changed as well."
    results["text"] = written_under(
        reading, prompt, conditions, params, run, title="What the model writes", note=note if len(conditions) > 1 else "",
        reading=Reading(layer, lambda x: x[indices].mean(0), f"mean activation of {len(indices)} units of {layer.label}"),
    )  # fmt: skip
    return results


class _Change:
    """The chosen change, and random ones like it. Calling it opens the change."""

    def __init__(self, model: TextModel, layer: Layer, units: Sequence[int], params: Params) -> None:
        self._model, self._layer, self._units, self._params = model, layer, units, params
        strength = params.strength
        words = {"set": f"set to {strength:g}", "scale": f"scaled by {strength:g}", "ablate": "ablated", "add": f"{strength:+g} added"}
        self.name = f"{len(units)} of {layer.label} {words[params.intervention]}"
        self._place: Layer | None = None
        if params.intervention == "add":
            self._place, direction = writes_into(model, layer, units)
            self._direction = direction * strength
        self._others = np.setdiff1d(np.arange(layer.units), units)
        self.random = self._place is not None or len(self._others) >= len(units)

    def __call__(self) -> AbstractContextManager[None]:
        if self._place is not None:
            return push(self._model, self._place, self._direction)
        return act(self._model, self._layer, self._units, self._params.intervention, self._params.strength)

    def drawn(self, generator: np.random.Generator) -> AbstractContextManager[None]:
        if self._place is not None:
            return push(self._model, self._place, random_direction(generator, self._direction))
        some = generator.choice(self._others, len(self._units), replace=False).tolist()
        return act(self._model, self._layer, some, self._params.intervention, self._params.strength)


def _effect(model: TextModel, prompt: str, change: _Change, params: Params, run: RunContext) -> Scorecard:
    """Divergence of the next token and change of the loss, with chance."""
    asked = inputs_of(model, [prompt_tokens(model, prompt)])
    control = inputs_of(model, [prompt_tokens(model, params.control, "params.control")]) if params.control else asked
    if control.shape[1] < 2:
        raise InvalidInput("A control text needs two tokens or more.", field="params.control")

    def measured() -> tuple[torch.Tensor, float]:
        with torch.no_grad():
            logits = model.forward(asked)
            on_control = logits if control is asked else model.forward(control)
        return logits[0, -1], float(token_losses(on_control, control)[0].double().mean())

    last, loss = measured()

    def effect() -> tuple[float, float]:
        after, cost = measured()
        return divergence(last, after), cost - loss

    with change():
        found = effect()
    generator = np.random.default_rng(params.seed)
    draws = params.draws if change.random else 0
    random = np.empty((draws, 2))
    for draw in range(draws):
        run.check()
        with change.drawn(generator):
            random[draw] = effect()
        run.progress(draw + 1, draws, "random changes")
    names = (("KL of the next token", "nats"), ("change of the loss on the control text", "nats per token"))
    scores = []
    for column, (name, unit) in enumerate(names):
        band = np.quantile(random[:, column], [0.025, 0.975]) if draws else (None, None)
        scores.append(
            Scorecard.Score(
                name=name, value=found[column], unit=unit, chance=float(random[:, column].mean()) if draws else None,
                chance_low=band[0], chance_high=band[1], draws=draws or None,
            )
        )  # fmt: skip
    like = "directions of the same length" if params.intervention == "add" else "sets of as many other units of the layer"
    return Scorecard(
        title=f"Effect of {change.name}",
        note=f"Chance band: {draws} random {like}, central 95 %.",
        scores=scores,
        facts={
            "intervention": params.intervention, "strength": params.strength, "loss": loss, "perplexity": float(np.exp(loss)),
            "perplexity_changed": float(np.exp(min(loss + found[1], 700.0))), "control_tokens": control.shape[1],
            "control_is_prompt": control is asked, "draws": draws,
        },
    )  # fmt: skip
