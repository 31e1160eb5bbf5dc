"""The LSTM that is laid open equals ``torch.nn.LSTM`` and the equations by hand; what a change of it reaches, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.models import load_model
from microtome.models.builtin.recurrent import KINDS
from microtome.models.replay import Replay
from microtome.models.text import PAD
from tests.methods.recurrent.net import END, UNITS, WINDOW, load, network, tokenizer, write

TEXT = "def add(left, right):\n    return left"
NAMES = [f"l{number}.{part}" for number in range(2) for part in KINDS]


def recorded(model, texts: list[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    inputs = model.inputs(texts)
    with torch.inference_mode(), model.record(list(model.layers.values())) as outputs:
        logits = model.forward(inputs)
    return inputs, dict(outputs), logits


def by_hand(model, ids: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Step by step, from the weights alone: sequences [T, units] by layer, and logits [T, vocabulary]."""
    weights = model.network.state_dict()
    given, found = weights["embedding.weight"][ids], {}
    for number in range(2):
        w = {k.rsplit(".", 1)[1]: v for k, v in weights.items() if k.startswith(f"l{number}.")}
        h = c = torch.zeros(UNITS)
        steps: dict[str, list[torch.Tensor]] = {part: [] for part in KINDS}
        for x in given:
            i, f, g, o = (w["weight_ih_l0"] @ x + w["bias_ih_l0"] + w["weight_hh_l0"] @ h + w["bias_hh_l0"]).split(UNITS)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * c.tanh()
            for part, value in zip(KINDS, (i, f, o, g, c, h), strict=True):
                steps[part].append(value)
        found |= {f"l{number}.{part}": torch.stack(values) for part, values in steps.items()}
        given = found[f"l{number}.hidden"]
    return found, given @ weights["output.weight"].T + weights["output.bias"]


def test_every_recorded_layer_equals_the_equations() -> None:
    model = load()
    inputs, found, logits = recorded(model, [TEXT])
    expected, expected_logits = by_hand(model, inputs[0])
    assert list(model.layers) == NAMES == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name][0], value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[0], expected_logits, atol=1e-5, rtol=1e-5)


def test_hidden_states_equal_those_of_torch() -> None:
    model = load()
    inputs, found, logits = recorded(model, [TEXT, "a = b"])
    lstm = torch.nn.LSTM(4, UNITS, num_layers=2, batch_first=True)
    weights = model.network.state_dict()
    for name, parameter in lstm.state_dict().items():
        part, number = name.rsplit("_l", 1)
        parameter.copy_(weights[f"l{number}.cells.{part}_l0"])
    hidden, (_, last_cells) = lstm(weights["embedding.weight"][inputs.clamp(min=0)])
    torch.testing.assert_close(found["l1.hidden"], hidden, atol=1e-5, rtol=1e-5)
    for number in range(2):
        torch.testing.assert_close(found[f"l{number}.cell"][:, -1], last_cells[number], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.network.quick(inputs.clamp(min=0)), logits, atol=1e-5, rtol=1e-5)


def test_layers_say_what_they_are() -> None:
    model = load()
    assert {layer.kind for layer in model.layers.values()} == {"gate", "candidate", "cell", "hidden"}
    assert [layer.name for layer in model.default_layers()] == ["l0.cell", "l0.hidden", "l1.cell", "l1.hidden"]
    assert {(x.units, x.height, x.width, x.layout, x.special) for x in model.layers.values()} == {(UNITS, 1, WINDOW, "sequence", 1)}
    assert (model.task, model.family, model.heads, model.tokenizer.window) == ("causal", "char-lstm", 0, WINDOW)
    assert model.tokenizer.begin == tokenizer().token_to_id(END)
    tokens = model.tokenizer.encode(TEXT)
    assert tokens.pieces(TEXT) == list(TEXT)
    assert model.describe()["units"] == 4 * UNITS


def test_a_longer_text_in_the_batch_changes_nothing() -> None:
    model = load()
    _, alone, logits = recorded(model, ["a = b"])
    inputs, both, together = recorded(model, ["a = b", TEXT])
    assert (inputs[0] == PAD).any()
    for name, value in alone.items():
        torch.testing.assert_close(both[name][0, : value.shape[1]], value[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(together[0, : logits.shape[1]], logits[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_ablating_nothing_changes_nothing_and_ablating_a_unit_is_seen(name: str) -> None:
    model = load()
    inputs, layer = model.inputs([TEXT]), model.layer(name)
    replay = Replay(model, layer, inputs)
    with torch.inference_mode():
        before = model.forward(inputs)
        with model.ablated(layer, []):
            assert torch.equal(model.forward(inputs), before)
        with model.ablated(layer, [0]):
            after = model.forward(inputs)
            torch.testing.assert_close(replay.run(), after, atol=1e-6, rtol=1e-6)
        assert not torch.equal(after, before)


def test_what_a_change_reaches() -> None:
    """One step of one unit is set to zero; where the sequences differ then is what the module says, limits included."""
    model = load()
    inputs, before, logits = recorded(model, [TEXT])
    step, unit = 5, 2

    def differs(name: str) -> tuple[dict[str, list[int]], list[int]]:
        def change(raw: torch.Tensor) -> torch.Tensor:
            raw = raw.clone()
            raw[:, step, unit] = 0
            return raw

        with torch.inference_mode(), model.record(list(model.layers.values())) as after, model.changed(model.layer(name), change):
            changed = model.forward(inputs)
        steps = {n: (after[n] != before[n])[0].any(-1).nonzero()[:, 0].tolist() for n in NAMES if n != name}
        return steps, (changed != logits)[0].any(-1).nonzero()[:, 0].tolist()

    end = inputs.shape[1]
    after, out = differs("l0.hidden")
    assert all(after[f"l0.{part}"] == [] for part in KINDS if part != "hidden")
    assert min(out) == step
    assert max(after["l1.cell"]) > step
    after, out = differs("l1.hidden")
    assert all(v == [] for v in after.values())
    assert out == [step]
    after, out = differs("l1.cell")
    assert after["l1.hidden"] == [step]
    assert out == [step]
    after, out = differs("l1.candidate")
    assert min(after["l1.cell"]) == step
    assert step + 1 in after["l1.cell"]
    assert after["l1.forget_gate"] == []
    assert min(out) == step
    assert end > step + 2


def test_gradients_reach_every_layer() -> None:
    model = load()
    layers = list(model.layers.values())
    with torch.enable_grad(), model.record(layers, keep_graph=True) as kept:
        model.network.embedding.weight.requires_grad_(True)
        try:
            model.forward(model.inputs([TEXT]))[0, -1, 3].backward(inputs=[kept[x.name] for x in layers])
        finally:
            model.network.embedding.weight.requires_grad_(False)
    assert all(kept[x.name].grad is not None and kept[x.name].grad.abs().sum() > 0 for x in layers)


@pytest.mark.parametrize("changes", [{"hidden_size": 7}, {"hidden_size": "many"}, {"num_hidden_layers": 0}, {"embedding_size": None},
                                     {"vocab_size": 10**9}, {"hidden_size": True}])  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(changes: dict, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_model(f"path:{write(tmp_path / 'lstm', network(), **changes)}")
    assert caught.value.field == "source"


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "lstm", network())
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidInput) as caught:
        load_model(f"path:{folder}")
    assert caught.value.field == "source"
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidInput):
        load_model(f"path:{folder}")
    (folder / "config.json").write_text("[1]")
    with pytest.raises(InvalidInput):
        load_model(f"path:{folder}")
