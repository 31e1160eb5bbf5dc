"""From the tables of a layer to the results that a dissection of it would have left. What was not given is not made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.ingest.layer import LayerTables
from microtome.ingest.manifest import Manifest
from microtome.ingest.reader import problem
from microtome.ingest.scratch import Scratch
from microtome.results import Column, ColumnType, Distribution, Gallery, Matrix, Result, Scorecard, UnitTable
from microtome.results.iou import scores

Array = npt.NDArray[Any]
_BLOCK = 4096
_TOLERANCE = 1e-5

#: Order, titles and types of the unit table's columns, as a dissection has them.
_COLUMNS: tuple[tuple[str, str, ColumnType], ...] = (
    ("mean", "Mean activation", "number"), ("std", "Standard deviation", "number"), ("min", "Minimum", "number"),
    ("max", "Maximum", "number"), ("threshold", "Threshold at quantile {quantile}", "number"),
    ("attained", "Share of positions above", "number"), ("density", "Share of images above", "number"), ("dead", "Never fires", "flag"),
    ("constant", "Never varies", "flag"), ("ties", "Ties at the threshold", "flag"), ("best_concept", "Best concept", "text"),
    ("best_category", "Category", "text"), ("best_iou", "IoU", "number"), ("best_ceiling", "Ceiling of the IoU", "number"),
    ("best_chance", "Chance level", "number"), ("detector", "Detector", "flag"), ("active_positions", "Positions above", "integer"),
)  # fmt: skip


@dataclass
class _Best:
    """The best concept of every unit, float64 [units] with NaN where there is none; ``concept`` -1 where there is none."""

    concept: npt.NDArray[np.int64]
    iou: npt.NDArray[np.float64]
    ceiling: npt.NDArray[np.float64] | None
    chance: npt.NDArray[np.float64] | None


def layer_results(tables: LayerTables, scratch: Scratch) -> dict[str, Result]:
    """Named results of a layer: units and summary always; activation, exemplars, peaks, iou where their tables are given.

    Raises:
        InvalidInput: two tables contradict each other.
    """
    manifest, layer = tables.manifest, tables.layer
    best = _scored(tables, scratch)
    table = UnitTable.of(
        title=f"Units of {layer.shown}",
        layer=layer.name,
        rows=layer.units,
        note=_note(manifest, best, tables),
        columns=_columns(tables, best),
    )
    results: dict[str, Result] = {"units": table}
    curves = {"edges": tables.edges, "counts": tables.counts, "thresholds": tables.thresholds, "attained": tables.attained}
    if tables.edges is not None or tables.thresholds is not None:
        results["activation"] = Distribution(
            title=f"Activations of {layer.shown}", rows=[], quantity="activation", layer=layer.name,
            grid=manifest.measure.points if tables.thresholds is not None else [], arrays=_given(curves),
        )  # fmt: skip
    if tables.example is not None:
        held = {"example": tables.example, "activation": tables.activation, "site": tables.site, "maps": tables.maps}
        results["exemplars"] = Gallery(
            title=f"Exemplars of {layer.shown}", layer=layer.name, bands=manifest.bands_of_slots,
            input_size=manifest.model.input[1:], arrays=_given(held),
        )  # fmt: skip
    if tables.peaks is not None:
        results["peaks"] = Matrix(
            title=f"Largest activation of {layer.shown} per image", rows=[], columns=[], row_axis="unit", column_axis="example",
            quantity="activation", layer=layer.name, arrays={"values": tables.peaks},
        )  # fmt: skip
    if tables.iou is not None:
        shared = tables.shared is not None
        areas = None if manifest.measure.concept_areas is None else np.array(manifest.measure.concept_areas, np.int64)
        matrix = {
            "values": tables.iou, "chance": tables.chance, "ceiling": tables.ceiling, "counts": tables.shared,
            "row_areas": tables.areas if shared else None, "column_areas": areas if shared else None,
        }  # fmt: skip
        results["iou"] = Matrix(
            title=f"IoU of {layer.shown} with concepts", rows=[], columns=manifest.probe.concepts, row_axis="unit", column_axis="concept",
            quantity="IoU", grid=manifest.measure.points if shared else [], positions=manifest.measure.positions or 0, layer=layer.name,
            arrays=_given(matrix),
        )  # fmt: skip
    results["summary"] = _summary(tables, table)
    return results


def _given(arrays: dict[str, Array | None]) -> dict[str, Array]:
    return {name: array for name, array in arrays.items() if array is not None}


def _scored(tables: LayerTables, scratch: Scratch) -> _Best | None:
    """Complete the score matrices from counts, and find every unit's best concept; None without a table of scores."""
    if tables.iou is None and tables.shared is None:
        return None
    measure, units = tables.manifest.measure, tables.layer.units
    shape, counted = (units, len(tables.manifest.probe.concepts)), tables.shared is not None
    point = measure.points.index(measure.quantile)
    given = tables.iou
    if counted:
        tables.iou, tables.chance, tables.ceiling = (scratch.array(shape, np.float32) for _ in range(3))
    assert tables.iou is not None
    best = _Best(np.full(units, -1), np.full(units, np.nan), None, None)
    if counted or tables.ceiling is not None:
        best.ceiling = np.full(units, np.nan)
    if counted or tables.chance is not None:
        best.chance = np.full(units, np.nan)
    for start in range(0, units, _BLOCK):
        rows = slice(start, start + _BLOCK)
        if tables.shared is not None:
            assert tables.areas is not None
            areas = np.array(measure.concept_areas, np.int64)
            score = scores(tables.shared[rows, :, point], tables.areas[rows, point], areas, measure.positions or 0)
            iou = score.iou
            ceiling, chance = score.ceiling, score.chance  # type: Array | None, Array | None
            if given is not None:
                _agree(tables, given[rows], iou, start)
            assert tables.chance is not None
            assert tables.ceiling is not None
            tables.iou[rows], tables.chance[rows], tables.ceiling[rows] = iou, chance, ceiling
        else:
            iou = np.asarray(tables.iou[rows], np.float64)
            ceiling, chance = (None if a is None else np.asarray(a[rows], np.float64) for a in (tables.ceiling, tables.chance))
        place = np.where(np.isnan(iou), -1.0, iou).argmax(axis=1)
        row = np.arange(len(place))
        best.iou[rows] = iou[row, place]
        best.concept[rows] = np.where(iou[row, place] > 0, place, -1)
        if best.ceiling is not None and ceiling is not None:
            best.ceiling[rows] = ceiling[row, place]
        if best.chance is not None and chance is not None:
            best.chance[rows] = chance[row, place]
    return best


