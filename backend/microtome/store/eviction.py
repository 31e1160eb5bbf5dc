"""Keeping the result cache below its limit.

What is cheapest to compute again per byte goes first. Pinned results (``store.pins``) and imported ones, which nobody here could
compute again, never go; results of layers of models that are still listed go only when nothing else is left.
"""

from __future__ import annotations

import time

from sqlalchemy import func, select

from microtome.store import tables as t
from microtome.store.database import Store
from microtome.store.pins import pinned_keys
from microtome.store.results import IMPORTED, ResultRepository

FRESH_SECONDS = 600  # what was just computed or read is being looked at


def cache_bytes(store: Store) -> int:
    """Bytes of all blobs, each counted once."""
    with store.read() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(t.blob.c.bytes), 0))).scalar_one())


def _imported_bytes(store: Store) -> int:
    """Bytes of results that are no cache, since they were computed elsewhere."""
    with store.read() as connection:
        query = select(func.coalesce(func.sum(t.result.c.bytes), 0)).where(t.result.c.version == IMPORTED)
        return int(connection.execute(query).scalar_one())


def evict(store: Store, limit: int) -> int:
    """Drop results until the cache fits into ``limit`` bytes. Returns the bytes freed."""
    excess = cache_bytes(store) - _imported_bytes(store) - limit
    if excess <= 0:
        return 0
    listed = select(t.model.c.hash).where(t.model.c.current)
    query = select(t.result).where(
        t.result.c.key.not_in(pinned_keys()), t.result.c.bytes > 0, t.result.c.version != IMPORTED
    ).add_columns(t.result.c.model_hash.in_(listed).label("listed"))  # fmt: skip
    with store.read() as connection:
        rows = connection.execute(query).all()
    stale = time.time() - FRESH_SECONDS

    def order(row: object) -> tuple[bool, bool, float]:
        current_layer = bool(row.listed) and row.part != ""  # type: ignore[attr-defined]
        return current_layer, row.used > stale, row.seconds / row.bytes  # type: ignore[attr-defined]

    freed, results = 0, ResultRepository(store)
    for row in sorted(rows, key=order):
        if freed >= excess:
            break
        freed += results.drop([row.key], unless_pinned=True)
    return freed
