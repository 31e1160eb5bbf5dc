"""What people rely on: results that are never evicted, and stay when a model or probe set is taken off with its results."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select, union

from microtome.store import tables as t

#: One query of keys for every table that pins; a new kind of thing that pins results adds a line here, and nowhere else.
PINS: tuple[Select[Any], ...] = (
    select(t.share_result.c.key).join(t.share, t.share.c.id == t.share_result.c.share_id).where(t.share.c.revoked.is_(None)),
    select(t.hypothesis_result.c.key),
    select(t.study_result.c.key),
    select(t.finding_result.c.key),
)


def pinned_keys() -> Select[Any]:
    """Keys of all pinned results, to be used within a query: ``key.not_in(pinned_keys())``."""
    return select(union(*PINS).subquery().c.key)
