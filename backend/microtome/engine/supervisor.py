"""Keeps one worker process per device running. Lives in the server; knows nothing of torch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import select, update

from microtome.core.settings import Settings
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository
from microtome.store.runs import RunRepository

PACKAGE_PARENT = Path(__file__).parents[2]
log = structlog.get_logger("microtome.supervisor")


@dataclass(slots=True)
class _Child:
    device: str
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    began: float = 0.0
    again: float = field(default=0.0)


class Supervisor:
    """Starts workers, restarts those that die, and queues again what they were doing."""

    def __init__(self, settings: Settings, store: Store, arguments: tuple[str, ...] = ()) -> None:
        self.settings, self.store, self.arguments = settings, store, arguments
        devices = [d.strip() for d in settings.device.split(",") if d.strip()]
        # a cluster has one process here that hands out its work; it executes what is about single examples itself
        self._children = [_Child(d) for d in (devices[:1] if settings.executor == "ray" else devices)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)

    def start(self) -> None:
        for child in self._children:
            self._spawn(child)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        return [c.process.pid for c in self._children if c.process is not None]

    def _spawn(self, child: _Child) -> None:
        logs = self.settings.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        # the worker runs the same code as this process, wherever that was imported from
        path = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | environment_of(self.settings) | {"PYTHONPATH": path}
        with (logs / f"worker-{child.device.replace(':', '-')}.log").open("ab") as log_file:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "microtome.engine.worker", "--device", child.device, *self.arguments],
                env=environment, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
            )  # fmt: skip
        child.began = time.monotonic()

    def _loop(self) -> None:
        while not self._end.wait(0.25):
            for child in self._children:
                try:
                    self._look_after(child)
                except Exception as error:  # the database may be away for a moment; look again
                    log.error("supervisor", error=str(error)[:300])

    def _look_after(self, child: _Child) -> None:
        if child.process is not None and child.process.poll() is not None:
            log.warning("worker ended", device=child.device, status=child.process.returncode)
            # a quick death may repeat: wait longer each time, but a worker that had lived is replaced at once
            child.failures = child.failures + 1 if time.monotonic() - child.began < 20 else 0
            child.again = time.monotonic() + min(30.0, 0.5 * 2**child.failures if child.failures else 0.0)
            self._recover(child.process.pid)
            child.process = None
        if child.process is None and time.monotonic() >= child.again and not self._end.is_set():
            self._spawn(child)

    def _recover(self, pid: int) -> None:
        with self.store.read() as connection:
            owners = connection.execute(select(t.worker.c.id).where(t.worker.c.pid == pid)).scalars().all()
        runs, events = RunRepository(self.store), EventRepository(self.store)
        for owner in owners:
            if owner.startswith(f"{socket.gethostname()}-"):
                for id in runs.recover(owner):
                    events.add("run", {"id": id})
                with self.store.write() as connection:
                    connection.execute(update(t.worker).where(t.worker.c.id == owner).values(state="lost"))

    def stop(self) -> None:
        self._end.set()
        self._thread.join(2)
        processes = [c.process for c in self._children if c.process is not None]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as the environment variables they are read from, so that a worker's own code sees the same ones."""
    values = settings.model_dump(mode="json", exclude_none=True)
    values["data_dir"] = str(settings.data_dir.absolute())
    return {f"MICROTOME_{name.upper()}": value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
