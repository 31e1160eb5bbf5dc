"""The tables of one layer, read once and in bounded memory, as arrays by unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.ingest.folder import Folder
from microtome.ingest.manifest import Layer, Table
from microtome.ingest.reader import Batch, Field, problem, read
from microtome.ingest.scratch import Scratch

Array = npt.NDArray[Any]

#: Columns of the table ``units``; what a column means stands in docs/bulk-import.md.
STATISTICS = (
    Field("mean", "float", False, empty=True), Field("std", "float", False, low=0, empty=True),
    Field("min", "float", False, empty=True), Field("max", "float", False, empty=True),
    Field("threshold", "float", False, empty=True), Field("attained", "float", False, low=0, high=1, empty=True),
    Field("density", "float", False, low=0, high=1, empty=True), Field("dead", "flag", False), Field("constant", "flag", False),
    Field("ties", "flag", False), Field("best_concept", "text", False, empty=True),
    Field("best_iou", "float", False, low=0, high=1, empty=True), Field("best_ceiling", "float", False, low=0, high=1, empty=True),
    Field("best_chance", "float", False, low=0, high=1, empty=True), Field("detector", "flag", False),
    Field("active_positions", "int", False, low=0),
)  # fmt: skip
_DTYPES: dict[str, tuple[Any, Any]] = {
    "float": (np.float64, np.nan),
    "int": (np.int64, 0),
    "flag": (np.bool_, False),
    "text": (object, None),
}


def mark_once(batch: Batch, seen: Array, place: Array, column: str, why: str) -> None:
    """Refuse places that were seen before or stand twice in the batch, then mark them."""
    again = seen[place]
    order = np.argsort(place, kind="stable")
    again[order[1:]] |= place[order[1:]] == place[order[:-1]]
    batch.refuse(again, column, why)
    seen[place] = True


class LayerTables:
    """What the tables of a layer hold. A table or column that is not given is None or absent, never zeros.

    Attributes:
        statistics: columns of ``units`` by name, [units].
        thresholds, attained: float32 [units, points]; areas: int64 [units, points].
        iou, chance, ceiling: float32 [units, concepts], NaN where a pair is not given; shared: int64 [units, concepts, points].
        example, activation: int32, float32 [units, slots]; site: int32 [units, slots, 2]; maps: float32 [units, slots, h, w].
        edges, counts: float32 [units, bins + 1], int64 [units, bins]; peaks: float32 [units, examples].
    """

    def __init__(self, folder: Folder, layer: Layer, scratch: Scratch, advance: Callable[[int], None]) -> None:
        self._folder, self.layer, self._scratch, self._advance = folder, layer, scratch, advance
        self.manifest = folder.manifest
        self.statistics: dict[str, Array] = {}
        self.thresholds = self.attained = self.areas = None  # type: Array | None
        self.iou = self.chance = self.ceiling = self.shared = None  # type: Array | None
        self.example = self.activation = self.site = self.maps = None  # type: Array | None
        self.edges = self.counts = self.peaks = None  # type: Array | None
        self._units()
        self._quantiles()
        self._scores()
        self._exemplars()
        self._histograms()
        self._peaks()

    def name_of(self, table: Table) -> str:
        """How errors name a table: its file."""
        return self.layer.files[table].file

    def _batches(self, table: Table, fields: list[Field]) -> Iterator[Batch]:
        file = self.layer.files.get(table)
        if file is None:
            return
        path = self._folder.table(file)
        for batch in read(path, file.file, file.rows, fields):
            yield batch
            self._advance(len(batch))
        self._folder.table(file)  # still the file whose checksum was taken

    def _unit(self) -> Field:
        return Field("unit", "int", low=0, high=self.layer.units - 1)

    def _per_unit(self, table: Table, fields: list[Field]) -> Iterator[Batch]:
        """Batches of a table with exactly one row per unit."""
        seen = np.zeros(self.layer.units, np.bool_)
        if table not in self.layer.files:
            return
        for batch in self._batches(table, [self._unit(), *fields]):
            mark_once(batch, seen, batch.columns["unit"], "unit", "stands twice; one row per unit is needed")
            yield batch
        if not seen.all():
            missing = np.flatnonzero(~seen)
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise problem(self.name_of(table), f"has no row for unit {missing[0]}{more}; the layer has {self.layer.units:,} units")

    def _units(self) -> None:
        positions = self.manifest.measure.positions
        fields = [f if f.name != "active_positions" else Field(f.name, "int", False, low=0, high=positions) for f in STATISTICS]
        for batch in self._per_unit("units", fields):
            unit = batch.columns.pop("unit")
            for name, values in batch.columns.items():
                if name not in self.statistics:
                    dtype, fill = _DTYPES[next(f.kind for f in STATISTICS if f.name == name)]
                    self.statistics[name] = np.full(self.layer.units, fill, dtype)
                self.statistics[name][unit] = values
            have = batch.columns
            for low, high in (("min", "max"), ("min", "mean"), ("mean", "max")):
                if low in have and high in have:
                    slack = 1e-5 * np.maximum(np.abs(have[low]), np.abs(have[high]))
                    batch.refuse(have[low] > have[high] + slack, low, f"is larger than {high}")

    def _quantiles(self) -> None:
        points, units = len(self.manifest.measure.points), self.layer.units
        fields = [
            Field("threshold", "float", length=points), Field("attained", "float", False, low=0, high=1, length=points),
            Field("unit_area", "int", False, low=0, high=self.manifest.measure.positions, length=points),
        ]  # fmt: skip
        for batch in self._per_unit("quantiles", fields):
            unit, columns = batch.columns["unit"], batch.columns
            for name, sign, why in (("threshold", 1, "is smaller"), ("unit_area", -1, "is larger")):
                if name in columns:
                    falls = np.diff(sign * columns[name], axis=1, prepend=sign * columns[name][:, :1]) < 0
                    batch.refuse(falls, name, f"{why} than at the quantile before it")
            if self.thresholds is None:
                self.thresholds = self._scratch.array((units, points), np.float32)
                self.attained = self._scratch.array((units, points), np.float32) if "attained" in columns else None
                self.areas = self._scratch.array((units, points), np.int64) if "unit_area" in columns else None
            self.thresholds[unit] = columns["threshold"]
            for array, name in ((self.attained, "attained"), (self.areas, "unit_area")):
                if array is not None:
                    array[unit] = columns[name]
        if self.thresholds is None and points == 1:  # one quantile needs no table of its own
            values = {name: self.statistics.get(name) for name in ("threshold", "attained", "active_positions")}
            if (threshold := values["threshold"]) is not None and np.isfinite(threshold).all():
                self.thresholds = threshold[:, None].astype(np.float32)
                if (attained := values["attained"]) is not None and np.isfinite(attained).all():
                    self.attained = attained[:, None].astype(np.float32)
            if (areas := values["active_positions"]) is not None:
                self.areas = areas[:, None]

    def _scores(self) -> None:
        measure, units, concepts = self.manifest.measure, self.layer.units, self.manifest.probe.concepts
        points = len(measure.points)
        fields = [
            self._unit(), Field("concept", "int", low=0, high=len(concepts) - 1, names=concepts),
            Field("iou", "float", False, low=0, high=1),
            Field("chance", "float", False, low=0, high=1), Field("ceiling", "float", False, low=0, high=1),
            Field("intersection", "int", False, low=0, length=points),
        ]  # fmt: skip
        seen: Array | None = None
        targets: dict[str, Array] = {}
        for batch in self._batches("scores", fields):
            unit, concept = batch.columns["unit"], batch.columns["concept"]
            if seen is None:
                seen = self._scratch.array((units * len(concepts),), np.bool_, False)
                targets = self._score_arrays(batch)
            mark_once(batch, seen, unit * len(concepts) + concept, "concept", "stands twice for this unit")
            if self.shared is not None:
                assert self.areas is not None
                assert measure.concept_areas is not None
                most = np.minimum(self.areas[unit], np.array(measure.concept_areas, np.int64)[concept][:, None])
                batch.refuse(batch.columns["intersection"] > most, "intersection", "is larger than the unit's or the concept's own area")
            for name, array in targets.items():
                array[unit, concept] = batch.columns[name]
        if "scores" in self.layer.files and seen is None:
            raise problem(self.name_of("scores"), "has no rows; leave the table out of the manifest instead")
        if self.shared is not None and seen is not None and measure.omitted_scores == "absent" and not seen.all():
            at, missing = divmod(int(np.argmin(seen)), len(concepts))
            raise problem(
                self.name_of("scores"),
                f"has intersections, but none for unit {at} and '{concepts[missing]}'. Give all pairs, or state in the manifest "
                "measure.omitted_scores = 'zero' if those left out share no position",
            )

    def _score_arrays(self, batch: Batch) -> dict[str, Array]:
        measure, shape = self.manifest.measure, (self.layer.units, len(self.manifest.probe.concepts))
        table = self.name_of("scores")
        if "intersection" in batch.columns:
            if self.areas is None or measure.concept_areas is None or measure.positions is None:
                raise problem(
                    table,
                    "has intersections; these need unit_area in the table quantiles (or active_positions in units, for one quantile) and "
                    "measure.concept_areas and measure.positions in the manifest",
                )
            self.shared = self._scratch.array((*shape, len(measure.points)), np.int64)
        elif "iou" not in batch.columns:
            raise problem(table, "has neither the column 'iou' nor 'intersection'")
        fill = 0.0 if measure.omitted_scores == "zero" else np.nan
        if "iou" in batch.columns:
            self.iou = self._scratch.array(shape, np.float32, fill)
        if "chance" in batch.columns:
            self.chance = self._scratch.array(shape, np.float32, np.nan)
        if "ceiling" in batch.columns:
            self.ceiling = self._scratch.array(shape, np.float32, np.nan)
        found = {"iou": self.iou, "chance": self.chance, "ceiling": self.ceiling, "intersection": self.shared}
        return {name: array for name, array in found.items() if array is not None}

    def _exemplars(self) -> None:
        layer, bands = self.layer, self.manifest.bands
        shape = (layer.units, sum(band.count for band in bands))
        fields = [
            self._unit(), Field("band", "int", low=0, high=len(bands) - 1, names=[b.name for b in bands]), Field("rank", "int", low=0),
            Field("example", "int", low=0, high=self.manifest.probe.examples - 1), Field("activation", "float"),
            Field("site_row", "int", False, low=0, high=layer.height - 1, empty=True),
            Field("site_column", "int", False, low=0, high=layer.width - 1, empty=True),
            Field("map", "float", False, length=layer.height * layer.width),
        ]  # fmt: skip
        counts = np.array([b.count for b in bands], np.int64)
        first = np.cumsum(counts) - counts
        seen: Array | None = None
        for batch in self._batches("exemplars", fields):
            columns = batch.columns
            unit, band, rank = columns["unit"], columns["band"], columns["rank"]
            batch.refuse(rank >= counts[band], "rank", "is not below the band's count in the manifest")
            slot = first[band] + rank
            if seen is None or self.example is None or self.activation is None or self.site is None:
                seen = np.zeros(shape[0] * shape[1], np.bool_)
                self.example, self.activation = self._scratch.array(shape, np.int32, -1), self._scratch.array(shape, np.float32, np.nan)
                self.site = self._scratch.array((*shape, 2), np.int32, -1)
                if "map" in columns:
                    self.maps = self._scratch.array((*shape, layer.height, layer.width), np.float32)
            mark_once(batch, seen, unit * shape[1] + slot, "rank", "stands twice for this unit and band")
            self.example[unit, slot], self.activation[unit, slot] = columns["example"], columns["activation"]
            for axis, name in enumerate(("site_row", "site_column")):
                if name in columns:
                    self.site[unit, slot, axis] = columns[name]
            if self.maps is not None:
                self.maps[unit, slot] = columns["map"].reshape(-1, layer.height, layer.width)

    def _histograms(self) -> None:
        bins, units = self.manifest.measure.bins, self.layer.units
        fields = [Field("edges", "float", length=bins + 1), Field("counts", "int", low=0, length=bins)]
        for batch in self._per_unit("histograms", fields):
            if self.edges is None or self.counts is None:
                self.edges, self.counts = self._scratch.array((units, bins + 1), np.float32), self._scratch.array((units, bins), np.int64)
            falls = np.diff(batch.columns["edges"], axis=1, prepend=batch.columns["edges"][:, :1]) < 0
            batch.refuse(falls, "edges", "is smaller than the edge before it")
            self.edges[batch.columns["unit"]], self.counts[batch.columns["unit"]] = batch.columns["edges"], batch.columns["counts"]

    def _peaks(self) -> None:
        examples = self.manifest.probe.examples
        for batch in self._per_unit("peaks", [Field("peaks", "float", length=examples)]):
            if self.peaks is None:
                self.peaks = self._scratch.array((self.layer.units, examples), np.float32)
            self.peaks[batch.columns["unit"]] = batch.columns["peaks"]
