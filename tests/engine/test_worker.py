"""The worker process: killed in the middle, and the run goes on."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from microtome.engine.supervisor import Supervisor

SUBJECTS = {"model": "fake", "probe": "fake-probe"}


@pytest.fixture
def watched(any_settings: Any, make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine with a supervised worker process that uses the fakes."""
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    engine = make_engine(any_settings, "none")
    supervisor = Supervisor(any_settings.model_copy(update={"device": "cpu"}), engine.store, ("--workshop", "tests.fakes:make_workshop"))
    supervisor.start()
    yield engine, supervisor
    supervisor.stop()


def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_kill_9_in_the_middle_loses_nothing(watched: Any) -> None:
    engine, supervisor = watched
    for method, source in (("add-model", "builtin:fake"), ("add-probe", "builtin:fake-probe")):
        assert engine.wait(engine.add_source(method, source).id, 30).state == "done"
    run = engine.submit("dissection", SUBJECTS, {"wait": 1.5})
    until(lambda: [d for _, _, d in engine.runs.parts([run.id])[run.id]] == [True, False])
    [pid] = supervisor.pids
    os.kill(pid, signal.SIGKILL)
    done = engine.wait(run.id, 40)
    assert done.state == "done"
    assert done.attempts == 2
    assert done.forward_passes == 24  # the layer that was complete was not computed again
    assert supervisor.pids != [pid]


def test_a_worker_that_is_stopped_gives_its_run_back(watched: Any) -> None:
    engine, supervisor = watched
    for method, source in (("add-model", "builtin:fake"), ("add-probe", "builtin:fake-probe")):
        engine.wait(engine.add_source(method, source).id, 30)
    run = engine.submit("dissection", SUBJECTS, {"wait": 30.0})
    until(lambda: engine.get(run.id).state == "running")
    supervisor.stop()
    assert engine.get(run.id).state == "queued"
    assert engine.get(run.id).attempts == 0


def test_cancel_reaches_the_worker(watched: Any) -> None:
    engine, _ = watched
    for method, source in (("add-model", "builtin:fake"), ("add-probe", "builtin:fake-probe")):
        engine.wait(engine.add_source(method, source).id, 30)
    run = engine.submit("dissection", SUBJECTS, {"wait": 30.0})
    until(lambda: engine.get(run.id).state == "running")
    assert engine.get(run.id).progress is None or engine.get(run.id).progress["total"] == 2
    engine.cancel(run.id)
    assert engine.wait(run.id, 5).state == "cancelled"
