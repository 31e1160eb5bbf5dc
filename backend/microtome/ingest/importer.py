"""Importing a folder: check everything, then write layer by layer. Nothing is written unless all of it is valid.

Keys follow from the manifest, checksums included, so an import that was interrupted goes on with the layers that are
missing, and the same folder twice is one import.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row

from microtome.core.errors import DiskFull, InvalidInput, TooLarge
from microtome.core.keys import content_key
from microtome.core.settings import Settings
from microtome.ingest.folder import Folder, Progress
from microtome.ingest.layer import LayerTables, mark_once
from microtome.ingest.manifest import Layer, Manifest, part_keys
from microtome.ingest.plane import map_result
from microtome.ingest.reader import Field, read
from microtome.ingest.results import layer_results
from microtome.ingest.scratch import Scratch
from microtome.results import Result
from microtome.store.results import IMPORTED, ResultHead, ResultRepository
from microtome.store.sources import IMPORT_SOURCE, SourceRepository
from microtome.store.times import now

_PER_UNIT = 1024  # bytes of rows and small arrays beside the tables


@dataclass(frozen=True)
class Target:
    """What the results will be of: slugs, and hashes by role."""

    model: str
    probe: str
    hashes: Mapping[str, str]


class Importer:
    """One import.

    Args:
        probe_hash: of the probe set the results belong to.
        progress: told how far it is; raises to stop.
    """

    def __init__(self, folder: Folder, probe_hash: str, results: ResultRepository, settings: Settings, progress: Progress) -> None:
        self.folder, self.manifest, self.results, self.settings, self._progress = folder, folder.manifest, results, settings, progress
        self.sources = SourceRepository(results.store)
        self.probe_hash = probe_hash
        self.keys = part_keys(self.manifest, probe_hash)
        stored = results.stored(self.keys.values())
        self.missing = {part for part, key in self.keys.items() if key not in stored}

    @property
    def needed_bytes(self) -> int:
        """Bytes that the missing layers take in the store, and the largest of them once more while it is built."""
        sizes = [dense_bytes(self.manifest, layer) for layer in self.manifest.layers if layer.name in self.missing]
        return sum(sizes) + max(sizes, default=0)

    def check(self) -> None:
        """Verify checksums, then read and judge every table of the missing layers.

        Raises:
            MicrotomeError: the first thing that is wrong, with what to do.
        """
        self._bounds()
        self.folder.verify(self._progress)
        self._existing_model()
        for _ in self._layers("rows checked"):
            pass
        if "" in self.missing:
            map_result(self.folder)

    def _bounds(self) -> None:
        units = sum(layer.units for layer in self.manifest.layers)
        if units > self.settings.max_units:
            raise TooLarge(
                f"The import has {units:,} units; at most {self.settings.max_units:,} are allowed (MICROTOME_MAX_UNITS).", field="folder"
            )
        if self.manifest.probe.examples > self.settings.max_examples:
            raise TooLarge(
                f"The import has {self.manifest.probe.examples:,} examples; at most {self.settings.max_examples:,} are allowed "
                "(MICROTOME_MAX_EXAMPLES).",
                field="folder",
            )
        free = shutil.disk_usage(self.results.store.data_dir).free
        if self.needed_bytes > free:
            raise DiskFull(
                f"The import needs about {self.needed_bytes / 1e9:,.2f} GB in {self.results.store.data_dir}, where {free / 1e9:,.2f} GB "
                "are free. Free some space, point MICROTOME_DATA_DIR to a larger disk, or import fewer layers.",
                field="folder",
            )

    def write(self, probe_slug: str, run_id: str | None, software: Mapping[str, str], told: Callable[[], None]) -> Target:
        """Store what :meth:`check` has found good. Each layer becomes visible when it is complete.

        Args:
            probe_slug: of the probe set, which is listed already. software: versions of the importing program.
            told: called after each stored part.
        """
        target = Target(self._model(), probe_slug, {"model": self.manifest.model_hash, "probe": self.probe_hash})
        for layer, results, seconds in self._layers("rows imported"):
            self.results.put(self._head(layer.name, "dissection", target, run_id, software, seconds), results)
            told()
        if "" in self.missing:
            self.results.put(self._head("", "unit-map", target, run_id, software, 0.0), {"map": map_result(self.folder)})
            told()
        return target

    def _layers(self, what: str) -> Iterator[tuple[Layer, dict[str, Result], float]]:
        """Layer, results and seconds of every missing layer, one after the other; arrays live until the next is asked for."""
        wanted = [layer for layer in self.manifest.layers if layer.name in self.missing]
        total = max(1, sum(file.rows for layer in wanted for file in layer.files.values()))
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            self._progress(min(done, total), total, what)

        for layer in wanted:
            began = time.monotonic()
            with Scratch(self.results.store.data_dir) as scratch:
                results: dict[str, Result] = layer_results(LayerTables(self.folder, layer, scratch, advance), scratch)
                yield layer, results, time.monotonic() - began

    def _head(self, part: str, method: str, target: Target, run_id: str | None, software: Mapping[str, str], seconds: float) -> ResultHead:
        manifest, layers = self.manifest, [layer.name for layer in self.manifest.layers]
        imported = {
            "folder": self.folder.path.name, "manifest_sha256": self.folder.manifest_sha256, "at": now(), "by": dict(software),
            "created": manifest.created or None, "source": manifest.model.source, "revision": manifest.model.revision,
        }  # fmt: skip
        provenance = {
            "model_hash": target.hashes["model"], "probe_hash": target.hashes["probe"], "software": dict(manifest.software),
            "device": manifest.device, "seed": None, "imported": imported,
        }  # fmt: skip
        return ResultHead(
            key=self.keys[part], method=method, version=IMPORTED, part=part,
            subjects={"model": target.model, "probe": target.probe, "layers": layers},
            params={"quantile": manifest.measure.quantile, "min_iou": manifest.measure.min_iou} if part else {},
            group_key=content_key({"import": manifest.identity, "probe": self.probe_hash, "method": method}),
            builds_on=[] if part else [self.keys[name] for name in layers], model_hash=target.hashes["model"],
            probe_hash=target.hashes["probe"], provenance=provenance, seconds=seconds, run_id=run_id,
        )  # fmt: skip

    # --- the model the results are of -------------------------------------------------------------------------------

    def _existing_model(self) -> Row[Any] | None:
        """A listed real model with the same hash, which then gets the results.

        Raises:
            InvalidInput: it has other layers than the import speaks of.
        """
        listed = (row for row in self.sources.all("model") if row.hash == self.manifest.model_hash)
        row = next((row for row in listed if not row.source.startswith(IMPORT_SOURCE)), None)
        if row is not None:
            known = {la.name: (la.units, la.height, la.width) for la in self.sources.layers(row.id)}
            for layer in self.manifest.layers:
                if known.get(layer.name) != (layer.units, layer.height, layer.width):
                    have = known.get(layer.name)
                    raise InvalidInput(
                        f"{row.slug}, which has the hash that the manifest names, "
                        + (f"has no layer '{layer.name}'" if have is None else f"has {have} units, height and width in '{layer.name}'")
                        + f", not {layer.units, layer.height, layer.width}. Use the names of `microtome models add {row.source} --json`.",
                        field="manifest.layers",
                    )
        return row

    def _model(self) -> str:
        """Slug of the model; listed as one for browsing only when the real one is not here."""
        real = self._existing_model()
        if real is not None:
            return str(real.slug)
        model, layers = self.manifest.model, self.manifest.layers
        description = {
            "family": model.family, "parameters": model.parameters, "input": list(model.input), "class_names": model.classes,
            "geometry": model.geometry.model_dump(mode="json") if model.geometry is not None else None, "config": {}, "card": model.card,
            "units": sum(layer.units for layer in layers if layer.main), "bytes": self.folder.bytes,
            "real_source": model.source,
            "layers": [
                {
                    "name": layer.name, "label": layer.shown, "kind": layer.kind, "units": layer.units, "height": layer.height,
                    "width": layer.width, "default": layer.main, "depth": layer.depth,
                }
                for layer in layers
            ],
        }  # fmt: skip
        return self.sources.save("model", f"{IMPORT_SOURCE}{model.name}", self.manifest.model_hash, description, model.name)


def dense_bytes(manifest: Manifest, layer: Layer) -> int:
    """Bytes that a layer takes in the store, from what the manifest says."""
    points, concepts, files = len(manifest.measure.points), len(manifest.probe.concepts), layer.files
    slots = sum(band.count for band in manifest.bands)
    per_unit = _PER_UNIT
    per_unit += points * 16 if "quantiles" in files else 0
    per_unit += concepts * (13 + 8 * points) if "scores" in files else 0
    per_unit += slots * (16 + 4 * layer.height * layer.width) if "exemplars" in files else 0
    per_unit += manifest.measure.bins * 12 if "histograms" in files else 0
    per_unit += manifest.probe.examples * 4 if "peaks" in files else 0
    return per_unit * layer.units


def names_of(folder: Folder) -> tuple[list[str | None], list[int | None]]:
    """Names and labels of the examples, or two empty lists when the import has none.

    Raises:
        InvalidInput: the table is wrong.
    """
    file, probe = folder.manifest.probe.names, folder.manifest.probe
    if file is None:
        return [], []
    names: list[str | None] = [None] * probe.examples
    labels: list[int | None] = [None] * probe.examples
    seen = np.zeros(probe.examples, np.bool_)
    label = Field("label", "int", False, low=0, high=len(probe.classes) - 1, empty=True, names=probe.classes)
    fields = [Field("example", "int", low=0, high=probe.examples - 1), Field("name", "text"), label]
    for batch in read(folder.table(file), file.file, file.rows, fields):
        example = batch.columns["example"]
        mark_once(batch, seen, example, "example", "stands twice")
        for place, name in zip(example.tolist(), batch.columns["name"].tolist(), strict=True):
            names[place] = name
        for place, number in zip(example.tolist(), batch.columns.get("label", np.zeros(0)).tolist(), strict=False):
            labels[place] = number if number >= 0 else None
    return names, labels


def imported_probe(folder: Folder) -> dict[str, Any]:
    """The row's description of a probe set that came without its images."""
    probe = folder.manifest.probe
    pairs = [concept.split(":", 1) for concept in probe.concepts]
    return {
        "kind": "imported", "examples": probe.examples, "classes": probe.classes, "size": list(probe.size) if probe.size else None,
        "categories": dict(Counter(category for category, _ in pairs)), "concept_counts": [], "bytes": 0, "skipped": 0, "reports": [],
        "concepts": [{"name": name, "category": category} for category, name in pairs],
    }  # fmt: skip
