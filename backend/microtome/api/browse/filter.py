"""A selection over columns: which units pass the filters, and which of those are brushed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import Columns, Flags
from microtome.api.desk import Desk
from microtome.collab.people import PersonRow
from microtome.core.selection import Brush, Range, Selection
from microtome.results import Scatter


@dataclass(frozen=True)
class Notes:
    """What people wrote, by row."""

    labels: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    texts: list[tuple[int, str]] = field(default_factory=list)
    labelled: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    stamp: Hashable = None


@dataclass(frozen=True)
class Masks:
    """Rows within the filters, within all filters but those on concepts, and brushed among the first."""

    in_filter: Flags
    but_concepts: Flags
    brushed: Flags


def notes_of(desk: Desk, me: PersonRow, found: AtlasState, columns: Columns) -> Notes:
    """Annotations of the atlas' model, as far as ``me`` may see them, read again when one changes."""
    stamp = desk.annotations.stamp(me, found.model)
    return desk.browse.remember(("notes", found.model, found.keys, stamp), lambda: _notes(desk, me, found, columns, stamp), cap=8)


def _notes(desk: Desk, me: PersonRow, found: AtlasState, columns: Columns, stamp: Hashable) -> Notes:
    rows = desk.annotations.of_units(me, found.model)
    people = desk.people.many({row.author_id for row in rows})
    notes = Notes(labelled=np.zeros(columns.count, np.bool_), stamp=stamp)
    for row in rows:
        layer = columns.by_name.get(row.layer)
        if layer is None or row.unit >= layer.stop - layer.start:
            continue
        at = layer.start + row.unit
        notes.texts.append((at, row.body.lower()))
        if row.kind == "label":
            notes.labelled[at] = True
            kind = "auto" if row.machine else "human"
            notes.labels.setdefault(at, []).append({"text": row.body, "author": people[row.author_id].name, "kind": kind})
        elif row.kind == "note":
            notes.counts[at] = notes.counts.get(at, 0) + 1
    return notes


def masks(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, selection: Selection) -> Masks:
    """Apply a selection; table and linked views of one selection share the work."""
    key = ("masks", found.keys, notes.stamp, selection.model_dump_json())
    return desk.browse.remember(key, lambda: _masks(desk, found, columns, notes, selection), cap=16)


def _masks(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, selection: Selection) -> Masks:
    others = np.ones(columns.count, np.bool_)
    if selection.layers:
        wanted = [
            i for i, layer in enumerate(columns.layers)
            if layer.name in selection.layers or found.label_of(layer.name) in selection.layers
        ]  # fmt: skip
        others &= np.isin(columns.layer, wanted)
    if selection.iou is not None:
        others &= _within(columns.iou, selection.iou)
    if selection.density is not None:
        others &= _within(columns.number("density"), selection.density)
    if selection.detector is not None:
        others &= columns.flag("detector") == selection.detector
    if selection.labelled is not None:
        others &= notes.labelled == selection.labelled
    if selection.text:
        others &= _matches(found, columns, notes, selection.text)
    inside = others.copy()
    if selection.concepts:
        inside &= _named(columns.concepts, columns.concept, selection.concepts)
    if selection.not_concepts:
        inside &= ~_named(columns.concepts, columns.concept, selection.not_concepts)
    if selection.categories:
        inside &= _named(columns.categories, columns.category, selection.categories)
    brushed = np.zeros(columns.count, np.bool_)
    if selection.brush is not None:
        brushed = inside & _brush(desk, columns, selection.brush)
    return Masks(inside, others, brushed)


def _within(values: npt.NDArray[np.float64], bounds: Range) -> Flags:
    inside = ~np.isnan(values)
    if bounds.min is not None:
        inside &= values >= bounds.min
    if bounds.max is not None:
        inside &= values <= bounds.max
    return inside


def _named(names: list[str], codes: npt.NDArray[np.int32], wanted: list[str]) -> Flags:
    chosen = set(wanted)
    return _lookup([name in chosen for name in names], codes)


def _lookup(hits: list[bool], codes: npt.NDArray[np.int32]) -> Flags:
    """Per row, what holds for its name; rows without a name get False (the last entry, which -1 points to)."""
    return np.array([*hits, False], np.bool_)[codes]


