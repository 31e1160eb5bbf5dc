"""Taking turns: previews of all that wait come before anybody's evidence, and others may overtake what is left."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from microtome.core.errors import InvalidInput
from microtome.engine.execute import Worker
from microtome.methods.contract import Results, method
from microtome.results import ImageMap
from tests.fakes import METHODS


class Log:
    """What happened, in order, and a way to look into the middle of a completion."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.models: set[int] = set()
        self.middle: Callable[[str], None] = lambda _: None


def _map(example: Any) -> dict[str, ImageMap]:
    maps = np.full((1, 4, 4), example.image.mean(), np.float32)
    return {"map": ImageMap(title="m", targets=["0"], target_indices=[0], quantity="q", arrays={"maps": maps})}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """The fake grad-cam in two stages."""
    seen = Log()

    def stages(*, model: Any, example: Any, targets: Any, params: Any, run: Any) -> Generator[None, None, Results]:
        name = f"{targets}"
        seen.models.add(id(model))
        model.forward_passes += 1
        if targets == [2]:
            raise InvalidInput("Class 2 has no map. Choose another.", field="targets")
        run.emit({"of": name})
        seen.lines.append(f"preview {name}")
        yield
        seen.lines.append(f"evidence {name}")
        model.forward_passes += 10
        seen.middle(name)
        run._polled = 0.0  # as if the last look at the queue were long ago
        run.check()
        seen.lines.append(f"done {name}")
        return _map(example)

    old = METHODS["grad-cam"]

    @method(
        "grad-cam", title="Grad-CAM", question="?", subjects=("model", "example"), optional_subjects=("targets",), returns=(ImageMap,),
        params=old.params, interactive=True, cite="-",
    )  # fmt: skip
    def grad_cam(**_: Any) -> Any:
        """A map."""
        raise AssertionError("a worker runs the stages")

    monkeypatch.setitem(METHODS, "grad-cam", replace(grad_cam, stages=stages))
    return seen


def ask(engine: Any, target: int, steps: int = 0) -> Any:
    params = {"steps": steps} if steps else {}
    return engine.submit("grad-cam", {"model": "fake", "example": "fake-probe:3", "targets": [target]}, params)


def test_all_previews_come_before_the_first_evidence(queue: Any, worker: Worker, log: Log) -> None:
    runs = [ask(queue, 0), ask(queue, 1), ask(queue, 0, steps=32)]
    assert worker.step()
    assert log.lines[:3] == ["preview [0]", "preview [1]", "preview [0]"]
    assert log.lines[3:] == [x for n in ("[0]", "[1]", "[0]") for x in (f"evidence {n}", f"done {n}")]
    assert len(log.models) == 1, "those that take turns share one instance of the model"
    assert [(queue.get(r.id).state, queue.get(r.id).forward_passes) for r in runs] == [("done", 11)] * 3
    assert worker.active == []


def test_an_error_or_a_cancel_is_one_runs_own(queue: Any, worker: Worker, log: Log) -> None:
    good, bad, gone = ask(queue, 0), ask(queue, 2), ask(queue, 1)
    log.middle = lambda name: queue.cancel(gone.id) if name == "[0]" else None
    assert worker.step()
    assert [queue.get(r.id).state for r in (good, bad, gone)] == ["done", "failed", "cancelled"]
    assert queue.get(bad.id).error["detail"] == "Class 2 has no map. Choose another."
    assert not queue.runs.parts([gone.id])[gone.id][0][2], "nothing is stored of a run that was cancelled after its preview"
    assert "evidence [1]" not in log.lines


def test_who_comes_later_overtakes_what_has_been_shown(queue: Any, worker: Worker, log: Log) -> None:
    first, late = ask(queue, 0), []

    def middle(name: str) -> None:
        if not late:
            late.append(ask(queue, 1))

    log.middle = middle
    assert worker.step()
    assert log.lines == ["preview [0]", "evidence [0]", "preview [1]", "evidence [1]", "done [1]", "done [0]"]
    assert {queue.get(r.id).state for r in (first, *late)} == {"done"}
    assert queue.get(first.id).seconds < 5


def test_what_has_shown_nothing_is_not_interrupted(queue: Any, worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interactive run without stages goes first to last, whoever waits."""
    old, order = METHODS["grad-cam"], []

    def whole(*, model: Any, example: Any, targets: Any, params: Any, run: Any) -> Any:
        order.append(f"begin {targets}")
        if len(order) == 1:
            ask(queue, 1)
        run._polled = 0.0
        run.check()
        order.append(f"end {targets}")
        return _map(example)

    monkeypatch.setitem(METHODS, "grad-cam", replace(old, stages=None, function=whole))
    ask(queue, 0)
    while worker.step():
        pass
    assert order == ["begin [0]", "end [0]", "begin [1]", "end [1]"]


def test_long_work_gives_way_whatever_its_priority(queue: Any, worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dissection that somebody submitted as interactive is long work all the same."""
    old = METHODS["dissection"]

    def long(*, run: Any, layers: Any, **_: Any) -> Any:
        ask(queue, 1)
        run._polled = 0.0
        run.check()
        log.lines.append("dissected")
        raise InvalidInput("That is enough.")

    monkeypatch.setitem(METHODS, "dissection", replace(old, function=long))
    queue.submit("dissection", {"model": "fake", "probe": "fake-probe"}, {}, "interactive")
    assert worker.step()
    assert log.lines == ["preview [1]", "evidence [1]", "done [1]", "dissected"]


def test_a_database_that_is_away_for_a_moment_leaves_nobody_hanging(
    queue: Any, worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(queue, 0)

    def away(*_: Any) -> Any:
        raise OperationalError("select", {}, Exception("database is locked"))

    monkeypatch.setattr(worker.runs, "claim_where", away)
    assert worker.step()
    assert queue.get(run.id).state == "done"
    assert worker.active == []


def test_a_model_that_cannot_be_read_ends_the_run(queue: Any, worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ask(queue, 0)

    def broken(source: str) -> Any:
        raise InvalidInput("The weights are gone.", field="source")

    worker.models._residents.clear()
    monkeypatch.setattr(worker.models, "_load", broken)
    assert worker.step()
    assert (queue.get(run.id).state, queue.get(run.id).error["detail"]) == ("failed", "The weights are gone.")
    assert worker.active == []
