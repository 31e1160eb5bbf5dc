"""Gradients of embeddings: by hand through ``inputs_embeds``, against captum, and where the network is linear.

Tolerances: 1e-4 of the largest value between two ways through the same float32 network; the gap of integrated gradients as the method
states it (one per cent, or 1e-3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.text_attribution.expected_gradients import references_of
from microtome.methods.text_attribution.fills import fill_of
from tests.methods.text_attribution.asked import PROMPT, ask, call_of, linear, scores, values
from tests.reference import text_attribution as reference

FAMILIES = ("gpt2", "bert", "distilbert", "llama", "bloom", "gemma2")


def close(one: Any, other: Any, relative: float = 1e-4) -> None:
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    np.testing.assert_allclose(one, other, rtol=0, atol=relative * np.abs(other).max())


def own(call: Any, found: np.ndarray) -> np.ndarray:
    """Of the text's own tokens, those that are explained."""
    return found[call.places.numpy() - call.tokens.first]


def by_hand(call: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and gradients [T, D] by the network's own door. What Gemma does to embeddings it does behind that door."""
    vectors = call.model.network.get_input_embeddings()(call.ids).requires_grad_(True)
    value = call.target.number(reference.logits_of_vectors(call.model, vectors, call.at)[None], {})
    return vectors, torch.autograd.grad(value.sum(), vectors)[0]


@pytest.mark.parametrize("family", [*FAMILIES, "neox", "qwen3", "gemma"])
def test_gradients_are_those_by_hand(family: str) -> None:
    call = call_of(family)
    vectors, gradient = by_hand(call)
    close(own(call, values(ask("text-gradient", family))), gradient[call.places].norm(dim=1))
    close(own(call, values(ask("text-gradient", family, size="sum"))), gradient[call.places].abs().sum(1))
    close(own(call, values(ask("text-gradient", family, size="largest"))), gradient[call.places].abs().amax(1))
    found = ask("text-input-x-gradient", family)
    close(own(call, values(found)), (vectors * gradient)[call.places].sum(1).detach())
    close(found["map"].score, [float(call.target.number(reference.logits(call.model, call.ids.tolist(), call.at)[None], {})[0])])


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_add_up(family: str) -> None:
    # Gemma scales its embeddings, so that its first norm jumps at zero, which its begin token is here: no number of steps leads over that.
    for baseline in ("mean",) if family == "gemma2" else ("default", "zero", "mean"):
        found = ask("text-integrated-gradients", family, baseline=baseline, steps=64, max_steps=1024)
        (complete,) = found["map"].completeness
        assert complete["total"] == pytest.approx(values(found).sum(), abs=1e-4 * max(1, np.abs(values(found)).sum()))
        assert complete["gap"] <= max(0.01 * abs(complete["expected"]), 1e-3)
        assert scores(found)["completeness-gap"].value == complete["gap"]


def test_a_gap_that_steps_do_not_close_is_told() -> None:
    (complete,) = ask("text-integrated-gradients", "gemma2", baseline="zero", steps=8, max_steps=32)["map"].completeness
    assert complete["steps"] == 32
    assert complete["gap"] > 0.01 * abs(complete["expected"])
    assert complete["gap"] == abs(complete["total"] - complete["expected"])


@pytest.mark.parametrize("family", ["gpt2", "bert", "distilbert"])
def test_integrated_gradients_are_those_of_captum(family: str) -> None:
    from captum.attr import IntegratedGradients

    call = call_of(family)
    base = call.vectors.clone()
    vector = fill_of(call.model, "default").vector
    assert vector is not None
    base[call.places] = vector

    def forward(vectors: torch.Tensor) -> torch.Tensor:
        return torch.stack([call.target.number(reference.logits_of_vectors(call.model, v, call.at)[None], {})[0] for v in vectors])

    theirs = IntegratedGradients(forward).attribute(call.vectors[None], base[None], n_steps=16, method="gausslegendre")[0].sum(1)
    found = ask("text-integrated-gradients", family, steps=16, max_steps=16)
    close(own(call, values(found)), theirs[call.places].detach(), 1e-3)  # Captum's nodes are float32


def test_a_baseline_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no pad token") as caught:
        ask("text-integrated-gradients", "gpt2", baseline="pad")
    assert caught.value.field == "params.baseline"


@pytest.mark.parametrize("average", ["gradient", "square", "variance"])
def test_smoothgrad_of_a_linear_network(average: str) -> None:
    """The gradient is the same everywhere: its mean is itself, its variance nothing."""
    call = call_of("bag")
    gradient = call.model.network.head.weight[call.target.index]
    found = values(ask("text-smoothgrad", "bag", samples=4, average=average))
    expected = {"gradient": gradient.norm(), "square": gradient.square().norm(), "variance": torch.zeros(())}[average]
    np.testing.assert_allclose(found, float(expected), atol=1e-6)


def test_smoothgrad_with_next_to_no_noise_is_the_gradient() -> None:
    close(values(ask("text-smoothgrad", "gpt2", samples=2, noise=1e-6)), values(ask("text-gradient", "gpt2")), 1e-3)


def test_smoothgrad_is_a_mean_over_noise() -> None:
    """By hand: the same draws, one text after another."""
    call = call_of("gpt2")
    rows = call.vectors[call.places]
    total = torch.zeros_like(call.vectors)
    for draw in range(4):
        noise = normal_draws(call.vectors[None], 0, [draw])[0] * 0.2 * (rows.max() - rows.min())
        noise[0] = 0  # the token before the text stays
        vectors = (call.vectors + noise).requires_grad_(True)
        value = call.target.number(reference.logits_of_vectors(call.model, vectors, -1)[None], {})
        total += torch.autograd.grad(value.sum(), vectors)[0] / 4
    close(values(ask("text-smoothgrad", "gpt2", samples=4, noise=0.2)), total[call.places].norm(dim=1))


def test_expected_gradients_approach_their_total() -> None:
    gaps = [ask("text-expected-gradients", "gpt2", samples=n, references=4)["map"].completeness[0] for n in (8, 512)]
    assert gaps[1]["gap"] < 0.05 * abs(gaps[1]["expected"])
    assert gaps[1]["gap"] < gaps[0]["gap"]


@pytest.mark.parametrize("against", [None, "0"])
def test_complete_methods_find_what_tokens_of_a_linear_network_bring(against: str | None) -> None:
    """Exactly, to float32: any path and any steps give the same."""
    call = call_of("bag", target="1", against=against)
    asked = {"target": "1", "against": against}
    mask = fill_of(call.model, "default").vector
    assert mask is not None
    wanted = linear(call, mask)
    for id, params in {
        "text-integrated-gradients": {"steps": 2},
        "text-occlusion": {},
        "text-kernel-shap": {"samples": 64},
        "text-shapley": {"samples": 4},
        "text-lime": {"samples": 200, "penalty": 0, "width": 10},
    }.items():
        found = ask(id, "bag", **asked, **params)
        close(values(found), wanted, 1e-4)
        if found["map"].completeness:
            assert found["map"].completeness[0]["gap"] < 1e-4
    close(values(ask("text-input-x-gradient", "bag", **asked)), linear(call, torch.zeros(1)))
    expected = ask("text-expected-gradients", "bag", samples=7, references=2, **asked)
    bases = references_of(call, 2)[:, call.places]
    close(values(expected), linear(call, (4 * bases[0] + 3 * bases[1]) / 7))
    assert expected["map"].completeness[0]["gap"] < 1e-4


@pytest.mark.parametrize("family", ["gpt2", "bert", "distilbert"])
def test_rollout_is_the_product_of_the_attentions(family: str) -> None:
    """Block by block with the network's own eager attention; DistilBERT reads its classes at the first token."""
    call = call_of(family)
    before = call.model.network.config._attn_implementation
    call.model.network.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            blocks = call.model.network(input_ids=call.ids[None], output_attentions=True).attentions
    finally:
        call.model.network.set_attn_implementation(before)
    rolled = torch.eye(len(call.ids), dtype=torch.float64)
    for block in blocks:
        rolled = (0.5 * torch.eye(len(call.ids)) + 0.5 * block[0].double().mean(0)) @ rolled
    row = 0 if call.at is None else call.at
    found = ask("text-attention-rollout", family)
    close(own(call, values(found)), rolled[row, call.places])
    assert found["map"].signed is False


def test_methods_do_not_depend_on_company() -> None:
    """A text of as many tokens as fit, and one that follows another, answered alike; nothing is left hooked."""
    first = values(ask("text-input-x-gradient", "gpt2"))
    ask("text-input-x-gradient", "gpt2", prompt="x = [i for i in range(10)]")
    np.testing.assert_array_equal(first, values(ask("text-input-x-gradient", "gpt2")))
    call = call_of("gpt2", PROMPT)
    assert not call.model.network.get_input_embeddings()._forward_hooks
