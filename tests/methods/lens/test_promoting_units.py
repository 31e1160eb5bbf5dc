"""Neurons by what they promote, against the table of all neurons by all tokens."""

from __future__ import annotations

import pytest
import torch

from microtome.core.errors import InvalidInput
from tests import micro
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import net


def table(layer: int) -> torch.Tensor:
    """float64 [neurons, vocabulary] of GPT-2, from its weights as they are kept."""
    state = {k: v.double() for k, v in net("gpt2").network.state_dict().items()}
    writes = state[f"transformer.h.{layer}.mlp.c_proj.weight"]
    away = (writes - writes.mean(1, keepdim=True)) * state["transformer.ln_f.weight"]
    return away @ state["transformer.wte.weight"].T


@pytest.mark.parametrize("side", ["promotes", "suppresses"])
def test_order_size_and_rank_are_those_of_the_whole_table(side: str) -> None:
    """Within 1e-5: weights are float32."""
    found = ask("promoting-units", "gpt2", target="=", side=side, count=5)
    token = net("gpt2").tokenizer.id_of("=")
    assert token is not None
    sign = 1 if side == "promotes" else -1
    best = []
    for number in range(3):
        logits = table(number)
        stands = (logits[:, token] - logits.mean(1)) / logits.std(1, correction=0)
        order = (sign * stands).argsort(descending=True)[:5]
        part = found[f"h{number}.mlp"]
        assert part.arrays["units"].tolist() == order.tolist()
        for i, unit in enumerate(order.tolist()):
            assert part.column("stands")[i] == pytest.approx(float(stands[unit]), abs=1e-5)
            assert part.column("logit")[i] == pytest.approx(float(logits[unit, token]), abs=1e-5)
            assert part.column("rank")[i] == 1 + int((sign * logits[unit] > sign * logits[unit, token] + 1e-9).sum())
        best.append(sign * float(stands[order[0]]))
    assert sign * found["best"].scores[0].value == pytest.approx(max(best), abs=1e-5)


def test_one_token_rather_than_another() -> None:
    found = ask("promoting-units", "gpt2", target="=", against="def", count=1)["h1.mlp"]
    id_of = net("gpt2").tokenizer.id_of
    logits = table(1)
    wanted = (logits[:, id_of("=")] - logits[:, id_of("def")]) / logits.std(1, correction=0)
    assert int(found.arrays["units"][0]) == int(wanted.argmax())
    assert found.column("stands")[0] == pytest.approx(float(wanted.max()), abs=1e-5)


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(InvalidInput, match="tokens"):
        ask("promoting-units", "gpt2", target="no single token at all")
    with pytest.raises(InvalidInput, match="holds neurons"):
        ask("promoting-units", "gpt2", {"layers": ["h0.heads"]}, target="=")
    with pytest.raises(InvalidInput):
        ask("promoting-units", "gpt2", {"model": micro.load_text("distilbert")}, target="=")
