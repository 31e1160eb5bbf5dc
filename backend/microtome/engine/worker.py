"""The worker process: ``python -m microtome.engine.worker --device cpu``, started and watched by the server."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

import structlog
from sqlalchemy import delete, select, update

from microtome.core.machine import keep_freed_memory, return_memory
from microtome.core.settings import Settings
from microtome.engine import manifest
from microtome.engine.execute import Heartbeat, Worker
from microtome.store import Store, open_store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore

log = structlog.get_logger("microtome.worker")
IDLE = 0.08
#: Seconds without work after which freed memory is returned to the system.
RESTED = 30.0
GONE_AFTER = 20.0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class WorkerProcess:
    """Registers, works, and ends with its parent."""

    def __init__(self, settings: Settings, device: str, workshop: Any = None) -> None:
        self.store: Store = open_store(settings)
        self.parent = os.getppid()
        self.stopping = threading.Event()
        self._clear_dead()
        self.worker = Worker(settings, self.store, workshop, device)
        self._register(device)
        self._recovered = 0.0
        self._heartbeat = Heartbeat(self.worker, 1.0, self._also)
        methods = {id: spec.manifest() for id, spec in self.worker.workshop.methods().items()}
        if workshop is None:
            manifest.publish(settings.data_dir, methods)

    def _clear_dead(self) -> None:
        """Take over at once from workers of this machine that are gone, without waiting for their leases."""
        host = socket.gethostname()
        from microtome.store.runs import RunRepository

        runs = RunRepository(self.store)
        with self.store.read() as connection:
            rows = connection.execute(select(t.worker)).all()
        for row in rows:
            if row.id.startswith(f"{host}-") and not alive(row.pid):
                runs.recover(row.id)
        with self.store.write() as connection:
            connection.execute(delete(t.worker).where(t.worker.c.seen < time.time() - GONE_AFTER))

    def _register(self, device: str) -> None:
        row = {"id": self.worker.owner, "device": device, "state": "idle", "pid": os.getpid(), "seen": time.time()}
        with self.store.write() as connection:
            connection.execute(insert_ignore(connection, t.worker), row)

    def _also(self) -> None:
        if os.getppid() != self.parent:
            os._exit(3)  # the server died; the next one starts its own worker, and this one's lease is taken over
        state = "busy" if self.worker.active else "idle"
        with self.store.write() as connection:
            mine = t.worker.c.id == self.worker.owner
            connection.execute(update(t.worker).where(mine).values(state=state, seen=time.time()))
        if time.monotonic() - self._recovered > 5:
            self._recovered = time.monotonic()
            self._clear_dead()
            for id in self.worker.runs.recover():
                log.warning("run taken back from a lost worker", run=id)

    def stop(self) -> None:
        """Give runs back untouched and leave at once."""
        with self.store.write(lock="queue") as connection:
            mine = (t.run.c.owner == self.worker.owner) & (t.run.c.state == "running")
            connection.execute(update(t.run).where(mine).values(state="queued", owner=None, lease=None, attempts=t.run.c.attempts - 1))
            connection.execute(delete(t.worker).where(t.worker.c.id == self.worker.owner))
        os._exit(0)

    def run(self) -> None:
        def on_signal(*_: object) -> None:
            # in a thread: the main thread may be inside a transaction of its own just now
            threading.Thread(target=self.stop, name="stop").start()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the whole group; the server decides
        log.info("ready", worker=self.worker.owner)
        worked: float | None = None  # when; None once the memory is returned
        while True:
            try:
                if self.worker.step():
                    worked = time.monotonic()
                    continue
                time.sleep(IDLE)
                if worked is not None and time.monotonic() - worked > RESTED:
                    return_memory()
                    worked = None
            except Exception as error:  # the database may be away for a moment
                log.error("queue", trace="".join(traceback.format_exception(error, limit=-20)))
                time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workshop", help="module:function that makes another workshop (tests)")
    arguments = parser.parse_args()
    keep_freed_memory()
    settings = Settings()
    workshop = None
    if arguments.workshop:
        module, _, name = arguments.workshop.partition(":")
        workshop = getattr(importlib.import_module(module), name)(settings)
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    WorkerProcess(settings, arguments.device, workshop).run()


if __name__ == "__main__":
    main()
