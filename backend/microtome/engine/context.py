"""What a method sees of its run, inside a worker.

``check``, and with it ``progress``, is also the safe point at which a worker does other people's short work: between two batches
of a batch run, or of an interactive one that has shown its preview, it looks (at most every 50 ms) for queued interactive runs and
executes them, in a thread of their own so that gradient modes stay apart, and with another instance of the model so that the
hooks of the long run do not see them. Helper threads of a method (one that reads ahead) may call ``check`` too; they are told of a
cancel, and do nobody's work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from microtome.core.errors import RunCancelled, Unavailable
from microtome.store.events import EventRepository
from microtome.store.runs import RunRepository

#: Seconds between two looks at whether the run was cancelled, and at whether somebody waits for short work: about a batch.
POLL, LOOK = 0.2, 0.05
TELL = 0.25


class WorkContext:
    """Implements :class:`microtome.core.context.RunContext`."""

    def __init__(
        self,
        run_id: str,
        runs: RunRepository,
        events: EventRepository,
        publish: Callable[[str, Mapping[str, Any]], None],
        between: Callable[[], float] | None,
        limit_seconds: float,
        captures: Any = None,
        gives_way: bool = True,
    ) -> None:
        self.captures, self._gives_way = captures, gives_way
        self.run_id, self._runs, self._events = run_id, runs, events
        self._publish, self._between = publish, between
        self._limit = limit_seconds
        self._thread = threading.get_ident()
        self._began = time.monotonic()
        self._away = 0.0  # seconds spent on other runs
        self._asked = self._told = self._polled = 0.0
        self._cancelled = False
        self._stage: tuple[str, float, int, float] = ("", self._began, 0, 0.0)

    @property
    def seconds(self) -> float:
        """Seconds spent on this run alone."""
        return time.monotonic() - self._began - self._away

    def stood_still(self, seconds: float) -> None:
        """Not to be counted as the run's own: it waited for its turn."""
        self._away += seconds
        self._asked = 0.0  # somebody may have cancelled meanwhile

    @property
    def cancelled(self) -> bool:
        at = time.monotonic()
        if not self._cancelled and at - self._asked > POLL:
            self._asked = at
            self._cancelled = self._runs.cancelled(self.run_id)
        return self._cancelled

    def check(self) -> None:
        if self.cancelled:
            raise RunCancelled("The run was cancelled. What was complete is kept.")
        if self.seconds > self._limit:
            raise Unavailable(
                f"The run took longer than {self._limit:.0f} s (MICROTOME_RUN_SECONDS) and was stopped. Use fewer examples or "
                "raise the limit."
            )
        if (
            self._between is not None
            and self._gives_way
            and threading.get_ident() == self._thread
            and time.monotonic() - self._polled >= LOOK
        ):
            self._polled = time.monotonic()
            self._away += self._between()

    def progress(self, done: int, total: int, what: str = "") -> None:
        self.check()
        at = time.monotonic()
        name, began, first, away = self._stage
        if what != name or done < first:
            began, first, away = at, done, self._away
            self._stage = (what, began, first, away)
        if at - self._told >= TELL or done >= total:
            self._told = at
            spent = at - began - (self._away - away)
            rate = (done - first) / spent if done > first and spent > 0.05 else None
            eta = (total - done) / rate if rate else None
            state = {"done": done, "total": total, "what": what, "rate": rate, "eta_seconds": eta}
            with self._runs.store.write() as connection:
                self._runs.set(self.run_id, connection, progress=state)
                self._events.add("run", {"id": self.run_id}, connection)

    def emit(self, preview: Mapping[str, Any]) -> None:
        self._gives_way = True  # what is still missing can wait for others who have not seen anything yet
        self._events.add("preview", {"run": self.run_id, **preview})

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        self._publish(part, results)
