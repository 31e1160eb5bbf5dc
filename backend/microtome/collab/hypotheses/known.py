"""Whether a number existed before it was predicted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from microtome.store import tables as t


def known_before(connection: Connection, keys: Sequence[str], predicted: str) -> str | None:
    """When a result of these keys was first there, if that was before the prediction; None if it was not.

    A result that was stored then and has been evicted since counts too: its run says when it was done.
    """
    r, p = t.result.c, t.run_part.c
    stored = connection.execute(select(func.min(r.created)).where(r.key.in_(keys))).scalar()
    ran = connection.execute(
        select(func.min(t.run.c.ended)).join(t.run_part, p.run_id == t.run.c.id).where(p.key.in_(keys), t.run.c.state == "done")
    ).scalar()
    first = min((at for at in (stored, ran) if at is not None), default=None)
    return str(first) if first is not None and first <= predicted else None
