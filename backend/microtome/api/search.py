"""The one search field: units by address, concepts, notes, findings, models, probe sets, methods."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from microtome.api.browse import atlas as atlases
from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import Columns
from microtome.api.desk import Desk
from microtome.collab.people import PersonRow

LIMIT = 40
EACH = 10


def hit(type: str, title: str, detail: str, layer: str | None = None, unit: int | None = None, slug: str | None = None) -> dict[str, Any]:
    return {"type": type, "title": title, "detail": detail, "layer": layer, "unit": unit, "slug": slug}


def search_all(desk: Desk, me: PersonRow, text: str, model: str | None, probe: str | None) -> list[dict[str, Any]]:
    """Hits that hold all words of ``text``; units and concepts of the dissection at hand first."""
    words = text.lower().split()[:10]
    if not words:
        return []

    def holds(*texts: str) -> bool:
        whole = " ".join(texts).lower()
        return all(word in whole for word in words)

    found: list[dict[str, Any]] = []
    if model is not None and probe is not None:
        found += _units(desk, words, model, probe)
    rows = desk.annotations.page(me, model, None, None, None, None, 500)["items"]
    notes = [a for a in rows if holds(a["body"], f"{a['layer']}/{a['unit']}")]
    for a in notes[:EACH]:
        found.append(hit("note", a["body"][:120], f"{a['author']['name']} on {a['layer']}/{a['unit']}", a["layer"], a["unit"], a["model"]))
    for f in [f for f in desk.findings.page(me, None, False, None, 500) if holds(f.title, f.claim, f"finding {f.seq}")][:EACH]:
        found.append(hit("finding", f.title, f"finding {f.seq}{f', {f.model}' if f.model else ''}", slug=f.id))
    for row in desk.engine.sources.all("model"):
        if holds(row.slug, row.source, row.description["family"]):
            found.append(hit("model", row.slug, row.source, slug=row.slug))
    for row in desk.engine.sources.all("probe"):
        if holds(row.slug, row.source):
            found.append(hit("probe", row.slug, row.source, slug=row.slug))
    for method in desk.engine.methods().values():
        if holds(method["id"], method["title"], method["question"]):
            found.append(hit("method", method["title"], method["question"], slug=method["id"]))
    return found[:LIMIT]


def _by_token(state: AtlasState, columns: Columns, word: str) -> list[dict[str, Any]]:
    """Units that read, one of whose three strongest tokens is this word; those it drives most for their layer first."""
    hits: list[tuple[float, dict[str, Any]]] = []
    for layer in columns.layers:
        if not columns.has(layer, "tokens", "items"):
            continue
        names = layer.documents["tokens"]["names"]
        wanted = [i for i, name in enumerate(names) if name.strip().lower() == word]
        if not wanted:
            continue
        items, values = (np.asarray(columns.array(layer, "tokens", name))[:, 0, :3] for name in ("items", "values"))
        scale = float(values.std()) or 1.0
        for unit, place in np.argwhere(np.isin(items, wanted)).tolist():
            value, token = float(values[unit, place]), names[int(items[unit, place])]
            title = f"{state.label_of(layer.name)}/{unit}"
            hits.append((value / scale, hit("unit", title, f"strongest on '{token}'", layer.name, unit, state.model)))
    hits.sort(key=lambda h: -h[0])
    return [h for _, h in hits[:EACH]]


def _units(desk: Desk, words: list[str], model: str, probe: str) -> list[dict[str, Any]]:
    state = atlases.find(desk, model, probe)
    columns = desk.browse.columns(state.keys)
    found = []
    address = re.fullmatch(r"(?:(?P<layer>\S+?)[/ ])?#?(?P<unit>\d{1,7})", " ".join(words), re.ASCII)
    if address is not None:
        for layer in columns.layers:
            label, unit = state.label_of(layer.name), int(address["unit"])
            named = address["layer"] is None or address["layer"] in layer.name.lower() or address["layer"] in label.lower()
            if named and unit < layer.stop - layer.start:
                concept = int(columns.concept[layer.start + unit])
                detail = columns.concepts[concept] if concept >= 0 else "no concept"
                found.append(hit("unit", f"{label}/{unit}", detail, layer.name, unit, model))
    found += _by_token(state, columns, " ".join(words))
    detectors = columns.flag("detector") & (columns.concept >= 0)
    counts = np.bincount(columns.concept[detectors], minlength=len(columns.concepts))
    for code, name in enumerate(columns.concepts):
        if all(word in name.lower() for word in words):
            found.append(hit("concept", name, f"{int(counts[code])} detectors", slug=name))
    return found[: 2 * EACH]
