"""What the server says of itself."""

from __future__ import annotations

import shutil
import time
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select

from microtome import __version__
from microtome.api.desk import Desk
from microtome.store import tables as t
from microtome.store.eviction import cache_bytes

LOST_AFTER = 10.0


def workers(desk: Desk) -> list[dict[str, str]]:
    with desk.store.read() as connection:
        rows = connection.execute(select(t.worker).order_by(t.worker.c.seen.desc()).limit(20)).all()
    out = []
    for row in rows:
        age = time.time() - row.seen
        if age > 600:
            continue
        state = "lost" if age > LOST_AFTER else row.state
        seen = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.seen))
        out.append({"id": row.id, "device": row.device, "state": state, "seen": seen})
    return out


def system_shape(desk: Desk) -> dict[str, Any]:
    settings, store = desk.settings, desk.store
    # what the database itself occupies; blobs in files are counted by the store
    database = sum(f.stat().st_size for f in store.data_dir.glob("microtome.db*")) if store.sqlite else 0
    with store.read() as connection:
        files = connection.execute(select(func.coalesce(func.sum(t.blob.c.bytes), 0)).where(t.blob.c.data.is_(None))).scalar_one()
        uploads = connection.execute(select(func.coalesce(func.sum(t.upload.c.bytes), 0))).scalar_one()
    return {
        "version": __version__, "database": store.dialect, "storage_bytes": int(database + files + uploads),
        "cache_bytes": cache_bytes(store), "cache_limit_bytes": settings.cache_bytes,
        "free_bytes": shutil.disk_usage(store.data_dir).free, "workers": workers(desk), **desk.engine.runs.counts(),
        "limits": {"upload_bytes": settings.upload_bytes, "image_pixels": settings.image_pixels},
        "source_roots": [str(p) for p in desk.engine.source_roots()],
    }  # fmt: skip


def metrics_text(desk: Desk) -> bytes:
    """Gauges read at the time of asking, so that several server processes say the same."""
    registry = CollectorRegistry()
    with desk.store.read() as connection:
        states = connection.execute(select(t.run.c.state, func.count()).group_by(t.run.c.state)).all()
        passes = connection.execute(select(func.coalesce(func.sum(t.run.c.forward_passes), 0))).scalar_one()
        results = connection.execute(select(func.count()).select_from(t.result)).scalar_one()
        notes = connection.execute(select(func.count()).select_from(t.annotation)).scalar_one()
    runs = Gauge("microtome_runs", "Runs by state.", ["state"], registry=registry)
    for state in ("queued", "running", "done", "failed", "cancelled"):
        runs.labels(state).set({row[0]: row[1] for row in states}.get(state, 0))
    Gauge("microtome_forward_passes", "Images that went through models, over all runs.", registry=registry).set(float(passes))
    Gauge("microtome_results", "Stored results.", registry=registry).set(results)
    Gauge("microtome_annotations", "Annotations.", registry=registry).set(notes)
    Gauge("microtome_cache_bytes", "Bytes of the result cache.", registry=registry).set(cache_bytes(desk.store))
    Gauge("microtome_workers", "Workers that were seen lately.", registry=registry).set(sum(w["state"] != "lost" for w in workers(desk)))
    Gauge("microtome_listeners", "Open event streams of this process.", registry=registry).set(len(desk.broadcast.listeners))
    return generate_latest(registry)
