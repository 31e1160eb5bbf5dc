"""The imported map: units as points in the plane."""

from __future__ import annotations

import numpy as np

from microtome.ingest.folder import Folder
from microtome.ingest.layer import mark_once
from microtome.ingest.reader import Field, problem, read
from microtome.results import Scatter


def map_result(folder: Folder) -> Scatter:
    """The table of positions as a result: float32 [points, 2], moved and scaled into -1 to 1 unless it lies there already.

    Raises:
        InvalidInput: the table is wrong.
    """
    manifest, file = folder.manifest, folder.manifest.map
    assert file is not None
    names = [layer.name for layer in manifest.layers]
    sizes = np.array([layer.units for layer in manifest.layers], np.int64)
    first, seen = np.cumsum(sizes) - sizes, np.zeros(int(sizes.sum()), np.bool_)
    fields = [
        Field("layer", "int", low=0, high=len(names) - 1, names=names), Field("unit", "int", low=0),
        Field("x", "float"), Field("y", "float"),
    ]  # fmt: skip
    parts = []
    for batch in read(folder.table(file), file.file, file.rows, fields):
        layer, unit = batch.columns["layer"], batch.columns["unit"]
        batch.refuse(unit >= sizes[layer], "unit", "is no unit of its layer")
        mark_once(batch, seen, first[layer] + unit, "unit", "of this layer stands twice")
        parts.append((layer, unit, np.stack([batch.columns["x"], batch.columns["y"]], axis=1)))
    if not parts:
        raise problem(file.file, "has no rows; leave the map out of the manifest instead")
    layers, units, points = (np.concatenate(column) for column in zip(*parts, strict=True))
    if np.abs(points).max() > 1:
        centred = points - np.median(points, axis=0)
        points = centred / max(float(np.abs(centred).max()), 1e-9)
    return Scatter(
        title="Unit map", layers=names, projection=file.projection,
        arrays={"points": points.astype(np.float32), "unit": units.astype(np.int32), "layer": layers.astype(np.int32)},
    )  # fmt: skip
