"""What runs on the machines of a cluster: a process that holds models and the activations of its blocks of examples."""

from __future__ import annotations

import copy
import os
import platform
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from microtome.core.errors import Conflict, RunCancelled

#: Settings that belong to a machine: a node that sets them keeps its own, whatever the server says.
OF_THE_NODE = ("MICROTOME_DATA_DIR", "MICROTOME_DEVICE", "MICROTOME_MODEL_BYTES", "MICROTOME_SCRATCH_BYTES")


class Ticket:
    """Implements :class:`microtome.core.context.RunContext` for one call: counts examples, and stops when told to."""

    captures = None

    def __init__(self, number: int) -> None:
        self.number, self.done, self.cancelled = number, 0, False

    def check(self) -> None:
        if self.cancelled:
            raise RunCancelled("The run was cancelled. What was complete is kept.")

    def progress(self, done: int, total: int, what: str = "") -> None:
        self.check()
        self.done = done

    def emit(self, preview: Mapping[str, Any]) -> None:
        raise NotImplementedError("a shard has nothing to show")

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        raise NotImplementedError("a shard has no results of its own")


class Station:
    """One actor. Work is done one call at a time; :meth:`state` and :meth:`stop` answer in between.

    Args:
        environment: settings of the server, as environment variables.
        cpus: threads it may use.
    """

    def __init__(self, environment: Mapping[str, str], cpus: int) -> None:
        for name, value in environment.items():
            if name not in OF_THE_NODE or name not in os.environ:
                os.environ[name] = value
        # before numba and torch are imported: their pools are as large as they find the machine to be
        os.environ |= {"MICROTOME_THREADS": str(cpus), "NUMBA_NUM_THREADS": str(cpus), "OMP_NUM_THREADS": str(cpus)}
        from microtome.core.machine import keep_freed_memory
        from microtome.core.settings import settings
        from microtome.engine.probes import OpenProbes
        from microtome.engine.residency import Residency, default_budget
        from microtome.engine.workshop import Workshop

        keep_freed_memory()

        values = settings()
        workshop = Workshop(values)
        workshop.open(values.device.split(",")[0])
        self._device = workshop.device
        self._models = Residency(workshop.load_model, self._device, values.model_bytes or default_budget(self._device))
        self._probes = OpenProbes(workshop, values.data_dir)
        self._shards: dict[str, dict[int, Any]] = {}  # by capture and first example
        self._work = threading.Lock()
        self._now: Ticket | None = None
        self._stopped = -1  # calls up to this number have been told to stop

    def about(self) -> dict[str, Any]:
        """Who this is: host, process, device, and the versions that numbers depend on."""
        from microtome.engine.job import software

        return {
            "host": socket.gethostname(), "pid": os.getpid(), "device": self._device, "machine": platform.machine(),
            "software": software(),
        }  # fmt: skip

    # --- between calls ----------------------------------------------------------------------------------------------

    def state(self) -> tuple[int, int]:
        """Number of the call under way, -1 if none, and the examples it has done."""
        now = self._now
        return (-1, 0) if now is None else (now.number, now.done)

    def stop(self, number: int) -> None:
        """End the calls up to this number as soon as they look."""
        self._stopped = max(self._stopped, number)
        if self._now is not None and self._now.number <= number:
            self._now.cancelled = True

    @contextmanager
    def _call(self, number: int) -> Iterator[Ticket]:
        with self._work:
            ticket = Ticket(number)
            ticket.cancelled = number <= self._stopped
            self._now = ticket
            try:
                ticket.check()
                yield ticket
            finally:
                self._now = None

    # --- calls ------------------------------------------------------------------------------------------------------

    def forward(self, number: int, capture: str, plan: Mapping[str, Any], block: tuple[int, int], pieces: Sequence[Any]) -> None:
        """Pass the examples of a block through the model, keeping ``pieces`` beside what was kept of the block before.

        Raises:
            Conflict: model or probe set are not the same here as where the run was planned.
        """
        from microtome.capture.arithmetic import arithmetic_for
        from microtome.capture.shard import Shard

        with self._call(number) as ticket, self._models.borrow(plan["model"]["source"], plan["model"]["hash"]) as model:
            if model.hash != plan["model"]["hash"]:
                raise Conflict(self._other(plan["model"]["source"]), field="model")
            try:
                probe = self._probes.open(plan["probe"])
            except Conflict:
                raise Conflict(self._other(plan["probe"]["source"]), field="probe") from None
            shards = self._shards.setdefault(capture, {})
            shard = shards.get(block[0]) or Shard(probe, *block, arithmetic_for(self._device), plan["width"])
            shard.forward(model, pieces, ticket)
            shards[block[0]] = shard  # only now: what failed half-way is not taken for whole

    def _other(self, source: str) -> str:
        return (
            f"{source} on {socket.gethostname()} is not what the run was planned with. Every machine of the cluster must see the same "
            "files at the same path: use a shared folder, copy them again, or put the run again if they changed meanwhile."
        )

    def merged(self, number: int, capture: str, starts: Sequence[int], name: str, *given: Any) -> Any:
        """``Shard.<name>(*given)`` of several blocks, in their order, merged into one."""
        with self._call(number) as ticket:
            total: Any = None
            for shard in self._of(capture, starts):
                ticket.check()
                part = getattr(shard, name)(*given)
                if total is None:
                    total = copy.deepcopy(part)  # what a shard keeps must not grow by merging
                elif hasattr(total, "merge"):
                    total.merge(part)
                else:
                    total = total + part
            return total

    def record(
        self, number: int, capture: str, starts: Sequence[int], piece: Any, recorders: Sequence[Any], units: tuple[int, int] | None
    ) -> Sequence[Any]:
        """Feed fresh copies of ``recorders`` with several blocks."""
        with self._call(number) as ticket:
            own = copy.deepcopy(list(recorders))  # what came through shared memory is read-only
            for shard in self._of(capture, starts):
                own = list(shard.record(piece, own, ticket, units))
            return own

    def each(self, number: int, capture: str, starts: Sequence[int], name: str, *given: Any) -> list[Any]:
        """``Shard.<name>(*given)`` of several blocks, one by one."""
        with self._call(number):
            return [getattr(shard, name)(*given) for shard in self._of(capture, starts)]

    def drop(self, capture: str, piece: Any | None) -> None:
        """Forget a piece of a capture, or all of it."""
        with self._work:
            if piece is None:
                for shard in self._shards.pop(capture, {}).values():
                    shard.close()
            else:
                for shard in self._shards.get(capture, {}).values():
                    shard.drop(piece)

    def _of(self, capture: str, starts: Sequence[int]) -> list[Any]:
        shards = self._shards[capture]
        return [shards[start] for start in sorted(starts)]
