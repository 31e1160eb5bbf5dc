"""Computing stored results again, to see whether the same comes out; seen from the process that queues it.

Where nothing has changed, the run computes the very same question anew, without what passes have kept, and stores how far the answer
lies from the stored one (``results/compare.py``). Where weights, images or the method have changed, the question is another one
with a key of its own: it is put as any run, and its numbers are for the caller to compare.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Row

from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.core.keys import content_key
from microtome.engine.plan import Plan
from microtome.store.events import audit
from microtome.store.results import IMPORTED

if TYPE_CHECKING:
    from microtome.engine.facade import Engine

METHOD = "check"


@dataclass(frozen=True, slots=True)
class Again:
    """What becomes of one result that is computed again.

    Attributes:
        key: of the result.
        mode: ``again``: the same question; ``anew``: something has changed, so it is another one; ``refused``: it cannot be put.
        run: the run; empty if refused.
        now: key under which its outcome is stored: the comparison (again) or the new result (anew).
        why: reason of a refusal.
    """

    key: str
    mode: Literal["again", "anew", "refused"]
    run: str = ""
    now: str = ""
    why: str = ""


def submit(engine: Engine, keys: Iterable[str], references: Mapping[str, Sequence[Mapping[str, Any]]], person: str | None) -> list[Again]:
    """Queue what computes these results again, those of one question in one run.

    Args:
        references: by key, the numbers that are measured in the new result (:class:`microtome.results.measured.Reference`).
    """
    groups: dict[str, list[Row[Any]]] = {}
    out = []
    for key in dict.fromkeys(keys):
        try:
            head = engine.results.head(key)
        except MicrotomeError as error:
            out.append(Again(key, "refused", why=str(error)))
            continue
        groups.setdefault(head.group_key, []).append(head)
    for heads in groups.values():
        try:
            out += _group(engine, heads, references, person)
        except MicrotomeError as error:
            out += [Again(head.key, "refused", why=str(error)) for head in heads]
    return out


def _group(engine: Engine, heads: list[Row[Any]], references: Mapping[str, Any], person: str | None) -> list[Again]:
    first = heads[0]
    if first.version == IMPORTED:
        raise InvalidInput("It was computed elsewhere and imported; nothing here can compute it again.", field="key")
    subjects = dict(first.subjects)
    if first.part:
        subjects["layers"] = [head.part for head in heads]
    plan = engine.planner.plan(first.method, subjects, first.params, _built(engine, first.builds_on))
    if not {head.key for head in heads} <= set(plan.keys):
        run = engine.submit(first.method, subjects, first.params, "batch", person)
        now = dict(_parts(engine, run.id))
        return [Again(head.key, "anew", str(run.id), now[head.part]) for head in heads]
    return _again(engine, plan, {head.part: head.key for head in heads}, references, person)


def _again(engine: Engine, plan: Plan, keys: Mapping[str, str], references: Mapping[str, Any], person: str | None) -> list[Again]:
    nonce = secrets.token_hex(8)
    fresh = {part: content_key({"check": key, "nonce": nonce}) for part, key in keys.items()}
    about = {
        "method": plan.manifest["id"], "of": dict(keys),
        "references": {part: [dict(r) for r in references.get(key, ())] for part, key in keys.items()},
    }  # fmt: skip
    values = {
        "method": METHOD, "title": f"Check: {plan.manifest['title']}"[:200], "system": True, "request_key": content_key({"check": nonce}),
        "model": plan.subjects.values.get("model"), "subjects": plan.subjects.values, "params": plan.params,
        "plan": plan.document() | {"check": about}, "person_id": person,
    }  # fmt: skip
    with engine.store.write(lock="submit") as connection:
        id = engine.runs.insert(connection, values, list(fresh.items()))
        engine.events.add("run", {"id": id}, connection)
        audit(connection, person, METHOD, f"{plan.manifest['id']} {id}")
    engine.finish_inline(id)
    return [Again(keys[part], "again", id, now) for part, now in fresh.items()]


def _built(engine: Engine, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Key by part by method of what a result was built on.

    Raises:
        NotFound: one of them is gone.
    """
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        head = engine.results.head(key)
        found.setdefault(head.method, {})[head.part] = key
    return found


def _parts(engine: Engine, run: str) -> list[tuple[str, str]]:
    return [(part, key) for part, key, _ in engine.runs.parts([run])[run]]