def _agree(tables: LayerTables, given: Array, computed: Array, start: int) -> None:
    wrong = np.abs(given - computed) > _TOLERANCE
    if wrong.any():
        unit, concept = (int(i) for i in np.argwhere(wrong)[0])
        name = tables.manifest.probe.concepts[concept]
        raise problem(
            tables.name_of("scores"),
            f"the iou of unit {start + unit} with '{name}' is {given[unit, concept]:.6g}, but its intersection and areas give "
            f"{computed[unit, concept]:.6g} at quantile {tables.manifest.measure.quantile}",
        )


def _columns(tables: LayerTables, best: _Best | None) -> list[Column]:
    """Columns of the unit table: as given, and what follows from the scores."""
    manifest, names = tables.manifest, tables.manifest.probe.concepts
    have: dict[str, Any] = dict(tables.statistics)
    if best is not None:
        _same_best(tables, best)
        have["best_concept"] = np.array([*names, None], object)[best.concept]
        have["best_iou"] = best.iou
        if best.ceiling is not None:
            have["best_ceiling"] = best.ceiling
        if best.chance is not None:
            have.setdefault("best_chance", best.chance)  # one by permutations is better than one by independence
    if "best_concept" in have:
        have["best_category"] = _categories(tables, have["best_concept"])
    if "min" in have and "max" in have:
        still = have["min"] == have["max"]
        have.setdefault("constant", still)
        have.setdefault("dead", still)
    if "best_iou" in have and "detector" not in have:
        detector = have["best_iou"] > manifest.measure.min_iou  # NaN is no detector
        if "best_chance" in have:
            detector &= have["best_iou"] > have["best_chance"]
        have["detector"] = detector & ~have.get("constant", np.zeros(len(detector), np.bool_))
    quantile = manifest.measure.quantile
    return [Column(name, title.format(quantile=quantile), type_, have[name]) for name, title, type_ in _COLUMNS if name in have]


