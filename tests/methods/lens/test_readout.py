"""What is found of a network's structure equals what is known of its architecture; what cannot be found is refused by name."""

from __future__ import annotations

import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.lens.weights import attention_of, neuron_reads
from microtome.methods.lens.words import residuals
from microtome.models.readout import Tail, head_writes, neuron_writes, norm_of, readout_of, unembedding_of
from tests.methods.lens.nets import PROMPT, logits, net

CAUSAL = ("gpt2", "llama", "neox", "bloom", "qwen3", "gemma")


@pytest.mark.parametrize("family", CAUSAL)
def test_the_final_norm_is_the_norm_of_the_network(family: str) -> None:
    """Within 1e-5: gain, shift and scale give what the module gives, whatever its epsilon and its way to keep the gain."""
    model = net(family)
    readout = readout_of(model)
    module = model.network.get_submodule(readout.norm_path)
    x = torch.randn(5, len(readout.norm.gain)) * 2 + 1
    made = module(x)
    scale = readout.norm.scale(x, made)
    torch.testing.assert_close(readout.norm.passes(x) * scale[:, None] + readout.norm.shift, made, atol=1e-5, rtol=1e-5)
    assert readout.norm.centred == (family in ("gpt2", "neox", "bloom"))


def test_passing_a_norm_and_reading_behind_it_are_transposes() -> None:
    norm = readout_of(net("neox")).norm
    x, y = torch.randn(2, len(norm.gain))
    assert float(norm.passes(x) @ y) == pytest.approx(float(x @ norm.reads(y)), abs=1e-4)


def test_other_modules_are_no_norms() -> None:
    assert norm_of(torch.nn.Linear(24, 24), 24) is None
    assert norm_of(torch.nn.GELU(), 24) is None


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "neox", "gemma2"])
def test_the_tail_makes_the_models_logits_of_its_last_layer(family: str) -> None:
    model = net(family)
    hidden = residuals(model, model.tokenizer.encode(PROMPT))[-1]
    for size in (3, 64):
        with torch.no_grad():
            torch.testing.assert_close(Tail(model, size)(hidden), logits(model), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", [*CAUSAL, "bert"])
def test_heads_and_neurons_write_what_their_maps_write(family: str) -> None:
    """Within 1e-5, with the biases of the maps put to it."""
    model = net(family)
    for block in model.blocks:
        heads = model.network.get_submodule(block.heads)
        z = torch.randn(3, head_writes(model, block).flatten(0, 1).shape[0])
        nothing = heads(torch.zeros_like(z))
        torch.testing.assert_close(z @ head_writes(model, block).flatten(0, 1) + nothing, heads(z), atol=1e-5, rtol=1e-5)
        neurons = model.network.get_submodule(block.neurons)
        a = torch.randn(3, neuron_writes(model, block).shape[0])
        torch.testing.assert_close(a @ neuron_writes(model, block) + neurons(torch.zeros_like(a)), neurons(a), atol=1e-5, rtol=1e-5)


def _known(family: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values [heads, width, each] of the first block, from what each architecture is known to keep."""
    state, heads = net(family).network.state_dict(), net(family).heads
    if family == "gpt2":
        q, k, v = state["transformer.h.0.attn.c_attn.weight"].chunk(3, dim=1)
    elif family in ("neox", "bloom"):
        name = "gpt_neox.layers.0.attention" if family == "neox" else "transformer.h.0.self_attention"
        q, k, v = (w.flatten(0, 1).T for w in state[f"{name}.query_key_value.weight"].reshape(heads, 3, -1, 24).unbind(1))
    elif family == "bert":
        q, k, v = (state[f"bert.encoder.layer.0.attention.self.{n}.weight"].T for n in ("query", "key", "value"))
    else:
        q, k, v = (state[f"model.layers.0.self_attn.{n}_proj.weight"].T for n in "qkv")
    each = q.shape[1] // heads
    split = [m.reshape(24, -1, each).permute(1, 0, 2) for m in (q, k, v)]
    return tuple(torch.stack([m[h * len(m) // heads] for h in range(heads)]) for m in split)  # type: ignore[return-value]


@pytest.mark.parametrize("family", [*CAUSAL, "bert"])
def test_queries_keys_and_values_are_those_of_the_architecture(family: str) -> None:
    model = net(family)
    found = attention_of(model, model.blocks[0])
    for own, known in zip((found.queries, found.keys, found.values), _known(family), strict=True):
        assert torch.equal(own, known)
    assert found.plain == (family != "qwen3")


@pytest.mark.parametrize("family", CAUSAL)
def test_neurons_read_the_stream_through_their_norm(family: str) -> None:
    """The first map's output is the folded rows on the stream, times the norm's scale, plus the same for every stream; within 1e-4."""
    model = net(family)
    reading = neuron_reads(model, model.blocks[0])
    assert len(reading.names) == (2 if family in ("llama", "qwen3", "gemma") else 1)
    module = model.network.get_submodule(reading.path)
    x = torch.randn(4, 24)
    x = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, unbiased=False)  # scale 1
    made = module(reading.norm.passes(x) + reading.norm.shift)
    same = module(reading.norm.shift)
    torch.testing.assert_close(x @ reading.folded(0).T + same, made, atol=1e-4, rtol=1e-4)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidInput, match="behind its last block") as caught:
        readout_of(net("bert"))
    assert caught.value.field == "model"
    with pytest.raises(InvalidInput, match="no unembedding") as caught:
        unembedding_of(net("distilbert"))
    assert caught.value.field == "model"


def test_a_bound_on_the_logits_is_refused() -> None:
    config = net("gemma2").network.config
    kept, config.final_logit_softcapping = config.final_logit_softcapping, 0.05
    try:
        with pytest.raises(InvalidInput, match="behind the unembedding"):
            readout_of(net("gemma2"))
    finally:
        config.final_logit_softcapping = kept
