"""Values of neurons by hand, triggers by sorting every prefix, agreement by counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from tests import micro
from tests.methods.lens.asked import ask
from tests.methods.lens.nets import net
from tests.reference.lens import triggers

UNITS = {"layer": "h1.mlp", "indices": [0, 5, 17]}


@pytest.mark.parametrize("readout", ["final norm and unembedding", "unembedding only"])
def test_values_are_read_as_by_hand(readout: str) -> None:
    """Within 1e-6."""
    found = ask("feed-forward-memories", "gpt2", {"units": UNITS}, readout=readout, top=4)["values"]
    state = net("gpt2").network.state_dict()
    for row, unit in enumerate(UNITS["indices"]):
        value = state["transformer.h.1.mlp.c_proj.weight"][unit]
        if readout != "unembedding only":
            value = (value - value.mean()) * state["transformer.ln_f.weight"]
        logits = torch.stack([token @ value for token in state["transformer.wte.weight"]])
        order = logits.argsort(descending=True)
        assert found.arrays["values"][row, 0] == pytest.approx(logits[order[:4]].numpy(), abs=1e-6)
        assert found.arrays["values"][row, 1] == pytest.approx(logits[order.flip(0)[:4]].numpy(), abs=1e-6)
        assert found.names[found.arrays["items"][row, 0, 0]] == net("gpt2").tokenizer.text_of(int(order[0]))
        assert found.arrays["cells"][row, 0] == pytest.approx(float(logits.softmax(0).max()), abs=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_triggers_and_agreement_are_those_of_all_prefixes(family: str) -> None:
    model = net(family)
    layer = model.layer("h1.mlp" if family == "gpt2" else "layer1.mlp")
    units = {"layer": layer.name, "indices": [0, 5, 17]}
    found = ask("feed-forward-memories", family, {"units": units, "probe": micro.texts()}, triggers=6)
    tokens = [model.tokenizer.encode(text) for text in micro.TEXTS]
    ids, activations = [torch.from_numpy(t.ids) for t in tokens], []
    for text in ids:
        with torch.no_grad(), model.record([layer]) as outputs:
            model.forward(text[None])
        activations.append(outputs[layer.name][0])
    following = [int(i) for t in tokens for i in t.ids[t.first + 1 : t.last]]
    scores = found["agreement"].scores
    for row, unit in enumerate(units["indices"]):
        values, behind = triggers([a[:, unit] for a in activations], ids, [t.first for t in tokens], 6)
        assert found["triggers"].arrays["values"][row, :, 0] == pytest.approx(values, abs=1e-6)
        shown = [found["triggers"].names[i] for i in found["triggers"].arrays["items"][row, :, 0]]
        assert [s.split(" ⟶ ")[-1] for s in shown] == [model.tokenizer.text_of(i) for i in behind]
        grid = found["values"]
        top = grid.names[grid.arrays["items"][row, 0, 0]]
        assert scores[row].value == pytest.approx(np.mean([model.tokenizer.text_of(i) == top for i in behind]))
        assert scores[row].chance == pytest.approx(np.mean([model.tokenizer.text_of(i) == top for i in following]))
    assert found["agreement"].facts["prefixes"] == len(following)


def test_an_agreement_that_is_there_is_found() -> None:
    """A neuron whose value is made the embedding of the token behind its strongest trigger agrees with that trigger."""
    model = net("gpt2")
    units = {"layer": "h1.mlp", "indices": [3]}
    given = {"units": units, "probe": micro.texts()}
    name = ask("feed-forward-memories", "gpt2", given, triggers=1)["triggers"].names[0].split(" ⟶ ")[-1]
    token = next(i for i in range(320) if model.tokenizer.text_of(i) == name)
    weight = model.network.get_submodule("transformer.h.1.mlp.c_proj").weight
    kept = weight[3].clone()
    try:
        weight[3] = 5 * model.network.get_output_embeddings().weight[token]
        found = ask("feed-forward-memories", "gpt2", given, triggers=1, readout="unembedding only")
    finally:
        weight[3] = kept
    assert found["agreement"].scores[0].value == 1
    assert found["agreement"].scores[0].chance < 0.5


def test_units_that_are_no_neurons_are_refused() -> None:
    for units, field in (
        ({"layer": "h1", "indices": [0]}, "units.layer"),
        ({"layer": "h1.mlp", "indices": [96]}, "units.indices"),
        ({"layer": "h1.mlp", "indices": []}, "units.indices"),
    ):
        with pytest.raises(InvalidInput) as caught:
            ask("feed-forward-memories", "gpt2", {"units": units})
        assert caught.value.field == field


def test_a_masked_model_is_read_by_its_unembedding_only() -> None:
    units = {"layer": "layer1.mlp", "indices": [0]}
    assert ask("feed-forward-memories", "bert", {"units": units}, readout="unembedding only")["values"]
    with pytest.raises(InvalidInput) as caught:
        ask("feed-forward-memories", "bert", {"units": units})
    assert caught.value.field == "model"
