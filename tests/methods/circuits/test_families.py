"""What holds for every family of causal models, tried on one whose blocks are unlike GPT-2's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.circuits.activation_patching import Params as PatchingParams
from microtome.methods.circuits.activation_patching import activation_patching
from microtome.methods.circuits.attention import attention_of
from microtome.methods.circuits.path_patching import Params as PathParams
from microtome.methods.circuits.path_patching import path_patching
from microtome.methods.concepts.conductance import along_units
from microtome.methods.interventions.generate import Params as WritingParams
from microtome.methods.interventions.generate import generate
from tests.methods.circuits.strong import CLEAN, CORRUPTED, grouped

ANSWERS = {"corrupted": CORRUPTED, "answer": "left", "wrong": " right"}


def test_attention_is_that_of_the_values_it_weighs() -> None:
    """Shares times values must give the recorded outputs of the heads, each pair of which shares its values."""
    model = grouped()
    ids = model.inputs([CLEAN])
    layer = model.layer("layer1.head_values")
    value = model.network.get_submodule("model.layers.1.self_attn.v_proj")
    seen: list[torch.Tensor] = []
    handle = value.register_forward_hook(lambda _, __, out: seen.append(out[0]))
    with torch.no_grad(), model.record([layer]) as outputs:
        model.forward(ids)
    handle.remove()
    pattern = attention_of(model, ids)[1][0]
    assert pattern.sum(-1).numpy() == pytest.approx(1, abs=1e-5)
    values = seen[0].unflatten(-1, (2, 6)).repeat_interleave(2, dim=1)  # [T, heads, 6]
    expected = torch.einsum("hqk,khd->qhd", pattern, values).flatten(1)
    torch.testing.assert_close(outputs[layer.name][0], expected, atol=1e-5, rtol=1e-4)


def test_patching_everything_gives_the_clean_run() -> None:
    found = activation_patching.function(model=grouped(), prompt=CLEAN, params=PatchingParams(**ANSWERS), run=SilentContext())
    np.testing.assert_allclose(found["residual"].arrays["values"][:, -1], 1, atol=1e-3)
    assert len(found["heads"].rows) == 12


def test_a_head_of_the_last_block_reaches_the_logits_by_its_direct_path_alone() -> None:
    """Nothing but the block's own feed-forward part comes after: path and activation patching must agree."""
    paths = path_patching.function(
        model=grouped(), prompt=CLEAN, params=PathParams(**ANSWERS, base="corrupted"), run=SilentContext()
    )["paths"]  # fmt: skip
    params = PatchingParams(**ANSWERS, kinds=["heads"])
    heads = activation_patching.function(model=grouped(), prompt=CLEAN, params=params, run=SilentContext())["heads"]
    np.testing.assert_allclose(paths.arrays["values"][-1], heads.arrays["values"][-4:, -1], atol=1e-3)


def test_contributions_of_gated_neurons_are_complete() -> None:
    model = grouped()
    layer = model.layer("layer1.mlp")
    found = along_units(model, layer, model.inputs([CLEAN]), lambda logits: logits[:, -1, 7], 32, SilentContext())
    assert found.contributions.sum() == pytest.approx(found.after - found.before, rel=1e-2, abs=1e-5)


def test_greedy_writing_is_what_the_network_writes_by_itself() -> None:
    model = grouped()
    found = generate.function(model=model, prompt=CLEAN, params=WritingParams(max_tokens=10), run=SilentContext())["text"]
    ids = model.inputs([CLEAN])
    own = model.network.generate(ids, max_new_tokens=10, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    assert found.tokens[0] == [model.tokenizer.text_of(int(i)) for i in own]
