"""The difference of two answers ends at the model's own, and its parts add up to it."""

from __future__ import annotations

import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.lens.words import residuals
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import PROMPT, logits, net
from tests.reference.lens import gpt2_readout


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox"])
def test_the_curve_ends_at_the_models_own_difference(family: str) -> None:
    """Within 1e-5, of the prompt and of the neutral prompt."""
    found = ask("prior-localisation", family, answer="#9", other="#40", baseline="a = b")
    own, neutral = (float(logits(net(family), text)[-1, 9] - logits(net(family), text)[-1, 40]) for text in (PROMPT, "a = b"))
    assert found["difference"].arrays["y"][:, -1] == pytest.approx([own, neutral, own - neutral], abs=1e-5)
    apart = ask("direct-logit-attribution", family, target="#9", against="#40")["heads"].arrays["values"]
    other = ask("direct-logit-attribution", family, {"prompt": "a = b"}, target="#9", against="#40")["heads"].arrays["values"]
    assert found["heads"].arrays["values"] == pytest.approx(apart, abs=1e-6)
    assert found["heads beside the neutral prompt"].arrays["values"] == pytest.approx(apart - other, abs=1e-6)
    assert found["layers"].arrays["y"][0] == pytest.approx(apart.sum(1), abs=1e-5)


def test_every_layer_is_a_readout_by_hand() -> None:
    model = net("gpt2")
    found = ask("prior-localisation", "gpt2", answer="#9", other="#40", position=3)
    stream = residuals(model, model.tokenizer.encode(PROMPT))
    rows = gpt2_readout(model.network.state_dict(), model.config["layer_norm_epsilon"], stream[:, 3])
    assert found["difference"].arrays["y"][0] == pytest.approx((rows[:, 9] - rows[:, 40]).numpy(), abs=1e-5)
    assert set(found) == {"difference", "layers", "heads"}


@pytest.mark.parametrize("given", [{}, {"answer": "#9"}, {"other": "#9"}])
def test_answers_that_are_not_named_are_the_models_own(given: dict) -> None:
    own = logits(net("gpt2"))[-1]
    first, second = own.topk(2).indices.tolist()
    answer, other = (9, first) if "answer" in given else (first, 9) if "other" in given else (first, second)
    found = ask("prior-localisation", "gpt2", **given)
    assert found["difference"].arrays["y"][0, -1] == pytest.approx(float(own[answer] - own[other]), abs=1e-5)


def test_bad_answers_are_refused_by_name() -> None:
    for params, field in (
        ({"answer": "#9", "other": "#9"}, "params.other"),
        ({"answer": "two words here"}, "params.answer"),
        ({"position": 99}, "params.position"),
        ({"baseline": "a = b " * 60}, "params.baseline"),
    ):
        with pytest.raises(InvalidInput) as caught:
            ask("prior-localisation", "gpt2", **params)
        assert caught.value.field == field
    assert torch.is_grad_enabled()
