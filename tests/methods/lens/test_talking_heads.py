"""Composition scores equal those of whole matrices, head by head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.lens.composition import chance, scores, writer
from microtome.methods.lens.weights import attention_of
from microtome.models.readout import head_writes
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import net
from tests.reference.lens import composition


@pytest.mark.parametrize("kind", ["queries", "keys", "values"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "neox", "opt", "bert"])
def test_scores_are_those_of_whole_matrices(family: str, kind: str) -> None:
    """Within 1e-4."""
    model = net(family)
    found = ask("talking-heads", family, composition=kind)
    whole, single = found["scores"].arrays["values"], found["components"].arrays["values"]
    parts = [(attention_of(model, b), head_writes(model, b)) for b in model.blocks]
    ov = [[a.folded(a.values)[h] @ w[h] for h in range(model.heads)] for a, w in parts]
    qk = [[a.folded(a.queries)[h] @ a.folded(a.keys)[h].T for h in range(model.heads)] for a, _ in parts]
    for late in range(len(parts)):
        for early in range(len(parts)):
            for source in range(model.heads):
                for reader in range(model.heads):
                    at = early * model.heads + source, late * model.heads + reader
                    if early >= late:
                        assert np.isnan(whole[at])
                        continue
                    reading = {"queries": qk[late][reader], "keys": qk[late][reader].T, "values": ov[late][reader]}[kind]
                    expected = composition(ov[early][source], reading)
                    assert (whole[at], single[at]) == pytest.approx(expected, abs=1e-4)


def test_edges_are_the_pairs_above_chance() -> None:
    found = ask("talking-heads", "gpt2", edges=3)
    graph, values = found["graph"], found["components"].arrays["values"]
    for source, target, weight in zip(*(graph.arrays[n] for n in ("source", "target", "weight")), strict=True):
        assert values[source, target] == weight > graph.facts["upper end of the chance band"]
        assert graph.nodes[source].row < graph.nodes[target].row
    assert len(graph.arrays["weight"]) <= 3


def test_a_channel_that_is_there_is_found() -> None:
    """A head that writes along one direction, and one that reads that direction alone: the score is 1, chance is far below."""
    width, each = 32, 4
    direction = torch.nn.functional.normalize(torch.randn(width, generator=torch.Generator().manual_seed(0)), dim=0)
    source = writer(torch.randn(1, width, each), torch.outer(torch.randn(each), direction)[None])
    whole, single = scores(source, torch.outer(direction, torch.randn(each))[None])
    assert float(whole) == pytest.approx(1, abs=1e-4)
    assert float(single) == pytest.approx(1, abs=1e-4)
    assert float(chance(50, width, each, 0)[0].max()) < 0.5


def test_chance_is_about_one_over_the_root_of_the_width() -> None:
    whole, single = chance(100, 100, 10, 0)
    assert float(whole.mean()) == pytest.approx(0.1, abs=0.02)
    assert (single >= whole - 1e-6).all()


def test_queries_behind_a_norm_are_refused_and_values_are_not() -> None:
    with pytest.raises(InvalidInput, match="only composition of values") as caught:
        ask("talking-heads", "qwen3")
    assert caught.value.field == "model"
    assert ask("talking-heads", "qwen3", composition="values")["scores"]
