"""The stations of a cluster: started where there is room, replaced when they are lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from microtome.core.errors import Unavailable
from microtome.core.settings import Settings
from microtome.engine.cluster.station import Station
from microtome.engine.job import software

log = structlog.get_logger("microtome.cluster")
#: Seconds a cluster without a single station is waited for: a node that comes back, an autoscaler that adds one.
GRACE = 90.0
START = 15.0  # seconds that stations which are starting are waited for before a pass begins without them
_CPUS = 4  # cores of a station if nothing is said; a forward pass gains little from more
_SAME = ("microtome", "torch", "transformers")


@dataclass(eq=False, slots=True)
class Seat:
    """A station as the server sees it."""

    handle: Any
    ready: Any  # what ``about`` will answer
    born: float
    about: dict[str, Any] | None = None


class Pool:
    """
    Args:
        ray: connected.
        environment: settings for the stations, as environment variables.
    """

    def __init__(self, ray: Any, settings: Settings, environment: dict[str, str]) -> None:
        self.ray, self._settings, self._environment = ray, settings, environment
        self.seats: list[Seat] = []
        exceptions = ray.exceptions
        #: What a call ends with when its process or machine is gone.
        self.lost: tuple[type[BaseException], ...] = (
            exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.ObjectLostError, exceptions.NodeDiedError,
            exceptions.OutOfMemoryError,
        )  # fmt: skip

    def _shape(self) -> tuple[int, int, int]:
        """Stations the cluster has room for, and the cores and GPUs of each."""
        nodes = [n["Resources"] for n in self.ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            return 0, 1, 0
        gpus = sum(int(n.get("GPU", 0)) for n in nodes)
        if gpus:
            cpus = self._settings.ray_cpus or 1
            return self._settings.ray_actors or gpus, cpus, 1
        cpus = self._settings.ray_cpus or min(_CPUS, *(int(n["CPU"]) for n in nodes))
        return self._settings.ray_actors or max(1, sum(int(n["CPU"]) // cpus for n in nodes)), cpus, 0

    def fill(self) -> None:
        """Start stations until there are as many as there is room for, and take those that are ready."""
        count, cpus, gpus = self._shape()
        for seat in [s for s in self.seats if s.about is None][: max(0, len(self.seats) - count)]:
            self.lose(seat)  # it waits for a machine that is gone
        while len(self.seats) < count:
            actor = self.ray.remote(Station).options(
                num_cpus=cpus, num_gpus=gpus, max_concurrency=4, max_restarts=0, scheduling_strategy="SPREAD"
            )
            handle = actor.remote(self._environment, cpus)
            self.seats.append(Seat(handle, handle.about.remote(), time.monotonic()))
        for seat in [s for s in self.seats if s.about is None]:
            done, _ = self.ray.wait([seat.ready], timeout=0)
            if done:
                self._welcome(seat)

    def _welcome(self, seat: Seat) -> None:
        try:
            about = self.ray.get(seat.ready)
        except self.lost as error:
            log.warning("a station could not start", error=str(error)[:300])
            self.lose(seat)
            return
        mine = software()
        for name in _SAME:
            if about["software"].get(name) != mine.get(name):
                raise Unavailable(
                    f"{about['host']} has {name} {about['software'].get(name)}, this server {mine.get(name)}. Numbers would depend on "
                    "where they are computed; install the same versions on all machines of the cluster."
                )
        seat.about = about
        log.info("station ready", host=about["host"], pid=about["pid"], device=about["device"])

    def ready(self, check: Callable[[], None], *, everybody: bool = False) -> list[Seat]:
        """Stations that can work, at least one.

        Args:
            check: called while waiting; raises when the run was cancelled.
            everybody: wait a little for those that are just starting.

        Raises:
            Unavailable: none within :data:`GRACE` seconds, or one with other versions.
        """
        began = time.monotonic()
        while True:
            self.fill()
            found = [s for s in self.seats if s.about is not None]
            now = time.monotonic()
            starting = [s for s in self.seats if s.about is None and now - s.born < START]
            if found and not (everybody and starting):
                return found
            check()
            if not found and now - began > GRACE:
                total = self.ray.cluster_resources()
                raise Unavailable(
                    f"No machine of the Ray cluster gave room for a worker within {GRACE:.0f} s; it has {total.get('CPU', 0):.0f} CPUs "
                    f"and {total.get('GPU', 0):.0f} GPUs in all. Look at `ray status`, free or add machines, or set MICROTOME_RAY_CPUS "
                    "lower."
                )
            time.sleep(0.1)

    def lose(self, seat: Seat) -> None:
        """A station that does not answer any more."""
        if seat in self.seats:
            self.seats.remove(seat)
            self.ray.kill(seat.handle)  # if it was only out of reach, it must not go on
            log.warning("station lost", **{k: (seat.about or {}).get(k) for k in ("host", "pid")})

    @property
    def device(self) -> str:
        """What provenance says: how many stations of which kind."""
        kinds = [s.about["device"] for s in self.seats if s.about is not None]
        return "ray: " + ", ".join(f"{kinds.count(k)} x {k}" for k in sorted(set(kinds)))
