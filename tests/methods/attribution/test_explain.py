"""The door that every attribution method goes through: a preview at once, then map, curves and evidence together."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution import explain as door
from microtome.methods.attribution.explain import Attribution, Call
from microtome.methods.attribution.saliency import saliency
from microtome.methods.attribution.smoothgrad import smoothgrad
from microtome.methods.registry import methods
from tests import micro
from tests.methods.attribution.calls import call_of, maps

TARGETS: list[Any] = [2, {"minus": [0, 1]}, {"layer": "stage3.0", "unit": 3}]


class Watched(SilentContext):
    def __init__(self) -> None:
        super().__init__()
        self.previews: list[Any] = []

    def emit(self, preview: Any) -> None:
        self.previews.append(preview)


def asked(run: SilentContext, **more: Any) -> Any:
    given = {"model": micro.load("resnet"), "example": micro.probe().example(0), "targets": TARGETS, "params": smoothgrad.params(samples=4)}
    return smoothgrad.function(**{**given, **more}, run=run)


def test_preview_first_then_three_results_that_speak_of_the_same_targets() -> None:
    run = Watched()
    found = asked(run)
    (preview,) = run.previews
    assert set(found) == {"map", "curves", "evidence"}
    names = ["stripe", "disc - square", "stage3.0 / 3"]
    assert found["map"].targets == preview["targets"] == names
    assert found["map"].target_indices == [2, -1, -1]
    assert found["map"].quantity == "logits or activation per unit of input"
    assert found["curves"].series == [f"{kind}: {name}" for name in names for kind in ("deletion", "insertion")]
    assert {s.group for s in found["evidence"].scores} == set(names)
    values = np.frombuffer(base64.b64decode(preview["maps"]), np.int8).reshape(preview["shape"]) / 127 * preview["scale"]
    np.testing.assert_allclose(values, found["map"].arrays["maps"], atol=preview["scale"] / 127)


def test_the_number_explained_stands_beside_its_map() -> None:
    call = call_of("resnet", TARGETS, image=micro.probe().example(0))
    with torch.inference_mode():
        logits = call.model.forward(call.inputs[:1])[0]
    score = asked(Watched())["map"].score
    assert score[0] == pytest.approx(float(logits[2]), abs=1e-6)
    assert score[1] == pytest.approx(float(logits[0] - logits[1]), abs=1e-6)


def test_a_seed_is_a_map_and_another_seed_another() -> None:
    one, same, other = (maps(smoothgrad, smoothgrad.params(samples=4, seed=s), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


def test_a_map_that_is_not_finite_is_an_error_and_emits_nothing() -> None:
    run = Watched()

    @door.attribution(
        "broken", title="Broken", params=door.ExplainParams, cite="-", quantity="{}", cost=saliency.cost, passes=lambda p: 1.0
    )  # fmt: skip
    def broken(call: Call, params: Any) -> Attribution:
        """Broken."""
        return Attribution(torch.full((len(call.targets), 64, 64), float("nan")))

    with pytest.raises(InvalidInput, match="not finite"):
        broken.function(model=micro.load("resnet"), example=micro.probe().example(0), targets=None, params=door.ExplainParams(), run=run)
    assert run.previews == []


def test_no_map_without_its_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the evidence cannot be had there is no result, whatever the preview showed."""

    def fails(*_: Any, **__: Any) -> Any:
        raise InvalidInput("The evidence could not be computed.", field="example")

    monkeypatch.setattr(door, "evidence", fails)
    with pytest.raises(InvalidInput, match="evidence"):
        asked(Watched())


def test_every_attribution_method_goes_through_the_door() -> None:
    """Whatever returns an image map about one example brings curves and a scorecard, and can be called bare."""
    for spec in methods().values():
        if "image-map" in spec.returns and "example" in spec.subjects:
            assert spec.returns == ("image-map", "curves", "scorecard"), spec.id
            assert spec.explain is not None
            assert spec.passes is not None
            assert spec.passes(spec.params()) >= 1


def test_rows_of_one_image_are_found_whether_shared_or_copied() -> None:
    call = call_of("resnet", [0, 1, 2])
    assert call.groups() == [[0, 1, 2]]
    other = torch.cat([call.inputs[:1], call.inputs[:1] + 1, call.inputs[:1]])
    assert Call(call.model, other, call.targets, call.run, 0).groups() == [[0, 2], [1]]
