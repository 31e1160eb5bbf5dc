"""Which number is explained: tokens, classes, differences, masks; what is refused, and by which field."""

from __future__ import annotations

import numpy as np
import pytest

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.registry import get_method
from tests import micro
from tests.methods.text_attribution.asked import PROMPT, SHORT, ask, call_of, values
from tests.reference import text_attribution as reference


def test_the_models_own_answer_is_the_default() -> None:
    for family in ("gpt2", "bert", "distilbert"):
        call = call_of(family)
        logits = reference.logits(call.model, call.ids.tolist(), call.at)
        assert call.target.index == int(logits.argmax())
        assert ask("text-occlusion", family)["map"].score[0] == pytest.approx(float(logits.max()), rel=1e-5)


def test_targets_by_name_and_number() -> None:
    assert call_of("gpt2", target=" name").target.name == "' name'"
    assert call_of("gpt2", target="#17").target.index == 17
    assert call_of("bert", target="def").target.name == "'def'"
    assert call_of("distilbert", target="prose").target.index == call_of("distilbert", target="1").target.index == 1
    difference = call_of("distilbert", target="prose", against="code")
    assert difference.target.weights == ((0, -1.0), (1, 1.0))
    found = [ask("text-input-x-gradient", "distilbert", target=t, against=a) for t, a in (("1", None), ("0", None), ("1", "0"))]
    np.testing.assert_allclose(values(found[0]) - values(found[1]), values(found[2]), atol=1e-5)
    assert found[2]["curves"].y_axis == "logits"


def test_a_masked_model_is_asked_about_a_mask() -> None:
    """The last word is masked unless another is named or the prompt has a mask; that place is held, and its value is 0."""
    call = call_of("bert", SHORT)
    mask = call.model.tokenizer.id_of("[MASK]")
    assert call.at == call.tokens.last - 1
    assert int(call.ids[call.at]) == mask
    named = ask("text-input-x-gradient", "bert", SHORT, position=2)["map"]
    assert named.tokens[1] == "[MASK]"
    assert named.arrays["values"][0, 1] == 0.0
    assert named.facts["masked token"] == 2
    written = ask("text-input-x-gradient", "bert", "return [MASK] + right")["map"]
    assert written.tokens.count("[MASK]") == 1
    assert written.arrays["values"][0, written.tokens.index("[MASK]")] == 0.0
    assert call_of("bert", SHORT, position=-2).at == call.at


def test_maps_are_over_the_texts_own_tokens() -> None:
    for family, joined in (("gpt2", PROMPT), ("distilbert", PROMPT.replace("\n    ", "").replace(" ", ""))):
        assert "".join(ask("text-gradient", family)["map"].tokens) == joined


@pytest.mark.parametrize(
    ("family", "prompt", "params", "field"),
    [
        ("gpt2", "", {}, "prompt"),
        ("gpt2", "x " * 100, {}, "prompt"),
        ("gpt2", PROMPT, {"position": 1}, "params.position"),
        ("gpt2", PROMPT, {"target": "no such token at all"}, "params.target"),
        ("gpt2", PROMPT, {"target": "#3", "against": "#3"}, "params.against"),
        ("bert", PROMPT, {"position": 0}, "params.position"),
        ("bert", PROMPT, {"position": 40}, "params.position"),
        ("bert", "x", {}, "prompt"),
        ("distilbert", PROMPT, {"target": "poem"}, "params.target"),
        ("distilbert", PROMPT, {"target": "2"}, "params.target"),
        ("distilbert", PROMPT, {"against": "9"}, "params.against"),
    ],
)
def test_what_is_refused(family: str, prompt: str, params: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ask("text-gradient", family, prompt, **params)
    assert caught.value.field == field


def test_a_model_that_sees_is_refused() -> None:
    spec = get_method("text-gradient")
    with pytest.raises(InvalidInput) as caught:
        spec.function(model=micro.load("resnet"), prompt=PROMPT, params=spec.parse({}), run=SilentContext())
    assert caught.value.field == "model"
