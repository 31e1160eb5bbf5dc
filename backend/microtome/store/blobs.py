"""Arrays as blobs addressed by the sha256 of their bytes: small ones in SQL, others in files that can be mapped.

A file is written beside its place, synced and renamed, so a file that is there is whole. Bytes are raw and little-endian,
first axis slowest: with units on the first axis, one unit is one slice of the file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, select

from microtome.core.errors import NotFound, Unavailable
from microtome.store import tables as t

if TYPE_CHECKING:
    from microtome.store.database import Store

IN_SQL = 64 * 1024
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where an array is and how to read it."""

    sha256: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    def document(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "dtype": self.dtype, "shape": list(self.shape), "bytes": self.bytes}


class Blobs:
    """Blobs of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.data_dir / "blobs"
        self._maps: OrderedDict[str, Array] = OrderedDict()
        self._lock = Lock()

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def prepare(self, array: Array) -> tuple[BlobRef, bytes | None]:
        """Put the array on disk if it is large; row and small bytes are written later, by :meth:`insert`."""
        plain = np.ascontiguousarray(array)
        if plain.dtype.byteorder == ">":
            plain = plain.astype(plain.dtype.newbyteorder("<"))
        view = memoryview(plain.reshape(-1).view(np.uint8).data) if plain.size else memoryview(b"")
        # the shape belongs to the identity: the same zeros as 2 x 8 and 4 x 4 are two blobs
        digest = hashlib.sha256(f"{plain.dtype.name}{plain.shape}".encode())
        digest.update(view)
        ref = BlobRef(digest.hexdigest(), plain.dtype.name, tuple(plain.shape), plain.nbytes)
        if plain.nbytes < IN_SQL:
            return ref, bytes(view)
        write_atomic(self.path(ref.sha256), view)
        return ref, None

    def rewrite(self, ref: BlobRef, array: Array) -> None:
        """Write the file of a prepared array again if it has been removed meanwhile."""
        if not self.path(ref.sha256).exists():
            self.prepare(array)

    def insert(self, connection: Connection, ref: BlobRef, data: bytes | None) -> None:
        """Write the row, unless it is there. The caller's transaction makes it visible."""
        row = {"sha256": ref.sha256, "bytes": ref.bytes, "dtype": ref.dtype, "shape": list(ref.shape), "data": data}
        connection.execute(insert_ignore(connection, t.blob), row)

    def array(self, sha256: str) -> Array:
        """The array, read-only; a large one is mapped, so that only touched pages are read."""
        with self._lock:
            if sha256 in self._maps:
                self._maps.move_to_end(sha256)
                return self._maps[sha256]
        with self.store.read() as connection:
            row = connection.execute(select(t.blob).where(t.blob.c.sha256 == sha256)).one_or_none()
        if row is None:
            raise NotFound(f"There is no array {sha256}. It may have been evicted; run the method again.", field="sha256")
        shape = tuple(row.shape)
        array: Array
        if row.data is not None:
            array = np.frombuffer(row.data, dtype=row.dtype).reshape(shape)
        else:
            try:
                array = np.memmap(self.path(sha256), dtype=row.dtype, mode="r", shape=shape)
            except (OSError, ValueError):
                raise Unavailable(
                    f"The file of array {sha256} is missing from {self.folder}. Run the method again after removing its result."
                ) from None
        with self._lock:
            self._maps[sha256] = array
            while len(self._maps) > 512:
                self._maps.popitem(last=False)
        return array

    def forget(self, sha256s: list[str]) -> None:
        """Remove the files of blobs whose rows are gone; one that was written again meanwhile stays."""
        with self._lock:
            for sha256 in sha256s:
                self._maps.pop(sha256, None)
        with self.store.write(lock="blobs") as connection:
            again = set(connection.execute(select(t.blob.c.sha256).where(t.blob.c.sha256.in_(sha256s))).scalars())
            for sha256 in set(sha256s) - again:
                self.path(sha256).unlink(missing_ok=True)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove rows that no result uses, and files left by a crash between file and row.

        Args:
            older_than: seconds; younger files may belong to a result that is just being written.

        Returns:
            The number of files removed.
        """
        with self.store.write(lock="blobs") as connection:
            used = select(t.result_blob.c.sha256)
            connection.execute(delete(t.blob).where(t.blob.c.sha256.not_in(used)))
            known = set(connection.execute(select(t.blob.c.sha256)).scalars())
        removed = 0
        for file in self.folder.glob("??/*"):
            if file.name not in known and file.stat().st_mtime < time.time() - older_than:
                file.unlink(missing_ok=True)
                removed += 1
        return removed


def insert_ignore(connection: Connection, table: Any) -> Any:
    """INSERT that leaves an existing row alone, on both databases."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert(table).on_conflict_do_nothing()


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """The file is there whole, or not at all."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
