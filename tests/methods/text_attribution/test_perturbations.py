"""Occlusion and KernelSHAP of tokens against one pass after another of the network as it is, and against captum.

Tolerances: 1e-4 of the largest value, for float32 in batches against float32 alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.text_attribution.rise import kept_tokens
from tests.methods.text_attribution.asked import PROMPT, SHORT, ask, call_of, default_fill, game, token, values
from tests.methods.text_attribution.test_gradients import close, own
from tests.reference import text_attribution as reference

FAMILIES = ("gpt2", "bert", "distilbert")


@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_by_hand(family: str) -> None:
    call = call_of(family)
    everything = frozenset(range(call.count))
    for fill, id in (("default", default_fill(call)), ("removed", None)):
        value = game(call, id)
        expected = [value(everything) - value(everything - {i}) for i in range(call.count)]
        close(own(call, values(ask("text-occlusion", family, fill=fill))), expected)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_fills_are_tokens_of_the_model(family: str) -> None:
    call = call_of(family)
    everything = frozenset(range(call.count))
    for fill, name in (("mask", "[MASK]"), ("unknown", "[UNK]"), ("pad", "[PAD]"), ("begin", "[CLS]")):
        value = game(call, token(call, name))
        found = ask("text-occlusion", family, fill=fill)
        close(own(call, values(found)), [value(everything) - value(everything - {i}) for i in range(call.count)])
        assert found["map"].facts["fill"] == f"{fill} token {name}"


def test_wide_windows_by_hand() -> None:
    call = call_of("gpt2")
    value, everything = game(call, default_fill(call)), frozenset(range(call.count))
    drop = [value(everything) - value(everything - {i, i + 1, i + 2}) for i in range(call.count - 2)]
    expected = [np.mean(drop[max(0, i - 2) : i + 1]) for i in range(call.count)]
    close(values(ask("text-occlusion", "gpt2", window=3)), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_is_the_ablation_of_captum(family: str) -> None:
    from captum.attr import FeatureAblation

    call = call_of(family)

    def forward(ids: torch.Tensor) -> torch.Tensor:
        return torch.stack([call.target.number(reference.logits(call.model, row.tolist(), call.at)[None], {})[0] for row in ids])

    baseline = call.ids.clone()
    baseline[call.places] = default_fill(call)
    theirs = FeatureAblation(forward).attribute(call.ids[None], baseline[None])[0]
    close(own(call, values(ask("text-occlusion", family))), theirs[call.places])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fill", ["default", "removed"])
def test_all_coalitions_give_the_shapley_values(family: str, fill: str) -> None:
    call = call_of(family, SHORT)
    assert 3 <= call.count <= 8
    expected = reference.shapley(call.count, game(call, default_fill(call) if fill == "default" else None))
    found = ask("text-kernel-shap", family, SHORT, samples=256, fill=fill)
    assert found["map"].facts["exact"] is True
    close(own(call, values(found)), expected, 1e-4)


def test_some_coalitions_add_up() -> None:
    found = ask("text-kernel-shap", "gpt2", samples=40)
    assert found["map"].facts["exact"] is False
    assert found["map"].completeness[0]["gap"] < 1e-9
    with pytest.raises(InvalidInput, match="too few") as caught:
        ask("text-kernel-shap", "gpt2", samples=12)
    assert caught.value.field == "params.samples"


def test_lime_says_how_well_its_line_fits() -> None:
    assert ask("text-lime", "bag", samples=100, penalty=0, width=10)["map"].facts["r_squared"] == pytest.approx(1, abs=1e-5)
    found = ask("text-lime", "gpt2", samples=200, width=10)
    assert 0 < float(found["map"].facts["r_squared"]) < 1
    with pytest.raises(InvalidInput) as caught:
        ask("text-lime", "gpt2", width=1e-3)
    assert caught.value.field == "params.width"


def test_rise_by_hand_and_on_a_linear_network() -> None:
    """Set after set of kept tokens; where tokens act alone, it is occlusion times the chance to be off, within 4 errors."""
    call = call_of("gpt2")
    value = game(call, default_fill(call))
    present = kept_tokens(40, call.count, 0.7, 0)
    said = np.array([value(frozenset(np.flatnonzero(row).tolist())) for row in present])
    expected = [sum((f - said.mean()) * (m - 0.7) for f, m in zip(said, present[:, i], strict=True)) / 39 / 0.7 for i in range(call.count)]
    close(values(ask("text-rise", "gpt2", masks=40)), expected)
    found = ask("text-rise", "bag", masks=4000, target="1")
    alone = values(ask("text-occlusion", "bag", target="1"))
    assert np.abs(np.asarray(values(found)) - 0.3 * np.asarray(alone)).max() < 4 * found["map"].facts["largest standard error"]


def test_a_text_that_is_taken_out_whole() -> None:
    """GPT-2 still has what stands before every text; where nothing is left it is said."""
    import copy

    from microtome.core.context import SilentContext
    from microtome.methods.registry import get_method
    from microtome.models.tokens import TextTokenizer
    from tests.methods.lens.nets import net

    model: Any = copy.copy(net("gpt2"))
    model.tokenizer = TextTokenizer(model.tokenizer.specification, 48)
    spec = get_method("text-kernel-shap")
    assert ask("text-kernel-shap", "gpt2", SHORT, fill="removed")
    with pytest.raises(InvalidInput, match="no text left") as caught:
        spec.function(model=model, prompt=PROMPT, params=spec.parse({"fill": "removed"}), run=SilentContext())
    assert caught.value.field == "params.fill"
