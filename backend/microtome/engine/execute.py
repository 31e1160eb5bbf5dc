"""Executing runs: the only module of the engine beside ``worker`` that brings torch into the process."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from microtome.core.errors import Conflict, Unavailable
from microtome.core.settings import Settings
from microtome.engine import check, import_run, imports, system
from microtome.engine.job import Job
from microtome.engine.plan import pass_key
from microtome.engine.probes import OpenProbes
from microtome.engine.residency import Residency, default_budget
from microtome.engine.together import claim_mates, execute_together
from microtome.engine.turns import execute_in_turns, has_stages
from microtome.engine.workshop import Workshop
from microtome.store import Store
from microtome.store.events import EventRepository
from microtome.store.eviction import evict
from microtome.store.results import ResultRepository
from microtome.store.runs import OPEN, RunRepository
from microtome.store.sources import SourceRepository

log = structlog.get_logger("microtome.engine")


#: Runs that may be interrupted at a time, one by the other: a batch run, and an interactive one that has shown its preview.
DEPTH = 2


class Worker:
    """Executes runs of one queue on one device."""

    def __init__(self, settings: Settings, store: Store, workshop: Any = None, device: str | None = None) -> None:
        self.settings, self.store = settings, store
        self.workshop = workshop or Workshop(settings)
        self.workshop.open(device or settings.device)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{id(self) & 0xFFFF:x}"
        self.runs, self.results = RunRepository(store), ResultRepository(store)
        self.events, self.sources = EventRepository(store), SourceRepository(store)
        device_used = self.workshop.device
        self.models = Residency(self.workshop.load_model, device_used, settings.model_bytes or default_budget(device_used))
        self.probes = OpenProbes(self.workshop, store.data_dir)
        self.captures = self.workshop.captures(lambda *key: self.runs.waiting_parts(pass_key(*key)))
        self.active: list[str] = []  # ids of runs under way; nested interactive ones last
        self._depth = 0  # runs that stand still for another one
        self._unsaid: dict[str, Mapping[str, Any]] = {}  # endings the database could not take, by run

    def execute(self, run: Row[Any], *, nested: bool = False) -> None:
        """Execute a claimed run, and what can be answered together with it, to the end. Never raises for what runs do.

        Args:
            nested: nobody may interrupt it.
        """
        between = None if nested else self._between
        if has_stages(self, run):
            execute_in_turns(self, run, between)
        else:
            execute_together(self, [run, *claim_mates(self, run)], between)

    def attempt(self, job: Job) -> BaseException | None:
        """Do the work of one run alone; returns what stopped it."""
        try:
            if job.row.system:
                self._system(job)
            else:
                self._method(job)
        except Exception as error:
            return error
        return None

    def close(self, id: str, ending: Mapping[str, Any]) -> None:
        """Write how a run ended. A database that cannot take it now (its disk is full, it is away) is asked again later."""
        try:
            with self.store.write(lock="queue") as connection:
                self.runs.set(id, connection, **ending)
                self.events.add("run", {"id": id}, connection)
            for orphan in self.runs.fail_orphans():
                self.events.add("run", {"id": orphan})
        except SQLAlchemyError as error:
            log.error("the end of a run could not be written, trying again", run=id, error=str(error)[:300])
            self._unsaid[id] = ending
            if id not in self.active:
                self.active.append(id)  # its lease is kept, so that nobody else begins it anew
        else:
            if self._unsaid.pop(id, None) is not None:
                self.active.remove(id)

    @contextmanager
    def borrow(self, run: Row[Any]) -> Iterator[Any]:
        """The model a run is put to, for this run alone."""
        plan = run.plan["model"]
        with self.models.borrow(plan["source"], plan["hash"]) as model:
            if model.hash != plan["hash"]:
                raise Conflict(f"The files of {plan['source']} changed while this run was waiting. Put the run again.", field="model")
            yield model

    def _method(self, job: Job) -> None:
        spec = job.spec
        if not job.missing:
            return  # somebody else's run stored them while this one waited
        with self.borrow(job.row) if "model" in job.row.plan else nullcontext() as model:
            subjects = job.subjects(model)
            start = model.forward_passes if model is not None else 0
            try:
                results = spec.function(**subjects, params=spec.parse(job.row.params), run=job.context)
            finally:
                job.passes = model.forward_passes - start if model is not None else 0
            job.complete(results)

    def tidy(self) -> None:
        """Keep the cache within its bound. That it could not be done now is no failure of the run that was just stored."""
        try:
            evict(self.store, self.settings.cache_bytes)
        except (SQLAlchemyError, OSError) as error:
            log.warning("eviction", error=str(error)[:300])

    def _system(self, job: Job) -> None:
        run, context = job.row, job.context
        if run.method == imports.METHOD:
            import_run.execute(job)
            return
        if run.method == check.METHOD:
            self._method(job)
            return
        kind = "model" if run.method == "add-model" else "probe"
        if kind == "model":
            slug = system.add_model(run, self.models, self.sources, self.settings)
        else:
            probe = self.workshop.open_probe(run.subjects["source"])
            if hasattr(probe, "materialise"):  # drawn once on all cores here; everything later reads it from disk
                probe.materialise(context.progress)
            slug = system.add_probe(run, probe, self.sources, self.settings, context.progress)
        self.events.add(kind, {"slug": slug, "change": "added"})

    # --- short work between the batches of long work ----------------------------------------------------------------

    def _between(self) -> float:
        """Execute queued interactive runs; returns the seconds that took."""
        began = time.monotonic()
        self._depth += 1
        try:
            while (run := self.runs.claim(self.owner, interactive_only=True)) is not None:
                nested = {"nested": self._depth >= DEPTH}
                thread = threading.Thread(target=self.execute, args=(run,), kwargs=nested, name=f"run-{run.id}")
                thread.start()
                thread.join()
        finally:
            self._depth -= 1
        return time.monotonic() - began

    def say_endings(self) -> bool:
        """Write the endings that could not be written; True if none is left."""
        for id, ending in list(self._unsaid.items()):
            self.close(id, ending)
        return not self._unsaid

    def step(self) -> bool:
        """Execute the next run, if there is one."""
        if not self.say_endings():
            return False
        run = self.runs.claim(self.owner)
        if run is None:
            return False
        self.execute(run)
        return True


class Heartbeat:
    """Keeps leases alive while runs are under way, and calls ``also`` each time."""

    def __init__(self, worker: Worker, seconds: float = 3.0, also: Callable[[], None] | None = None) -> None:
        self._worker, self._seconds, self._also = worker, seconds, also
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._end.wait(self._seconds):
            try:
                if self._worker.active:
                    self._worker.runs.beat(list(self._worker.active))
                if self._also is not None:
                    self._also()
            except Exception as error:  # a database that is busy for once must not end the heartbeat
                log.warning("heartbeat", error=str(error)[:200])

    def stop(self) -> None:
        self._end.set()


@contextmanager
def cancelled_by_hand(cancel: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C inside the block cancels; a second one interrupts at once. Where the process has an answer of its own, that stays."""
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not usual:
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, usual)
        # Not here: whatever was interrupted may be writing to the database itself.
        threading.Thread(target=cancel, name="cancel", daemon=True).start()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


