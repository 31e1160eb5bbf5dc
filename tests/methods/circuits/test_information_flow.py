"""Shares of a forward pass by hand, that they add up, and that the graph is what they say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.circuits.flow import Flow
from microtome.methods.circuits.information_flow import Params, information_flow
from microtome.methods.language import inputs_of
from tests import families, micro
from tests.methods.circuits.strong import CLEAN, grouped, strong
from tests.reference.circuits import forward


def flow(model) -> tuple[Flow, list[int]]:
    tokens = model.tokenizer.encode(CLEAN)
    return Flow(model, inputs_of(model, [tokens])), tokens.ids.tolist()


def run(model=None, **params) -> dict:
    return information_flow.function(model=model or strong(), prompt=CLEAN, params=Params(**params), run=SilentContext())


def test_shares_equal_those_of_a_forward_pass_by_hand() -> None:
    """Head by head and token by token, neuron by neuron, from the weights as GPT-2 keeps them."""
    model = strong()
    found, ids = flow(model)
    weights = {k.removeprefix("transformer."): v for k, v in model.network.state_dict().items()}
    _, by_hand, patterns = forward(model, ids)
    level, place, number = 2, len(ids) - 2, 1
    state = by_hand[f"h{number}"][place]
    away = state - state.mean()
    before = by_hand["h0"]
    norm = torch.nn.functional.layer_norm(before, before.shape[1:], weights["h.1.ln_1.weight"], weights["h.1.ln_1.bias"])
    width = before.shape[1]
    each = width // model.heads
    values = norm @ weights["h.1.attn.c_attn.weight"][:, 2 * width :] + weights["h.1.attn.c_attn.bias"][2 * width :]
    parts = found.parts(level, place)
    for head in range(model.heads):
        mine = slice(head * each, (head + 1) * each)
        for at in range(len(ids)):
            written = patterns[f"h1.{head}"][place, at] * values[at, mine] @ weights["h.1.attn.c_proj.weight"][mine]
            assert float(parts.heads[head, at]) == pytest.approx(float(written @ away / (away @ away)), abs=1e-5)
    for neuron in range(len(parts.neurons)):
        written = by_hand["h1.mlp"][place, neuron] * weights["h.1.mlp.c_proj.weight"][neuron]
        assert float(parts.neurons[neuron]) == pytest.approx(float(written @ away / (away @ away)), abs=1e-5)
    assert parts.residual == pytest.approx(float(before[place] @ away / (away @ away)), abs=1e-5)
    both = weights["h.1.attn.c_proj.bias"] + weights["h.1.mlp.c_proj.bias"]
    assert parts.biases == pytest.approx(float(both @ away / (away @ away)), abs=1e-5)


@pytest.mark.parametrize(
    "model", [strong, grouped, *(partial(families.loaded, name) for name in ("opt", "falcon", "gpt-j", "bloom"))],
    ids=["gpt2", "llama", "opt", "falcon", "gpt-j", "bloom"],
)  # fmt: skip
def test_the_shares_of_every_state_add_up_to_one(model) -> None:
    found, ids = flow(model())
    for level in range(1, len(found.blocks) + 1):
        for place in range(len(ids)):
            assert found.parts(level, place).total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("least", [0.01, 0.1])
def test_edges_into_a_state_add_up_to_one_and_lead_from_the_answer_to_tokens(least: float) -> None:
    found = run(least=least, states=1000, neurons=3)
    graph = found["graph"]
    source, target, weight = (graph.arrays[n] for n in ("source", "target", "weight"))
    kinds = [n.kind for n in graph.nodes]
    assert kinds.count("output") == 1
    reached = {kinds.index("output")}
    for _ in range(3 * len(graph.rows)):
        reached |= {int(s) for s, t in zip(source, target, strict=True) if int(t) in reached}
    assert reached == set(range(len(graph.nodes)))
    for i, node in enumerate(graph.nodes):
        into = weight[target == i]
        if node.kind == "residual":
            assert into.sum() == pytest.approx(1, abs=1e-4)
            assert sum(kinds[s] == "neuron" for s in source[target == i]) <= 3
        if node.kind == "embedding":
            assert not len(into)
        if node.kind in ("head", "neuron"):
            assert (np.abs(into) >= least).all()
    assert graph.facts["all states within the limits"] is True
    assert abs(graph.facts["largest gap of a sum"]) < 1e-4


def test_the_answer_is_the_models_own_and_limits_are_said() -> None:
    found = run(states=2, position=4)["graph"]
    model = strong()
    tokens = model.tokenizer.encode(CLEAN)
    with torch.no_grad():
        logits = model.forward(inputs_of(model, [tokens]))[0, 4]
    answer = next(n for n in found.nodes if n.kind == "output")
    assert answer.words[0] == model.tokenizer.text_of(int(logits.argmax()))
    assert answer.value == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)
    assert found.facts["all states within the limits"] is False
    assert found.facts["states taken apart"] == 2


@pytest.mark.parametrize("family", ["bert", "distilbert", "mamba"])
def test_a_stream_that_is_no_sum_is_refused(family: str) -> None:
    with pytest.raises(InvalidInput):
        information_flow.function(model=micro.load_text(family), prompt=CLEAN, params=Params(), run=SilentContext())
