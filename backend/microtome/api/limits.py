"""How many requests of a class one person may send: a bucket of tokens for each, in the memory of this process.

With several server processes each has its own buckets, so together they let through as many times more. What must be exact
over processes, the lock-out of guessers, is in the database (``collab.accounts.lockout``).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from microtome.core.errors import TooManyRequests

PEOPLE = 10_000  # buckets that are kept; the longest unused goes first, and would be full again by then


class Limits:
    """Buckets that hold a minute's worth and fill up evenly.

    Args:
        per_minute: size of the bucket of each class; 0 for no limit.
        clock: seconds; for tests.
    """

    def __init__(self, per_minute: dict[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.clock = per_minute, clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: str, kind: str) -> None:
        """
        Raises:
            TooManyRequests: the bucket is empty.
        """
        size = self.per_minute[kind]
        if size == 0:
            return
        at = self.clock()
        with self._lock:
            left, before = self._buckets.pop((who, kind), (float(size), at))
            left = min(float(size), left + (at - before) * size / 60.0)
            self._buckets[(who, kind)] = (max(left - 1.0, 0.0) if left >= 1.0 else left, at)
            while len(self._buckets) > PEOPLE:
                self._buckets.popitem(last=False)
        if left < 1.0:
            raise TooManyRequests(f"More than {size} {kind} in a minute. Wait, then send it again.", after=(1.0 - left) * 60.0 / size)
