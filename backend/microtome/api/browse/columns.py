"""Units as columns: the tables of all layers of an atlas, one under the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from microtome.core.errors import NotFound
from microtome.results import UnitTable
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.results import ResultRepository

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
BINS = 40
SPARK = 26


@dataclass(frozen=True)
class LayerColumns:
    """One layer's part: rows ``start`` to ``stop``, and the arrays behind it by result name."""

    name: str
    key: str
    number: int  # of the result, in the tables of rows
    start: int
    stop: int
    arrays: dict[str, dict[str, str]]  # result name -> array name -> sha256
    documents: dict[str, dict[str, Any]]  # result name -> document, without the table's


class Columns:
    """Columns of all units; row = place in the concatenation of layers.

    A column is read when it is first asked for. A single layer's are mapped, not copied: a million units cost the memory of
    the pages that are looked at.
    """

    def __init__(self, store: Store, layers: list[LayerColumns], tables: list[UnitTable]) -> None:
        self.store, self.layers, self._tables = store, layers, tables
        self.by_name = {layer.name: layer for layer in layers}
        sizes = [layer.stop - layer.start for layer in layers]
        self.count = sum(sizes)
        self.layer: Ints = np.repeat(np.arange(len(layers), dtype=np.int32), sizes) if layers else np.zeros(0, np.int32)
        self.unit: Ints = np.asarray(_one([np.asarray(table.units) for table in tables], np.int32))
        self._numbers: dict[str, Floats] = {}
        self._flags: dict[str, Flags] = {}
        self.concepts, self.concept = self._codes("best_concept")
        self.categories, self.category = self._codes("best_category")

    def number(self, name: str) -> Floats:
        """A column of numbers, NaN where a layer has none."""
        if name not in self._numbers:
            self._numbers[name] = _one([_values(table, name, np.nan) for table in self._tables], np.float64)
        return self._numbers[name]

    def flag(self, name: str) -> Flags:
        """A column of flags, False where a layer has none."""
        if name not in self._flags:
            self._flags[name] = _one([_values(table, name, False) for table in self._tables], np.bool_)
        return self._flags[name]

    def _codes(self, name: str) -> tuple[list[str], Ints]:
        """All names of a text column, sorted, and per row the place of its name; -1 for none."""
        heads: list[list[str]] = []
        codes: list[Ints] = []
        for table in self._tables:
            try:
                head, values = table.stored(name)
                heads.append(head.names)
                codes.append(np.asarray(values))
            except KeyError:
                heads.append([])
                codes.append(np.full(len(table.units), -1, np.int32))
        names = sorted({n for head in heads for n in head})
        place = {n: i for i, n in enumerate(names)}
        parts = [np.array([*(place[n] for n in head), -1], np.int32)[values] for head, values in zip(heads, codes, strict=True)]
        return names, _one(parts, np.int32)

    @cached_property
    def detectors(self) -> npt.NDArray[np.int32]:
        """Rows of the detectors, which are few: what is counted of them alone need not look at all rows."""
        return np.flatnonzero(self.flag("detector")).astype(np.int32)

    @property
    def iou(self) -> Floats:
        return self.number("best_iou")

    @cached_property
    def iou_edges(self) -> Floats:
        top = float(np.nanmax(self.iou)) if self.count and not np.isnan(self.iou).all() else 0.0
        return np.linspace(0, max(0.1, np.ceil(top * 20) / 20), BINS + 1)

    @cached_property
    def iou_bin(self) -> npt.NDArray[np.uint8]:
        return np.clip(np.searchsorted(self.iou_edges, np.nan_to_num(self.iou), side="right") - 1, 0, BINS - 1).astype(np.uint8)

    @cached_property
    def iou_counts(self) -> npt.NDArray[np.int64]:
        return np.bincount(self.iou_bin, minlength=BINS)

    def row(self, layer: str, unit: int) -> int:
        """Place of a unit.

        Raises:
            NotFound: the layer is not computed, or has no such unit.
        """
        part = self.by_name.get(layer)
        if part is None:
            have = ", ".join(self.by_name) or "none yet"
            raise NotFound(f"Layer '{layer[:100]}' is not dissected. Dissected layers: {have}.", field="layer")
        if unit >= part.stop - part.start:
            raise NotFound(f"Layer {layer} has {part.stop - part.start} units, numbered from 0; there is no {unit}.", field="unit")
        return part.start + unit

    def array(self, layer: LayerColumns, result: str, name: str) -> npt.NDArray[Any]:
        """An array behind a layer, mapped."""
        try:
            return self.store.blobs.array(layer.arrays[result][name])
        except KeyError:
            raise NotFound(f"The results of {layer.name} hold no '{result}.{name}'.", field="layer") from None

    def has(self, layer: LayerColumns, result: str, name: str) -> bool:
        return name in layer.arrays.get(result, {})

    def detectors_by_category(self, layer: str) -> dict[str, int]:
        part = self.by_name.get(layer)
        if part is None:
            return {}
        rows = slice(part.start, part.stop)
        codes = self.category[rows][self.flag("detector")[rows]]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.categories))
        return {name: int(n) for name, n in zip(self.categories, counts, strict=True) if n}

    def sparks(self, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Sparkline heights [rows, 26] of some rows, 0 to 1 on a square-root scale, and the bin in which the threshold lies."""
        heights = np.zeros((len(rows), SPARK), np.float32)
        marks = np.zeros(len(rows), np.int64)
        for place in np.unique(self.layer[rows]).tolist():
            layer = self.layers[place]
            if not self.has(layer, "activation", "counts"):
                continue
            here = np.flatnonzero(self.layer[rows] == place)
            units = rows[here] - layer.start
            counts = np.asarray(self.array(layer, "activation", "counts")[units], np.float64)
            edges = np.asarray(self.array(layer, "activation", "edges")[units], np.float64)
            starts = np.arange(SPARK) * counts.shape[1] // SPARK
            if counts.shape[1] >= SPARK:
                coarse = np.sqrt(np.add.reduceat(counts, starts, axis=1))
                heights[here] = coarse / np.maximum(coarse.max(axis=1, keepdims=True), 1e-9)
            low, high = edges[:, 0], edges[:, -1]
            at = (np.nan_to_num(self.number("threshold")[rows[here]]) - low) / np.maximum(high - low, 1e-12)
            marks[here] = np.clip((at * SPARK).astype(np.int64), 0, SPARK - 1)
        return np.round(heights, 3), marks


def _values(table: UnitTable, name: str, missing: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(table.stored(name)[1])
    except KeyError:
        return np.full(len(table.units), missing)


def _one(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    """The parts end to end; a single one as it is."""
    return parts[0].astype(dtype, copy=False) if len(parts) == 1 else np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)


def load_columns(results: ResultRepository, keys: tuple[str, ...]) -> Columns:
    """The tables of these layer results.

    Raises:
        NotFound: one of them is gone.
    """
    store = results.store
    with store.read() as connection:
        rows = connection.execute(select(t.result_item).where(t.result_item.c.key.in_(keys))).all()
        numbers = dict(connection.execute(select(t.result.c.key, t.result.c.number).where(t.result.c.key.in_(keys))).all())
    by_key: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for row in rows:
        by_key[row.key][row.name] = row
    layers, tables, start = [], [], 0
    for key in keys:
        items = by_key[key]
        if "units" not in items:
            raise NotFound(f"The result {key} is gone from the store. Run the dissection again.", field="key")
        table = results.result_of(items["units"])
        assert isinstance(table, UnitTable)
        count = len(table.units)
        arrays = {n: {a: ref["sha256"] for a, ref in item.arrays.items()} for n, item in items.items()}
        documents = {n: item.document for n, item in items.items() if n != "units"}
        layers.append(LayerColumns(table.layer, key, numbers[key], start, start + count, arrays, documents))
        tables.append(table)
        start += count
    return Columns(store, layers, tables)
