"""The same questions put to TransformerLens and to nnsight: two libraries that share nothing with this one but torch and transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.circuits.activation_patching import Params, activation_patching
from microtome.methods.circuits.attention import attention_of
from microtome.methods.circuits.flow import Flow
from microtome.methods.circuits.pair import pair_of
from microtome.methods.lens.contributions import contributions
from microtome.methods.lens.logit_lens import logit_lens
from microtome.models.text import TextModel
from tests import micro
from tests.methods.circuits.strong import CLEAN, CORRUPTED, strong

lens = pytest.importorskip("transformer_lens", reason="TransformerLens is not installed (pip install -e '.[dev]')")
nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed (pip install -e '.[dev]')")
PARTS = {
    "h{}.mlp": "blocks.{}.mlp.hook_post", "h{}.head_values": "blocks.{}.attn.hook_z", "h{}.attention": "blocks.{}.hook_attn_out",
    "h{}.mlp_out": "blocks.{}.hook_mlp_out", "h{}": "blocks.{}.hook_resid_post",
}  # fmt: skip


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same network in TransformerLens. The micro model is loaded anew: what it hooks is its own."""
    import transformers

    folder = tmp_path_factory.mktemp("tokenizer")
    own = transformers.PreTrainedTokenizerFast(tokenizer_object=micro.tokenizer(), bos_token="<end>", eos_token="<end>", pad_token="<end>")
    own.save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    network = transformers.GPT2LMHeadModel.from_pretrained(micro.text_folder("gpt2")).eval()
    network.load_state_dict(strong().network.state_dict())
    return lens.TransformerBridge.boot_transformers(str(micro.text_folder("gpt2")), hf_model=network, tokenizer=tokenizer, device="cpu")


def ids(text: str = CLEAN) -> torch.Tensor:
    return torch.from_numpy(strong().tokenizer.encode(text).ids)[None]


def test_activations_and_attention_equal_those_of_transformer_lens(bridge: Any) -> None:
    """Every kind of layer, to 1e-5."""
    model: TextModel = strong()
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(ids())
        with model.record(list(model.layers.values())) as found:
            torch.testing.assert_close(model.forward(ids()), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[model.layer("embeddings").name], cache["blocks.0.hook_resid_pre"], atol=1e-5, rtol=1e-5)
        for number in range(len(model.blocks)):
            for ours, theirs in PARTS.items():
                other = cache[theirs.format(number)].flatten(2)
                torch.testing.assert_close(found[model.layer(ours.format(number)).name], other, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(
                attention_of(model, ids())[number], cache[f"blocks.{number}.attn.hook_pattern"], atol=1e-5, rtol=1e-5
            )


def test_what_heads_and_neurons_add_to_a_logit_equals_their_results_in_transformer_lens(bridge: Any) -> None:
    """Head by head, neuron by neuron, to 1e-4; its cache has what each writes and the scale of the final norm."""
    model = strong()
    place, answer = ids().shape[1] - 1, 7
    found = contributions(model, model.tokenizer.encode(CLEAN), place, [answer], [1.0], SilentContext())
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids())
        norm = bridge.original_model.transformer.ln_f
        reads = bridge.W_U[:, answer] * norm.weight

        def added(written: torch.Tensor) -> torch.Tensor:
            scaled = cache.apply_ln_to_stack(written, layer=-1, pos_slice=place)
            return scaled[:, 0] @ reads

        heads = added(cache.stack_head_results(layer=-1, pos_slice=place))
        torch.testing.assert_close(found.heads.flatten(), heads[: found.heads.numel()], atol=1e-4, rtol=1e-4)
        neurons = added(cache.stack_neuron_results(layer=-1, pos_slice=place))
        torch.testing.assert_close(found.neurons.flatten(), neurons[: found.neurons.numel()], atol=1e-4, rtol=1e-4)


def test_activation_patching_equals_that_of_transformer_lens(bridge: Any) -> None:
    """Residual stream by place, heads by place, to 1e-4 of the difference between the prompts."""
    from transformer_lens import patching

    model = strong()
    asked = Params(corrupted=CORRUPTED, kinds=["residual", "heads", "attention", "feed-forward"])
    found = activation_patching.function(model=model, prompt=CLEAN, params=asked, run=SilentContext())
    pair = pair_of(model, CLEAN, asked)
    with torch.no_grad():
        _, cache = bridge.run_with_cache(pair.clean)

        def metric(logits: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(pair.normalised(pair.difference(logits))).squeeze()

        before = patching.get_act_patch_resid_pre(bridge, pair.corrupted, cache, metric)
        np.testing.assert_allclose(found["residual"].arrays["values"][:-1, :-1], before, atol=1e-4)
        for name, ask in (("attention", patching.get_act_patch_attn_out), ("feed_forward", patching.get_act_patch_mlp_out)):
            np.testing.assert_allclose(found[name].arrays["values"][:, :-1], ask(bridge, pair.corrupted, cache, metric), atol=1e-4)
        heads = patching.get_act_patch_attn_head_out_by_pos(bridge, pair.corrupted, cache, metric)  # [layer, place, head]
        np.testing.assert_allclose(found["heads"].arrays["values"][:, :-1], heads.transpose(1, 2).flatten(0, 1), atol=1e-4)


def test_shares_of_the_flow_are_those_of_what_transformer_lens_has_every_head_write(bridge: Any) -> None:
    flow = Flow(strong(), ids())
    place, level = ids().shape[1] - 1, len(flow.blocks)
    parts = flow.parts(level, place)
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids())
        end = cache[f"blocks.{level - 1}.hook_resid_post"][0, place]
        away = end - end.mean()
        written = cache.stack_head_results(layer=-1, pos_slice=place)[:, 0]
        last = written[(level - 1) * strong().heads : level * strong().heads]
        np.testing.assert_allclose(parts.heads.sum(1), last @ away / (away @ away), atol=1e-5)


def test_the_logit_lens_equals_that_of_nnsight() -> None:
    """nnsight reads the state in the middle of a pass and sends it through the network's own norm and unembedding; to 1e-4."""
    model = strong()
    found = logit_lens.function(model=model, prompt=CLEAN, params=logit_lens.parse({"top": 3}), run=SilentContext())["tokens"]
    network = nnsight.NNsight(model.network)
    for number in range(len(model.blocks)):
        with torch.no_grad(), network.trace(input_ids=ids()):
            block = network.transformer.h[number].output
            state = (block[0] if isinstance(block, tuple) else block).save()
        with torch.no_grad():
            logits = model.network.lm_head(model.network.transformer.ln_f(state.reshape(1, ids().shape[1], -1)))[0]
        own = logits.softmax(-1).topk(3)
        row = next(i for i, name in enumerate(found.rows) if name == model.layer(f"h{number}").label)
        np.testing.assert_allclose(found.arrays["values"][row], own.values.numpy()[-found.arrays["values"].shape[1] :], atol=1e-4)
        shown = [[found.names[i] for i in column] for column in found.arrays["items"][row]]
        words = [[model.tokenizer.text_of(int(i)) for i in r] for r in own.indices[-len(shown) :]]
        assert shown == words


def test_ablating_neurons_and_setting_heads_equals_that_of_nnsight() -> None:
    model = strong()
    network = nnsight.NNsight(model.network)
    layer, units = model.layer("h1.mlp"), [3, 17]
    with torch.no_grad(), model.ablated(layer, units):
        ours = model.forward(ids())
    with torch.no_grad(), network.trace(input_ids=ids()):
        network.transformer.h[1].mlp.act.output[:, :, units] = 0
        theirs = network.output.logits.save()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
