"""Activation, attribution and path patching against runs by hand, and the identities they must keep.

Values are shares of a difference in logits of about 1; runs by hand sum in another order: tolerance 1e-3, absolute and relative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.circuits.activation_patching import Params, activation_patching
from microtome.methods.circuits.attribution_patching import Params as AttributionParams
from microtome.methods.circuits.attribution_patching import attribution_patching, gradients_of
from microtome.methods.circuits.pair import PairParams, pair_of
from microtome.methods.circuits.path_patching import Params as PathParams
from microtome.methods.circuits.path_patching import path_patching
from microtome.methods.circuits.sites import KINDS
from tests import micro
from tests.methods.circuits.strong import CLEAN, CORRUPTED, linear, strong
from tests.reference.circuits import forward, path

ANSWERS = {"corrupted": CORRUPTED, "answer": "left", "wrong": " right"}


def patched(model: Any, **params: Any) -> dict[str, Any]:
    given = Params(**(ANSWERS | params))
    return activation_patching.function(model=model, prompt=CLEAN, params=given, run=SilentContext())


def attributed(model: Any, **params: Any) -> dict[str, Any]:
    given = AttributionParams(**(ANSWERS | params))
    return attribution_patching.function(model=model, prompt=CLEAN, params=given, run=SilentContext())


def by_hand(model: Any) -> tuple[list[int], list[int], Any]:
    """Ids of both prompts, and the normalised metric of logits."""
    clean, corrupted = (model.tokenizer.encode(text).ids.tolist() for text in (CLEAN, CORRUPTED))
    answer, wrong = (int(model.tokenizer.encode(text).ids[1]) for text in ("left", " right"))

    def difference(logits: torch.Tensor) -> float:
        return float(logits[-1, answer] - logits[-1, wrong])

    high, low = difference(forward(model, clean)[0]), difference(forward(model, corrupted)[0])
    return clean, corrupted, lambda logits: (difference(logits) - low) / (high - low)


def test_every_part_at_every_place_equals_a_run_by_hand() -> None:
    model = strong()
    clean, corrupted, metric = by_hand(model)
    _, values, _ = forward(model, clean)
    found = patched(model)
    for kind in KINDS:
        matrix = found[kind.replace("-", "_")]
        for row, name in enumerate(matrix.rows):
            part = name.replace(".", ".head") if kind == "heads" else name
            for place in (0, len(clean) - 3, len(clean) - 1, None):

                def put(at: str, value: torch.Tensor, part: str = part, place: int | None = place) -> torch.Tensor:
                    if at != part:
                        return value
                    out = value.clone()
                    where = slice(None) if place is None else place
                    out[where] = values[at][where]
                    return out

                expected = metric(forward(model, corrupted, put)[0])
                column = len(clean) if place is None else place
                assert matrix.arrays["values"][row, column] == pytest.approx(expected, rel=1e-3, abs=1e-3), (name, place)


def test_the_whole_residual_stream_gives_the_clean_run_and_equal_places_give_nothing() -> None:
    found = patched(strong(), kinds=["residual"])
    values = found["residual"].arrays["values"]
    np.testing.assert_allclose(values[:, -1], 1, atol=1e-4)
    assert found["check"].scores[2].value < 1e-4
    # The prompts differ in the last token only: before it there is nothing to put in.
    np.testing.assert_allclose(values[:, :-2], 0, atol=1e-4)
    assert values[-1, -2] == pytest.approx(1, abs=1e-4)


def test_the_residual_stream_patched_at_all_tokens_is_the_clean_run_to_the_last_bit() -> None:
    model = strong()
    clean, corrupted = (model.inputs([text]) for text in (CLEAN, CORRUPTED))
    layers = [x for x in model.layers.values() if x.kind in ("embeddings", "residual")]
    with torch.no_grad(), model.record(layers) as outputs:
        expected = model.forward(clean)
    values = dict(outputs)
    for layer in layers:
        with torch.no_grad(), model.changed(layer, lambda _, name=layer.name: values[name].clone()):
            assert torch.equal(model.forward(corrupted), expected)


def test_attribution_is_the_first_order_term() -> None:
    """Products with the gradient against central differences of step 1e-2, in float32; tolerance 1 %, or 0.01."""
    model = strong()
    pair = pair_of(model, CLEAN, PairParams(**ANSWERS))
    layer = model.layer("h1.mlp_out")
    _, gradients = gradients_of(model, pair, [layer])
    gradient = gradients[layer.name]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        step = torch.randn(gradient.shape, generator=generator)
        ends = []
        for sign in (1, -1):
            with torch.no_grad(), model.changed(layer, lambda t, s=sign, d=step: t + s * 1e-2 * d):
                ends.append(float(pair.difference(model.forward(pair.corrupted))))
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(float((gradient * step).sum()), rel=1e-2, abs=1e-2)


def test_attribution_patching_equals_activation_patching_on_a_linear_model() -> None:
    truth, estimate = patched(linear()), attributed(linear(), check=True)
    for kind in KINDS:
        name = kind.replace("-", "_")
        np.testing.assert_allclose(estimate[name].arrays["values"], truth[name].arrays["values"], atol=1e-4)
    by_name = {(s.group, s.name): s.value for s in estimate["check"].scores}
    assert all(by_name[kind, "correlation"] == pytest.approx(1, abs=1e-4) for kind in KINDS)


def test_attribution_agrees_in_part_on_a_model_that_is_not_linear() -> None:
    """The micro model with its small weights is close to linear, the one with large weights is not; the check says so."""
    scores = {s.name: s.value for s in attributed(micro.load_text("gpt2"), kinds=["attention"], check=True)["check"].scores}
    assert scores["correlation"] > 0.95
    strongly = {s.name: s.value for s in attributed(strong(), kinds=["attention"], check=True)["check"].scores}
    assert strongly["largest difference"] > scores["largest difference"]


@pytest.mark.parametrize("base", ["clean", "corrupted"])
@pytest.mark.parametrize("receiver", ["logits", "h2.1", "h1.0"])
def test_paths_equal_three_runs_by_hand(base: str, receiver: str) -> None:
    model = strong()
    clean, corrupted, metric = by_hand(model)
    first, other = (clean, corrupted) if base == "clean" else (corrupted, clean)
    params = PathParams(**ANSWERS, receiver=receiver, base=base)
    found = path_patching.function(model=model, prompt=CLEAN, params=params, run=SilentContext())["paths"]
    before = 3 if receiver == "logits" else int(receiver[1])
    assert np.isnan(found.arrays["values"][before:]).all()
    for layer in range(before):
        for head in range(3):
            target = receiver if receiver == "logits" else receiver.replace(".", ".head")
            logits = path(model, first, other, f"h{layer}.head{head}", target)
            expected = metric(logits) - (1 if base == "clean" else 0)
            assert found.arrays["values"][layer, head] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_path_patching_in_a_linear_model_adds_up() -> None:
    """To the logits, senders of the last block have only the direct path: path and activation patching are the same."""
    params = PathParams(**ANSWERS, base="corrupted")
    paths = path_patching.function(model=linear(), prompt=CLEAN, params=params, run=SilentContext())["paths"].arrays["values"]
    heads = patched(linear(), kinds=["heads"])["heads"].arrays["values"][:, -1].reshape(2, 2)
    np.testing.assert_allclose(paths[-1], heads[-1], atol=1e-4)


@pytest.mark.parametrize(
    ("field", "params"),
    [
        ("params.corrupted", {"corrupted": "a"}),
        ("params.corrupted", {"corrupted": ""}),
        ("params.corrupted", {"corrupted": CLEAN}),
        ("params.answer", {"answer": "left right"}),
        ("params.wrong", {"wrong": "left"}),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused_by_name(field: str, params: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        patched(strong(), **params)
    assert caught.value.field == field


def test_a_receiver_must_be_a_head_that_something_comes_before() -> None:
    for receiver in ("h0.1", "h7.0", "the end"):
        params = PathParams(**ANSWERS, receiver=receiver)
        with pytest.raises(InvalidInput) as caught:
            path_patching.function(model=strong(), prompt=CLEAN, params=params, run=SilentContext())
        assert caught.value.field == "params.receiver"


def test_models_that_do_not_predict_the_next_token_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        patched(micro.load_text("bert"))
    assert caught.value.field == "model"
