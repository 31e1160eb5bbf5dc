"""A file becomes a new label set: validated whole before anything is written, with its own ids, authors and times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microtome.collab.labels.exchange.rows import Flat
from microtome.collab.labels.schema import Markdown, Name, Raters, Schema, checked, read_schema, value_of
from microtome.collab.labels.sets import UNITS
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.core.selection import Selection

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6}Z")
_MACHINE = re.compile(r"[^\x00-\x1f@]+")
M = TypeVar("M", bound=BaseModel)
LARGEST = 2**31 - 1  # that a column of whole numbers holds in every database


class _Content(BaseModel):
    """``content`` of a row of kind set, with the bounds that sets made here have."""

    model_config = ConfigDict(strict=True)

    name: Name
    question: Markdown
    schema_: dict[str, Any] = Field(alias="schema")
    raters: Raters
    blind: bool
    closed: bool
    probe: str | None = Field(None, min_length=1, max_length=64)
    selection: Selection | None = None


class _Batch(BaseModel):
    """``content`` of a row of kind batch."""

    model_config = ConfigDict(strict=True)

    ratings: int = Field(ge=0, le=LARGEST)
    undone: str | None = Field(None, pattern=rf"^{_TIME.pattern}$")


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
        content = orjson.loads(_needed(row, column, number))
    except orjson.JSONDecodeError as error:
        raise _wrong(number, column, f"is no JSON: {error}") from error
    if _holds_null(content):
        raise _wrong(number, column, "a text holds a null character, which not every database keeps")
    return content


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_null(x) for pair in value.items() for x in pair)
    return any(_holds_null(x) for x in value) if isinstance(value, list) else isinstance(value, str) and "\0" in value


def _read(kind: type[M], content: Any, number: int) -> M:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise _wrong(number, "content", f"'{where[:80]}': {first['msg']}; got {repr(first['input'])[:60]}") from error


def _set(found: Parsed, row: Flat, number: int, schemas: dict[int, Schema]) -> None:
    content = _content(row, "content", number)
    read = _read(_Content, content, number)
    version = _needed(row, "version", number)
    if not 1 <= version <= LARGEST:
        raise _wrong(number, "version", f"must be 1 to {LARGEST:,}; got {version}")
    try:
        schema = read_schema(read.schema_)
    except ValidationError as error:
        raise _wrong(number, "content", f"'schema' is not valid: {str(error)[:200]}") from error
    if schemas.setdefault(version, schema) != schema:
        raise _wrong(number, "version", f"version {version} stood for another schema before")
    if len({s.type for s in schemas.values()}) > 1:
        raise _wrong(number, "content", "the type of answers cannot change within a set")
    _next_revision(found.sets, row, number)
    if row["revision"] == 1:
        found.probe, found.selection = read.probe, None if read.selection is None else read.selection.model_dump(mode="json")
    if row.get("id") != found.id:
        raise _wrong(number, "id", "a file holds one label set")
    kept = {name: content[name] for name in ("name", "question", "schema", "raters", "blind", "closed")}
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
    read = _read(_Batch, _content(row, "content", number), number)
    id = _needed(row, "id", number)
    found.batches[id] = {
        "id": id, "person_id": _needed(row, "person_id", number), "at": _needed(row, "at", number),
        "ratings": read.ratings, "undone": read.undone,
    }  # fmt: skip


def _answer(found: Parsed, kind: str, row: Flat, number: int, schemas: Mapping[int, Schema], places: Mapping[tuple[str, int], int]) -> None:
    id = _needed(row, "id", number)
    unit = (_needed(row, "layer", number), _needed(row, "unit", number))
    if unit not in places:
        raise _wrong(number, "unit", f"{unit[0][:80]}/{unit[1]} is not among the units of the file")
    machine = None
    if row.get("machine_name") is not None:
        machine = {"name": row["machine_name"], "version": _needed(row, "machine_version", number)}
        if any(len(machine[part]) > longest or not _MACHINE.fullmatch(machine[part]) for part, longest in (("name", 80), ("version", 60))):
            raise _wrong(number, "machine_name", "name and version have at most 80 and 60 characters, no @ and no control character")
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


def with_people(found: Parsed, new: Mapping[str, str]) -> Parsed:
    """The same with other ids for some people, who keep the names that the file gives them."""

    def by(row: Flat) -> Flat:
        return row | {"person_id": new.get(row["person_id"], row["person_id"])}

    def things(old: Mapping[str, Thing]) -> dict[str, Thing]:
        return {id: replace(x, rater=_rater(x.rater, new), revisions=[by(r) for r in x.revisions]) for id, x in old.items()}

    return replace(
        found, sets=[by(r) for r in found.sets], ratings=things(found.ratings), decisions=things(found.decisions),
        batches={id: by(batch) for id, batch in found.batches.items()},
        people={new.get(id, id): name for id, name in found.people.items()},
    )  # fmt: skip


def _rater(rater: str, new: Mapping[str, str]) -> str:
    return f"p:{new.get(rater[2:], rater[2:])}" if rater.startswith("p:") else rater


def _batched(revision: Flat, new: Any) -> Flat:
    return revision | {"batch": new(revision["batch"])} if revision.get("batch") is not None else revision
