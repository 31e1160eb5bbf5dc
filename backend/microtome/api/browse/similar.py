"""Units like one: whose largest activations over the images go up and down with its own (Pearson), over all layers, exactly.

With the unit's own peaks centred and of length 1, the correlation with a row is the row times those over the row's length
around its mean; so the arrays stay on disk and only one number per unit is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import Columns, LayerColumns
from microtome.api.desk import Desk

SIMILAR = 8
MOST = 4 * 2**30  # bytes of peaks that one question reads
BLOCK = 64 * 2**20
Floats = npt.NDArray[np.float32]


def similar_units(desk: Desk, found: AtlasState, layer: str, unit: int) -> dict[str, Any]:
    """The document of ``GET /units/{model}/{layer}/{unit}/similar``."""
    columns = desk.browse.columns(found.keys)
    row = columns.row(layer, unit)
    return desk.browse.remember(("similar", found.keys, row), lambda: _similar(desk, found, columns, row), cap=4096)


def _similar(desk: Desk, found: AtlasState, columns: Columns, row: int) -> dict[str, Any]:
    own = columns.layers[columns.layer[row]]
    if not columns.has(own, "peaks", "values"):
        return {"items": [], "note": "This dissection keeps no peaks over the images, by which units are compared."}
    me = np.array(columns.array(own, "peaks", "values")[row - own.start], np.float32)
    me -= me.mean()
    length = float(np.linalg.norm(me))
    if length <= 1e-12:
        return {"items": [], "note": "This unit answers alike to all images."}
    me /= length
    correlation = np.full(columns.count, -2.0, np.float32)
    left, skipped = MOST, 0
    for layer in sorted(columns.layers, key=lambda la: la is not own):  # the unit's own layer first
        if not columns.has(layer, "peaks", "values"):
            continue
        peaks = columns.array(layer, "peaks", "values")
        if peaks.shape[1] != len(me):
            continue
        left -= peaks.nbytes
        if left < 0:
            skipped += 1
            continue
        lengths = desk.browse.remember(("lengths", layer.key), lambda la=layer: _lengths(columns, la), cap=256)  # type: ignore[misc]
        part = correlation[layer.start : layer.stop]
        for start, block in _blocks(peaks):
            part[start : start + len(block)] = block @ me
        np.divide(part, lengths, out=part, where=lengths > 1e-12)
        part[lengths <= 1e-12] = -2.0
    correlation[row] = -2.0
    count = min(SIMILAR, columns.count)
    best = np.argpartition(-correlation, count - 1)[:count]
    best = best[np.lexsort((best, -correlation[best]))]
    items = [
        {
            "layer": (la := columns.layers[columns.layer[i]]).name, "label": found.label_of(la.name), "unit": int(columns.unit[i]),
            "correlation": round(float(correlation[i]), 4),
        }
        for i in best.tolist()
        if correlation[i] > 0
    ]  # fmt: skip
    return {"items": items, "note": f"{skipped} layers are too large to be compared with." if skipped else None}


def _blocks(peaks: npt.NDArray[Any]) -> Any:
    rows = max(1, BLOCK // max(1, peaks.shape[1] * 4))
    for start in range(0, len(peaks), rows):
        yield start, np.asarray(peaks[start : start + rows], np.float32)


def _lengths(columns: Columns, layer: LayerColumns) -> Floats:
    """Length of every unit's peaks around their mean."""
    peaks = columns.array(layer, "peaks", "values")
    out = np.empty(len(peaks), np.float32)
    for start, block in _blocks(peaks):
        out[start : start + len(block)] = np.linalg.norm(block - block.mean(axis=1, keepdims=True), axis=1)
    return out
