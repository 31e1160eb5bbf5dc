"""Models kept loaded in a worker, within a budget of bytes. A borrowed instance is its borrower's alone, hooks and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import structlog

from microtome.core.machine import memory_bytes
from microtome.engine.outcome import is_out_of_memory

log = structlog.get_logger("microtome.residency")


def default_budget(device: str) -> int:
    """Bytes of models that may stay loaded: a quarter of the machine's memory, half of the accelerator's."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory) // 2
    return memory_bytes() // 4


def bytes_of(model: Any) -> int:
    """What a loaded model occupies: its parameters and buffers, which may take more than its files."""
    network = getattr(model, "network", None)
    if network is None:
        return int(model.bytes)
    return sum(t.numel() * t.element_size() for tensors in (network.parameters(), network.buffers()) for t in tensors)


@dataclass(slots=True, eq=False)
class _Resident:
    source: str
    hash: str
    model: Any
    bytes: int
    busy: bool = field(default=True)


class Residency:
    """Keeps models by their bytes, the least recently used give way. A changed hash is another model.

    A borrowed model is never given up, so borrowed ones alone may exceed the budget; one that is larger than the whole
    budget is loaded for its run and given up afterwards.

    Args:
        load: source to model. When memory is too full for it, idle models give way and it is tried again.
        device: where models are.
        budget: bytes.
    """

    def __init__(self, load: Callable[[str], Any], device: str, budget: int) -> None:
        self._load, self._device, self.budget = load, device, budget
        self._residents: list[_Resident] = []  # least recently used first
        self._sizes: dict[str, int] = {}  # by source, as it was when last loaded
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """Of all loaded models."""
        with self._lock:
            return sum(r.bytes for r in self._residents)

    @property
    def sources(self) -> list[str]:
        """Of all loaded models, the least recently used first."""
        with self._lock:
            return [r.source for r in self._residents]

    @contextmanager
    def borrow(self, source: str, hash: str) -> Iterator[Any]:
        """An instance nobody else is using; loaded if there is none."""
        held = self._take(source, hash) or self._fetch(source)
        try:
            yield held.model
        finally:
            with self._lock:
                held.busy = False
                # old versions of a source are of no more use
                stale = [r for r in self._residents if not r.busy and r.source == source and r.hash != held.hash]
                gone = self._give_up(stale)
            self._make_room(0, gone)

    def _take(self, source: str, hash: str) -> _Resident | None:
        with self._lock:
            for resident in reversed(self._residents):
                if not resident.busy and (resident.source, resident.hash) == (source, hash):
                    resident.busy = True
                    self._residents.remove(resident)
                    self._residents.append(resident)
                    return resident
        return None

    def _fetch(self, source: str) -> _Resident:
        self._make_room(self._sizes.get(source, 0))
        try:
            model = self._load(source)
        except Exception as error:
            if not is_out_of_memory(error) or not self._make_room(self.budget):
                raise
            model = self._load(source)
        held = _Resident(source, model.hash, model, bytes_of(model))
        with self._lock:
            self._sizes[source] = held.bytes
            self._residents.append(held)
        self._make_room(0)
        return held

    def _make_room(self, needed: int, gone: int = 0) -> int:
        """Give up idle models until ``needed`` more bytes fit into the budget, or none is idle. Returns how many went."""
        with self._lock:
            excess = sum(r.bytes for r in self._residents) + needed - self.budget
            for resident in [r for r in self._residents if not r.busy]:
                if excess <= 0:
                    break
                excess -= resident.bytes
                gone += self._give_up([resident])
        if gone and self._device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()  # its allocator keeps what was freed otherwise
        return gone

    def _give_up(self, residents: list[_Resident]) -> int:
        for resident in residents:
            self._residents.remove(resident)
            log.info("model given up", source=resident.source, megabytes=resident.bytes >> 20)
        return len(residents)
