"""What is known of the methods without importing them: a file, written from the registry.

``python -m microtome.engine.manifest`` writes the packaged one; a test holds it and the registry together. A worker that
finds other methods installed (plug-ins) writes ``methods.json`` into the data folder, which wins.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from microtome.core.errors import NotFound

PACKAGED = Path(__file__).parent / "manifest.json"
Manifest = dict[str, dict[str, Any]]


def export() -> Manifest:
    """From the registry; imports every method, and torch with them."""
    from microtome.methods.registry import methods

    return {id: spec.manifest() for id, spec in methods().items()}


def installed() -> Manifest:
    """What :func:`export` gives, from the packaged file where no other package adds methods: then nothing needs to be imported."""
    if {point.name for point in entry_points(group="microtome.methods")} == {"core"}:
        return dict(json.loads(PACKAGED.read_text("utf-8")))
    return export()


def find(manifest: Manifest, id: str, field: str = "method") -> dict[str, Any]:
    """
    Raises:
        NotFound: with the methods that exist.
    """
    if id not in manifest:
        raise NotFound(f"There is no method '{id[:60]}'. Methods: {', '.join(manifest)}.", field=field)
    return manifest[id]


def text(manifest: Manifest) -> str:
    """Methods by name; everything else stands as it was declared, parameters among it: a form shows them in that order."""
    return json.dumps(dict(sorted(manifest.items())), indent=1, ensure_ascii=False) + "\n"


class ManifestReader:
    """The manifest in force, read again when a file changes."""

    def __init__(self, data_dir: Path, packaged: Path = PACKAGED) -> None:
        self._files = (data_dir / "methods.json", packaged)
        self._seen: tuple[Path, int] | None = None
        self._manifest: Manifest = {}

    def read(self) -> Manifest:
        for file in self._files:
            try:
                stamp = (file, file.stat().st_mtime_ns)
            except OSError:
                continue
            if stamp != self._seen:
                self._manifest, self._seen = json.loads(file.read_text("utf-8")), stamp
            return self._manifest
        return {}

    def get(self, id: str, field: str = "method") -> dict[str, Any]:
        return find(self.read(), id, field)


def publish(data_dir: Path, manifest: Manifest) -> None:
    """Called by a worker: leave the manifest in the data folder when it differs from the packaged one."""
    own, target = text(manifest), data_dir / "methods.json"
    packaged = PACKAGED.read_text("utf-8") if PACKAGED.exists() else ""
    if own == packaged:
        target.unlink(missing_ok=True)
    elif not target.exists() or target.read_text("utf-8") != own:
        partial = target.with_suffix(".new")
        partial.write_text(own, "utf-8")
        partial.replace(target)


if __name__ == "__main__":
    PACKAGED.write_text(text(export()), "utf-8")
    print(f"wrote {PACKAGED}")