class InlineWorker:
    """Executes runs in the calling process, one caller at a time."""

    def __init__(self, settings: Settings, store: Store, workshop: Any = None) -> None:
        self.worker = Worker(settings, store, workshop)
        self._lock = threading.Lock()
        self._heartbeat = Heartbeat(self.worker)

    def finish(self, id: str) -> None:
        """Execute ``id`` and what it waits for; if another worker took one of them, wait for it.

        Ctrl-C cancels them, so that what is complete is kept and no server takes up what nobody waits for.
        """
        runs = self.worker.runs
        with self._lock, cancelled_by_hand(lambda: self._cancel(id)):
            while (row := runs.get(id)).state in OPEN:
                chain = [row]
                while chain[-1].after is not None:
                    chain.append(runs.get(chain[-1].after))
                claimed = next((r for link in reversed(chain) if (r := runs.claim(self.worker.owner, id=link.id))), None)
                if claimed is not None:
                    self.worker.execute(claimed)
                    if not self.worker.say_endings():
                        raise Unavailable(
                            f"Run {claimed.id} has ended, but the database cannot take how: its disk is full or it is away. Make room, or "
                            "start it, and run again; what was complete is kept."
                        )
                else:
                    runs.recover()
                    self.worker.runs.fail_orphans()
                    time.sleep(0.05)

    def _cancel(self, id: str) -> None:
        for one in dict.fromkeys([id, *self.worker.active]):
            with self.worker.store.write(lock="queue") as connection:
                if self.worker.runs.cancel(one, connection) in OPEN:
                    self.worker.events.add("run", {"id": one}, connection)

    def close(self) -> None:
        self._heartbeat.stop()
