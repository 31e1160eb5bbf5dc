"""Executing runs: the only module of the engine beside ``worker`` that brings torch into the process."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from sqlalchemy import Row

from microtome.core.errors import Conflict, MicrotomeError, NotFound, RunCancelled, Unavailable
from microtome.core.settings import Settings
from microtome.engine import system
from microtome.engine.context import WorkContext
from microtome.engine.residency import Residency
from microtome.engine.workshop import Workshop
from microtome.store import Store
from microtome.store.events import EventRepository
from microtome.store.eviction import evict
from microtome.store.results import ResultHead, ResultRepository
from microtome.store.runs import OPEN, RunRepository
from microtome.store.sources import SourceRepository
from microtome.store.times import now

log = structlog.get_logger("microtome.engine")
SOFTWARE = ("microtome", "torch", "transformers", "numpy", "pillow", "numba", "pacmap")


def software() -> dict[str, str]:
    """Versions that a number may depend on."""
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Worker:
    """Executes runs of one queue on one device."""

    def __init__(self, settings: Settings, store: Store, workshop: Any = None, device: str | None = None) -> None:
        self.settings, self.store = settings, store
        self.workshop = workshop or Workshop(settings)
        self.workshop.open(device or settings.device)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{id(self) & 0xFFFF:x}"
        self.runs, self.results = RunRepository(store), ResultRepository(store)
        self.events, self.sources = EventRepository(store), SourceRepository(store)
        self.models = Residency(self.workshop.load_model)
        self._probes: dict[tuple[str, str], Any] = {}
        self.active: list[str] = []  # ids of runs under way; the nested interactive one last

    # --- one run ----------------------------------------------------------------------------------------------------

    def execute(self, run: Row[Any], *, nested: bool = False) -> None:
        """Execute a claimed run to its end. Never raises for what the run does."""
        self.active.append(run.id)
        self._tell(run.id)
        began = time.monotonic()
        end: dict[str, Any]
        passes = [0]
        try:
            if run.system:
                self._system(run)
            else:
                self._method(run, passes, nested)
            end = {"state": "done", "error": None}
        except RunCancelled:
            end = {"state": "cancelled"}
        except MicrotomeError as error:
            end = {"state": "failed", "error": {"title": error.title, "detail": error.detail, "field": error.field}}
        except MemoryError:
            detail = "There was not enough memory, even for one image at a time. Use a smaller model or fewer layers."
            end = {"state": "failed", "error": {"title": "Out of memory", "detail": detail}}
        except Exception as error:
            log.error("run failed", run=run.id, method=run.method, trace=traceback.format_exc(limit=-20))
            text = str(error).strip().split("\n")[0][:500]
            detail = f"{run.method} stopped with {type(error).__name__}: {text}. The worker's log has the rest."
            end = {"state": "failed", "error": {"title": "The method failed", "detail": detail}}
        finally:
            self.active.remove(run.id)
        seconds = time.monotonic() - began
        with self.store.write(lock="queue") as connection:
            self.runs.set(
                run.id, connection, **end, ended=now(), seconds=seconds, forward_passes=passes[0], owner=None, lease=None,
                progress=None,
            )  # fmt: skip
            self.events.add("run", {"id": run.id}, connection)
        for orphan in self.runs.fail_orphans():
            self._tell(orphan)
        log.info("run ended", run=run.id, method=run.method, state=end["state"], seconds=round(seconds, 2))

    def _tell(self, id: str) -> None:
        self.events.add("run", {"id": id})

    def _system(self, run: Row[Any]) -> None:
        kind = "model" if run.method == "add-model" else "probe"
        if kind == "model":
            slug = system.add_model(run, self.models, self.sources, self.settings)
        else:
            probe = self.workshop.open_probe(run.subjects["source"])
            context = WorkContext(run.id, self.runs, self.events, lambda *_: None, None, self.settings.run_seconds)

            def progress(done: int, total: int, what: str) -> None:
                context.check()
                context.progress(done, total, what)

            if hasattr(probe, "materialise"):  # drawn once on all cores here; everything later reads it from disk
                probe.materialise(progress)
            slug = system.add_probe(run, probe, self.sources, self.settings, progress)
        self.events.add(kind, {"slug": slug, "change": "added"})

    def _method(self, run: Row[Any], passes: list[int], nested: bool) -> None:
        spec = self._spec(run.method)
        parts = dict(self._parts(run.id))
        stored = self.results.stored(parts.values())
        missing = [part for part, key in parts.items() if key not in stored]
        if not missing:
            return  # somebody else's run stored them while this one waited
        with ExitStack() as stack:
            subjects, model = self._subjects(stack, run, spec, missing)
            start = model.forward_passes if model is not None else 0
            published: set[str] = set()

            def publish(part: str, results: Mapping[str, Any]) -> None:
                if part not in parts:
                    raise ValueError(f"published a part '{part}' that was not asked for")
                share = context.seconds / max(1, len(missing) if part else 1)
                self.results.put(self._head(run, spec, part, parts[part], share), results)
                published.add(part)
                self._tell(run.id)

            between = None if nested else self._between
            context = WorkContext(run.id, self.runs, self.events, publish, between, self.settings.run_seconds)
            try:
                results = spec.function(**subjects, params=spec.parse(run.params), run=context)
            finally:
                passes[0] = model.forward_passes - start if model is not None else 0
            if spec.partition == "":
                context.check()
                publish("", results)
            lacking = [part for part in missing if part not in published]
            if lacking:
                raise RuntimeError(f"the method published nothing for {', '.join(lacking[:5])}")
        evict(self.store, self.settings.cache_bytes)

    def _spec(self, id: str) -> Any:
        methods = self.workshop.methods()
        if id not in methods:
            raise NotFound(f"The worker has no method '{id}'. Install the package that brings it and start again.", field="method")
        return methods[id]

    def _parts(self, run_id: str) -> list[tuple[str, str]]:
        return [(part, key) for part, key, _ in self.runs.parts([run_id])[run_id]]

    # --- what it is put to ------------------------------------------------------------------------------------------

    def _subjects(self, stack: ExitStack, run: Row[Any], spec: Any, missing: list[str]) -> tuple[dict[str, Any], Any]:
        roles = {*spec.subjects, *spec.optional_subjects}
        values, plan = run.subjects, run.plan
        out: dict[str, Any] = {}
        model = None
        if "model" in plan:
            source, hash = plan["model"]["source"], plan["model"]["hash"]
            model = stack.enter_context(self.models.borrow(source, hash))
            if model.hash != hash:
                raise Conflict(f"The files of {source} changed while this run was waiting. Put the run again.", field="model")
            out["model"] = model
        if "probe" in plan:
            out["probe"] = self._probe(plan["probe"])
        if "example" in plan:
            out["example"] = self._example(plan["example"])
        if "layers" in roles:
            out["layers"] = missing if spec.partition == "layers" else values["layers"]
        for role in ("units", "targets"):
            if role in values:
                out[role] = values[role]
        if spec.builds_on:
            out["results"] = {
                method: {part: self.results.load(key) for part, key in keys.items()} for method, keys in plan["builds_on"].items()
            }
        for role in spec.optional_subjects:
            out.setdefault(role, None)
        return out, model

    def _probe(self, plan: Mapping[str, Any]) -> Any:
        at = (plan["source"], plan["hash"])
        if at not in self._probes:
            probe = self.workshop.open_probe(plan["source"])
            if probe.hash != plan["hash"]:
                raise Conflict(f"{plan['source']} changed while this run was waiting. Put the run again.", field="probe")
            self._probes = {k: v for k, v in self._probes.items() if k[0] != plan["source"]} | {at: probe}
        return self._probes[at]

    def _example(self, plan: Mapping[str, Any]) -> Any:
        if "upload" in plan:
            sha256 = plan["upload"]
            path = self.store.data_dir / "uploads" / sha256[:2] / sha256
            if not path.exists():
                raise Unavailable(f"The file of upload {sha256[:12]}… is gone. Upload the image again.", field="example")
            return self.workshop.example(path, f"upload {sha256[:8]}")
        return self._probe(plan).example(plan["index"])

    def _head(self, run: Row[Any], spec: Any, part: str, key: str, seconds: float) -> ResultHead:
        hashes = run.plan["hashes"]
        seed = run.params.get("seed")
        provenance = {
            "model_hash": hashes.get("model"), "probe_hash": hashes.get("probe"), "software": software(),
            "device": str(getattr(self.workshop, "device", "cpu")), "seed": seed if isinstance(seed, int) else None,
        }  # fmt: skip
        return ResultHead(
            key=key, method=run.method, version=spec.version, part=part, subjects=run.subjects, params=run.params,
            group_key=run.plan["group_key"], model_hash=hashes.get("model"), probe_hash=hashes.get("probe"),
            builds_on=[k for keys in run.plan["builds_on"].values() for k in keys.values()], provenance=provenance,
            seconds=seconds, run_id=run.id,
        )  # fmt: skip

    # --- short work between the batches of long work ----------------------------------------------------------------

    def _between(self) -> float:
        """Execute queued interactive runs; returns the seconds that took."""
        began = time.monotonic()
        while (run := self.runs.claim(self.owner, interactive_only=True)) is not None:
            thread = threading.Thread(target=self.execute, args=(run,), kwargs={"nested": True}, name=f"run-{run.id}")
            thread.start()
            thread.join()
        return time.monotonic() - began

    def step(self) -> bool:
        """Execute the next run, if there is one."""
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


class InlineWorker:
    """Executes runs in the calling process, one caller at a time."""

    def __init__(self, settings: Settings, store: Store, workshop: Any = None) -> None:
        self.worker = Worker(settings, store, workshop)
        self._lock = threading.Lock()
        self._heartbeat = Heartbeat(self.worker)

    def finish(self, id: str) -> None:
        """Execute ``id`` and what it waits for; if another worker took one of them, wait for it."""
        runs = self.worker.runs
        with self._lock:
            while (row := runs.get(id)).state in OPEN:
                chain = [row]
                while chain[-1].after is not None:
                    chain.append(runs.get(chain[-1].after))
                claimed = next((r for link in reversed(chain) if (r := runs.claim(self.worker.owner, id=link.id))), None)
                if claimed is not None:
                    self.worker.execute(claimed)
                else:
                    runs.recover()
                    self.worker.runs.fail_orphans()
                    time.sleep(0.05)

    def close(self) -> None:
        self._heartbeat.stop()
