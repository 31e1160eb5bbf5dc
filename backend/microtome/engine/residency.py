"""Models kept loaded in a worker. A borrowed instance is its borrower's alone, hooks and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

KEEP = 3


@dataclass(slots=True, eq=False)
class _Resident:
    source: str
    hash: str
    model: Any
    busy: bool = field(default=True)


class Residency:
    """Keeps the last few models. A changed hash is another model."""

    def __init__(self, load: Callable[[str], Any], keep: int = KEEP) -> None:
        self._load, self._keep = load, keep
        self._residents: list[_Resident] = []  # least recently used first
        self._lock = Lock()

    @contextmanager
    def borrow(self, source: str, hash: str) -> Iterator[Any]:
        """An instance nobody else is using; loaded if there is none."""
        held = self._take(source, hash)
        if held is None:
            model = self._load(source)
            held = _Resident(source, model.hash, model)
            with self._lock:
                self._residents.append(held)
        try:
            yield held.model
        finally:
            with self._lock:
                held.busy = False
                # old versions of a source are of no more use
                stale = [r for r in self._residents if not r.busy and r.source == source and r.hash != held.hash]
                idle = [r for r in self._residents if not r.busy and r not in stale]
                for resident in stale + idle[: max(0, len(idle) - self._keep)]:
                    self._residents.remove(resident)

    def _take(self, source: str, hash: str) -> _Resident | None:
        with self._lock:
            for resident in reversed(self._residents):
                if not resident.busy and (resident.source, resident.hash) == (source, hash):
                    resident.busy = True
                    self._residents.remove(resident)
                    self._residents.append(resident)
                    return resident
        return None
