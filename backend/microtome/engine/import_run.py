"""The worker's part of an import: check the folder, list what the results are of, store them."""

from __future__ import annotations

from pathlib import Path

from microtome.core.errors import Conflict, InvalidInput
from microtome.engine.job import Job, software
from microtome.engine.system import list_probe
from microtome.ingest.folder import Folder
from microtome.ingest.importer import Importer, imported_probe, names_of
from microtome.probes import write_imported
from microtome.store.sources import IMPORT_SOURCE


def execute(job: Job) -> None:
    """Check the whole folder, then store it layer by layer."""
    worker, plan = job.worker, job.row.plan
    folder = Folder.open(Path(job.row.subjects["source"]))
    if folder.manifest.identity != plan["identity"]:
        raise Conflict("The manifest was changed while the import was waiting. Import the folder again.", field="folder")
    importer = Importer(folder, plan["probe_hash"], worker.results, worker.settings, job.context.progress)
    importer.check()
    target = importer.write(_probe(job, folder), job.row.id, software(), job.tell)
    for kind, slug in (("model", target.model), ("probe", target.probe)):
        worker.events.add(kind, {"slug": slug, "change": "added"})


def _probe(job: Job, folder: Folder) -> str:
    """Slug of the probe set, listed first when it is new."""
    worker, manifest, hash = job.worker, folder.manifest, job.row.plan["probe_hash"]
    source = job.row.plan["probe_source"]
    held = next((row for row in worker.sources.all("probe") if row.hash == hash and not row.source.startswith(IMPORT_SOURCE)), None)
    if source is None and held is None:
        probe = manifest.probe
        names, labels = names_of(folder)
        write_imported(probe.name, hash, probe.examples, probe.classes, probe.concepts, probe.size, names, labels)
        return worker.sources.save("probe", f"{IMPORT_SOURCE}{probe.name}", hash, imported_probe(folder), probe.name)
    if held is not None:
        have, slug = held.description["examples"], str(held.slug)
    else:
        opened = worker.workshop.open_probe(source)
        have = len(opened)
    if manifest.probe.examples > have:
        raise InvalidInput(
            f"{source or slug} has {have:,} examples, the manifest speaks of {manifest.probe.examples:,}.", field="manifest.probe.examples"
        )
    if held is None:
        if hasattr(opened, "materialise"):
            opened.materialise(job.context.progress)
        slug = list_probe(source, manifest.probe.name, opened, worker.sources, worker.settings, job.context.progress)
    return slug
