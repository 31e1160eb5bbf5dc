"""Matching the classes of a probe set with the outputs of a model (DESIGN section 13): by name, or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence


def _plain(name: str) -> list[str]:
    """Spellings under which a class may be known: ``tabby, tabby cat`` is either; case, dashes and underscores do not count."""
    return [re.sub(r"[\s_-]+", " ", part).strip().lower() for part in name.split(",")]


def match_classes(probe: Sequence[str], model: Sequence[str]) -> dict[int, int]:
    """Probe class index -> model class index, for the names that agree. Ambiguous names are left out."""
    places: dict[str, list[int]] = {}
    for index, name in enumerate(model):
        for spelling in dict.fromkeys(_plain(name)):
            places.setdefault(spelling, []).append(index)
    found: dict[int, int] = {}
    for index, name in enumerate(probe):
        hits = {i for spelling in _plain(name) for i in places.get(spelling, [])}
        if len(hits) == 1:
            found[index] = hits.pop()
    return found
