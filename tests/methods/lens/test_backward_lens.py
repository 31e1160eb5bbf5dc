"""Both halves of a gradient put together are the gradient that autograd has of the matrix itself."""

from __future__ import annotations

import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.lens.gradients import halves
from tests.methods.lens.asked import ask, ids
from tests.methods.lens.nets import PROMPT, net
from tests.reference.lens import gradients


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox", "opt", "bert"])
def test_halves_make_the_gradient_of_the_matrix(family: str) -> None:
    """Within 1e-6 absolute and 1e-4 relative; the norm too."""
    model = net(family)
    first, second, loss = halves(model, model.tokenizer.encode(PROMPT), 5, 9, SilentContext())

    def by_hand() -> torch.Tensor:
        return -model.network(input_ids=ids(family)[None]).logits[0, 5].log_softmax(-1)[9]

    expected = gradients(model.network, [h.module for h in (*first, *second)], by_hand)
    assert loss == pytest.approx(float(by_hand()), abs=1e-5)
    for half in (*first, *second):
        made = sum(torch.outer(x, d) for x, d in zip(half.given, half.slope, strict=True))
        whole = expected[half.module] if family == "gpt2" else expected[half.module].T
        torch.testing.assert_close(made, whole, atol=1e-6, rtol=1e-4)
        assert half.norm == pytest.approx(float(whole.norm()), rel=1e-3)
    assert not any(p.requires_grad for p in model.network.parameters())


def test_the_grids_are_these_halves_in_tokens() -> None:
    """Within 1e-5 of the largest logit."""
    model = net("gpt2")
    found = ask("backward-lens", "gpt2", target="#9", position=5, top=3)
    first, second, _ = halves(model, model.tokenizer.encode(PROMPT), 5, 9, SilentContext())
    state = model.network.state_dict()
    for name, vectors in (("imprint", [h.given for h in first]), ("shift", [-h.slope for h in second])):
        for row, vector in enumerate(vectors):
            read = (vector - vector.mean(-1, keepdim=True)) * state["transformer.ln_f.weight"] @ state["transformer.wte.weight"].T
            torch.testing.assert_close(torch.from_numpy(found[name].arrays["values"][row]), read.topk(3).values, atol=1e-5, rtol=1e-4)
    cells = found["shift"].arrays["cells"]
    assert cells[1, 2] == pytest.approx(float(torch.outer(second[1].given[2], second[1].slope[2]).norm()), rel=1e-4)
    assert (cells[:, 6:] == 0).all()  # tokens behind the place have no part in what is said there


def test_the_last_block_shifts_towards_the_target() -> None:
    """At the place itself, what a step lets the last block write speaks for the target first of all."""
    found = ask("backward-lens", "gpt2", target=" left", top=1)["shift"]
    assert found.names[found.arrays["items"][-1, -1, 0]] == " left"


def test_what_has_no_readout_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        ask("backward-lens", "bert")
    assert caught.value.field == "model"
    assert ask("backward-lens", "bert", readout="unembedding only")["norms"]
    with pytest.raises(InvalidInput) as caught:
        ask("backward-lens", "gpt2", target="no such token")
    assert caught.value.field == "params.target"
