"""Contributions add up to the logit in every architecture that is a sum, and equal those of a forward pass by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.lens.contributions import contributions
from tests.methods.lens.asked import ask, ids
from tests.methods.lens.nets import PROMPT, logits, net
from tests.reference.lens import gpt2_contributions


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox", "bloom", "qwen3", "gemma", "opt", "falcon", "gpt-j", "phi", "phi3"])
@pytest.mark.parametrize(("target", "against", "position"), [("#7", None, -1), ("#7", "#300", 5)])
def test_the_parts_add_up_to_the_models_logit(family: str, target: str, against: str | None, position: int) -> None:
    """Within 1e-4, and so do the rows that are shown."""
    found = ask("direct-logit-attribution", family, target=target, against=against, position=position)
    own = logits(net(family))[position]
    expected = float(own[7] - (own[300] if against else 0))
    facts, rows = found["parts"].facts, found["parts"].scores
    assert facts["total"] == pytest.approx(expected, abs=1e-4)
    assert facts["logit"] == pytest.approx(expected, abs=1e-6)
    assert abs(facts["gap"]) < 1e-4
    assert sum(s.value for s in rows if s.group == "parts") == pytest.approx(expected, abs=1e-4)
    heads = sum(s.value for s in rows if s.name.endswith(" heads"))
    assert float(found["heads"].arrays["values"].sum()) == pytest.approx(heads, abs=1e-5)


def test_every_part_is_what_a_forward_pass_by_hand_says() -> None:
    """Within 1e-5."""
    model = net("gpt2")
    found = contributions(model, model.tokenizer.encode(PROMPT), 6, [9], [1.0], SilentContext())
    expected = gpt2_contributions(model.network.state_dict(), model.config, ids("gpt2"), 6, 9)
    assert found.embeddings == pytest.approx(expected["embeddings"], abs=1e-5)
    np.testing.assert_allclose(found.heads.numpy(), expected["heads"], atol=1e-5)
    np.testing.assert_allclose(found.neurons.numpy(), expected["neurons"], atol=1e-5)
    np.testing.assert_allclose((found.attention_bias + found.feed_forward_bias).numpy(), expected["biases"], atol=1e-5)
    assert found.constant == pytest.approx(expected["constant"], abs=1e-5)


def test_the_strongest_neurons_are_listed_by_layer_and_index() -> None:
    model = net("llama")
    listed = ask("direct-logit-attribution", "llama", target="#7", neurons=4)["neurons"].scores
    found = contributions(model, model.tokenizer.encode(PROMPT), len(ids("llama")) - 1, [7], [1.0], SilentContext())
    layer, index = np.unravel_index(np.argmax(np.abs(found.neurons.numpy())), found.neurons.shape)
    assert listed[0].name == f"layer{layer}.mlp/{index}"
    assert listed[0].value == pytest.approx(float(found.neurons[layer, index]), abs=1e-7)
    assert [abs(s.value) for s in listed] == sorted((abs(s.value) for s in listed), reverse=True)


def test_the_models_answer_is_taken_apart_if_none_is_named() -> None:
    found = ask("direct-logit-attribution", "neox")
    assert found["parts"].facts["logit"] == pytest.approx(float(logits(net("neox"))[-1].max()), abs=1e-6)


def test_a_sum_that_is_none_is_refused() -> None:
    """BERT fills in, Gemma 2 norms what its parts write."""
    for family, words in (("bert", "predicts the next token"), ("gemma2", "no sum")):
        with pytest.raises(InvalidInput, match=words) as caught:
            ask("direct-logit-attribution", family)
        assert caught.value.field == "model"
    with pytest.raises(InvalidInput) as caught:
        ask("direct-logit-attribution", "gpt2", against="two words here")
    assert caught.value.field == "params.against"


def test_the_sum_follows_a_change_of_one_head() -> None:
    """With a head's output put to zero, its contribution is gone and the rest still adds up."""
    model = net("gpt2")
    layer, tokens = model.layer("h2.heads"), model.tokenizer.encode(PROMPT)
    with torch.inference_mode(), model.ablated(layer, [1]):
        found = contributions(model, tokens, 6, [9], [1.0], SilentContext())
    assert float(found.heads[2, 1]) == 0
    assert abs(found.gap) < 1e-4
