"""Reading a folder once: what is in it, its hash, and which files are left out with the reason.

The outcome is remembered by the size, time and inode of every file, so opening an unchanged folder again costs a listing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from microtome.core.errors import InvalidInput, TooLarge
from microtome.core.keys import content_key, file_hash, sha256
from microtome.core.settings import settings
from microtome.probes.base import Report
from microtome.probes.decode import SUFFIXES

SCAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scan:
    """Accepted files (relative paths, sorted), reports, content hash, disk use and the one size or None."""

    files: tuple[str, ...]
    reports: tuple[Report, ...]
    hash: str
    bytes: int
    size: tuple[int, int] | None


def image_files(folder: Path) -> tuple[list[Path], list[Report]]:
    """Image files below ``folder``, sorted, and reports on everything else. Hidden files and links leaving it are left out."""
    found: list[Path] = []
    reports: list[Report] = []
    root = folder.resolve()
    limit = settings().max_examples
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(directory) / name
            relative = str(path.relative_to(folder))
            if name.startswith(".") or name.lower() in ("thumbs.db", "concepts.json", "labels.csv"):
                continue
            if path.suffix.lower() not in SUFFIXES:
                reports.append(Report(relative, f"'{path.suffix or name}' is not an image format that is read"))
            elif not path.resolve().is_relative_to(root):
                reports.append(Report(relative, "a link that leaves the folder is not followed"))
            else:
                found.append(path)
                if len(found) > limit:
                    raise TooLarge(
                        f"{folder} holds more than {limit:,} images. Raise MICROTOME_MAX_EXAMPLES or use a smaller folder.",
                        field="source",
                    )
    return found, reports


def scan(
    folder: Path,
    companions: Callable[[Path], list[Path]],
    inspect: Callable[[Path], tuple[int, int]],
    extra: dict[str, str],
) -> Scan:
    """Scan ``folder``.

    Args:
        companions: files that belong to an image and count in the hash (its label PNG).
        inspect: returns (height, width) of a readable image, or raises an error whose text is the reported reason.
        extra: further content that is part of the identity (concepts.json, CSV), by name.
    """
    images, reports = image_files(folder)
    if not images:
        raise InvalidInput(f"{folder} holds no images (looked for {', '.join(sorted(SUFFIXES))}).", field="source")
    groups = [(image, [f for f in companions(image) if f.exists()]) for image in images]
    signature = content_key(
        {
            "version": SCAN_VERSION,
            "extra": extra,
            "files": [
                [str(f.relative_to(folder.parent)), s.st_size, s.st_mtime_ns, s.st_ino]
                for image, more in groups
                for f in (image, *more)
                for s in (f.stat(),)
            ],
            "skipped": [asdict(r) for r in reports],
        }
    )
    memory = settings().data_dir / "scans" / f"{signature}.json"
    try:
        data = json.loads(memory.read_text())
        return Scan(
            tuple(data["files"]),
            tuple(Report(**r) for r in data["reports"]),
            data["hash"],
            data["bytes"],
            tuple(data["size"]) if data["size"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never scanned, or a damaged note: scan (again)
    accepted: list[str] = []
    hashes: list[list[str]] = []
    sizes: set[tuple[int, int]] = set()
    total = 0
    for image, more in groups:
        relative = str(image.relative_to(folder))
        try:
            sizes.add(inspect(image))
            hashes.append([relative, *[file_hash(f) for f in (image, *more)]])
        except Exception as error:
            reports.append(Report(relative, str(error)[:300]))
            continue
        total += sum(f.stat().st_size for f in (image, *more))
        accepted.append(relative)
    if not accepted:
        raise InvalidInput(
            f"None of the {len(images)} images in {folder} can be used; the first: {reports[0].file}: {reports[0].reason}",
            field="source",
        )
    # The paths of left-out files are not part of the identity: they never reach a model.
    outcome = Scan(
        tuple(accepted),
        tuple(reports),
        content_key({"files": hashes, "extra": {k: sha256(v.encode()) for k, v in extra.items()}}),
        total,
        sizes.pop() if len(sizes) == 1 else None,
    )
    _remember(memory, json.dumps(asdict(outcome)))
    return outcome


def _remember(memory: Path, text: str) -> None:
    """Keep the outcome of a scan; without room for it the folder is only scanned again the next time."""
    partial: Path | None = None
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=memory.parent, suffix=".part")
        partial = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(memory)
    except OSError:
        if partial is not None:
            partial.unlink(missing_ok=True)
