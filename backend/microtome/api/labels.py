"""Units of a label set from what a request says: listed, or all that a selection holds now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microtome.api.browse import atlas as atlases
from microtome.api.browse.filter import masks, notes_of
from microtome.api.desk import Desk
from microtome.collab.labels.sets import UNITS, Unit
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput
from microtome.core.selection import Selection, UnitRef


def units_of(
    desk: Desk, me: PersonRow, model: str, probe: str | None, units: Sequence[UnitRef] | None, selection: Selection | None
) -> list[Unit]:
    """
    Raises:
        InvalidInput: the selection holds none, or more than a label set may.
    """
    if units is not None:
        return [(ref.layer, ref.unit) for ref in units]
    assert selection is not None
    assert probe is not None
    found = atlases.find(desk, model, probe)
    columns = desk.browse.columns(found.keys)
    chosen = masks(desk, found, columns, notes_of(desk, me, found, columns), selection)
    rows = np.flatnonzero(chosen.brushed if selection.brush is not None else chosen.in_filter)
    if not 1 <= len(rows) <= UNITS:
        raise InvalidInput(f"The selection holds {len(rows):,} units; a label set has 1 to {UNITS:,}.", field="selection")
    return [(columns.layers[int(columns.layer[row])].name, int(columns.unit[row])) for row in rows]
