"""Passages of tasks about units that read: tokens, and where the unit responds if the condition shows that. Nothing names the unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtome.api.desk import Desk
from microtome.api.examples import checked
from microtome.api.study_pictures import check_number
from microtome.api.texts import text_set, tokens_of
from microtome.collab.studies.taking import Turn
from microtome.core.errors import NotFound
from microtome.results import Gallery

#: Tokens on either side of the strongest one.
CONTEXT = 24


def passage(desk: Desk, turn: Turn, number: int) -> dict[str, Any]:
    """
    Raises:
        NotFound: the task has no passage of this number, or shows pictures.
    """
    if not turn.reads:
        raise NotFound("This task shows pictures: GET /api/v1/studies/{id}/tasks/{place}/pictures/{number}.", field="number")
    check_number(turn, number)
    content, show = turn.task.content, turn.condition.show
    index = content["random" if show == "random" else "examples"][number]
    text, tokens = tokens_of(desk, content["reader"], text_set(checked(desk, turn.design.probe, index)[1]), index)
    count = tokens.last - tokens.first
    gallery = desk.engine.results.result_of(desk.engine.results.item(content["key"], "exemplars"))
    assert isinstance(gallery, Gallery)
    own = content["unit"], content["slots"][number]
    site = int(content["places"][number] * count) if show == "random" else int(gallery.arrays["site"][own][1])
    first, stop = max(0, site - CONTEXT), min(count, site + CONTEXT + 1)
    values, threshold = None, None
    if show == "regions":
        if "maps" not in gallery.arrays:
            raise NotFound("Where the unit responds was not imported with its exemplars. Tell whoever made the study.", field="number")
        maps = np.asarray(gallery.arrays["maps"][content["unit"]], np.float64)
        most = float(np.abs(maps).max()) or 1.0
        values = np.round(maps[content["slots"][number], 0, first:stop] / most, 3).tolist()
        threshold = round(content["threshold"] / most, 3)
    return {
        "tokens": tokens.pieces(text)[first:stop], "values": values, "threshold": threshold, "cut_before": first > 0,
        "cut_after": stop < count,
    }  # fmt: skip
