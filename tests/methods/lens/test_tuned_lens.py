"""A tuned lens starts as the logit lens, learns as autograd says, and comes nearer to the answer on texts held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.lens.translators import Translators, divergences, stream_of, train
from microtome.methods.lens.words import residuals
from microtome.models.readout import Tail
from tests import micro
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import PROMPT, logits, net


def _stream(family: str, places: int = 60):
    model = net(family)
    texts = [model.tokenizer.encode(t) for t in micro.TEXTS]
    return model, stream_of(model, texts, places, torch.Generator().manual_seed(0), SilentContext())


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama"])
def test_it_comes_nearer_to_the_answer_on_texts_held_out(family: str) -> None:
    found = ask("tuned-lens", family, {"probe": micro.texts()}, steps=60, batch=64, rate=0.01, places=400)
    plain, tuned = found["divergence"].arrays["y"]
    assert (tuned[:-1] < plain[:-1]).all()
    assert plain[-1] == tuned[-1] == pytest.approx(0, abs=1e-6)
    scores = {s.name: s for s in found["scores"].scores}
    gain = scores["gain, mean of the layers"]
    assert 0 < gain.low < gain.value < gain.high
    assert gain.value == pytest.approx(float((plain - tuned)[:-1].mean()), abs=1e-5)
    assert found["scores"].facts["texts held out"] == 2
    own = logits(net(family)).softmax(-1).max(-1).values
    np.testing.assert_allclose(found["tokens"].arrays["values"][-1, :, 0], own.numpy(), atol=1e-5)


def test_untrained_it_is_the_logit_lens() -> None:
    model, stream = _stream("gpt2")
    nothing = Translators(torch.zeros(3, 24, 24), torch.zeros(3, 24))
    assert torch.equal(nothing(stream.states), stream.states)
    lens = ask("logit-lens", "gpt2", top=1)["tokens"].arrays["values"]
    with torch.no_grad():
        states = nothing(residuals(model, model.tokenizer.encode(PROMPT)))
        own = torch.stack([Tail(model, 5)(s).softmax(-1).max(-1).values for s in states])
    np.testing.assert_allclose(lens[..., 0], own.numpy(), atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "neox"])
def test_a_step_goes_where_autograd_says(family: str) -> None:
    """The first step of Adam is the sign of the gradient of the whole readout, written out; entries of no slope aside (1e-9)."""
    model, stream = _stream(family, 20)
    found = train(model, stream, 1, 20, 1e-3, torch.Generator().manual_seed(5), SilentContext())
    drawn = torch.randint(20, (20,), generator=torch.Generator().manual_seed(5))
    norm = next(m for n, m in model.network.named_modules() if n.endswith(("ln_f", "final_layer_norm")))
    head, states = model.network.get_output_embeddings(), stream.states[:, drawn]
    for layer in range(len(states) - 1):
        turn, shift = torch.zeros(24, 24, requires_grad=True), torch.zeros(24, requires_grad=True)
        lens = head(norm(states[layer] + states[layer] @ turn + shift)).log_softmax(-1)
        final = head(norm(states[-1])).log_softmax(-1).detach()
        (final.exp() * (final - lens)).sum(-1).mean().backward()
        clear = turn.grad.abs() > 1e-6
        assert clear.float().mean() > 0.9
        torch.testing.assert_close(found.turn[layer][clear], -1e-3 * turn.grad.sign()[clear], atol=3e-5, rtol=0)
        torch.testing.assert_close(found.shift[layer], -1e-3 * shift.grad.sign(), atol=3e-5, rtol=0)


def test_divergences_are_those_of_the_definition() -> None:
    model, stream = _stream("gpt2", 10)
    found = divergences(model, stream.states, SilentContext())
    for layer, place in ((0, 0), (2, 7), (3, 4)):
        p, q = (
            model.network.get_output_embeddings()(model.network.transformer.ln_f(stream.states[x, place])).softmax(-1) for x in (-1, layer)
        )
        assert float(found[layer, place]) == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-6)


def test_places_are_those_of_the_text_itself_and_each_is_used_once() -> None:
    _, stream = _stream("bert", 10_000)
    tokens = [net("bert").tokenizer.encode(t) for t in micro.TEXTS]
    assert torch.bincount(stream.text).tolist() == [t.last - t.first for t in tokens]


def test_one_seed_gives_one_answer_and_another_another() -> None:
    small = {"steps": 4, "places": 60, "batch": 8}
    one, again, other = (ask("tuned-lens", "gpt2", {"probe": micro.texts()}, seed=s, **small)["divergence"].arrays["y"] for s in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_one_text_is_not_enough() -> None:
    class One(micro.MicroTexts):
        def __len__(self) -> int:
            return 1

    with pytest.raises(InvalidInput) as caught:
        ask("tuned-lens", "gpt2", {"probe": One()})
    assert caught.value.field == "probe"
