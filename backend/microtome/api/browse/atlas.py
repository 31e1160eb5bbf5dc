"""Which results Browse draws from: the newest dissection of a model on a probe set, or what a share froze."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, and_, select

from microtome.api.desk import Desk
from microtome.core.errors import InvalidInput
from microtome.store import tables as t

METHOD = "dissection"
MAP = "unit-map"
KEEP_SECONDS = 5.0


@dataclass(frozen=True)
class AtlasLayer:
    """A layer, and the key of its results if it is computed."""

    name: str
    label: str
    key: str | None
    units: int
    height: int
    width: int
    kind: str
    default: bool
    order: int

    @property
    def computed(self) -> bool:
        return self.key is not None


@dataclass(frozen=True)
class AtlasState:
    """See the module's docstring."""

    model: str
    probe: str
    model_hash: str
    probe_hash: str
    probe_source: str
    geometry: dict[str, Any] | None
    frozen: bool
    state: str
    reason: str | None
    run: Row[Any] | None
    layers: tuple[AtlasLayer, ...]
    map_key: str | None
    version: str
    newest: str | None
    params: dict[str, Any]
    imported: dict[str, Any] | None = None  # where the results come from, if they were computed elsewhere

    @property
    def computed(self) -> list[AtlasLayer]:
        return [layer for layer in self.layers if layer.computed]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the computed layers, in order of the layers."""
        return tuple(layer.key for layer in self.layers if layer.key is not None)

    def label_of(self, name: str) -> str:
        return next((layer.label for layer in self.layers if layer.name == name), name)

    def freeze(self) -> dict[str, Any]:
        """As JSON, for a share."""
        names = (
            "model", "probe", "model_hash", "probe_hash", "probe_source", "geometry", "map_key", "version", "newest", "params", "imported",
        )  # fmt: skip
        layers = [{n: getattr(layer, n) for n in AtlasLayer.__dataclass_fields__} for layer in self.layers]
        return {name: getattr(self, name) for name in names} | {"layers": layers}


def find(desk: Desk, model: str, probe: str, share: str | None = None) -> AtlasState:
    """
    Raises:
        NotFound: no such model, probe set or share. InvalidInput: the share is about another model.
    """
    if share is not None:
        return _frozen(desk, model, probe, share)
    # Whatever changes the answer writes an event. The clock bounds how long a change made by hand goes unseen.
    stamp = (desk.engine.events.newest(), int(time.monotonic() / KEEP_SECONDS))
    return desk.browse.remember(("atlas", model, probe, stamp), lambda: _find(desk, model, probe), cap=64)


def _find(desk: Desk, model: str, probe: str) -> AtlasState:
    row = desk.engine.sources.get("model", model)
    data = desk.engine.sources.get("probe", probe)
    run = _open_run(desk, row.slug, data.slug)
    version, source, newest = _newest(desk, row, data)
    known = _rows_of(desk, newest) if newest is not None else {}
    layers = tuple(
        AtlasLayer(
            la.name, la.label, known[la.name].key if la.name in known else None, la.units, la.height, la.width, la.kind,
            la.chosen, la.position,
        )
        for la in desk.engine.sources.layers(version.id)
    )  # fmt: skip
    found = AtlasState(
        model=row.slug, probe=data.slug, model_hash=version.hash, probe_hash=source.hash, probe_source=data.source,
        geometry=version.description.get("geometry"), frozen=False, state="none", reason=None, run=run, layers=layers,
        map_key=None, version=newest.version if newest is not None else "",
        newest=max((r.created for r in known.values()), default=None),
        params=newest.params if newest is not None else {},
        imported=newest.provenance.get("imported") if newest is not None else None,
    )  # fmt: skip
    state, reason = _state(found, row, data)
    return replace(found, state=state, reason=reason, map_key=_map(desk, found))


def _open_run(desk: Desk, model: str, probe: str) -> Row[Any] | None:
    query = select(t.run).where(t.run.c.model == model, t.run.c.method == METHOD, t.run.c.state.in_(("queued", "running")))
    with desk.store.read() as connection:
        rows = connection.execute(query.order_by(t.run.c.seq.desc())).all()
    return next((row for row in rows if row.subjects.get("probe") == probe), None)


def _newest(desk: Desk, model: Row[Any], probe: Row[Any]) -> tuple[Row[Any], Row[Any], Row[Any] | None]:
    """Versions of model and probe set, and the newest result of theirs: the present ones, else the latest that have any."""

    def newest(pairs: Any) -> Row[Any] | None:
        query = select(t.result).where(t.result.c.method == METHOD, pairs).order_by(t.result.c.created.desc()).limit(1)
        with desk.store.read() as connection:
            return connection.execute(query).first()

    now = newest(and_(t.result.c.model_hash == model.hash, t.result.c.probe_hash == probe.hash))
    if now is not None:
        return model, probe, now
    models = {v.hash: v for v in reversed(desk.engine.sources.versions("model", model.slug))}
    probes = {v.hash: v for v in reversed(desk.engine.sources.versions("probe", probe.slug))}
    if len(models) == 1 and len(probes) == 1:
        return model, probe, None
    old = newest(and_(t.result.c.model_hash.in_(models), t.result.c.probe_hash.in_(probes)))
    if old is None:
        return model, probe, None
    return models[old.model_hash], probes[old.probe_hash], old


def _rows_of(desk: Desk, result: Row[Any]) -> dict[str, Any]:
    """All layers that answer the same question as ``result``, by layer."""
    columns = (t.result.c.key, t.result.c.part, t.result.c.created)
    with desk.store.read() as connection:
        rows = connection.execute(select(*columns).where(t.result.c.group_key == result.group_key)).all()
    return {row.part: row for row in rows}


def _state(found: AtlasState, model: Row[Any], probe: Row[Any]) -> tuple[str, str | None]:
    if found.run is not None:
        return "computing", None
    if not found.keys:
        return "none", model.problem or probe.problem
    if found.model_hash != model.hash:
        return "stale", (
            f"The weights of {model.slug} have changed since this dissection (hash {found.model_hash[:8]}, now {model.hash[:8]}). "
            "Dissect it again to see the new ones."
        )
    if found.probe_hash != probe.hash:
        return "stale", (
            f"The images of {probe.slug} have changed since this dissection (hash {found.probe_hash[:8]}, now {probe.hash[:8]}). "
            "Dissect again to see the new ones."
        )
    for row in (model, probe):
        if row.state != "ready":
            return "stale", row.problem
    wanted = [layer for layer in found.layers if layer.default]
    return ("current", None) if all(layer.computed for layer in wanted) else ("partial", "Not all main layers are dissected yet.")


def _map(desk: Desk, found: AtlasState) -> str | None:
    """The newest map of units that was made from these layers, or from some of them."""
    keys = set(found.keys)
    if not keys:
        return None
    columns = (t.result.c.key, t.result.c.builds_on)
    query = select(*columns).where(
        t.result.c.method == MAP, t.result.c.model_hash == found.model_hash, t.result.c.probe_hash == found.probe_hash
    )
    with desk.store.read() as connection:
        rows = connection.execute(query.order_by(t.result.c.created.desc()).limit(50)).all()
    fitting = [row for row in rows if row.builds_on and set(row.builds_on) <= keys]
    return max(fitting, key=lambda row: len(row.builds_on)).key if fitting else None


def _frozen(desk: Desk, model: str, probe: str, share: str) -> AtlasState:
    row = desk.shares.get(share)
    data = row.frozen.get("atlas")
    if data is None or (data["model"], data["probe"]) != (model, probe):
        about = f"{data['model']} on {data['probe']}" if data else "no dissection"
        raise InvalidInput(f"This share is about {about}, not {model[:64]} on {probe[:64]}.", field="share")
    layers = tuple(AtlasLayer(**layer) for layer in data["layers"])
    state = "current" if layers and any(layer.computed for layer in layers) else "none"
    rest = {name: value for name, value in data.items() if name != "layers"}
    return AtlasState(**rest, layers=layers, frozen=True, state=state, reason=None, run=None)


def facts(desk: Desk, found: AtlasState) -> dict[str, Any]:
    """Quantile, grid, chance and the like, from the documents of the first computed layer."""
    out: dict[str, Any] = {
        "quantile": float(found.params.get("quantile", 0.995)), "grid": [], "min_iou": float(found.params.get("min_iou", 0.04)),
        "chance": 0.0, "chance_note": "", "images": 0, "categories": [],
    }  # fmt: skip
    columns = desk.browse.columns(found.keys)
    if not columns.layers:
        return out
    documents = columns.layers[0].documents
    summary = documents.get("summary", {})
    matrix = documents.get("iou", {})
    about = summary.get("facts", {})
    out |= {k: about[k] for k in ("quantile", "min_iou", "chance", "images") if about.get(k) is not None}
    out["chance_note"] = summary.get("note", "")
    out["grid"] = matrix.get("grid") or documents.get("activation", {}).get("grid", [])
    out["categories"] = list(dict.fromkeys(c.split(":")[0] for c in matrix.get("columns", [])))
    chances = [d["summary"]["facts"].get("chance") for layer in columns.layers if "summary" in (d := layer.documents)]
    numbers = [float(c) for c in chances if c is not None]
    out["chance"] = sum(numbers) / len(numbers) if numbers else None if found.imported is not None else 0.0
    return out


def shape(desk: Desk, found: AtlasState) -> dict[str, Any]:
    """The document of ``GET /atlas``."""
    from microtome.api.shapes import run_shape

    about = desk.browse.remember(("facts", found.keys), lambda: facts(desk, found))
    layers = [{n: getattr(layer, n) for n in AtlasLayer.__dataclass_fields__} | {"computed": layer.computed} for layer in found.layers]
    projection = _projection(desk, found.map_key) if found.map_key is not None else None
    return {
        "model": found.model, "probe": found.probe, "model_hash": found.model_hash, "probe_hash": found.probe_hash,
        "frozen": found.frozen, "state": found.state, "reason": found.reason,
        "run": run_shape(desk, found.run) if found.run is not None else None, "layers": layers,
        "map": {"key": found.map_key, "projection": projection} if found.map_key is not None else None, **about,
        "method_version": found.version, "newest": found.newest, "imported": found.imported,
    }  # fmt: skip


def _projection(desk: Desk, key: str) -> str:
    return desk.browse.remember(("projection", key), lambda: str(desk.engine.results.item(key, "map").document.get("projection", "")))
