"""Units as columns: the tables of all layers of an atlas, one under the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from microtome.core.errors import NotFound
from microtome.store import Store
from microtome.store import tables as t

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
NUMBERS = ("best_iou", "best_ceiling", "best_chance", "density", "threshold", "attained", "mean", "std", "max", "min")
FLAGS = ("detector", "dead", "constant")
BINS = 40
SPARK = 26


@dataclass(frozen=True)
class LayerColumns:
    """One layer's part: rows ``start`` to ``stop``, and the arrays behind it by result name."""

    name: str
    key: str
    start: int
    stop: int
    arrays: dict[str, dict[str, str]]  # result name -> array name -> sha256
    documents: dict[str, dict[str, Any]]  # result name -> document, without the table's columns


class Columns:
    """Columns of all units; row = place in the concatenation of layers."""

    def __init__(self, store: Store, layers: list[LayerColumns], tables: list[dict[str, list[Any]]]) -> None:
        self.store, self.layers = store, layers
        self.by_name = {layer.name: layer for layer in layers}
        sizes = [layer.stop - layer.start for layer in layers]
        self.count = sum(sizes)
        self.layer: Ints = np.repeat(np.arange(len(layers)), sizes) if layers else np.zeros(0, np.int64)
        self.unit: Ints = self._join(tables, "unit", np.int64)
        self.numbers: dict[str, Floats] = {name: self._join(tables, name, np.float64) for name in NUMBERS}
        self.flags: dict[str, Flags] = {name: self._join(tables, name, np.bool_) for name in FLAGS}
        self.concepts, self.concept = _codes([c for table in tables for c in table["best_concept"]])
        self.categories, self.category = _codes([c for table in tables for c in table["best_category"]])

    def _join(self, tables: list[dict[str, list[Any]]], name: str, dtype: Any) -> Any:
        filler = np.nan if dtype is np.float64 else 0
        parts = [np.array([filler if v is None else v for v in table[name]], dtype) for table in tables]
        return np.concatenate(parts) if parts else np.zeros(0, dtype)

    @property
    def iou(self) -> Floats:
        return self.numbers["best_iou"]

    @cached_property
    def iou_edges(self) -> Floats:
        top = float(np.nanmax(self.iou)) if self.count and not np.isnan(self.iou).all() else 0.0
        return np.linspace(0, max(0.1, np.ceil(top * 20) / 20), BINS + 1)

    @cached_property
    def iou_bin(self) -> Ints:
        return np.clip(np.searchsorted(self.iou_edges, np.nan_to_num(self.iou), side="right") - 1, 0, BINS - 1)

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
        codes = self.category[rows][self.flags["detector"][rows]]
        counts = Counter(codes.tolist())
        return {self.categories[c]: counts[c] for c in sorted(counts) if c >= 0}

    @cached_property
    def sparks(self) -> tuple[npt.NDArray[np.float32], Ints]:
        """Sparkline heights [rows, 26], 0 to 1 on a square-root scale, and the bin in which the threshold lies."""
        heights = np.zeros((self.count, SPARK), np.float32)
        marks = np.zeros(self.count, np.int64)
        for layer in self.layers:
            if not self.has(layer, "activation", "counts"):
                continue
            rows = slice(layer.start, layer.stop)
            counts = np.asarray(self.array(layer, "activation", "counts"), np.float64)
            edges = np.asarray(self.array(layer, "activation", "edges"), np.float64)
            starts = np.arange(SPARK) * counts.shape[1] // SPARK
            coarse = np.sqrt(np.add.reduceat(counts, starts, axis=1)) if counts.shape[1] >= SPARK else np.zeros((len(counts), SPARK))
            heights[rows] = coarse / np.maximum(coarse.max(axis=1, keepdims=True), 1e-9)
            low, high = edges[:, 0], edges[:, -1]
            place = (np.nan_to_num(self.numbers["threshold"][rows]) - low) / np.maximum(high - low, 1e-12)
            marks[rows] = np.clip((place * SPARK).astype(np.int64), 0, SPARK - 1)
        return np.round(heights, 3), marks


def _codes(values: list[str | None]) -> tuple[list[str], Ints]:
    """Names, sorted, and per row the place of its name; -1 for none."""
    names = sorted({v for v in values if v is not None})
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place[v] if v is not None else -1 for v in values], np.int64)


def load_columns(store: Store, keys: tuple[str, ...]) -> Columns:
    """Read the tables of these layer results."""
    with store.read() as connection:
        rows = connection.execute(select(t.result_item).where(t.result_item.c.key.in_(keys))).all()
    by_key: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for row in rows:
        by_key[row.key][row.name] = row
    layers, tables, start = [], [], 0
    for key in keys:
        items = by_key[key]
        if "units" not in items:
            raise NotFound(f"The result {key} is gone from the store. Run the dissection again.", field="key")
        document = items["units"].document
        count = len(document["units"])
        columns = {c["name"]: c["values"] for c in document["columns"]}
        wanted = (*NUMBERS, *FLAGS, "best_concept", "best_category")
        table = {name: columns.get(name, [None] * count) for name in wanted} | {"unit": document["units"]}
        arrays = {n: {a: ref["sha256"] for a, ref in item.arrays.items()} for n, item in items.items()}
        documents = {n: item.document for n, item in items.items() if n != "units"}
        layers.append(LayerColumns(document["layer"], key, start, start + count, arrays, documents))
        tables.append(table)
        start += count
    return Columns(store, layers, tables)
