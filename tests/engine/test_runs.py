"""Runs: cache, joining, failing, cancelling, building on others."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtome.core.errors import Conflict, InvalidInput, NotFound
from tests.fakes import METHODS, FakeModel, FakeProbe

SUBJECTS = {"model": "fake", "probe": "fake-probe"}
EXAMPLE = {"model": "fake", "example": "fake-probe:1"}


def passes(engine: Any) -> int:
    return sum(m.forward_passes for m in engine._inline.worker.workshop.models)


def test_a_stored_answer_runs_no_model(ready: Any) -> None:
    first = ready.submit("dissection", SUBJECTS)
    assert (first.state, first.cached, first.forward_passes) == ("done", False, 48)
    before = passes(ready)
    again = ready.submit("dissection", SUBJECTS, {"quantile": 0.995})  # a default spelt out is the same question
    assert (again.state, again.cached, again.forward_passes) == ("done", True, 0)
    assert passes(ready) == before
    assert ready.submit("dissection", SUBJECTS).id == again.id  # one row, however often it is asked


def test_a_changed_parameter_misses(ready: Any) -> None:
    ready.submit("dissection", SUBJECTS)
    before = passes(ready)
    run = ready.submit("dissection", SUBJECTS, {"quantile": 0.99})
    assert run.cached is False
    assert passes(ready) == before + 48


def test_only_missing_layers_are_computed(ready: Any) -> None:
    ready.submit("dissection", {**SUBJECTS, "layers": ["s1"]})
    run = ready.submit("dissection", SUBJECTS)
    assert run.forward_passes == 24
    assert [done for _, _, done in ready.runs.parts([run.id])[run.id]] == [True, True]


def test_a_changed_weight_misses_and_makes_a_new_version(engine: Any, tmp_path: Path) -> None:
    weights = tmp_path / "net.bin"
    weights.write_bytes(b"one")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.add_source("add-model", f"path:{weights}")
    subjects = {"model": "net.bin", "probe": "fake-probe"}
    old = engine.submit("dissection", subjects)
    weights.write_bytes(b"two")
    new = engine.submit("dissection", subjects)
    assert new.state == "done"
    assert new.cached is False
    assert {k for _, k, _ in engine.runs.parts([old.id])[old.id]}.isdisjoint(k for _, k, _ in engine.runs.parts([new.id])[new.id])
    assert [v.current for v in engine.sources.versions("model", "net.bin")] == [True, False]


def test_a_changed_image_misses(engine: Any, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.write_bytes(b"one")
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", f"path:{images}")
    subjects = {"model": "fake", "probe": "images"}
    engine.submit("dissection", subjects)
    images.write_bytes(b"two")
    assert engine.submit("dissection", subjects).cached is False
    example = engine.submit("grad-cam", {"model": "fake", "example": "images:3"})
    assert example.cached is False
    assert engine.submit("grad-cam", {"model": "fake", "example": "images:3"}).cached is True
    images.write_bytes(b"three")
    assert engine.submit("grad-cam", {"model": "fake", "example": "images:3"}).cached is False


def test_failure_keeps_the_reason_and_no_result(ready: Any) -> None:
    run = ready.submit("broken", {"model": "fake"})
    assert run.state == "failed"
    assert "the cable is out" in run.error["detail"]
    assert "Traceback" not in run.error["detail"]
    [(_, key, done)] = ready.runs.parts([run.id])[run.id]
    assert not done
    with pytest.raises(NotFound):
        ready.results.head(key)


def test_a_run_computes_what_it_builds_on_first(ready: Any) -> None:
    run = ready.submit("unit-map", SUBJECTS)
    assert run.state == "done"
    methods = [r.method for r in ready.runs.page(state="done", model="fake", method=None, before=None, limit=9)]
    assert methods[:2] == ["unit-map", "dissection"]
    head = ready.results.head(ready.runs.parts([run.id])[run.id][0][1])
    assert len(head.builds_on) == 2


def test_cancel_stops_the_run_and_keeps_complete_layers(ready: Any) -> None:
    seen: dict[str, Any] = {}

    def submit() -> None:
        seen["run"] = ready.submit("dissection", SUBJECTS, {"wait": 1.0})

    thread = threading.Thread(target=submit)
    thread.start()
    for _ in range(200):
        rows = ready.runs.page(state="running", model="fake", method="dissection", before=None, limit=1)
        if rows and any(done for _, _, done in ready.runs.parts([rows[0].id])[rows[0].id]):
            break
        time.sleep(0.02)
    ready.cancel(rows[0].id)
    thread.join(5)
    assert seen["run"].state == "cancelled"
    assert [done for _, _, done in ready.runs.parts([rows[0].id])[rows[0].id]] == [True, False]
    with pytest.raises(Conflict):
        ready.cancel(rows[0].id)


def test_the_second_of_two_equal_questions_joins(make_engine: Any, settings: Any, ready: Any) -> None:
    idle = make_engine(settings, "none", store=ready.store)
    first = idle.submit("dissection", SUBJECTS, {"seed": 7})
    second = idle.submit("dissection", SUBJECTS, {"seed": 7}, "interactive")
    assert first.id == second.id
    assert second.priority == 1  # the more urgent of the two counts
    assert idle.runs.place(idle.get(first.id)) == 1


def test_interactive_runs_overtake(ready: Any, settings: Any, make_engine: Any) -> None:
    idle = make_engine(settings, "none", store=ready.store)
    batch = idle.submit("dissection", SUBJECTS, {"wait": 1.0})
    waiting = idle.submit("dissection", SUBJECTS, {"seed": 5})
    quick = idle.submit("grad-cam", {"model": "fake", "example": "fake-probe:1"})
    assert [idle.runs.place(idle.get(r.id)) for r in (quick, batch, waiting)] == [1, 2, 3]
    idle.cancel(quick.id)
    loaded = FakeModel.loaded
    thread = threading.Thread(target=ready._worker().finish, args=(batch.id,))
    thread.start()
    time.sleep(0.3)
    late = idle.submit("grad-cam", {"model": "fake", "example": "fake-probe:2"})
    done = idle.wait(late.id, 5)
    assert done.state == "done"
    assert idle.get(batch.id).state == "running"  # answered in the middle of the long run
    assert idle.get(waiting.id).state == "queued"
    assert FakeModel.loaded > loaded  # by another instance of the model
    thread.join(10)
    assert idle.get(batch.id).state == "done"


@pytest.mark.parametrize(
    ("method", "subjects", "params", "field", "error"),
    [
        ("dissection", {"model": "nothing", "probe": "fake-probe"}, {}, "subjects.model", NotFound),
        ("dissection", {"model": "fake", "probe": "nothing"}, {}, "subjects.probe", NotFound),
        ("dissection", {"model": "fake"}, {}, "subjects.probe", InvalidInput),
        ("dissection", {**SUBJECTS, "layers": ["stage9"]}, {}, "subjects.layers", NotFound),
        ("dissection", {**SUBJECTS, "targets": [1]}, {}, "subjects.targets", InvalidInput),
        ("dissection", SUBJECTS, {"quantile": 2}, "params.quantile", InvalidInput),
        ("dissection", SUBJECTS, {"quantile": "x"}, "params.quantile", InvalidInput),
        ("dissection", SUBJECTS, {"quantil": 0.9}, "params.quantil", InvalidInput),
        ("nothing", SUBJECTS, {}, "method", NotFound),
        ("ablate-units", {**SUBJECTS, "units": {"layer": "s1", "indices": [6]}}, {}, "subjects.units.indices", InvalidInput),
        ("ablate-units", {**SUBJECTS, "units": {"layer": "s7", "indices": [1]}}, {}, "subjects.units.layer", NotFound),
        ("grad-cam", {"model": "fake", "example": "fake-probe:24"}, {}, "subjects.example", InvalidInput),
        ("grad-cam", {"model": "fake", "example": "seven"}, {}, "subjects.example", InvalidInput),
        ("grad-cam", {"model": "fake", "example": "upload:" + "0" * 64}, {}, "subjects.example", NotFound),
        ("grad-cam", {"model": "fake", "example": "fake-probe:1", "targets": [3]}, {}, "subjects.targets", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [0, {"minus": [1, 1]}]}, {}, "subjects.targets.1.minus", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"minus": [0, 3]}]}, {}, "subjects.targets.0.minus", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"layer": "s7", "unit": 1}]}, {}, "subjects.targets.0.layer", NotFound),
        ("grad-cam", {**EXAMPLE, "targets": [{"layer": "s1", "unit": 6}]}, {}, "subjects.targets.0.unit", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"layer": "s1", "unit": 1, "site": [8, 0]}]}, {}, "subjects.targets.0.site", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"layer": "s1", "weights": {"6": 1}}]}, {}, "subjects.targets.0.weights", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"layer": "s1", "weights": {"1": 0}}]}, {}, "subjects.targets.0.weights", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [1, {"like": "fake-probe:24"}]}, {}, "subjects.targets.1.like", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"like": "seven"}]}, {}, "subjects.targets.0.like", InvalidInput),
        ("grad-cam", {**EXAMPLE, "targets": [{"like": "nothing:1"}]}, {}, "subjects.targets.0.like", NotFound),
        ("grad-cam", {**EXAMPLE, "targets": [{"like": "upload:" + "0" * 64}]}, {}, "subjects.targets.0.like", NotFound),
        ("grad-cam", {**EXAMPLE, "targets": [{"like": "fake-probe:2", "layer": "s7"}]}, {}, "subjects.targets.0.layer", NotFound),
    ],
)
def test_bad_requests_name_the_field(ready: Any, method: str, subjects: Any, params: Any, field: str, error: type) -> None:
    with pytest.raises(error) as caught:
        ready.submit(method, subjects, params)
    assert caught.value.field == field
    assert len(caught.value.detail) > 20


def test_one_target_has_one_key_however_it_is_written(ready: Any) -> None:
    """Layers by name or label, weights in any order, repetitions: the same question."""
    one = [1, {"layer": "s1", "unit": 2}, {"layer": "stage1", "weights": {"4": 1.5, "0": -1}}]
    other = [1, 1, {"layer": "stage1", "unit": 2}, {"layer": "s1", "weights": {"0": -1.0, "3": 0, "4": 1.5}}]
    runs = [ready.submit("grad-cam", {**EXAMPLE, "targets": targets}) for targets in (one, other, [1, {"layer": "s1", "unit": 3}])]
    keys = [ready.runs.parts([run.id])[run.id][0][1] for run in runs]
    assert keys[0] == keys[1] != keys[2]
    assert runs[0].subjects["targets"] == [
        1, {"layer": "stage1", "unit": 2}, {"layer": "stage1", "weights": {"0": -1.0, "4": 1.5}}
    ]  # fmt: skip


def test_an_image_that_is_compared_with_is_part_of_the_key_and_reaches_the_method(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old, seen = METHODS["grad-cam"], []

    def noting(*, targets: Any, **others: Any) -> Any:
        seen.append(targets)
        return old.function(targets=[1], **others)

    monkeypatch.setitem(METHODS, "grad-cam", replace(old, function=noting))
    asked = [
        [{"like": "fake-probe:2", "layer": None}, 1], [{"like": "fake-probe:02"}, 1], [{"like": "fake-probe:3"}, 1],
        [{"like": "fake-probe:2", "layer": "s1"}, 1],
    ]  # fmt: skip
    runs = [ready.submit("grad-cam", {**EXAMPLE, "targets": targets}) for targets in asked]
    keys = [ready.runs.parts([run.id])[run.id][0][1] for run in runs]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert runs[0].subjects["targets"] == [{"like": "fake-probe:2"}, 1]
    assert runs[3].subjects["targets"][0] == {"like": "fake-probe:2", "layer": "stage1"}
    wanted = [FakeProbe("builtin:fake-probe").image(i) for i in (2, 3, 2)]  # the second question was the first
    assert len(seen) == 3
    for targets, image in zip(seen, wanted, strict=True):
        np.testing.assert_array_equal(targets[0]["example"].image, image)
        assert targets[1] == 1


def test_adding_the_same_source_twice_keeps_one(ready: Any) -> None:
    ready.add_source("add-model", "builtin:fake")
    assert [r.slug for r in ready.sources.all("model")] == ["fake"]


def test_a_source_that_cannot_be_read_fails_with_the_reason(ready: Any, tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"x")
    run = ready.add_source("add-model", f"path:{tmp_path / 'broken'}")
    assert run.state == "failed"
    assert "not an image classifier" in run.error["detail"]
    with pytest.raises(NotFound):
        ready.add_source("add-model", f"path:{tmp_path / 'absent'}")


def test_estimate_writes_nothing(ready: Any) -> None:
    cost = ready.estimate("dissection", SUBJECTS)
    assert cost["cached"] is False
    assert cost["seconds"] == pytest.approx(2 * 24 / 100)
    assert cost["layers"] == 2
    assert not ready.runs.page(state=None, model="fake", method="dissection", before=None, limit=5)
    ready.submit("dissection", SUBJECTS)
    assert ready.estimate("dissection", SUBJECTS)["cached"] is True
