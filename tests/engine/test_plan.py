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
