"""What Browse keeps in memory. Everything is keyed by the keys of immutable results, so nothing ever goes stale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from microtome.api.browse.columns import Columns, load_columns
from microtome.store import Store
from microtome.store.results import ResultRepository

T = TypeVar("T")
CAP = 512


class BrowseCache:
    """Least-recently-used memories, one family per first part of the key."""

    def __init__(self, store: Store) -> None:
        self.results = ResultRepository(store)
        self._families: dict[Hashable, OrderedDict[Hashable, Any]] = {}
        self._lock = Lock()
        self._making: dict[Hashable, Lock] = {}

    def remember(self, key: tuple[Hashable, ...], make: Callable[[], T], cap: int = CAP) -> T:
        """The remembered value, or a new one. Two who ask for the same at once compute it once."""
        with self._lock:
            family = self._families.setdefault(key[0], OrderedDict())
            if key in family:
                family.move_to_end(key)
                return family[key]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in family:
                    return family[key]
            try:
                value = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                family[key] = value
                while len(family) > cap:
                    family.popitem(last=False)
        return value

    def columns(self, keys: tuple[str, ...]) -> Columns:
        """Columns of all units of these layer results, in their order."""
        return self.remember(("columns", keys), lambda: load_columns(self.results, keys), cap=4)
