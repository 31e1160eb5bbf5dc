"""Stored results computed again: the same comes out, or it is said how far it lies; changed things are another question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtome.engine.plan import newest_result
from microtome.results import Curves, Scorecard
from microtome.results.compare import compared
from tests import fakes

ABOUT = {"model": "fake", "probe": "fake-probe"}
IOU = {"item": "units", "row": 3, "column": "best_iou"}


def numbers(engine: Any, key: str) -> Any:
    return engine.results.load(key)["numbers"].scores


def test_the_same_question_gives_the_same(ready: Any) -> None:
    run = ready.submit("dissection", ABOUT)
    keys = dict((part, key) for part, key, _ in ready.runs.parts([run.id])[run.id])
    [first, second] = ready.check(list(keys.values()), {keys["stage1"]: [IOU]})
    assert first.mode == second.mode == "again"
    assert first.run == second.run, "the parts of one question are one run"
    row = ready.get(first.run)
    assert (row.state, row.method, row.system) == ("done", "check", True)
    found = ready.results.load(first.now)
    assert found["differences"].facts["identical"] is True
    assert {s.value for s in found["differences"].scores} == {0.0}
    stored = ready.results.load(keys["stage1"])["units"].column("best_iou")[3]
    assert [s.value for s in found["numbers"].scores] == [pytest.approx(stored)]
    newest = newest_result(ready.store, "dissection", None, row.plan["hashes"]["model"], row.plan["hashes"]["probe"])
    assert newest is not None
    assert newest.key in keys.values(), "a comparison is no result of the model"


def test_it_is_computed_not_read(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready.submit("dissection", ABOUT)
    key = ready.runs.parts([run.id])[run.id][0][1]
    honest = fakes.layer_results

    def other(name: str, units: int, size: int, params: Any, examples: int) -> Any:
        results = honest(name, units, size, params, examples)
        table = results["units"]
        place = [c.name for c in table.columns if c.type == "number"].index("best_iou")
        table.arrays["numbers"][place] *= 1.01
        return results

    monkeypatch.setattr(fakes, "layer_results", other)
    [again] = ready.check([key], {key: [IOU]})
    facts = ready.results.load(again.now)["differences"].facts
    assert facts["identical"] is False
    assert 0 < facts["largest"] < 0.01
    then = ready.results.load(key)["units"].column("best_iou")[3]
    assert numbers(ready, again.now)[0].value == pytest.approx(1.01 * then)


def test_what_it_is_built_on_is_what_it_was(ready: Any) -> None:
    ready.submit("dissection", ABOUT)
    run = ready.submit("unit-map", ABOUT)
    key = ready.runs.parts([run.id])[run.id][0][1]
    ready.submit("dissection", ABOUT, {"quantile": 0.99})  # a newer dissection, which a new map would be built on
    [again] = ready.check([key])
    assert again.mode == "again"
    assert ready.results.load(again.now)["differences"].facts["identical"] is True


def test_changed_weights_are_another_question(ready: Any, tmp_path: Any) -> None:
    file = tmp_path / "weights"
    file.write_text("one")
    ready.add_source("add-model", f"path:{file}", "mine")
    run = ready.submit("dissection", {"model": "mine", "probe": "fake-probe"})
    key = ready.runs.parts([run.id])[run.id][0][1]
    file.write_text("two")
    [anew] = ready.check([key])
    assert anew.mode == "anew"
    assert anew.now != key
    assert ready.results.head(anew.now).method == "dissection"
    file.unlink()
    [gone] = ready.check([key])
    assert gone.mode == "refused"
    assert gone.why


def test_what_cannot_be_found_is_refused(ready: Any) -> None:
    [gone] = ready.check(["0" * 64])
    assert gone.mode == "refused"
    assert "no result" in gone.why


def test_a_failure_is_a_failed_run(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready.submit("dissection", ABOUT)
    key = ready.runs.parts([run.id])[run.id][0][1]

    def broken(*args: Any) -> Any:
        raise RuntimeError("the cable is out")

    monkeypatch.setattr(fakes, "layer_results", broken)
    [again] = ready.check([key])
    assert ready.get(again.run).state == "failed"
    assert not ready.results.stored([again.now])


def curve(values: Any) -> dict[str, Any]:
    y = np.array([values], np.float32)
    return {"c": Curves(title="c", series=["a"], x_axis="x", y_axis="y", arrays={"x": np.arange(y.shape[1], dtype=np.float32), "y": y})}


def test_the_distance_is_relative_and_says_what_has_none() -> None:
    then, now = curve([3, 4]), curve([3, 4.5])
    [differences, _] = compared(then, now).values()
    assert isinstance(differences, Scorecard)
    assert {s.name: s.value for s in differences.scores} == {"c.x": 0.0, "c.y": pytest.approx(0.1)}
    [differences, _] = compared(then, curve([3, np.nan])).values()
    assert {s.name: s.value for s in differences.scores}["c.y"] is None
    assert differences.facts["not comparable"] == 1
    [differences, _] = compared(then, {}).values()
    assert differences.facts["identical"] is False
    renamed = curve([3, 4])
    renamed["c"].title = "d"
    [differences, _] = compared(then, renamed).values()
    assert differences.facts["documents differ at"] == "c.title"
    assert differences.facts["largest"] == 0.0


def scored(value: float, low: float | None = None, high: float | None = None, name: str = "a") -> dict[str, Any]:
    return {"s": Scorecard(title="s", scores=[Scorecard.Score(name=name, value=value, low=low, high=high)], facts={"seconds": value})}


@pytest.mark.parametrize(
    ("then", "now", "apart"),
    [
        (scored(0.5), scored(0.9), 0.8),
        (scored(0.001, -0.1, 0.1), scored(0.002, -0.1, 0.1), 0.01),  # near zero, how far it is known is the scale
        (scored(0.0), scored(0.1), None),
        (scored(0.5), scored(0.5, 0.4, 0.6), None),
        (scored(0.5), scored(0.5, name="b"), None),
    ],
)
def test_scores_are_compared_although_they_are_no_arrays(then: Any, now: Any, apart: float | None) -> None:
    [differences, _] = compared(then, now).values()
    assert isinstance(differences, Scorecard)
    assert {s.name: s.value for s in differences.scores} == {"s": None if apart is None else pytest.approx(apart)}
    assert differences.facts["identical"] is False
    assert differences.facts["not comparable"] == (apart is None)


def test_facts_about_computing_and_large_numbers_are_no_difference() -> None:
    then, now = scored(0.5), scored(0.5)
    now["s"].facts["seconds"] = 9.0
    [differences, _] = compared(then, now).values()
    assert isinstance(differences, Scorecard)
    assert (differences.facts["identical"], differences.scores) == (True, [])
    large = curve([0, 0])
    large["c"].arrays["y"] = np.array([[1e300, 1e300]])
    twice = curve([0, 0])
    twice["c"].arrays["y"] = np.array([[2e300, 2e300]])
    [differences, _] = compared(large, twice).values()
    assert isinstance(differences, Scorecard)
    assert {s.name: s.value for s in differences.scores}["c.y"] == pytest.approx(1.0)
