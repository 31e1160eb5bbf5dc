"""The last row is the model's own answer, the others are a readout by hand; bad places and tokens are refused by name."""

from __future__ import annotations

import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.answers import token_id
from microtome.methods.lens.words import residuals
from microtome.models.readout import unembedding_of
from tests import micro
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import PROMPT, logits, net
from tests.reference.lens import bert_readout, gpt2_readout


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "neox", "gemma2", "qwen3", "opt", "phi"])
def test_the_last_row_is_the_models_own_answer(family: str) -> None:
    """Within 1e-5."""
    found = ask("logit-lens", family, top=5)
    own = logits(net(family)).softmax(-1).topk(5)
    grid = found["tokens"]
    torch.testing.assert_close(torch.from_numpy(grid.arrays["values"][-1]), own.values, atol=1e-5, rtol=0)
    shown = [[grid.names[i] for i in place] for place in grid.arrays["items"][-1]]
    assert shown == [[net(family).tokenizer.text_of(int(i)) for i in place] for place in own.indices]
    assert found["rank"].arrays["y"][0, -1] == 1
    assert found["divergence"].arrays["y"][0, -1] == pytest.approx(0, abs=1e-6)
    assert grid.rows == ["embeddings", *(net(family).layers[b.path].label for b in net(family).blocks)]


@pytest.mark.parametrize(("family", "by_hand"), [("gpt2", gpt2_readout), ("bert", bert_readout)])
def test_every_row_is_a_readout_by_hand(family: str, by_hand) -> None:
    """Probabilities, entropy, rank and divergence of every layer within 1e-5 (absolute)."""
    model = net(family)
    found = ask("logit-lens", family, top=3, position=4)
    epsilon = model.config["layer_norm_epsilon" if family == "gpt2" else "layer_norm_eps"]
    stream = residuals(model, model.tokenizer.encode(PROMPT))
    chances = torch.stack([by_hand(model.network.state_dict(), epsilon, x).softmax(-1) for x in stream])
    torch.testing.assert_close(torch.from_numpy(found["tokens"].arrays["values"]), chances.topk(3).values, atol=1e-5, rtol=0)
    entropy = -(chances * chances.log()).sum(-1)
    torch.testing.assert_close(torch.from_numpy(found["certainty"].arrays["cells"]), entropy, atol=1e-5, rtol=1e-5)
    answer = int(chances[-1, 4].argmax())
    ranks = [1 + sum(bool(p > layer[4, answer]) for p in layer[4]) for layer in chances]
    assert found["rank"].arrays["y"][0].tolist() == ranks
    final = chances[-1, 4]
    kl = [float((final * (final / layer[4]).log()).sum()) for layer in chances]
    assert found["divergence"].arrays["y"][0] == pytest.approx(kl, abs=1e-5)


def test_the_unembedding_alone_leaves_the_norm_out() -> None:
    model = net("bert")
    found = ask("logit-lens", "bert", readout="unembedding only", top=1)
    bare = unembedding_of(model)
    x = residuals(model, model.tokenizer.encode(PROMPT))[2, 3]
    expected = (bare.unembedding @ x + bare.bias).softmax(-1).max()
    assert found["tokens"].arrays["values"][2, 3, 0] == pytest.approx(float(expected), abs=1e-6)


def test_a_token_is_followed_that_is_named() -> None:
    found = ask("logit-lens", "gpt2", target=" left")
    token = token_id(net("gpt2"), " left", "x")
    expected = logits(net("gpt2")).softmax(-1)[-1, token]
    assert found["probability"].arrays["y"][0, -1] == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("params", "field", "words"),
    [
        ({"position": 40}, "params.position", "numbered 0 to"),
        ({"position": -41}, "params.position", "there is no -41"),
        ({"target": "no such word"}, "params.target", "tokens of"),
        ({"target": "#320"}, "params.target", "#0 to #319"),
    ],
)
def test_bad_parameters_are_refused_by_name(params: dict, field: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        ask("logit-lens", "gpt2", **params)
    assert caught.value.field == field


def test_a_token_is_named_by_text_name_or_number() -> None:
    model = net("gpt2")
    token = token_id(model, " left", "x")
    assert token == token_id(model, "Ġleft", "x") == token_id(model, f"#{token}", "x")
    assert token_id(model, "<end>", "x") == 0
    with pytest.raises(InvalidInput, match=f"' left' \\(#{token}\\)"):
        token_id(model, " left left", "x")


def test_a_model_without_logits_of_tokens_is_refused() -> None:
    for model in (micro.load("vit"), micro.load_text("distilbert")):
        with pytest.raises(InvalidInput) as caught:
            ask("logit-lens", "gpt2", {"model": model})
        assert caught.value.field == "model"
