"""Freezing a view and opening it again, also after its weights, images or methods have changed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import Row, and_, select

from microtome import __version__
from microtome.api.browse import atlas as atlases
from microtome.api.desk import Desk
from microtome.collab.drift import drift, made_with
from microtome.collab.people import PersonRow
from microtome.collab.saved import title_of
from microtome.core.errors import InvalidInput
from microtome.core.viewstate import ExplainState, ViewState
from microtome.store import tables as t
from microtome.store.results import IMPORTED

#: Answers to one prompt that a view pins at most.
_READINGS = 200


def freeze(
    desk: Desk, me: PersonRow, state: ViewState, token: str | None, visibility: str = "link", title: str | None = None
) -> dict[str, Any]:
    """Save the view with the keys of the results that it shows, and pin those.

    Raises:
        NotFound: the view names a model or probe set that is not there.
    """
    return _share(desk, freeze_row(desk, me, state, token, visibility, title=title))


def freeze_row(
    desk: Desk, me: PersonRow, state: ViewState, token: str | None, visibility: str, more: Sequence[str] = (), title: str | None = None
) -> Row[Any]:
    """:func:`freeze`, with ``more`` results pinned beside those that the view shows."""
    frozen: dict[str, Any] = {
        "keys": [], "model_hash": None, "probe_hash": None, "methods": {}, "software": _software(), "atlas": None,
        "runs": [],
    }  # fmt: skip
    keys: list[str] = []
    if state.model is not None:
        row = desk.engine.sources.get("model", state.model, "state.model")
        frozen["model_hash"] = row.hash
    if state.probe is not None:
        frozen["probe_hash"] = desk.engine.sources.get("probe", state.probe, "state.probe").hash
    if state.model is not None and state.probe is not None:
        found = atlases.find(desk, state.model, state.probe)
        frozen |= {"atlas": found.freeze(), "model_hash": found.model_hash, "probe_hash": found.probe_hash}
        keys += found.keys
        if found.map_key is not None:
            keys.append(found.map_key)
        brush = state.selection.brush
        if brush is not None and brush.polygon is not None and brush.key is not None:
            if not desk.engine.results.stored([brush.key]):
                raise InvalidInput("The map that the brush was drawn on is gone. Brush again.", field="state.selection.brush.key")
            keys.append(brush.key)
    if state.model is not None and (state.explain.example is not None or state.explain.benchmark is not None):
        keys += _explanations(desk, state)
    if state.model is not None and state.language.prompt is not None:
        keys += _readings(desk, state.model, state.language.prompt)
    keys = list(dict.fromkeys(keys))
    for row in _heads(desk, keys):
        if row.version != IMPORTED:  # computed elsewhere: no method here could have changed since
            frozen["methods"][row.method] = row.version
        frozen["software"] = {**frozen["software"], **row.provenance.get("software", {})}
    frozen["keys"] = keys
    return desk.shares.create(me, state.model_dump(mode="json"), frozen, [*keys, *more], token, visibility, title)


def _heads(desk: Desk, keys: list[str]) -> list[Row[Any]]:
    with desk.store.read() as connection:
        return list(connection.execute(select(t.result).where(t.result.c.key.in_(keys))))


def _explanations(desk: Desk, state: ViewState) -> list[str]:
    """Keys of the stored results on the Explain screen: of its methods about the example, and the newest of what is asked of the set."""
    example, benchmark = state.explain.example, state.explain.benchmark
    beside = ["predict", "unit-contributions", *(["region-units"] if state.explain.polygon else [])]
    wanted = t.run.c.method.in_([*state.explain.methods, *beside, *([benchmark] if benchmark else [])])
    query = (
        select(t.run, t.run_part.c.key)
        .join(t.run_part, t.run_part.c.run_id == t.run.c.id)
        .where(and_(t.run.c.model == state.model, t.run.c.state == "done", wanted))
        .order_by(t.run.c.seq.desc())
        .limit(2000)
    )
    with desk.store.read() as connection:
        rows = connection.execute(query).all()
    hashes = {(row.hash) for row in desk.engine.sources.versions("model", state.model or "")[:1]}
    keys: dict[str, None] = {}
    asked, explained = False, _explained(state.explain)
    for row in rows:
        if row.plan.get("hashes", {}).get("model") not in hashes:
            continue
        if row.method == benchmark and "example" not in row.subjects:
            if row.subjects.get("probe") == state.probe and not asked:
                asked = True
                keys[row.key] = None
            continue
        if example is None or row.subjects.get("example") != example:
            continue
        targets = row.subjects.get("targets")
        if targets is not None and explained and not any(t in explained for t in targets):
            continue
        keys[row.key] = None
    return [key for key in keys if key in desk.engine.results.stored(keys)]


def _readings(desk: Desk, model: str, prompt: str) -> list[str]:
    """Keys of the stored answers to a prompt, as Language and Explain show them: the newest of every question that was put."""
    query = (
        select(t.run, t.run_part.c.key)
        .join(t.run_part, t.run_part.c.run_id == t.run.c.id)
        .where(and_(t.run.c.model == model, t.run.c.state == "done"))
        .order_by(t.run.c.seq.desc())
        .limit(2000)
    )
    hash = desk.engine.sources.get("model", model, "state.model").hash
    with desk.store.read() as connection:
        rows = [row for row in connection.execute(query).all() if row.subjects.get("prompt") == prompt]
    keys = list(dict.fromkeys(row.key for row in rows if row.plan.get("hashes", {}).get("model") == hash))
    stored = desk.engine.results.stored(keys)
    return [key for key in keys if key in stored][:_READINGS]


def _explained(explain: ExplainState) -> list[Any]:
    """The targets as runs name them: classes, each minus another, or a unit; empty for the predicted class."""
    if explain.unit is not None:
        return [explain.unit.model_dump(mode="json")]
    if explain.like is not None:
        return [{"like": explain.like}]
    if explain.against is not None:
        return [{"minus": [target, explain.against]} for target in explain.targets]
    return list(explain.targets)


def _software() -> dict[str, str]:
    found = {"python": platform.python_version(), "microtome": __version__}
    for name in ("torch", "transformers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _share(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    author = desk.people.find(row.person_id)
    assert author is not None
    return {
        "id": row.id, "url": f"/s/{row.id}", "created": row.created, "author": author.shape(), "visibility": row.visibility,
        "title": row.title or title_of(row.state),
    }  # fmt: skip


def shared_view(desk: Desk, me: PersonRow | None, id: str) -> dict[str, Any]:
    """The document of ``GET /shares/{id}``."""
    row = desk.shares.shown_to(me, id)
    frozen = row.frozen
    stored = desk.engine.results.stored(frozen["keys"])
    names = ("keys", "model_hash", "probe_hash", "methods", "software")
    return _share(desk, row) | {
        "state": ViewState.model_validate(row.state).model_dump(mode="json"),
        "frozen": {name: frozen[name] for name in names},
        "drift": drift(desk.engine, made_with(frozen, row.state.get("model"), row.state.get("probe"))),
        "available": len(stored) == len(frozen["keys"]),
    }
