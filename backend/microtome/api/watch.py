"""What follows when runs end, seen to by the server: outcomes of hypotheses, the next step of a study's preparation.

Each server process looks once in a while; what is done is done in one transaction that another process finds done already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

log = structlog.get_logger("microtome.watch")
PAUSE = 1.0


class Watch:
    """A thread that calls ``steps`` until it is stopped."""

    def __init__(self, steps: Sequence[Callable[[], object]], pause: float = PAUSE) -> None:
        self.steps, self.pause = steps, pause
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._end.clear()
        self._thread = threading.Thread(target=self._loop, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(10)

    def _loop(self) -> None:
        while not self._end.wait(self.pause):
            for step in self.steps:
                try:
                    step()
                except Exception as error:  # the database may be away for a moment; the next look finds the same to do
                    log.warning("watch", error=str(error)[:200])
