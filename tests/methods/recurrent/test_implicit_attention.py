"""Implicit attention against the recurrence itself, run step by step with one token of input at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.language import inputs_of
from microtome.methods.recurrent.implicit_attention import Params, _Mixer, _watched, implicit_attention
from microtome.models.text import TextModel
from microtome.models.tokens import TextTokenizer
from tests import micro

PROMPT = "def add(left, right):\n    return left"


def mixer(number: int = 1) -> tuple[_Mixer, torch.nn.Module, dict[str, torch.Tensor]]:
    model = micro.load_text("mamba")
    path = f"backbone.layers.{number}.mixer"
    module = model.network.get_submodule(path)
    seen = _watched(model, [path], inputs_of(model, [model.tokenizer.encode(PROMPT)]))[path]
    return _Mixer.of(module, seen), module, seen


def recurrence(module, seen, u: torch.Tensor) -> torch.Tensor:
    """y [T, channels] of the state space for inputs u [T, channels], its steps, inputs and outputs as they were; a loop over tokens."""
    rank, states = module.dt_proj.in_features, module.A_log.shape[1]
    a = -torch.exp(module.A_log.detach())
    h = torch.zeros(u.shape[1], states)
    out = []
    for t in range(len(u)):
        row = seen["x_proj.out"][t]
        step = torch.nn.functional.softplus(module.dt_proj.weight.detach() @ row[:rank] + module.dt_proj.bias.detach())
        h = torch.exp(step[:, None] * a) * h + (step * u[t])[:, None] * row[None, rank : rank + states]
        out.append(h @ row[rank + states :])
    return torch.stack(out)


def test_matrices_are_the_answers_to_single_tokens() -> None:
    """Within 1e-6."""
    found, module, seen = mixer()
    whole = slice(0, len(found.skip))
    matrices = found.matrices(whole)
    for s in (0, 3, len(found.gate) - 1):
        impulse = torch.zeros_like(found.taken)
        impulse[s] = 1
        torch.testing.assert_close(matrices[:, :, s].T, recurrence(module, seen, impulse), atol=1e-6, rtol=1e-5)


def test_matrices_times_their_input_are_what_the_layer_gave() -> None:
    """With gate and skip from what the recurrence takes in; with the convolution from before it, less its constant. Within 1e-5."""
    found, module, seen = mixer()
    whole = slice(0, len(found.skip))
    made = torch.einsum("cts,sc->tc", found.whole(whole), found.taken)
    torch.testing.assert_close(made, seen["out_proj.in"], atol=1e-5, rtol=1e-4)
    assert found.gap(SilentContext()) < 1e-5
    inner = seen["in_proj.out"].chunk(2, dim=-1)[0]
    constant = torch.sigmoid(found.before) * module.conv1d.bias.detach()
    rest = torch.einsum("cts,sc->tc", found.whole(whole), constant)
    before = torch.einsum("cts,sc->tc", found.convolved(whole), inner) + rest
    torch.testing.assert_close(before, seen["out_proj.in"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("matrix", ["state space", "with gate and skip", "with convolution"])
def test_rows_are_shares_and_nothing_comes_from_later_tokens(matrix: str) -> None:
    model = micro.load_text("mamba")
    found = implicit_attention.function(model=model, prompt=PROMPT, params=Params(matrix=matrix), run=SilentContext())
    pairs = found["attention"].arrays["pairs"]
    assert len(pairs) == len(model.blocks)
    np.testing.assert_allclose(pairs.sum(2), 1, atol=1e-5)
    assert (np.triu(pairs, 1) == 0).all()
    own = {s.name: s for s in found["summary"].scores if s.group == "own token"}
    for row, name in zip(pairs, found["attention"].rows, strict=True):
        assert own[name].value == pytest.approx(row.diagonal().mean(), abs=1e-5)
    assert found["summary"].facts["largest gap"] < 1e-5


def test_layers_can_be_chosen_and_others_are_refused() -> None:
    model = micro.load_text("mamba")
    label = model.layers[model.blocks[1].path].label
    found = implicit_attention.function(model=model, prompt=PROMPT, layers=[label], params=Params(), run=SilentContext())
    assert found["attention"].rows == [label]
    with pytest.raises(InvalidInput, match="state spaces"):
        implicit_attention.function(model=micro.load_text("gpt2"), prompt=PROMPT, params=Params(), run=SilentContext())


def test_a_layer_that_does_more_is_refused() -> None:
    """FalconMamba puts norms on steps, inputs and outputs: its recurrence is another than the maps say."""
    torch.manual_seed(0)
    config = transformers.FalconMambaConfig(vocab_size=320, hidden_size=24, state_size=4, num_hidden_layers=1, time_step_rank=3)
    model = TextModel(
        source="test:falcon-mamba", network=transformers.FalconMambaForCausalLM(config),
        tokenizer=TextTokenizer(micro.tokenizer().to_str(), 48, begin=0), task="causal", classes=[], family="falcon_mamba", hash="0" * 64,
        bytes=0, config=config.to_dict(),
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="does more"):
        implicit_attention.function(model=model, prompt=PROMPT, params=Params(), run=SilentContext())
