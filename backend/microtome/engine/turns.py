"""Taking turns: interactive runs whose methods show something early show it one after the other before any of them goes on.

A method with stages first emits a preview (a map), then computes what completes its result (the evidence). Of several that wait
on one model, each is advanced to its preview; then they are completed in order. They share one instance of the model, since none
of them has hooks on it where it stops. While one is being completed, other interactive runs may overtake it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from microtome.engine.job import Job
from microtome.methods.contract import Results

if TYPE_CHECKING:
    from microtome.engine.execute import Worker

log = structlog.get_logger("microtome.engine")
#: Most runs under way at once.
MOST = 16
Stages = Generator[None, None, Results]


def has_stages(worker: Worker, run: Row[Any]) -> bool:
    spec = worker.workshop.methods().get(run.method)
    return not run.system and run.priority > 0 and spec is not None and spec.stages is not None


def execute_in_turns(worker: Worker, row: Row[Any], between: Callable[[], float] | None) -> None:
    """Execute a claimed run, and those with stages that wait on the same model, to their ends. Never raises for what they do."""
    with ExitStack() as borrowed:
        try:
            model = borrowed.enter_context(worker.borrow(row))
        except Exception as error:
            Job(worker, row, None).end(error)
            return
        shown: list[tuple[Job, Stages, float]] = []  # and since when they stand still
        taken, rows = 0, [row]
        while rows:
            taken += len(rows)
            for each in rows:
                job = Job(worker, each, between)
                stages = _begin(job, model)
                if stages is not None:
                    shown.append((job, stages, time.monotonic()))
            rows = _waiting(worker, row, MOST - taken)
        for job, stages, since in shown:
            job.context.stood_still(time.monotonic() - since)
            _complete(job, stages, model)
    worker.tidy()


def _waiting(worker: Worker, row: Row[Any], limit: int) -> list[Row[Any]]:
    """Claim the runs that can take turns with ``row``. A database that is away for a moment must not leave begun ones hanging."""

    def alike(other: Row[Any]) -> bool:
        return has_stages(worker, other) and other.plan.get("model") == row.plan.get("model")

    try:
        return worker.runs.claim_where(worker.owner, alike, limit)
    except SQLAlchemyError as error:
        log.warning("nobody is asked to take turns", error=str(error)[:300])
        return []


def _begin(job: Job, model: Any) -> Stages | None:
    """Advance a run to its preview; None where it has ended already."""
    start = model.forward_passes
    error: BaseException | None = None
    try:
        job.context.check()
        if job.missing:  # else somebody else's run stored it while this one waited
            stages: Stages = job.spec.stages(**job.subjects(model), params=job.spec.parse(job.row.params), run=job.context)
            next(stages)
            return stages
    except StopIteration as stop:
        error = _store(job, stop.value)
    except Exception as raised:
        error = raised
    finally:
        job.passes += model.forward_passes - start
    job.end(error)
    return None


def _complete(job: Job, stages: Stages, model: Any) -> None:
    start = model.forward_passes
    error: BaseException | None = None
    try:
        job.context.check()
        while True:
            next(stages)
    except StopIteration as stop:
        error = _store(job, stop.value)
    except Exception as raised:
        error = raised
    finally:
        stages.close()
        job.passes += model.forward_passes - start
    job.end(error)


def _store(job: Job, results: Results) -> BaseException | None:
    try:
        job.complete(results)
    except Exception as error:
        return error
    return None