def _matches(found: AtlasState, columns: Columns, notes: Notes, text: str) -> Flags:
    """Every word in a label, note, tag, concept or address."""
    inside = np.ones(columns.count, np.bool_)
    places = [(layer.name.lower(), found.label_of(layer.name).lower()) for layer in columns.layers]
    for word in text.lower().split()[:20]:
        hit = _lookup([word in name.lower() for name in columns.concepts], columns.concept)
        head, slash, tail = word.rpartition("/")
        if slash:
            layers = _lookup([n.endswith(head) or la.endswith(head) for n, la in places], columns.layer)
            hit |= (layers & (columns.unit == int(tail))) if tail.isascii() and tail.isdigit() and len(tail) < 10 else layers & (tail == "")
        else:
            hit |= _lookup([word in n or word in la for n, la in places], columns.layer)
            if word.isascii() and word.isdigit() and len(word) < 10:
                hit |= columns.unit == int(word)
        for row, body in notes.texts:
            if word in body:
                hit[row] = True
        inside &= hit
    return inside


def _brush(desk: Desk, columns: Columns, brush: Brush) -> Flags:
    if brush.range is not None:
        return _within(columns.iou, brush.range)
    if brush.units is not None:
        chosen = np.zeros(columns.count, np.bool_)
        for ref in brush.units:
            layer = columns.by_name.get(ref.layer)
            if layer is not None and ref.unit < layer.stop - layer.start:
                chosen[layer.start + ref.unit] = True
        return chosen
    assert brush.polygon is not None
    assert brush.key is not None
    points = map_points(desk, brush.key)
    by_height = desk.browse.remember(("by-height", brush.key), lambda: ByHeight.of(np.asarray(points.arrays["points"])), cap=4)
    inside = by_height.inside(np.array(brush.polygon, np.float64))
    chosen = np.zeros(columns.count, np.bool_)
    rows = rows_of_points(columns, points, inside)
    chosen[rows[rows >= 0]] = True
    return chosen


def map_points(desk: Desk, key: str) -> Scatter:
    """The map a polygon was drawn on."""

    def load() -> Any:
        return desk.engine.results.result_of(desk.engine.results.item(key, "map"))

    return desk.browse.remember(("map", key), load, cap=16)


def rows_of_points(columns: Columns, points: Scatter, some: npt.NDArray[np.integer] | slice = slice(None)) -> npt.NDArray[np.int32]:
    """Row of each point of a map, or of ``some``; -1 where its layer is not in these columns."""
    layers = [columns.by_name.get(name) for name in points.layers]
    starts = np.array([-1 if la is None else la.start for la in layers] or [-1], np.int32)
    stops = np.array([-1 if la is None else la.stop for la in layers] or [-1], np.int32)
    layer = np.asarray(points.arrays["layer"][some])
    rows = starts[layer] + np.asarray(points.arrays["unit"][some], np.int32)
    return np.where((starts[layer] >= 0) & (rows < stops[layer]), rows, -1)


@dataclass(frozen=True)
class ByHeight:
    """Points sorted by y, so that an edge of a polygon looks only at the points at its own height. 12 bytes per point."""

    order: npt.NDArray[np.int32]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]

    @classmethod
    def of(cls, points: npt.NDArray[np.float32]) -> ByHeight:
        order = np.argsort(points[:, 1], kind="stable").astype(np.int32)
        return cls(order, points[order, 0], points[order, 1])

    def inside(self, polygon: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """Which points lie within, by the even-odd rule."""
        bottom, top = np.searchsorted(self.y, (polygon[:, 1].min(), polygon[:, 1].max()))
        odd = np.zeros(int(top - bottom), np.bool_)
        x, y = self.x[bottom:top], self.y[bottom:top]
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            # the points that this edge spans: min(y1, y2) <= y < max(y1, y2)
            first, last = np.searchsorted(y, (min(y1, y2), max(y1, y2)))
            if first < last:
                part = slice(int(first), int(last))
                odd[part] ^= x[part] < (x2 - x1) * (y[part] - y1) / (y2 - y1) + x1
        return self.order[bottom:top][odd]
