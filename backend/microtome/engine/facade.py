"""The engine's one face: submit, estimate, get, cancel, and the sources that runs are put to."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import structlog
from sqlalchemy import Row, select, update

from microtome.core.address import check_slug
from microtome.core.errors import Conflict, InvalidInput, RunCancelled, Unavailable
from microtome.core.keys import content_key
from microtome.core.settings import Settings
from microtome.engine import check, imports
from microtome.engine.costs import estimate
from microtome.engine.manifest import ManifestReader
from microtome.engine.plan import Plan, Planner
from microtome.engine.reader import SourceReader
from microtome.engine.supervisor import Supervisor
from microtome.store import Store, open_store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.index import sweep_rows
from microtome.store.pins import pinned_keys
from microtome.store.results import ResultRepository
from microtome.store.runs import OPEN, RunRepository
from microtome.store.sources import IMPORT_SOURCE, SourceRepository, Type
from microtome.store.times import now

log = structlog.get_logger("microtome.engine")
Executor = Literal["worker", "inline", "none"]


class Engine:
    """Plans and queues runs.

    Args:
        settings: of the installation.
        store: opened from the settings if left out.
        executor: ``worker`` (processes, started by :meth:`start`), ``inline`` (in the calling process, for the command
            line and tests) or ``none`` (runs stay queued).
        workshop: where models, probe sets and methods come from when inline; the real ones if left out.
        reader: looks at sources; the real one if left out.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store | None = None,
        *,
        executor: Executor | None = None,
        workshop: Any = None,
        reader: SourceReader | None = None,
        manifests: ManifestReader | None = None,
    ) -> None:
        self.settings = settings
        self.store = store or open_store(settings)
        self.executor: Executor = executor or ("inline" if settings.inline else "worker")
        self.reader = reader or SourceReader()
        self.manifests = manifests or ManifestReader(settings.data_dir)
        self.planner = Planner(self.store, self.manifests, self.reader)
        self.runs = RunRepository(self.store)
        self.results = ResultRepository(self.store)
        self.events = EventRepository(self.store)
        self.sources = SourceRepository(self.store)
        self._workshop = workshop
        self._inline: Any = None
        self._supervisor: Supervisor | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Clear away what a crash left, and start the worker processes, if that is how runs are executed."""
        try:
            self.store.blobs.sweep()
            sweep_rows(self.store)
        except OSError as error:  # leftovers cost space, nothing else
            log.warning("sweep", error=str(error)[:200])
        if self.executor == "worker" and self._supervisor is None:
            self._supervisor = Supervisor(self.settings, self.store)
            self._supervisor.start()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._inline is not None:
            self._inline.close()
            self._inline = None

    # --- methods ----------------------------------------------------------------------------------------------------

    def methods(self) -> dict[str, dict[str, Any]]:
        return self.manifests.read()

    def method(self, id: str) -> dict[str, Any]:
        return self.manifests.get(id)

    # --- runs -------------------------------------------------------------------------------------------------------

    def submit(
        self,
        method: str,
        subjects: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        priority: str | None = None,
        person: str | None = None,
    ) -> Row[Any]:
        """Queue a run, join the same one that is under way, or answer at once from what is stored.

        Raises:
            InvalidInput, NotFound: naming the field and the remedy.
        """
        plan = self.planner.plan(method, subjects, params or {})
        return self.finish_inline(self._submit(plan, priority, person))

    def check(self, keys: Sequence[str], references: Mapping[str, Any] | None = None, person: str | None = None) -> list[check.Again]:
        """Queue what computes stored results again, see :mod:`microtome.engine.check`."""
        return check.submit(self, keys, references or {}, person)

    def finish_inline(self, id: str) -> Row[Any]:
        """The run; executed here and now if runs are executed in the calling process."""
        run = self.runs.get(id)
        if self.executor == "inline" and run.state in OPEN:
            self._worker().finish(run.id)
            run = self.runs.get(run.id)
        return run

    def _submit(self, plan: Plan, priority: str | None, person: str | None) -> str:
        stored = self.results.stored(plan.keys)
        if len(stored) == len(plan.keys):
            self.results.touch(plan.keys)
            return self._cached(plan, person)
        after = self._prepare(plan, stored, priority, person)
        urgent = int((priority or ("interactive" if plan.manifest["interactive"] else "batch")) == "interactive")
        with self.store.write(lock="submit") as connection:
            twin = self.runs.open_with(connection, plan.request_key)
            if twin is not None:
                if urgent > twin.priority:
                    self.runs.set(twin.id, connection, priority=urgent)
                return str(twin.id)
            id = self.runs.insert(connection, {**_columns(plan), "priority": urgent, "after": after, "person_id": person}, plan.parts)
            self.events.add("run", {"id": id}, connection)
            audit(connection, person, "run", f"{plan.manifest['id']} {id}")
        return id

    def _prepare(self, plan: Plan, stored: set[str], priority: str | None, person: str | None) -> str | None:
        """Queue what must be there before: sources to be read again, results that are built on. Returns the last one."""
        after = None
        for type, row in plan.subjects.changed:
            after = self._reread(type, row, person)
        for required in plan.requires:
            missing = set(required.keys) - self.results.stored(required.keys)
            if missing:
                after = self._submit(required, priority, person)
        return after

    def _cached(self, plan: Plan, person: str | None) -> str:
        """A run that was answered from the store. One row is enough, however often it is asked."""
        with self.store.write(lock="submit") as connection:
            query = select(t.run.c.id).where(t.run.c.request_key == plan.request_key, t.run.c.cached, t.run.c.state == "done")
            known = connection.execute(query).scalar()
            if known is not None:
                return str(known)
            at = now()
            values = {
                **_columns(plan), "state": "done", "cached": True, "person_id": person, "started": at, "ended": at,
                "seconds": 0.0, "forward_passes": 0,
            }  # fmt: skip
            return self.runs.insert(connection, values, plan.parts)

    def estimate(self, method: str, subjects: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the run would cost; nothing is written."""
        plan = self.planner.plan(method, subjects, params or {})
        stored = self.results.stored(plan.keys)
        layers = self.sources.layers(plan.subjects.model.id) if plan.subjects.model is not None else []
        missing = [r for r in plan.requires if set(r.keys) - self.results.stored(r.keys)]
        company = self.runs.sharing(plan.pass_key) if plan.pass_key is not None else []
        return estimate(plan, stored, layers, missing, sum(self.runs.counts().values()), company)

    def get(self, id: str) -> Row[Any]:
        return self.runs.get(id)

    def wait(self, id: str, timeout: float | None = None) -> Row[Any]:
        """Wait until a run has ended."""
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while (run := self.runs.get(id)).state in OPEN:
            if time.monotonic() > end:
                raise Unavailable(f"Run {id} has not ended after {timeout} s; it goes on. Ask again later.")
            time.sleep(0.05)
        return run

    def cancel(self, id: str, person: str | None = None) -> Row[Any]:
        """
        Raises:
            Conflict: it has ended.
        """
        self.runs.get(id)
        with self.store.write(lock="queue") as connection:
            if (state := self.runs.cancel(id, connection)) not in OPEN:
                raise Conflict(f"Run {id} has ended ({state}); there is nothing to cancel.", field="id")
            self.events.add("run", {"id": id}, connection)
            audit(connection, person, "cancel", id)
        return self.runs.get(id)

    # --- sources ----------------------------------------------------------------------------------------------------

    def add_source(
        self, method: str, source: str, name: str | None = None, *, person: str | None = None, trusted: bool = False
    ) -> Row[Any]:
        """Queue the reading of a model (``add-model``) or probe set (``add-probe``).

        Args:
            trusted: from the command line, which may read any folder and run code.
        """
        type: Type = "model" if method == "add-model" else "probe"
        if name is not None:
            check_slug(name, "name")
            held = self.sources.find(type, name)
            taken = held is not None and held.slug == name and held.source != source
            # the real thing may take the name under which its imported results are listed
            if held is not None and taken and not held.source.startswith(IMPORT_SOURCE):
                raise InvalidInput(f"The name '{name}' is taken by {held.source}. Choose another.", field="name")
        try:
            if not trusted:
                self.reader.check(type, source, self.source_roots())
            # what is not there is said now, not by a failed run later; hf: is for the worker, which may download
            if not (type == "model" and source.startswith(("hf:", "module:"))):
                self.reader.hash_now(type, source, force=True)
        except (OSError, ValueError, RuntimeError) as error:  # no such home folder, a name too long for the file system
            raise InvalidInput(f"'{source[:200]}' cannot be read: {str(error)[:200]}. Check the path.", field="source") from None
        return self.finish_inline(self._read_run(type, source, name, person))

    def import_folder(self, folder: str, *, person: str | None = None, trusted: bool = False) -> Row[Any]:
        """Queue the import of results computed elsewhere (docs/bulk-import.md).

        Args:
            trusted: from the command line, which may read any folder.
        """
        return self.finish_inline(imports.submit(self, folder, person, trusted=trusted))

    def check_folder(self, folder: str) -> Any:
        """Judge a folder as an import would, writing nothing (command line). Returns the importer, which knows keys and sizes."""
        return imports.check(self, folder)

    def _read_run(self, type: Type, source: str, name: str | None, person: str | None) -> str:
        key = content_key({"add": type, "source": source})
        with self.store.write(lock="submit") as connection:
            twin = self.runs.open_with(connection, key)
            if twin is not None:
                return str(twin.id)
            values = {
                "method": f"add-{type}", "title": f"Read {source}"[:200], "system": True, "request_key": key,
                "subjects": {"source": source}, "params": {"name": name} if name else {}, "plan": {}, "priority": 1,
                "person_id": person,
            }  # fmt: skip
            id = self.runs.insert(connection, values, [])
            self.events.add("run", {"id": id}, connection)
            audit(connection, person, f"add-{type}", source)
        return id

    def _reread(self, type: Any, row: Row[Any], person: str | None) -> str:
        state, problem = self.reader.state(type, row.source, row.hash)
        if self.sources.mark(type, row.slug, state, problem):
            self.events.add(type, {"slug": row.slug, "change": state})
        return self._read_run(type, row.source, None, person)

    def remove_source(self, type: Type, slug: str, *, drop: bool, person: str | None = None) -> None:
        """Take a model or probe set off the list; drop its results if asked to, except what is pinned (``store.pins``)."""
        row = self.sources.get(type, slug)
        self.sources.remove(type, row.slug)
        if drop:
            column = t.result.c.model_hash if type == "model" else t.result.c.probe_hash
            with self.store.read() as connection:
                query = select(t.result.c.key).where(column == row.hash, t.result.c.key.not_in(pinned_keys()))
                keys = list(connection.execute(query).scalars())
            self.results.drop(keys, unless_pinned=True)
        with self.store.write() as connection:
            named = t.run.c.model == row.slug if type == "model" else t.run.c.id.is_(None)
            connection.execute(update(t.run).where(named, t.run.c.state == "queued").values(state="cancelled", cancel=True, ended=now()))
            connection.execute(update(t.run).where(named, t.run.c.state == "running").values(cancel=True))
            self.events.add(type, {"slug": row.slug, "change": "removed"}, connection)
            audit(connection, person, f"remove-{type}", row.slug)

    def ensure_source(self, type: Type, source: str) -> str:
        """Slug of a listed source, reading it first when it is new (command line).

        Raises:
            MicrotomeError: it cannot be read.
        """
        row = self.sources.find(type, source)
        if row is None:
            run = self.add_source(f"add-{type}", source, trusted=True)
            run = self.wait(run.id)
            if run.state == "cancelled":
                raise RunCancelled(f"{source} was not read: it was cancelled.")
            if run.state != "done":
                error = run.error or {}
                raise InvalidInput(error.get("detail", f"{source} could not be read."), field=type)
            row = self.sources.get(type, source)
        return str(row.slug)

    def source_roots(self) -> list[Path]:
        """Folders that sources may be added from through the web."""
        given = self.settings.source_roots
        return list(given) or [self.settings.data_dir.absolute() / "import", Path.home(), Path.cwd()]

    def _worker(self) -> Any:
        """The inline executor. Named, not imported: only it brings torch into this process."""
        if self._inline is None:
            module = importlib.import_module("microtome.engine.execute")
            self._inline = module.InlineWorker(self.settings, self.store, self._workshop)
        return self._inline


def _columns(plan: Plan) -> dict[str, Any]:
    return {
        "method": plan.manifest["id"], "title": plan.manifest["title"], "request_key": plan.request_key,
        "model": plan.subjects.values.get("model"), "subjects": plan.subjects.values, "params": plan.params,
        "plan": plan.document(), "pass_key": plan.pass_key,
    }  # fmt: skip
