"""Weights in tokens equal whole matrices multiplied out; a norm between queries and keys is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.lens.embedding_space import peakedness
from microtome.methods.lens.pairs import strongest_pairs
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import net
from tests.reference.lens import largest


@pytest.mark.parametrize("entries", [1, 100, 1 << 20])
def test_the_strongest_pairs_are_those_of_the_whole_matrix(entries: int) -> None:
    left, right = torch.randn(37, 4, generator=torch.Generator().manual_seed(1)), torch.randn(23, 4)
    values, pairs = strongest_pairs(left, right, 9, SilentContext(), entries)
    assert [tuple(p) for p in pairs.tolist()] == largest(left @ right.T, 9)
    torch.testing.assert_close(values, (left @ right.T).flatten().sort(descending=True).values[:9])


def _gpt2() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    state = {k.removeprefix("transformer."): v for k, v in net("gpt2").network.state_dict().items()}
    return state, state["wte.weight"]


def _read(state: dict[str, torch.Tensor], norm: str) -> torch.Tensor:
    """[width, width]: what becomes of a row in a layer norm at scale 1."""
    width = len(state[f"{norm}.weight"])
    return (torch.eye(width) - 1 / width) @ torch.diag(state[f"{norm}.weight"])


def test_interaction_matrices_are_those_multiplied_out() -> None:
    """The largest entries of vocabulary x vocabulary matrices, within 1e-6."""
    found = ask("embedding-space", "gpt2", {"units": {"layer": "h1.heads", "indices": [2]}}, top=6)["pairs"]
    state, e = _gpt2()
    q, k, v = (m[:, 16:24] for m in state["h.1.attn.c_attn.weight"].chunk(3, 1))
    before, behind = _read(state, "h.1.ln_1"), _read(state, "ln_f")
    qk = (e @ before @ q) @ (e @ before @ k).T / math.sqrt(8)
    vo = e @ before @ v @ state["h.1.attn.c_proj.weight"][16:24] @ behind @ e.T
    for column, whole in enumerate((qk, vo)):
        expected = largest(whole, 6)
        assert found.arrays["values"][0, column] == pytest.approx([float(whole[p]) for p in expected], abs=1e-6)
        names = [found.names[i] for i in found.arrays["items"][0, column]]
        text = net("gpt2").tokenizer.text_of
        assert names == [f"{text(a)} ⟶ {text(b)}" for a, b in expected]


def test_neurons_read_and_write_tokens() -> None:
    """Within 1e-6; peakedness within 1e-4."""
    found = ask("embedding-space", "gpt2", {"units": {"layer": "h0.mlp", "indices": [4, 9]}}, top=3)
    state, e = _gpt2()
    for row, unit in enumerate((4, 9)):
        reads = e @ _read(state, "h.0.ln_2") @ state["h.0.mlp.c_fc.weight"][:, unit]
        writes = e @ (_read(state, "ln_f").T @ state["h.0.mlp.c_proj.weight"][unit])
        for column, logits in enumerate((reads, writes)):
            assert found["tokens"].arrays["values"][row, column] == pytest.approx(logits.topk(3).values.numpy(), abs=1e-6)
            sharp = (logits.max() - logits.mean()) / logits.std()
            assert found["tokens"].arrays["cells"][row, column] == pytest.approx(float(sharp), abs=1e-4)


def test_random_weights_stand_out_no_more_than_chance() -> None:
    """About 2.5 % of random neurons lie above a 95 % band; of 64 x 3 not more than a tenth."""
    found = ask("embedding-space", "llama", {"units": {"layer": "layer0.mlp", "indices": list(range(40))}})["peakedness"]
    assert {s.group for s in found.scores} == {"reads (gate_proj)", "reads (up_proj)", "writes"}
    assert found.facts["share above the chance band"] < 0.1
    assert all(s.chance_low < s.chance < s.chance_high for s in found.scores)


def test_a_neuron_that_means_a_token_stands_out() -> None:
    e = _gpt2()[1]
    assert float(peakedness(e @ e[7])) > np.quantile(peakedness(torch.randn(200, 24) @ e.T).numpy(), 0.99)


def test_what_no_matrix_says_is_refused() -> None:
    with pytest.raises(InvalidInput, match="between its queries and keys") as caught:
        ask("embedding-space", "qwen3", {"units": {"layer": "layer0.heads", "indices": [0]}})
    assert caught.value.field == "model"
    for units, field in (({"layer": "h1", "indices": [0]}, "units.layer"), ({"layer": "h1.heads", "indices": [0, 3]}, "units.indices")):
        with pytest.raises(InvalidInput) as caught:
            ask("embedding-space", "gpt2", {"units": units})
        assert caught.value.field == field
