"""One unit: its concepts at any recorded quantile, histogram and exemplars. No model is run."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Text, select, type_coerce

from microtome.api.browse.atlas import AtlasState, facts
from microtome.api.browse.columns import Columns, LayerColumns
from microtome.api.browse.filter import notes_of
from microtome.api.browse.rows import shapes
from microtome.api.desk import Desk
from microtome.collab.people import PersonRow
from microtome.results.iou import scores
from microtome.store import tables as t


def concepts(desk: Desk, found: AtlasState, layer: str, unit: int, quantile: float | None) -> dict[str, Any]:
    """The document of ``GET /units/{model}/{layer}/{unit}/concepts``."""
    columns = desk.browse.columns(found.keys)
    columns.row(layer, unit)
    return concept_table(desk, found, columns, columns.by_name[layer], unit, quantile)


def grid_point(grid: list[float], quantile: float) -> int:
    """Place of the offered quantile that is nearest."""
    return int(np.abs(np.asarray(grid) - quantile).argmin())


def concept_table(
    desk: Desk, found: AtlasState, columns: Columns, layer: LayerColumns, unit: int, quantile: float | None
) -> dict[str, Any]:
    """IoU, ceiling and chance of one unit with every concept: from recorded counts at any quantile of the grid, else as imported."""
    about = desk.browse.remember(("facts", found.keys), lambda: facts(desk, found))
    threshold, point, grid = threshold_at(columns, layer, unit, quantile if quantile is not None else about["quantile"])
    attained = float(columns.array(layer, "activation", "attained")[unit, point]) if columns.has(layer, "activation", "attained") else None
    peaks = np.asarray(columns.array(layer, "peaks", "values")[unit]) if columns.has(layer, "peaks", "values") else None
    names = layer.documents.get("iou", {}).get("columns", [])
    area, note = None, None
    iou = ceiling = chance = np.full(len(names), np.nan)
    if columns.has(layer, "iou", "counts"):
        area = int(columns.array(layer, "iou", "row_areas")[unit, point])
        if names:
            shared = np.asarray(columns.array(layer, "iou", "counts")[unit, :, point])[None]
            areas = np.asarray(columns.array(layer, "iou", "column_areas"))
            score = scores(shared, np.array([area]), areas, layer.documents["iou"]["positions"])
            iou, ceiling, chance = score.iou[0], score.ceiling[0], score.chance[0]
    elif names:
        values = {n: np.asarray(columns.array(layer, "iou", n)[unit], float) for n in layer.arrays["iou"]}
        iou, ceiling, chance = values["values"], values.get("ceiling", ceiling), values.get("chance", chance)
        note = f"Imported at quantile {about['quantile']} only: the counts that other thresholds need were not imported."
    elif found.imported is not None:
        note = "Scores with concepts were not imported."
    items = [
        {
            "concept": names[c], "category": names[c].split(":", 1)[0], "iou": float(iou[c]), "ceiling": _known(ceiling[c]),
            "chance": _known(chance[c]), "detectable": not ceiling[c] < about["min_iou"],
        }
        for c in np.argsort(-iou, kind="stable").tolist()
        if iou[c] == iou[c]
    ]  # fmt: skip
    return {
        "quantile": float(grid[point]) if grid else about["quantile"], "threshold": threshold, "attained": attained,
        "positions_active": area, "items": items, "note": note,
        "images_active": int((peaks > threshold).sum()) if peaks is not None and threshold is not None else None,
    }  # fmt: skip


def threshold_at(columns: Columns, layer: LayerColumns, unit: int, quantile: float) -> tuple[float | None, int, list[float]]:
    """A unit's threshold at the offered quantile that is nearest, that quantile's place, and all that are offered.

    Imported results may have none: then the place is 0 and nothing is offered.
    """
    if not columns.has(layer, "activation", "thresholds"):
        return None, 0, []
    grid = layer.documents["activation"]["grid"]
    point = grid_point(grid, quantile)
    return float(columns.array(layer, "activation", "thresholds")[unit, point]), point, grid


def _known(value: Any) -> float | None:
    return None if value != value else float(value)


def unit(desk: Desk, me: PersonRow, found: AtlasState, layer_name: str, index: int, quantile: float | None) -> dict[str, Any]:
    """The document of ``GET /units/{model}/{layer}/{unit}``."""
    columns = desk.browse.columns(found.keys)
    row = columns.row(layer_name, index)
    layer = columns.by_name[layer_name]
    notes = notes_of(desk, me, found, columns)
    histogram = None
    if columns.has(layer, "activation", "counts"):
        edges, counts = (np.asarray(columns.array(layer, "activation", name)[index]) for name in ("edges", "counts"))
        histogram = {"edges": edges.astype(np.float64).tolist(), "counts": counts.tolist()}
    offered = columns.has(layer, "activation", "thresholds")
    return {
        "model": found.model, "layer": layer_name, "label": found.label_of(layer_name), "unit": index, "key": layer.key,
        "address": f"{found.model}/{layer_name}/{index}", "previous": _neighbour(columns, row - 1),
        "next": _neighbour(columns, row + 1), "row": shapes(found, columns, notes, None, np.array([row]))[0],
        "concepts": concept_table(desk, found, columns, layer, index, quantile),
        "grid": layer.documents["activation"]["grid"] if offered else [],
        "thresholds": np.asarray(columns.array(layer, "activation", "thresholds")[index], np.float64).tolist() if offered else [],
        "histogram": histogram, "exemplars": _exemplars(columns, layer, index), "ablation": _ablation(desk, found, layer_name, index),
        "tokens": _top_tokens(columns, layer, index), "ranking": _ranking(columns, layer, index),
    }  # fmt: skip


def _neighbour(columns: Columns, row: int) -> tuple[str, int] | None:
    if not 0 <= row < columns.count:
        return None
    return columns.layers[columns.layer[row]].name, int(columns.unit[row])


def _exemplars(columns: Columns, layer: LayerColumns, unit: int) -> dict[str, Any] | None:
    if not columns.has(layer, "exemplars", "example"):
        return None
    document = layer.documents["exemplars"]
    example = np.asarray(columns.array(layer, "exemplars", "example")[unit])
    bands: dict[str, list[int]] = {}
    for slot, band in enumerate(document["bands"]):
        bands.setdefault(band, [])
        if example[slot] >= 0:
            bands[band].append(slot)
    maps = None
    if columns.has(layer, "exemplars", "maps"):
        shape = list(columns.array(layer, "exemplars", "maps").shape[1:])
        maps = {"url": f"/api/v1/blobs/{layer.arrays['exemplars']['maps']}?row={unit}", "shape": shape}
    return {
        "bands": [{"band": band, "slots": slots} for band, slots in bands.items()], "example": example.tolist(),
        "activation": np.asarray(columns.array(layer, "exemplars", "activation")[unit], np.float64).tolist(),
        "site": np.asarray(columns.array(layer, "exemplars", "site")[unit]).tolist(),
        "maps": maps, "input_size": document["input_size"],
    }  # fmt: skip


def _top_tokens(columns: Columns, layer: LayerColumns, unit: int) -> dict[str, Any] | None:
    """Tokens with the largest and the smallest mean activation, of a unit that reads."""
    if not columns.has(layer, "tokens", "items"):
        return None
    names = layer.documents["tokens"]["names"]
    items, values, counts = (np.asarray(columns.array(layer, "tokens", name)[unit]) for name in ("items", "values", "counts"))
    ends = [
        [
            {"text": names[i], "value": float(v), "count": int(c)}
            for i, v, c in zip(items[side], values[side], counts[side], strict=True)
            if i >= 0
        ]
        for side in (0, 1)
    ]
    return {"largest": ends[0], "smallest": ends[1]}


def _ranking(columns: Columns, layer: LayerColumns, unit: int, most: int = 12) -> list[dict[str, Any]]:
    """Concepts whose tokens a unit ranks best, by the share of the way from chance to a perfect ranking."""
    if not columns.has(layer, "ap", "values"):
        return []
    names = layer.documents["ap"]["columns"]
    ap, chance = (np.asarray(columns.array(layer, "ap", name)[unit], np.float64) for name in ("values", "chance"))
    gain = np.nan_to_num((ap - chance) / np.maximum(1 - chance, 1e-12), nan=-np.inf)
    best = [c for c in np.argsort(-gain, kind="stable")[:most].tolist() if np.isfinite(gain[c])]
    return [{"concept": names[c], "ap": float(ap[c]), "chance": float(chance[c])} for c in best]


def _ablation(desk: Desk, found: AtlasState, layer: str, unit: int) -> dict[str, str] | None:
    """The newest ablation of just this unit."""
    from microtome.store.tables import Json

    wanted = Json().process_bind_param({"units": {"layer": layer, "indices": [unit]}}, desk.store.engine.dialect)
    assert wanted is not None
    query = select(t.result.c.key).where(
        t.result.c.method == "ablate-units", t.result.c.model_hash == found.model_hash,
        type_coerce(t.result.c.subjects, Text).contains(wanted[1:-1], autoescape=True),
    )  # fmt: skip
    with desk.store.read() as connection:
        key = connection.execute(query.order_by(t.result.c.created.desc()).limit(1)).scalar()
    return {"key": key} if key is not None else None
