"""The files of an import: inside the folder, whole, and as they were when their checksums were taken."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.ingest.manifest import Manifest, TableFile, read_manifest

Progress = Callable[[int, int, str], None]
_CHUNK = 4 * 2**20


@dataclass
class Folder:
    """An import folder with its manifest."""

    path: Path
    manifest: Manifest
    manifest_sha256: str
    _checked: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Read the manifest. Raises what :func:`microtome.ingest.manifest.read_manifest` raises."""
        manifest, digest = read_manifest(path)
        return cls(path, manifest, digest)

    @property
    def bytes(self) -> int:
        """Size of all tables."""
        return sum(self._stat(file).st_size for file in self.manifest.files())

    def verify(self, progress: Progress) -> None:
        """Compare every table with its checksum, before anything is read from it.

        Raises:
            NotFound, InvalidInput: a file is not there, leaves the folder, is no plain file, or has changed.
        """
        files = list(self.manifest.files())
        total, done = self.bytes, 0
        for file in files:
            seen, digest = self._stat(file), hashlib.sha256()
            with self._path(file).open("rb") as handle:
                while chunk := handle.read(_CHUNK):
                    digest.update(chunk)
                    done += len(chunk)
                    progress(done, max(total, done), "bytes checked")
            if digest.hexdigest() != file.sha256:
                raise InvalidInput(
                    f"{file.file} has the sha256 {digest.hexdigest()[:16]}…, but the manifest says {file.sha256[:16]}…. It was changed or "
                    "cut off after the manifest was written. Copy it again, or write the manifest anew. Nothing was imported.",
                    field="manifest",
                )
            self._checked[file.file] = _stamp(seen)

    def table(self, file: TableFile) -> Path:
        """Path of a table that was verified and has not been touched since.

        Raises:
            Conflict: it has.
        """
        if self._checked.get(file.file) != _stamp(self._stat(file)):
            raise Conflict(f"{file.file} was changed while it was being imported. Import the folder again when it is complete.")
        return self._path(file)

    def _path(self, file: TableFile) -> Path:
        path = (self.path / file.file).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise InvalidInput(f"{file.file} is a link that leaves the folder. Put the file itself there.", field="manifest")
        return path

    def _stat(self, file: TableFile) -> os.stat_result:
        path = self._path(file)
        try:
            found = path.stat()
        except OSError:
            raise NotFound(f"{self.path} has no file {file.file}, which the manifest names. Copy it there.", field="manifest") from None
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInput(f"{file.file} is not a plain file.", field="manifest")
        return found


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino
