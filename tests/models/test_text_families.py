"""Language models of many architectures, loaded as a user's are: their layers are found, and are what transformers itself says of them."""

from __future__ import annotations

import pytest
import torch
import transformers as t

from microtome.core.errors import InvalidInput
from microtome.methods.circuits.attention import attention_of
from microtome.models import load_model
from microtome.models.readout import bias, head_writes, neuron_writes
from microtome.models.replay import Replay
from microtome.models.text import TextModel
from tests import families, micro

TEXT = "def add(left, right):\n    return left"
KINDS = {"embeddings", "neurons", "heads", "head values", "attention", "feed-forward", "residual"}
#: Experts have no neurons that every token goes through.
WITHOUT = {"mixtral": {"neurons", "feed-forward"}}
EVERY = pytest.mark.parametrize("family", list(families.ALL))


def stream(model: TextModel) -> list[str]:
    """Names of the layers of the residual stream, from before the first block on."""
    return [f"{model.blocks[0].path}.input", *(b.path for b in model.blocks)]


@EVERY
def test_all_kinds_of_layers_are_found(family: str) -> None:
    model = families.loaded(family)
    assert {x.kind for x in model.layers.values()} == KINDS - WITHOUT.get(family, set())
    assert all(b.heads and (b.neurons or family in WITHOUT) for b in model.blocks)
    widths = {x.units for x in model.layers.values() if x.kind == "neurons"}
    assert widths <= {40, 96}  # the two sizes of feed-forward layers here: none is mistaken for another map


@EVERY
def test_the_residual_stream_is_what_transformers_calls_hidden_states(family: str) -> None:
    """To 1e-6; the last of those is behind the final norm."""
    model = families.loaded(family)
    inputs = model.inputs([TEXT, "a = b"])
    with torch.no_grad(), model.record([model.layers[n] for n in stream(model)]) as found:
        states = model.output(inputs, output_hidden_states=True).hidden_states
    assert len(states) == len(model.blocks) + 1
    for name, state in zip(stream(model)[:-1], states[:-1], strict=True):
        torch.testing.assert_close(found[name], state, atol=1e-6, rtol=1e-6)


@EVERY
def test_attention_is_that_of_a_network_that_was_made_to_compute_it_in_plain_steps(family: str) -> None:
    """To 1e-5; the other network is loaded by transformers alone."""
    model = families.loaded(family)
    ids = model.inputs([TEXT])
    ours = attention_of(model, ids)
    folder = model.source.removeprefix("path:")
    plain = type(model.network).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        theirs = plain(input_ids=ids, output_attentions=True).attentions
    assert len(ours) == len(theirs) == len(model.blocks)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    if family in families.CAUSAL:
        assert all(float(a.triu(1).abs().max()) == 0 for a in ours)


@EVERY
def test_heads_and_neurons_are_what_writes_into_the_residual_stream(family: str) -> None:
    """What a block's attention and neurons give is their activations through the maps found for them, to 1e-4."""
    model = families.loaded(family)
    layers = list(model.layers.values())
    inputs = model.inputs([TEXT, "a = b"])
    with torch.no_grad(), model.record(layers) as found:
        model.forward(inputs)
    for block in model.blocks:
        maps = [(".head_values", ".attention", head_writes(model, block).flatten(0, 1), block.heads)]
        if block.neurons:
            maps.append((".neurons", ".feed_forward", neuron_writes(model, block), block.neurons))
        for given, made, weight, path in maps:
            shift = bias(model.network.get_submodule(path), weight.shape[1])
            assert found[block.path + given].shape[:2] == inputs.shape
            torch.testing.assert_close(found[block.path + given] @ weight + shift, found[block.path + made], atol=1e-4, rtol=1e-4)


@EVERY
def test_a_longer_text_in_the_batch_changes_nothing(family: str) -> None:
    model = families.loaded(family)
    layers = list(model.layers.values())
    with torch.no_grad(), model.record(layers) as found:
        model.forward(model.inputs(["a = b"]))
        alone = dict(found)
        model.forward(model.inputs(["a = b", TEXT]))
    for name, value in alone.items():
        torch.testing.assert_close(found[name][:1, : value.shape[1]], value, atol=1e-4, rtol=1e-4)


@EVERY
def test_ablations_are_seen_and_a_replay_from_any_layer_gives_the_same(family: str) -> None:
    model = families.loaded(family)
    inputs = model.inputs([TEXT, "a = b"])
    last = model.blocks[-1].path
    with torch.no_grad():
        before = model.forward(inputs)
        for layer in model.layers.values():
            replay = Replay(model, layer, inputs)
            with model.ablated(layer, []):
                assert torch.equal(model.forward(inputs), before)
            with model.ablated(layer, [0]):
                changed = model.forward(inputs)
                # A classifier reads the first token alone, where the last block's other tokens lead nowhere.
                assert not torch.equal(changed, before) or (model.task == "classify" and layer.name.startswith(last))
                torch.testing.assert_close(replay.run(), changed, atol=1e-6, rtol=1e-6)


def test_a_network_that_goes_through_one_block_again_and_again_is_refused() -> None:
    small = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3, "embedding_size": 16}
    tokenizer, folder = micro.tokenizer("wordpiece"), micro.ROOT / "family-albert"
    t.AlbertForMaskedLM(t.AlbertConfig(vocab_size=tokenizer.get_vocab_size(), **small)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(InvalidInput, match="3 times"):
        load_model(f"path:{folder}")


def test_a_first_token_of_another_vocabulary_is_not_put_before_texts() -> None:
    """GPT-J's configuration names token 50256 unless told otherwise."""
    model = families.loaded("gpt-j")
    assert model.config["bos_token_id"] > model.tokenizer.vocabulary
    assert model.tokenizer.begin is None
    assert model.special == 0
