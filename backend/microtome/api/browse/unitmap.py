"""The map of units for the browser: a head, and the points in binary chunks of at most 2 MB.

Chunk ``c`` of ``C`` holds the points ``c``, ``c + C``, ``c + 2C``, ...: every chunk is an even sample of the whole map, so that
the first one already shows its shape. Within a chunk columns follow one another, little-endian, in the order of ``COLUMNS``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.filter import map_points, rows_of_points
from microtome.api.desk import Desk
from microtome.core.errors import Conflict, NotFound
from microtome.core.keys import content_key
from microtome.results import Scatter

#: name -> type. ``x`` and ``y`` in 65,535 steps of the head's ranges; ``iou`` and ``density`` in 65,535 steps of 0 to 1;
#: ``concept`` is a place in the head's list, or ``NONE``, or ``RARE`` for one that is not listed.
COLUMNS = {"x": "<u2", "y": "<u2", "layer": "<u2", "concept": "<u2", "iou": "<u2", "density": "<u2", "unit": "<u4"}
POINT = sum(np.dtype(t).itemsize for t in COLUMNS.values())
CHUNK = 2_000_000 // POINT
STEPS, NONE, RARE = 65535, 65535, 65534
MAX_CONCEPTS = 20_000  # names in the head


def version(found: AtlasState) -> str:
    """What the chunks depend on: the map, and the dissections that colour it."""
    return content_key([found.map_key, *found.keys])[:32]


def head(desk: Desk, found: AtlasState) -> dict[str, Any]:
    """The document of ``GET /units/map``; no points when there is no map yet."""
    if found.map_key is None:
        return {
            "key": None, "version": "", "projection": "", "count": 0, "chunks": 0, "layers": [], "concepts": [], "x": (0.0, 0.0),
            "y": (0.0, 0.0),
        }  # fmt: skip
    points = map_points(desk, found.map_key)
    count = len(points.arrays["points"])
    x, y = _ranges(desk, found.map_key, points)
    names, _ = _concepts(desk, found)
    return {
        "key": found.map_key, "version": version(found), "projection": points.projection, "count": count,
        "chunks": -(-count // CHUNK), "layers": points.layers, "concepts": names,
        "x": x, "y": y,
    }  # fmt: skip


def _ranges(desk: Desk, key: str, points: Scatter) -> list[tuple[float, float]]:
    """Least and largest x, and y."""

    def make() -> list[tuple[float, float]]:
        at = np.ascontiguousarray(np.asarray(points.arrays["points"]).T)
        return [(float(v.min()), float(v.max())) if v.size else (0.0, 0.0) for v in at]

    return desk.browse.remember(("map-ranges", key), make, cap=16)


def _concepts(desk: Desk, found: AtlasState) -> tuple[list[str], npt.NDArray[np.uint16]]:
    """Names for the head, and the code of every concept of the columns; the last entry is for none."""

    def make() -> tuple[list[str], npt.NDArray[np.uint16]]:
        columns = desk.browse.columns(found.keys)
        size = len(columns.concepts)
        listed = np.arange(size)
        if size > MAX_CONCEPTS:  # those of most units
            counts = np.bincount(columns.concept[columns.concept >= 0], minlength=size)
            listed = np.sort(np.argsort(-counts, kind="stable")[:MAX_CONCEPTS])
        codes = np.full(size + 1, RARE, np.uint16)
        codes[listed] = np.arange(len(listed))
        codes[-1] = NONE
        return [columns.concepts[i] for i in listed.tolist()], codes

    return desk.browse.remember(("map-concepts", found.keys), make, cap=8)


def chunk(desk: Desk, found: AtlasState, index: int, wanted: str) -> bytes:
    """The document of ``GET /units/map/{chunk}``.

    Raises:
        NotFound: there is no such chunk. Conflict: the map or a dissection is no longer the one that the head described.
    """
    if found.map_key is None or wanted != version(found):
        raise Conflict("The map has been made anew since its head was read. Read GET /units/map again.")
    points = map_points(desk, found.map_key)
    chunks = -(-len(points.arrays["points"]) // CHUNK)
    if index >= chunks:
        raise NotFound(f"The map has {chunks} chunks, numbered from 0; there is no {index}.", field="chunk")
    some = slice(index, None, chunks)
    columns = desk.browse.columns(found.keys)
    place = np.arange(len(points.arrays["points"]), dtype=np.int64)[some]
    rows = rows_of_points(columns, points, place)
    known = rows >= 0
    _, codes = _concepts(desk, found)
    at = np.asarray(points.arrays["points"])
    values: dict[str, npt.NDArray[Any]] = {
        "layer": np.asarray(points.arrays["layer"])[some], "unit": np.asarray(points.arrays["unit"])[some],
        "concept": np.where(known, codes[columns.concept[rows]], NONE),
        "iou": _steps(np.where(known, columns.iou[rows], 0), 0, 1),
        "density": _steps(np.where(known, columns.number("density")[rows], 0), 0, 1),
    }  # fmt: skip
    for axis, (name, (low, high)) in enumerate(zip("xy", _ranges(desk, found.map_key, points), strict=True)):
        values[name] = _steps(at[some, axis], low, high)
    return b"".join(np.ascontiguousarray(values[name], type_).tobytes() for name, type_ in COLUMNS.items())


def _steps(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float64]:
    """As whole steps of a range; NaN is its lower end."""
    share = (np.nan_to_num(np.asarray(values, np.float64), nan=low) - low) / ((high - low) or 1.0)
    return np.rint(np.clip(share, 0, 1) * STEPS)
