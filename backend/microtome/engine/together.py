"""Micro-batching: interactive runs of one model that wait together are answered by one call of their method.

Nobody waits for company: a batch is what is queued at the moment a worker is free. Each run keeps its own result, its own
cancel and its own error; when the common call fails as a whole, every run is executed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Row

from microtome.core.errors import MicrotomeError
from microtome.engine.job import Job
from microtome.methods.contract import Ask

if TYPE_CHECKING:
    from microtome.engine.execute import Worker

log = structlog.get_logger("microtome.engine")
#: Most runs in one call: enough to fill a device, few enough that the first of them does not wait long for the last.
MOST = 8


def claim_mates(worker: Worker, run: Row[Any]) -> list[Row[Any]]:
    """Claim the runs that wait and can be answered together with ``run``, an interactive one of this worker."""
    spec = worker.workshop.methods().get(run.method)
    if run.system or run.priority == 0 or spec is None or spec.batch is None:
        return []

    def alike(other: Row[Any]) -> bool:
        """It differs in its example and targets only."""
        return other.method == run.method and other.params == run.params and other.plan.get("model") == run.plan.get("model")

    return worker.runs.claim_where(worker.owner, alike, MOST - 1)


def execute_together(worker: Worker, rows: Sequence[Row[Any]], between: Callable[[], float] | None) -> None:
    """Execute claimed runs of one method, model and parameters to their ends. Never raises for what they do."""
    jobs = [Job(worker, row, between if len(rows) == 1 else None) for row in rows]
    errors: dict[str, BaseException | None] = {}
    rest = list(jobs)
    try:
        if len(jobs) > 1:
            errors = _in_one_call(worker, jobs)
            rest = [job for job in jobs if job.row.id not in errors]
    except Exception as error:
        log.warning("batch failed, each run goes alone", method=rows[0].method, runs=len(rows), error=str(error)[:300])
    for job in rest:
        errors[job.row.id] = worker.attempt(job)
    for job in jobs:
        job.end(errors[job.row.id])
    worker.tidy()


def _in_one_call(worker: Worker, jobs: Sequence[Job]) -> dict[str, BaseException | None]:
    """Answer what can be answered with one call; returns the error, or None, of every run that has ended by it."""
    errors: dict[str, BaseException | None] = {}
    first = jobs[0]
    with worker.borrow(first.row) as model:
        asks: dict[str, Ask] = {}
        for job in jobs:
            try:
                job.context.check()
                if job.missing:
                    subjects = job.subjects(model)
                    del subjects["model"]
                    asks[job.row.id] = Ask(subjects, job.context)
                else:
                    errors[job.row.id] = None  # somebody else's run stored it while this one waited
            except Exception as error:
                errors[job.row.id] = error
        asking = [job for job in jobs if job.row.id in asks]
        start = model.forward_passes
        answers = first.spec.batch(model=model, params=first.spec.parse(first.row.params), asks=list(asks.values())) if asks else []
        passes = model.forward_passes - start
    if len(answers) != len(asking):
        raise RuntimeError(f"{len(asking)} were asked, {len(answers)} answered")
    for job, answer in zip(asking, answers, strict=True):
        job.passes = passes // len(asking)
        try:
            if isinstance(answer, MicrotomeError):
                raise answer
            job.complete(answer)
            errors[job.row.id] = None
        except Exception as error:
            errors[job.row.id] = error
    return errors