def _categories(tables: LayerTables, concepts: Sequence[str | None]) -> list[str | None]:
    known = set(tables.manifest.probe.concepts)
    for unit, concept in enumerate(concepts):
        if concept is not None and concept not in known:
            raise problem(
                tables.name_of("units"), f"best_concept of unit {unit}: '{concept[:80]}' is none of probe.concepts in the manifest"
            )
    return [None if concept is None else concept.split(":", 1)[0] for concept in concepts]


def _same_best(tables: LayerTables, best: _Best) -> None:
    """What ``units`` says of the best concept must be what the scores say."""
    said, names = tables.statistics, tables.manifest.probe.concepts
    for name, found in (("best_iou", best.iou), ("best_ceiling", best.ceiling)):
        if name in said and found is not None:
            wrong = np.abs(said[name] - found) > _TOLERANCE
            if wrong.any():
                unit = int(wrong.argmax())
                raise problem(
                    tables.name_of("units"), f"{name} of unit {unit} is {said[name][unit]:.6g}, but its scores give {found[unit]:.6g}"
                )
    if "best_concept" in said:
        assert tables.iou is not None
        place = {name: i for i, name in enumerate(names)}
        for unit, concept in enumerate(said["best_concept"]):
            at = place.get(concept) if concept is not None else None
            if at is not None and not abs(float(tables.iou[unit, at]) - best.iou[unit]) <= _TOLERANCE:
                raise problem(
                    tables.name_of("units"),
                    f"best_concept of unit {unit} is '{concept}' (IoU {tables.iou[unit, at]:.6g}), but '{names[best.concept[unit]]}' has "
                    f"{best.iou[unit]:.6g}",
                )


def _note(manifest: Manifest, best: _Best | None, tables: LayerTables) -> str:
    if manifest.measure.chance:
        return manifest.measure.chance
    if best is not None and tables.shared is not None:
        return "Chance: expected IoU of independent masks of the same areas, for the best concept."
    if tables.chance is not None or "best_chance" in tables.statistics:
        return "Chance: imported; how it was defined was not stated."
    return "Chance level: not imported, so detectors are judged by their IoU alone."


def _summary(tables: LayerTables, table: UnitTable) -> Scorecard:
    """Detectors by category and what the numbers rest on, as far as it is known."""
    manifest, have = tables.manifest, {c.name for c in table.columns}
    measure = manifest.measure
    facts: dict[str, Any] = {
        "quantile": measure.quantile, "min_iou": measure.min_iou, "images": manifest.probe.examples, "units": tables.layer.units,
    }  # fmt: skip
    if measure.positions is not None:
        facts["positions"] = measure.positions
    listed: list[Scorecard.Score] = []
    if "detector" in have:
        facts["detectors"] = int(table.column("detector").sum())
    if "detector" in have and "best_category" in have:
        found = table.column("best_category")[table.column("detector")].tolist()
        categories = dict.fromkeys(c.split(":")[0] for c in manifest.probe.concepts)
        listed = [Scorecard.Score(name=c, value=float(found.count(c)), unit="units", group="detectors") for c in categories]
    for name, fact in (("dead", "dead_units"), ("ties", "tied_units")):
        if name in have:
            facts[fact] = int(table.column(name).sum())
    if "best_chance" in have and np.isfinite(table.column("best_chance")).any():
        facts["chance"] = float(np.nanmedian(table.column("best_chance")))
    if measure.permutations is not None:
        facts["permutations"] = measure.permutations
    return Scorecard(title=f"Detectors in {tables.layer.shown}", note=table.note, scores=listed, facts=facts | {"imported": True})
