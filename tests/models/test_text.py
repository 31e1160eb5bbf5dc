"""Models that read: every recorded layer equals a hand-written forward pass; padding, changes and tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import InvalidInput, TooLarge
from microtome.models.text import PAD, TextModel
from microtome.models.tokens import MAX_TEXT, TextTokenizer
from tests import micro
from tests.reference.transformer import bert_layers, gpt2_layers

TEXT = "def add(left, right):\n    return left"
KINDS = {"embeddings", "neurons", "heads", "head values", "attention", "feed-forward", "residual"}


def recorded(model: TextModel, texts: list[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    inputs = model.inputs(texts)
    with torch.inference_mode(), model.record(list(model.layers.values())) as outputs:
        logits = model.forward(inputs)
    return inputs, {name: model.layers[name].canonical(value) for name, value in outputs.items()}, logits


@pytest.mark.parametrize(("family", "reference"), [("gpt2", gpt2_layers), ("bert", bert_layers)])
def test_every_recorded_layer_equals_a_hand_written_forward_pass(family: str, reference) -> None:
    model = micro.load_text(family)
    inputs, found, logits = recorded(model, [TEXT])
    expected, expected_logits = reference(model.network.state_dict(), model.config, inputs[0])
    assert {layer.kind for layer in model.layers.values()} == KINDS
    assert set(expected) == {layer.label for layer in model.layers.values()}
    for layer in model.layers.values():
        own = found[layer.name][0, :, 0].T
        torch.testing.assert_close(own, expected[layer.label][layer.special :], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[0], expected_logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", micro.TEXT_FAMILIES)
def test_a_longer_text_in_the_batch_changes_nothing(family: str) -> None:
    model = micro.load_text(family)
    _, alone, logits = recorded(model, ["a = b"])
    inputs, both, together = recorded(model, ["a = b", TEXT])
    assert (inputs[0] == PAD).any()
    for name, value in alone.items():
        torch.testing.assert_close(both[name][0, :, :, : value.shape[3]], value[0], atol=1e-5, rtol=1e-5)
    shown = together[0] if model.task == "classify" else together[0, : logits.shape[1]]
    torch.testing.assert_close(shown, logits[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", micro.TEXT_FAMILIES)
def test_every_layer_is_the_same_where_no_answer_is_computed(family: str) -> None:
    model = micro.load_text(family)
    layers = list(model.layers.values())
    inputs, found, _ = recorded(model, [TEXT, "a = b"])
    with torch.inference_mode(), model.record(layers) as outputs:
        model.through(inputs)
    assert set(outputs) == set(found)
    for layer in layers:
        assert torch.equal(layer.canonical(outputs[layer.name]), found[layer.name])


@pytest.mark.parametrize("family", micro.TEXT_FAMILIES)
def test_ablating_nothing_changes_nothing_and_ablating_a_unit_is_seen(family: str) -> None:
    model = micro.load_text(family)
    inputs = model.inputs([TEXT])
    with torch.inference_mode():
        before = model.forward(inputs)
        for layer in model.layers.values():
            with model.ablated(layer, []):
                assert torch.equal(model.forward(inputs), before)
            with model.ablated(layer, [0]):
                assert not torch.equal(model.forward(inputs), before)


def test_a_head_is_switched_off_whole() -> None:
    model = micro.load_text("gpt2")
    layer = model.layer("h1.heads")
    values = model.layer("h1.head_values")
    seen = []
    with torch.inference_mode(), model.ablated(layer, [1]), model.tapped([values], lambda _, tensor: seen.append(tensor.clone())):
        model.forward(model.inputs([TEXT]))
    heads = seen[0].unflatten(-1, (layer.units, layer.group))
    assert (heads[:, :, 1] == 0).all()
    assert (heads[:, :, 0] != 0).any()
    with pytest.raises(InvalidInput), model.ablated(layer, [1], torch.ones(1)):
        model.forward(model.inputs([TEXT]))


def test_a_text_longer_than_the_window_says_how_much_is_left_out() -> None:
    model = micro.load_text("gpt2")
    tokens = model.tokenizer.encode("x " * 200)
    assert len(tokens) == model.tokenizer.window == 48
    whole = len(TextTokenizer(model.tokenizer.specification, 100_000, 0).encode("x " * 200))
    assert len(tokens) + tokens.left_out == whole
    with pytest.raises(TooLarge):
        model.tokenizer.encode("x" * (MAX_TEXT + 1))
    with pytest.raises(InvalidInput):
        model.tokenizer.encode("half a pair: \ud800")


WINDOW = 1 << 20


@pytest.mark.parametrize("kind", ["byte-level", "wordpiece", "sentencepiece", "characters"])
@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=80))
def test_every_character_belongs_to_the_tokens_made_from_it(kind: str, text: str) -> None:
    """Tokens go through the text in order; the written characters that none of them covers are those the tokenizer drops."""
    tokens = TextTokenizer(micro.tokenizer(kind).to_str(), WINDOW).encode(text)
    own = slice(tokens.first, tokens.last)
    starts, stops = tokens.starts[own].tolist(), tokens.stops[own].tolist()
    assert starts == sorted(starts)
    assert all(0 <= a <= b <= len(text) for a, b in zip(starts, stops, strict=True))
    covered = {i for a, b in zip(starts, stops, strict=True) for i in range(a, b)}
    if kind == "wordpiece":  # its normaliser drops control characters, and white space belongs to no token
        assert all(text[i].isspace() or not text[i].isprintable() or not text[i].isascii() for i in range(len(text)) if i not in covered)
    else:
        assert covered == set(range(len(text)))


def test_the_first_token_is_one_that_says_nothing() -> None:
    model = micro.load_text("gpt2")
    assert model.tokenizer.begin == 0
    assert model.inputs(["a"])[0, 0] == 0
    assert model.special == 1
    assert micro.load_text("bert").special == 1
