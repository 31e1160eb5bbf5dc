"""Importing results computed elsewhere, seen from the process that queues it; ``import_run`` is the worker's part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from microtome.core.errors import Conflict, InvalidInput, MicrotomeError
from microtome.core.keys import content_key
from microtome.engine.reader import SourceReader
from microtome.ingest.manifest import Manifest, part_keys, read_manifest
from microtome.probes import check_source, split_source
from microtome.store.events import audit
from microtome.store.sources import IMPORT_SOURCE

if TYPE_CHECKING:
    from microtome.engine.facade import Engine
    from microtome.ingest.importer import Importer

METHOD = "import-results"


def submit(engine: Engine, place: str, person: str | None, *, trusted: bool) -> str:
    """Queue an import, or join the same one that is under way; returns the run's id.

    The manifest is judged at once, the tables by the worker.

    Raises:
        MicrotomeError: the folder or the probe set that the manifest names cannot be read here, or may not be.
    """
    try:
        folder = Path(place).expanduser().resolve()
        if not trusted:
            check_source(f"path:{folder}", engine.source_roots())
        manifest, _ = read_manifest(folder)
        source, probe_hash = probe_of(engine, manifest, folder, trusted=trusted)
    except (OSError, ValueError, RuntimeError) as error:  # no such home folder, a name too long for the file system
        raise InvalidInput(f"'{place[:200]}' cannot be read: {str(error)[:200]}. Check the path.", field="folder") from None
    parts = list(part_keys(manifest, probe_hash).items())
    key = content_key({"import": manifest.identity, "probe": probe_hash, "folder": str(folder)})
    with engine.store.write(lock="submit") as connection:
        twin = engine.runs.open_with(connection, key)
        if twin is not None:
            return str(twin.id)
        values = {
            "method": METHOD, "title": f"Import {manifest.model.name} on {manifest.probe.name}"[:200], "system": True, "request_key": key,
            "subjects": {"source": str(folder)}, "params": {}, "person_id": person,
            "plan": {"identity": manifest.identity, "probe_hash": probe_hash, "probe_source": source},
        }  # fmt: skip
        id = engine.runs.insert(connection, values, parts)
        engine.events.add("run", {"id": id}, connection)
        audit(connection, person, METHOD, str(folder))
    return id


def check(engine: Engine, place: str) -> Importer:
    """Judge a whole folder, tables included, and write nothing.

    Raises:
        MicrotomeError: the first thing that is wrong.
    """
    from microtome.ingest.folder import Folder
    from microtome.ingest.importer import Importer  # brings pyarrow, which a process that only queues runs does not need

    path = Path(place).expanduser().resolve()
    folder = Folder.open(path)
    _, probe_hash = probe_of(engine, folder.manifest, path, trusted=True)
    importer = Importer(folder, probe_hash, engine.results, engine.settings, lambda *_: None)
    importer.check()
    return importer


def probe_of(engine: Engine, manifest: Manifest, folder: Path, *, trusted: bool) -> tuple[str | None, str]:
    """Source, if it has one, and hash of the probe set that the results belong to.

    Raises:
        MicrotomeError: its source cannot be read here, may not be, or is another one than the manifest says.
    """
    source = manifest.probe.source
    if source is None:
        return None, manifest.probe_hash
    scheme, place, fragment = split_source(source)
    if scheme == "import":
        raise InvalidInput("probe.source must lead to images; leave it out when they are not here.", field="manifest.probe.source")
    if scheme == "path" and not Path(place).expanduser().is_absolute():  # beside the tables
        source = f"path:{(folder / place).resolve()}" + (f"#{fragment}" if fragment else "")
    if not trusted:
        check_source(source, engine.source_roots())
    return source, _hash_of(engine.reader, manifest, source)


def _hash_of(reader: SourceReader, manifest: Manifest, source: str) -> str:
    try:
        found = reader.hash_now("probe", source, force=True)
    except MicrotomeError as error:
        raise InvalidInput(
            f"The manifest's probe.source cannot be read here: {error.detail} Correct it, or remove it from the manifest: the examples "
            "are then shown by name, without images.",
            field="manifest.probe.source",
        ) from None
    assert found is not None
    if manifest.probe.hash not in (None, found):
        raise InvalidInput(
            f"{source} has the hash {found[:12]}…, but the results were made on {str(manifest.probe.hash)[:12]}…. Give the very same "
            "images, or remove probe.source from the manifest: the examples are then shown by name.",
            field="manifest.probe.hash",
        )
    return found


def refuse_imported(row: Row[Any], type: str) -> None:
    """Raise if nothing can be run on a listed model or probe set, since only results of it are here.

    Raises:
        Conflict: with what to do.
    """
    if row.source.startswith(IMPORT_SOURCE):
        real = row.description.get("real_source")
        what, add = ("model", f"microtome models add {real or 'SOURCE'}") if type == "model" else ("images", "microtome probes add SOURCE")
        raise Conflict(
            f"{row.slug} was imported for browsing only: its results are here, the {what} not. To run methods, add the real "
            f"{'one' if type == 'model' else 'ones'} with `{add}`; with the same hash the imported results stay with it.",
            field=f"subjects.{type}",
        )
