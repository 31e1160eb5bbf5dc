"""A file becomes a new label set: validated whole before anything is written, with its own ids, authors and times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from microtome.collab.labels.exchange.rows import Flat
from microtome.collab.labels.schema import Schema, checked, read_schema, value_of
from microtome.collab.labels.sets import UNITS
from microtome.core.errors import InvalidInput, MicrotomeError

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{6}Z", re.ASCII)
_CONTENT = {"name": str, "question": str, "schema": dict, "raters": int, "blind": bool, "closed": bool}


@dataclass
class Thing:
    """A rating or decision with its revisions."""

    id: str
    place: int
    rater: str
    machine: dict[str, str] | None
    revisions: list[Flat] = field(default_factory=list)


@dataclass
class Parsed:
    """What a file says, checked."""

    id: str
    model: str
    model_hash: str
    probe: str | None
    selection: Any
    sets: list[Flat] = field(default_factory=list)  # revisions: content, version, deleted, person_id, at
    units: list[tuple[str, int]] = field(default_factory=list)
    ratings: dict[str, Thing] = field(default_factory=dict)
    decisions: dict[str, Thing] = field(default_factory=dict)
    batches: dict[str, Flat] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)


def parse(rows: list[Flat]) -> Parsed:
    """
    Raises:
        InvalidInput: naming the row (counted from 1, without the heading) and the column.
    """
    numbered = list(enumerate(rows, 1))
    first = next((row for _, row in numbered if row.get("kind") == "set"), None)
    if first is None:
        raise InvalidInput("The file has no row of kind 'set'. Is it an export of a label set?", field="kind")
    found = Parsed(_needed(first, "id", 1), _needed(first, "model", 1), first.get("model_hash") or "", None, None)
    schemas: dict[int, Schema] = {}
    places: dict[tuple[str, int], int] = {}
    # sets before units before answers, whatever their order in the file, since each is checked by those before
    for kind in ("set", "unit", "batch", "rating", "decision"):
        for number, row in numbered:
            if row.get("kind") != kind:
                continue
            if row.get("person_id") is not None:
                _person(found, row, number)
            if kind == "set":
                _set(found, row, number, schemas)
            elif kind == "unit":
                _unit(row, number, places)
            elif kind == "batch":
                _batch(found, row, number)
            else:
                _answer(found, kind, row, number, schemas, places)
    odd = next(((n, r.get("kind")) for n, r in numbered if r.get("kind") not in ("set", "unit", "batch", "rating", "decision")), None)
    if odd is not None:
        raise _wrong(odd[0], "kind", f"must be set, unit, batch, rating or decision; got {repr(odd[1])[:60]}")
    found.units = list(places)
    _whole(found)
    return found


def _wrong(number: int, column: str, what: str) -> InvalidInput:
    return InvalidInput(f"Row {number}, column '{column}': {what}.", field=column)


def _needed(row: Mapping[str, Any], column: str, number: int) -> Any:
    value = row.get(column)
    if value is None or value == "":
        raise _wrong(number, column, "is empty")
    if column in ("id", "person_id", "batch") and not _ID.fullmatch(value):
        raise _wrong(number, column, f"is no id: {repr(value)[:60]}")
    if column == "at" and not _TIME.fullmatch(value):
        raise _wrong(number, column, f"must be a time like 2026-01-31T12:00:00.000000Z; got {repr(value)[:60]}")
    return value


def _person(found: Parsed, row: Flat, number: int) -> None:
    id, name = _needed(row, "person_id", number), " ".join((row.get("person_name") or "").split())
    if not name or not name.isprintable() or len(name) > 60:
        raise _wrong(number, "person_name", f"a name has 1 to 60 visible characters; got {repr(name)[:60]}")
    if found.people.setdefault(id, name) != name:
        raise _wrong(number, "person_name", f"person {id} was called '{found.people[id]}' before, now '{name}'")


def _content(row: Flat, column: str, number: int) -> Any:
    try:
        return orjson.loads(_needed(row, column, number))
    except orjson.JSONDecodeError as error:
        raise _wrong(number, column, f"is no JSON: {error}") from error


def _set(found: Parsed, row: Flat, number: int, schemas: dict[int, Schema]) -> None:
    content = _content(row, "content", number)
    if not isinstance(content, dict):
        raise _wrong(number, "content", "must be an object")
    for name, kind in _CONTENT.items():
        if not isinstance(content.get(name), kind) or (kind is int and isinstance(content[name], bool)):
            raise _wrong(number, "content", f"'{name}' is missing or of another type")
    if not 1 <= content["raters"] <= 50 or not 1 <= len(content["name"]) <= 100 or len(content["question"]) > 5000:
        raise _wrong(number, "content", "name, question or raters are out of bounds")
    version = _needed(row, "version", number)
    try:
        schema = read_schema(content["schema"])
    except ValidationError as error:
        raise _wrong(number, "content", f"'schema' is not valid: {str(error)[:200]}") from error
    if schemas.setdefault(version, schema) != schema:
        raise _wrong(number, "version", f"version {version} stood for another schema before")
    if len({s.type for s in schemas.values()}) > 1:
        raise _wrong(number, "content", "the type of answers cannot change within a set")
    _next_revision(found.sets, row, number)
    if row["revision"] == 1:
        found.probe, found.selection = content.get("probe"), content.get("selection")
        if found.probe is not None and not (isinstance(found.probe, str) and len(found.probe) <= 64):
            raise _wrong(number, "content", "'probe' must be a name")
    if row.get("id") != found.id:
        raise _wrong(number, "id", "a file holds one label set")
    kept = {name: content[name] for name in _CONTENT}
    found.sets.append(_common(row, number) | kept | {"version": version})


def _unit(row: Flat, number: int, places: dict[tuple[str, int], int]) -> None:
    layer, unit = _needed(row, "layer", number), _needed(row, "unit", number)
    if not 0 <= unit <= 2_000_000 or len(layer) > 200:
        raise _wrong(number, "unit", "is out of bounds")
    if (layer, unit) in places:
        raise _wrong(number, "unit", f"{layer}/{unit} is there twice")
    if len(places) >= UNITS:
        raise _wrong(number, "unit", f"a label set holds at most {UNITS:,} units")
    places[layer, unit] = len(places)


def _batch(found: Parsed, row: Flat, number: int) -> None:
    content = _content(row, "content", number)
    good = isinstance(content, dict) and isinstance(content.get("ratings"), int)
    if not good or not (content.get("undone") is None or _TIME.fullmatch(str(content["undone"]))):
        raise _wrong(number, "content", "must hold 'ratings' and 'undone'")
    id = _needed(row, "id", number)
    found.batches[id] = {
        "id": id, "person_id": _needed(row, "person_id", number), "at": _needed(row, "at", number),
        "ratings": content["ratings"], "undone": content.get("undone"),
    }  # fmt: skip


def _answer(found: Parsed, kind: str, row: Flat, number: int, schemas: Mapping[int, Schema], places: Mapping[tuple[str, int], int]) -> None:
    id = _needed(row, "id", number)
    unit = (_needed(row, "layer", number), _needed(row, "unit", number))
    if unit not in places:
        raise _wrong(number, "unit", f"{unit[0][:80]}/{unit[1]} is not among the units of the file")
    machine = None
    if row.get("machine_name") is not None:
        machine = {"name": row["machine_name"], "version": _needed(row, "machine_version", number)}
        if len(machine["name"]) > 80 or len(machine["version"]) > 60 or "@" in machine["name"] + machine["version"]:
            raise _wrong(number, "machine_name", "name and version have at most 80 and 60 characters and no @")
    things = found.ratings if kind == "rating" else found.decisions
    rater = f"m:{machine['name']}@{machine['version']}" if machine else f"p:{_needed(row, 'person_id', number)}"
    thing = things.setdefault(id, Thing(id, places[unit], rater, machine))
    if thing.place != places[unit] or thing.machine != machine:
        raise _wrong(number, "id", f"{id} stands for another unit or machine in another row")
    _next_revision(thing.revisions, row, number)
    version = _needed(row, "version", number)
    if version not in schemas:
        raise _wrong(number, "version", f"there is no version {version} among the rows of kind set")
    answer = _content(row, "answer", number)
    try:
        canonical = checked(schemas[version], answer)
    except MicrotomeError as error:
        raise _wrong(number, "answer", error.detail.rstrip(".")) from error
    values: Flat = {"answer": canonical, "version": version}
    if kind == "rating":
        if row.get("batch") is not None and _needed(row, "batch", number) not in found.batches:
            raise _wrong(number, "batch", "there is no row of kind batch with this id")
        values |= {"value": value_of(schemas[version], canonical), "informed": bool(row.get("informed")), "batch": row.get("batch")}
    else:
        reason = row.get("reason") or ""
        if len(reason) > 2000:
            raise _wrong(number, "reason", "has more than 2000 characters")
        values["reason"] = reason
    thing.revisions.append(_common(row, number) | values)


def _next_revision(before: list[Flat], row: Flat, number: int) -> None:
    if row.get("revision") != len(before) + 1:
        raise _wrong(number, "revision", f"revision {len(before) + 1} is next; got {row.get('revision')}")


def _common(row: Flat, number: int) -> Flat:
    return {
        "revision": row["revision"], "deleted": bool(row.get("deleted")), "person_id": _needed(row, "person_id", number),
        "at": _needed(row, "at", number),
    }  # fmt: skip


def _whole(found: Parsed) -> None:
    """What no single row can be wrong about."""
    if not found.units:
        raise InvalidInput("The file has no row of kind 'unit'.", field="kind")
    if found.sets[-1]["deleted"]:
        raise InvalidInput("The label set of this file is deleted. Restore it where it was exported.", field="deleted")
    for what, things in (("rating", found.ratings), ("decision", found.decisions)):
        seen: set[tuple[int, str]] = set()
        for thing in things.values():
            key = (thing.place, thing.rater if what == "rating" else "")
            if key in seen:
                layer, unit = found.units[thing.place]
                raise InvalidInput(f"There are two {what}s by the same for unit {layer}/{unit}; one of them is {thing.id}.", field="id")
            seen.add(key)


def renamed(found: Parsed, seed: str) -> Parsed:
    """The same under other ids, for a place where the file's own are taken. The same for the same seed."""

    def new(id: str) -> str:
        return seed if id == found.id else hashlib.sha256(f"{seed}\n{id}".encode()).hexdigest()[:24]

    def things(old: Iterable[Thing]) -> dict[str, Thing]:
        return {new(x.id): Thing(new(x.id), x.place, x.rater, x.machine, [_batched(r, new) for r in x.revisions]) for x in old}

    batches = {new(id): b | {"id": new(id)} for id, b in found.batches.items()}
    return Parsed(
        seed, found.model, found.model_hash, found.probe, found.selection, found.sets, found.units, things(found.ratings.values()),
        things(found.decisions.values()), batches, found.people,
    )  # fmt: skip


def _batched(revision: Flat, new: Any) -> Flat:
    return revision | {"batch": new(revision["batch"])} if revision.get("batch") is not None else revision
