"""Results: immutable, addressed by key, visible only when complete."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Row, delete, func, insert, select, update

from microtome.core.errors import InvalidInput, NotFound
from microtome.results import KINDS, Result
from microtome.store import tables as t
from microtome.store.blobs import BlobRef, insert_ignore
from microtome.store.database import Store
from microtome.store.index import drop_rows, index_rows
from microtome.store.pins import pinned_keys
from microtome.store.times import now

MAX_DOCUMENT = 1_000_000  # bytes of JSON

#: Version of results that were computed elsewhere: they cannot be made again here, so they are never evicted.
IMPORTED = "import-1"


@dataclass(frozen=True, slots=True)
class ResultHead:
    """What is kept beside a result: the question it answers and how it was made."""

    key: str
    method: str
    version: str
    part: str
    subjects: Mapping[str, Any]
    params: Mapping[str, Any]
    group_key: str
    builds_on: list[str]
    model_hash: str | None
    probe_hash: str | None
    provenance: Mapping[str, Any]
    seconds: float
    run_id: str | None = None
    created: str = field(default_factory=now)


def _check_size(name: str, result: Result, document: Mapping[str, Any]) -> None:
    """All documents of a key travel in one answer, so each stays small; what grows with units belongs into arrays.

    Raises:
        ValueError: it is larger than ``MAX_DOCUMENT``.
    """
    size = len(orjson.dumps(document))
    if size > MAX_DOCUMENT:
        raise ValueError(f"The document of '{name}' ({result.kind}) has {size} bytes, more than {MAX_DOCUMENT}. Keep long lists in arrays.")


class ResultRepository:
    """Reading and writing results."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, head: ResultHead, results: Mapping[str, Result]) -> None:
        """Store all results of one key. Files and rows first, then one transaction that makes them visible.

        A crash leaves files and rows that nobody sees, and that are swept.
        """
        rows, blobs, size = [], [], 0
        for position, (name, result) in enumerate(results.items()):
            refs = {}
            for array_name, array in result.arrays.items():
                ref, data = self.store.blobs.prepare(array)
                refs[array_name] = ref.document()
                blobs.append((ref, data, array))
                size += ref.bytes
            document = result.model_dump(mode="json")
            _check_size(name, result, document)
            rows.append({"key": head.key, "name": name, "position": position, "kind": result.kind, "document": document, "arrays": refs})
        if self.stored([head.key]):
            return
        number = index_rows(self.store, results.values())
        if not self._insert(head, rows, blobs, size, number):  # somebody else stored the same meanwhile
            drop_rows(self.store, [number])

    def _insert(
        self, head: ResultHead, rows: list[dict[str, Any]], blobs: list[tuple[BlobRef, bytes | None, Any]], size: int, number: int
    ) -> bool:
        """Make the result visible, unless it is there. Returns whether it was not."""
        with self.store.write(lock="blobs") as connection:
            if connection.execute(select(t.result.c.key).where(t.result.c.key == head.key)).first():
                return False
            values = {name: getattr(head, name) for name in ResultHead.__slots__}
            connection.execute(insert(t.result).values(**values, number=number, bytes=size, used=time.time()))
            for ref, data, array in blobs:
                self.store.blobs.insert(connection, ref, data)
                if data is None:  # the same bytes may have been evicted since they were prepared
                    self.store.blobs.rewrite(ref, array)
            pairs = {ref.sha256 for ref, _, _ in blobs}
            if pairs:
                connection.execute(insert_ignore(connection, t.result_blob), [{"key": head.key, "sha256": s} for s in sorted(pairs)])
            connection.execute(insert(t.result_item), rows)
        return True

    def stored(self, keys: Iterable[str]) -> set[str]:
        """Those of ``keys`` that are stored."""
        wanted = list(keys)
        with self.store.read() as connection:
            found = set(connection.execute(select(t.result.c.key).where(t.result.c.key.in_(wanted))).scalars())
        return found

    def touch(self, keys: Iterable[str]) -> None:
        with self.store.write() as connection:
            connection.execute(update(t.result).where(t.result.c.key.in_(list(keys))).values(used=time.time()))

    def head(self, key: str) -> Row[Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.result).where(t.result.c.key == key)).one_or_none()
        if row is None:
            raise NotFound(f"There is no result {key[:64]}. It is not computed yet, or was evicted; put the run again.", field="key")
        return row

    def find_key(self, text: str) -> str:
        """The one stored key that begins with ``text``.

        Raises:
            InvalidInput: too short, or several begin so. NotFound: none does.
        """
        if not re.fullmatch(r"[0-9a-f]{6,64}", text):
            raise InvalidInput(f"'{text[:64]}' is not a key. Give at least its first six characters.", field="key")
        query = select(t.result.c.key).where(t.result.c.key.startswith(text)).limit(2)
        with self.store.read() as connection:
            found = list(connection.execute(query).scalars())
        if len(found) > 1:
            raise InvalidInput(f"Several results begin with {text}. Give more of the key.", field="key")
        return str(self.head(found[0] if found else text).key)

    def items(self, key: str) -> list[Row[Any]]:
        query = select(t.result_item).where(t.result_item.c.key == key).order_by(t.result_item.c.position)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def item(self, key: str, name: str) -> Row[Any]:
        for row in self.items(key):
            if row.name == name:
                return row
        self.head(key)
        raise NotFound(f"The result {key} has no part named '{name[:60]}'.", field="name")

    def load(self, key: str) -> dict[str, Result]:
        """All results under a key, arrays mapped."""
        self.head(key)
        return {row.name: self.result_of(row) for row in self.items(key)}

    def result_of(self, row: Row[Any]) -> Result:
        arrays = {name: self.store.blobs.array(ref["sha256"]) for name, ref in row.arrays.items()}
        return KINDS[row.kind](**row.document, arrays=arrays)

    def drop(self, keys: Iterable[str], *, unless_pinned: bool = False) -> int:
        """Remove results and the blobs that only they use. Returns the bytes freed.

        Args:
            unless_pinned: leave those that are pinned (``store.pins``), also if they were pinned a moment ago.
        """
        wanted = list(keys)
        if not wanted:
            return 0
        with self.store.write(lock="blobs") as connection:
            if unless_pinned:
                pinned = select(t.result.c.key).where(t.result.c.key.in_(wanted), t.result.c.key.in_(pinned_keys()))
                wanted = sorted(set(wanted) - set(connection.execute(pinned).scalars()))
            candidates = set(connection.execute(select(t.result_blob.c.sha256).where(t.result_blob.c.key.in_(wanted))).scalars())
            numbers = list(connection.execute(select(t.result.c.number).where(t.result.c.key.in_(wanted))).scalars())
            connection.execute(delete(t.result).where(t.result.c.key.in_(wanted)))
            still = set(connection.execute(select(t.result_blob.c.sha256).where(t.result_blob.c.sha256.in_(candidates))).scalars())
            gone = sorted(candidates - still)
            freed = connection.execute(select(func.sum(t.blob.c.bytes)).where(t.blob.c.sha256.in_(gone))).scalar() or 0
            connection.execute(delete(t.blob).where(t.blob.c.sha256.in_(gone)))
        self.store.blobs.forget(gone)
        drop_rows(self.store, numbers)
        return int(freed)
