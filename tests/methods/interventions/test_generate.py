"""Writing with and without a change, against runs by hand one token after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.interventions.generate import Params, generate
from microtome.methods.interventions.steering import writes_into
from microtome.methods.interventions.writing import divergence, next_token
from tests import micro
from tests.methods.circuits.strong import CLEAN, strong
from tests.reference.circuits import forward

UNITS = {"layer": "h1.mlp", "indices": [3, 7]}


def run(units: dict[str, Any] | None = None, prompt: str = CLEAN, **params: Any) -> dict[str, Any]:
    given = Params(**({"draws": 0, "max_tokens": 12} | params))
    return generate.function(model=strong(), prompt=prompt, units=units, params=given, run=SilentContext())


def greedy(change: Any = lambda _, value: value, count: int = 12) -> tuple[list[int], list[float]]:
    ids = strong().tokenizer.encode(CLEAN).ids.tolist()
    logprobs = []
    for _ in range(count):
        last = forward(strong(), ids, change)[0][-1]
        ids.append(int(last.argmax()))
        logprobs.append(float(last.log_softmax(0)[ids[-1]]))
        if ids[-1] == strong().config["eos_token_id"]:
            break
    return ids[len(strong().tokenizer.encode(CLEAN)) :], logprobs


def test_at_temperature_zero_every_token_is_the_most_likely_one() -> None:
    found = run()["text"]
    expected, logprobs = greedy()
    assert found.conditions == ["as it is"]
    assert found.tokens[0] == [strong().tokenizer.text_of(i) for i in expected]
    np.testing.assert_allclose(found.arrays["logprobs"][0], logprobs, atol=1e-3)


@pytest.mark.parametrize(
    ("params", "change"),
    [
        ({"intervention": "set", "strength": 3.0}, lambda v: 3.0),
        ({"intervention": "scale", "strength": -2.0}, lambda v: -2.0 * v),
        ({"intervention": "ablate"}, lambda v: 0.0),
    ],
)
def test_changed_units_write_what_a_run_by_hand_does(params: dict[str, Any], change: Any) -> None:
    def put(name: str, value: torch.Tensor) -> torch.Tensor:
        if name != "h1.mlp":
            return value
        out = value.clone()
        out[:, [3, 7]] = change(out[:, [3, 7]])
        return out

    found = run(UNITS, **params)
    expected, logprobs = greedy(put)
    assert found["text"].tokens[1] == [strong().tokenizer.text_of(i) for i in expected]
    np.testing.assert_allclose(found["text"].arrays["logprobs"][1][: len(logprobs)], logprobs, atol=1e-3)
    ids = strong().tokenizer.encode(CLEAN).ids.tolist()
    before, after = forward(strong(), ids)[0].double(), forward(strong(), ids, put)[0].double()
    losses = [-x[:-1].log_softmax(1)[range(len(ids) - 1), ids[1:]].mean() for x in (before, after)]
    kl, cost = found["effect"].scores
    p, q = before[-1].softmax(0), after[-1].softmax(0)
    assert kl.value == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-3, abs=1e-4)
    assert cost.value == pytest.approx(float(losses[1] - losses[0]), rel=1e-3, abs=1e-4)


def test_adding_the_direction_of_a_neuron_is_adding_to_its_activation() -> None:
    """The direction has length 1: added with the norm of the output weights, it is one more of the activation."""
    model = strong()
    weights = model.network.state_dict()["transformer.h.1.mlp.c_proj.weight"][3]
    place, direction = writes_into(model, model.layer("h1.mlp"), [3])
    assert place.label == "h1.mlp_out"
    torch.testing.assert_close(direction, weights / weights.norm(), atol=1e-5, rtol=1e-5)
    found = run({"layer": "h1.mlp", "indices": [3]}, intervention="add", strength=2.0 * float(weights.norm()))

    def put(name: str, value: torch.Tensor) -> torch.Tensor:
        return value + 2.0 * (torch.arange(value.shape[1]) == 3) if name == "h1.mlp" else value

    assert found["text"].tokens[1] == [strong().tokenizer.text_of(i) for i in greedy(put)[0]]


def test_a_change_of_nothing_writes_the_same_at_any_temperature() -> None:
    for temperature in (0.0, 1.0, 3.0):
        found = run(UNITS, intervention="scale", strength=1.0, temperature=temperature, seed=5)
        assert found["text"].tokens[0] == found["text"].tokens[1]
        assert found["text"].facts["same"]
        assert found["effect"].scores[0].value == pytest.approx(0, abs=1e-9)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    lots = (np.arange(20_000) + 0.5) / 20_000
    for temperature in (0.5, 1.0, 2.0):
        counts = np.bincount([next_token(logits, temperature, lot) for lot in lots[::10]], minlength=4) / 2000
        np.testing.assert_allclose(counts, (logits / temperature).softmax(0).numpy(), atol=2e-3)
    assert next_token(logits, 0.0, 0.9) == 3
    assert next_token(logits, 1.0, 0.0) == 0


def test_the_scores_are_the_activations_of_the_units() -> None:
    found = run(UNITS)["text"]
    ids = strong().tokenizer.encode(CLEAN).ids.tolist() + greedy()[0]
    _, values, _ = forward(strong(), ids)
    expected = values["h1.mlp"][len(ids) - len(found.tokens[0]) :, [3, 7]].mean(1)
    np.testing.assert_allclose(found.arrays["scores"][0], expected, atol=1e-3)


def test_chance_is_seeded_and_names_its_draws() -> None:
    first, again = (run(UNITS, intervention="ablate", draws=20, seed=2)["effect"] for _ in range(2))
    assert first.scores == again.scores
    assert all(s.draws == 20 and s.chance_low <= s.chance <= s.chance_high for s in first.scores)
    added = run(UNITS, intervention="add", strength=0.0, draws=5)["effect"]
    assert all(s.chance == pytest.approx(0, abs=1e-9) for s in added.scores)


def test_divergence_is_that_of_two_known_distributions() -> None:
    before, after = torch.tensor([0.5, 0.25, 0.25]).log(), torch.tensor([0.25, 0.5, 0.25]).log()
    assert divergence(before, after) == pytest.approx(0.5 * np.log(2) - 0.25 * np.log(2), abs=1e-6)


def test_a_full_window_ends_the_text() -> None:
    found = run(prompt="a = b, " * 8, max_tokens=40)["text"]
    assert found.facts["window_full"]
    assert len(found.prompt) + len(found.tokens[0]) <= strong().tokenizer.window


def test_what_cannot_be_done_is_refused_by_name() -> None:
    heads = {"layer": "h1.heads", "indices": [0]}
    cases = [
        ("units", lambda: run(None, intervention="ablate")),
        ("units", lambda: run({"layer": "h1.mlp", "indices": [96]})),
        ("params.intervention", lambda: run(heads, intervention="set")),
        ("params.intervention", lambda: run(heads, intervention="add")),
        ("prompt", lambda: run(prompt="")),
        ("model", lambda: generate.function(model=micro.load_text("bert"), prompt="a", params=Params(), run=SilentContext())),
    ]
    for field, call in cases:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field
    assert run(heads, intervention="scale", strength=0.0)["text"].tokens == run(heads, intervention="ablate")["text"].tokens
