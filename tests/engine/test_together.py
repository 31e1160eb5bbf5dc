"""Micro-batching: runs that wait together are answered by one call, each with its own result, cancel and error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.engine.execute import Worker
from microtome.engine.together import MOST
from microtome.methods.contract import Ask, MethodParams, alone, method
from microtome.methods.registry import get_method
from microtome.probes import open_probe
from microtome.results import ImageMap, Scorecard
from microtome.store import tables
from tests import micro
from tests.fakes import METHODS, FakeModel

#: Largest difference of a batched answer, in parts of the answer's largest value: sums in float32 are taken in another order.
TOLERANCE = 1e-5
SUBJECTS = {"model": "fake", "probe": "fake-probe"}


class Calls:
    """Counts the calls of a batched method, and lets a test look into the middle of one."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.middle: Callable[[], None] = lambda: None
        self.broken = False


def _answer(example: Any, targets: list[int] | None) -> dict[str, ImageMap]:
    chosen = targets or [0]
    maps = np.stack([np.full((4, 4), example.image.mean() + t, np.float32) for t in chosen])
    return {"map": ImageMap(title="m", targets=[str(t) for t in chosen], target_indices=chosen, quantity="q", arrays={"maps": maps})}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The fake grad-cam, able to answer several runs with one call."""
    seen = Calls()

    def together(*, model: Any, params: Any, asks: list[Ask]) -> list[Any]:
        seen.sizes.append(len(asks))
        model.forward_passes += len(asks)
        seen.middle()
        if seen.broken and len(asks) > 1:
            raise RuntimeError("this cannot be batched")
        out: list[Any] = []
        for ask in asks:
            try:
                ask.run.check()
                if ask.subjects["targets"] == [2]:
                    raise InvalidInput("Class 2 has no map. Choose another.", field="targets")
                out.append(_answer(ask.subjects["example"], ask.subjects["targets"]))
            except (InvalidInput, RunCancelled) as error:
                out.append(error)
        return out

    old = METHODS["grad-cam"]

    @method(
        "grad-cam", title="Grad-CAM", question="?", subjects=("model", "example"), optional_subjects=("targets",), returns=(ImageMap,),
        params=old.params, interactive=True, cite="-", batch=together,
    )  # fmt: skip
    def grad_cam(*, model: Any, example: Any, targets: Any, params: Any, run: Any) -> Any:
        """A map."""
        return alone(together, model=model, params=params, run=run, example=example, targets=targets)

    monkeypatch.setitem(METHODS, "grad-cam", grad_cam)
    return seen


def ask(engine: Any, example: int, **more: Any) -> Any:
    targets = {"targets": more.pop("targets")} if "targets" in more else {}
    return engine.submit("grad-cam", {"model": "fake", "example": f"fake-probe:{example}", **targets}, more)


def maps_of(engine: Any, id: str) -> np.ndarray:
    [(_, key, _)] = engine.runs.parts([id])[id]
    return np.asarray(engine.results.load(key)["map"].arrays["maps"])


def test_what_waits_together_is_answered_together(queue: Any, worker: Worker, calls: Calls) -> None:
    runs = [ask(queue, i, targets=[i % 2]) for i in range(5)]
    assert worker.step()
    assert calls.sizes == [5]
    assert not worker.step()
    probe = worker.workshop.open_probe("builtin:fake-probe")
    for i, run in enumerate(runs):
        done = queue.get(run.id)
        assert (done.state, done.forward_passes, done.owner, done.attempts) == ("done", 1, None, 1)
        expected = _answer(probe.example(i), [i % 2])["map"].arrays["maps"]
        np.testing.assert_array_equal(maps_of(queue, run.id), expected)


def test_a_batch_has_an_end(queue: Any, worker: Worker, calls: Calls) -> None:
    runs = [ask(queue, i) for i in range(MOST + 3)]
    while worker.step():
        pass
    assert calls.sizes == [MOST, 3]
    assert {queue.get(r.id).state for r in runs} == {"done"}


def test_other_parameters_models_and_methods_stay_apart(queue: Any, worker: Worker, calls: Calls) -> None:
    ask(queue, 1)
    ask(queue, 2, steps=32)
    ask(queue, 3)
    queue.submit("dissection", SUBJECTS)
    worker.step()
    assert calls.sizes == [2]  # 1 and 3
    worker.step()
    assert calls.sizes == [2, 1]
    assert queue.runs.counts() == {"queued": 1, "running": 0}


def test_batch_priority_is_not_drawn_in(queue: Any, worker: Worker, calls: Calls) -> None:
    subjects = {"model": "fake", "example": "fake-probe:9"}
    slow = queue.submit("grad-cam", subjects, {}, "batch")
    ask(queue, 1)
    worker.step()
    assert calls.sizes == [1]
    assert queue.get(slow.id).state == "queued"


def test_one_error_is_one_runs_own(queue: Any, worker: Worker, calls: Calls) -> None:
    good, bad, fine = ask(queue, 1), ask(queue, 2, targets=[2]), ask(queue, 3)
    worker.step()
    assert calls.sizes == [3]
    assert [queue.get(r.id).state for r in (good, bad, fine)] == ["done", "failed", "done"]
    assert queue.get(bad.id).error["detail"] == "Class 2 has no map. Choose another."
    assert queue.get(bad.id).error["field"] == "targets"
    assert not queue.runs.parts([bad.id])[bad.id][0][2]


def test_a_cancel_in_the_middle_reaches_one_run(queue: Any, worker: Worker, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microtome.engine.context.POLL", 0.0)
    runs = [ask(queue, i) for i in range(3)]
    calls.middle = lambda: queue.cancel(runs[1].id) and None
    worker.step()
    assert [queue.get(r.id).state for r in runs] == ["done", "cancelled", "done"]
    assert not queue.runs.parts([runs[1].id])[runs[1].id][0][2]


def test_when_the_common_call_fails_each_goes_alone(queue: Any, worker: Worker, calls: Calls) -> None:
    calls.broken = True
    runs = [ask(queue, i) for i in range(3)]
    worker.step()
    assert calls.sizes == [3, 1, 1, 1]
    assert {queue.get(r.id).state for r in runs} == {"done"}
    assert worker.active == []


def test_a_missing_upload_fails_alone(queue: Any, worker: Worker, calls: Calls) -> None:
    folder = queue.store.data_dir / "uploads" / "ab"
    folder.mkdir(parents=True)
    sha256 = "ab" + "0" * 62
    (folder / sha256).write_bytes(b"\x07")
    with queue.store.write() as connection:
        connection.execute(tables.upload.insert().values(sha256=sha256, width=1, height=1, bytes=1, created="2026-01-01T00:00:00Z"))
    gone = queue.submit("grad-cam", {"model": "fake", "example": f"upload:{sha256}"}, {})
    good = ask(queue, 1)
    (folder / sha256).unlink()
    worker.step()
    assert calls.sizes == [1]
    assert queue.get(good.id).state == "done"
    assert "Upload the image again" in queue.get(gone.id).error["detail"]


def test_many_askers_at_once(queue: Any, worker: Worker, calls: Calls) -> None:
    """Threads submit while the worker works: all are answered, in fewer calls than questions, by one loaded model."""
    loaded = FakeModel.loaded
    done: list[Any] = []

    def person(seed: int) -> None:
        for i in range(4):
            done.append(queue.wait(ask(queue, (seed * 4 + i) % 24, steps=7).id, 30))

    threads = [threading.Thread(target=person, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        worker.step()
    assert len(done) == 24
    assert {r.state for r in done} == {"done"}
    assert sum(calls.sizes) == 24
    assert len(calls.sizes) < 24
    assert FakeModel.loaded <= loaded + 1


def test_only_what_can_be_batched_may_say_so() -> None:
    with pytest.raises(ValueError, match="cannot be batched"):
        method(
            "odd", title="", question="", subjects=("model", "probe"), returns=(Scorecard,), cite="", batch=lambda **_: [],
            params=MethodParams,
        )(lambda **_: {})  # fmt: skip


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_batched_answers_equal_single_ones(family: str) -> None:
    spec, model = get_method("predict"), micro.load(family)
    probe, params = open_probe("builtin:tinyplaces"), spec.params()

    def values_of(results: Any) -> np.ndarray:
        return np.array([s.value for s in results["prediction"].scores])

    for count in (1, 3, MOST):
        asks = [{"example": probe.example(i)} for i in range(count)]
        together = spec.batch(model=model, params=params, asks=[Ask(a, SilentContext()) for a in asks])  # type: ignore[misc]
        for one, answer in zip(asks, together, strict=True):
            wanted = values_of(spec.function(model=model, params=params, run=SilentContext(), **one))
            np.testing.assert_allclose(values_of(answer), wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())


def test_an_image_without_a_finite_answer_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, model, probe = get_method("predict"), micro.load("resnet"), open_probe("builtin:tinyplaces")
    forward = type(model).forward

    def spoiled(self: Any, inputs: Any) -> Any:
        logits = forward(self, inputs).clone()
        logits[1] = float("nan")
        return logits

    monkeypatch.setattr(type(model), "forward", spoiled)
    asks = [Ask({"example": probe.example(i)}, SilentContext()) for i in range(3)]
    first, second, third = spec.batch(model=model, params=spec.params(), asks=asks)  # type: ignore[misc]
    assert isinstance(second, InvalidInput)
    assert "not finite" in second.detail
    assert {first["prediction"].kind, third["prediction"].kind} == {"scorecard"}


def test_answers_together_stay_within_the_cache(queue: Any, worker: Worker, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[int] = []
    monkeypatch.setattr("microtome.engine.execute.evict", lambda store, bound: bounds.append(bound))
    runs = [ask(queue, i) for i in range(3)]
    worker.step()
    assert bounds == [worker.settings.cache_bytes]
    assert {queue.get(r.id).state for r in runs} == {"done"}


def test_an_eviction_that_fails_fails_no_run(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("microtome.engine.execute.evict", refuse)
    assert ready.submit("dissection", SUBJECTS).state == "done"
