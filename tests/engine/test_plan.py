"""Plans: what makes two questions different."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from microtome.core.errors import NotFound


def test_a_question_about_another_method_is_asked_anew_when_that_one_changes(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = copy.deepcopy(ready.planner.manifests.read())
    manifests["predictions"]["params"] = {
        "type": "object", "properties": {"method": {"type": "string", "default": "grad-cam", "format": "method"}},
    }  # fmt: skip
    monkeypatch.setattr(ready.planner.manifests, "read", lambda: manifests)
    subjects = {"model": "fake", "probe": "fake-probe"}

    def keys(**params: Any) -> list[str]:
        return ready.planner.plan("predictions", subjects, params).keys

    before = keys()
    assert keys(method="grad-cam") == before
    assert keys(method="broken") != before
    manifests["grad-cam"]["version"] = "another"
    assert keys() != before
    with pytest.raises(NotFound) as caught:
        keys(method="no-such-method")
    assert caught.value.field == "params.method"


def test_so_is_one_about_several_methods_when_any_of_them_changes(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = copy.deepcopy(ready.planner.manifests.read())
    methods = {"type": "array", "items": {"type": "string", "format": "method"}, "default": ["grad-cam", "broken"]}
    manifests["predictions"]["params"] = {"type": "object", "properties": {"methods": methods}}
    monkeypatch.setattr(ready.planner.manifests, "read", lambda: manifests)
    subjects = {"model": "fake", "probe": "fake-probe"}

    def keys(**params: Any) -> list[str]:
        return ready.planner.plan("predictions", subjects, params).keys

    before, alone = keys(), keys(methods=["grad-cam"])
    assert keys(methods=["grad-cam", "broken"]) == before != alone
    manifests["broken"]["version"] = "another"
    assert keys() != before
    assert keys(methods=["grad-cam"]) == alone
    with pytest.raises(NotFound) as caught:
        keys(methods=["broken", "no-such-method"])
    assert caught.value.field == "params.methods.1"


def test_a_question_about_methods_costs_what_their_maps_cost(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """(own passes + maps x (passes of each method with the parameters given)) x times x examples over the measured speed."""
    manifests = copy.deepcopy(ready.planner.manifests.read())
    named, grad_cam, broken = manifests["predictions"], manifests["grad-cam"], manifests["broken"]
    methods = {"type": "array", "items": {"type": "string", "format": "method"}, "default": ["grad-cam"]}
    named["params"] = {
        "type": "object",
        "properties": {"methods": methods, "images": {"default": 4}, "method_params": {"type": "object", "default": {}}},
    }
    named["cost"] |= {"passes": 10.0, "times": "images", "maps": 9.0, "per_probe": False, "capture": []}
    grad_cam["cost"] |= {"passes": 1.5, "times": ""}
    broken["params"], broken["cost"] = {"properties": {"samples": {"default": 8}}}, broken["cost"] | {"passes": 3.0, "times": "samples"}
    monkeypatch.setattr(ready.planner.manifests, "read", lambda: manifests)

    def seconds(**params: Any) -> float:
        return float(ready.estimate("predictions", {"model": "fake", "probe": "fake-probe"}, params)["seconds"])

    speed = 100
    assert seconds() == pytest.approx((10 + 9 * 1.5) * 4 / speed)
    assert seconds(methods=["grad-cam", "broken"]) == pytest.approx((10 + 9 * (1.5 + 3 * 8)) * 4 / speed)
    asked = {"methods": ["broken"], "method_params": {"broken": {"samples": 32}}, "images": 2}
    assert seconds(**asked) == pytest.approx((10 + 9 * 3 * 32) * 2 / speed)
