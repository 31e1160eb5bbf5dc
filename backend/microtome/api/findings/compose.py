"""From a request to what a revision holds: views are frozen, numbers are read from the results, provenance is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from microtome.api.desk import Desk
from microtome.api.schemas.findings import ChangedFinding, ExemplarPanel, NewEvidence, NewFigure, NewFinding, ResultPanel
from microtome.api.shares import freeze_row
from microtome.collab.findings.findings import Content, content_of
from microtome.collab.findings.visible import OF_FINDING
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput, MicrotomeError, NotFound
from microtome.core.keys import content_key
from microtome.core.viewstate import ViewState
from microtome.results.measured import measure_in
from microtome.store import tables as t


def compose(desk: Desk, me: PersonRow, body: NewFinding, token: str | None) -> Content:
    """The first revision.

    Raises:
        NotFound, InvalidInput: naming the figure or the row of evidence.
    """
    figures = _figures(desk, me, body.figures, token, frozenset())
    evidence = _evidence(desk, body.evidence)
    return Content(
        title=body.title, claim=body.claim.strip(), body=body.body.strip(), figures=figures, evidence=evidence,
        provenance=_provenance(desk, _keys(figures, evidence), {}), tolerance=body.tolerance, visibility=body.visibility,
    )  # fmt: skip


def recompose(desk: Desk, me: PersonRow, row: Any, body: ChangedFinding, token: str | None) -> Content:
    """The next revision: what the request leaves out stays."""
    old = content_of(row)
    figures, evidence = old.figures, old.evidence
    if body.figures is not None:
        figures = _figures(desk, me, body.figures, token, _views_of(desk, row.id))
    if body.evidence is not None:
        # a number that is kept stays as it was, also when its result is not here (a finding from another installation)
        kept = {(r["key"], str(r["reference"])): r for r in old.evidence}
        evidence = []
        for new in body.evidence:
            held = kept.get((new.key, str(new.reference.model_dump())))
            evidence.append({**held, "group": new.group, "test": new.test} if held else _evidence(desk, [new])[0])
    plain = {name: getattr(body, name) for name in ("title", "claim", "body", "tolerance", "visibility")}
    return Content(
        **{name: getattr(old, name) if value is None else value for name, value in plain.items()},
        figures=figures, evidence=evidence, provenance=_provenance(desk, _keys(figures, evidence), old.provenance),
    )  # fmt: skip


def _keys(figures: Sequence[Any], evidence: Sequence[Any]) -> list[str]:
    panels = [panel["key"] for figure in figures for panel in [*figure["panels"], *figure["behind"]] if "key" in panel]
    return list(dict.fromkeys([row["key"] for row in evidence] + panels))


def _views_of(desk: Desk, finding: str) -> frozenset[str]:
    with desk.store.read() as connection:
        return frozenset(connection.execute(select(t.finding_view.c.share_id).where(t.finding_view.c.finding_id == finding)).scalars())


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(desk: Desk, me: PersonRow, figures: Sequence[NewFigure], token: str | None, own: frozenset[str]) -> list[dict[str, Any]]:
    out = []
    for place, figure in enumerate(figures):
        try:
            keys = [_panel_key(desk, panel) for panel in figure.panels if isinstance(panel, ResultPanel)]
            share, state, behind = _view(desk, me, figure, keys, None if token is None else f"{token} figure {place}", own)
            for panel in figure.panels:
                if isinstance(panel, ExemplarPanel):
                    behind.append({"key": _exemplars(desk, state, share, panel)})
        except MicrotomeError as error:
            error.field = f"figures.{place}" + (f".{error.field}" if error.field else "")
            raise
        panels = [panel.model_dump(mode="json") for panel in figure.panels]
        out.append({"share": share, "caption": figure.caption.strip(), "panels": panels, "behind": behind})
    return out


def _panel_key(desk: Desk, panel: ResultPanel) -> str:
    desk.engine.results.item(panel.key, panel.item)
    return panel.key


def _view(
    desk: Desk, me: PersonRow, figure: NewFigure, keys: list[str], token: str | None, own: frozenset[str]
) -> tuple[str, ViewState, list[dict[str, Any]]]:
    """Id and state of the frozen view, and what of it is computed again when the finding is checked, beside the panels."""
    if token is not None:  # the same request again gets the same view; another one under the same key a view of its own
        token = f"{token} {content_key(figure.model_dump(mode='json'))}"
    if figure.share is not None and figure.share in own:
        row = desk.shares.get(figure.share)
        desk.shares.pin(row.id, keys)
    elif figure.share is not None:  # a copy: the link may be revoked, the finding stays
        given = desk.shares.shown_to(me, figure.share)
        pinned = [*given.frozen["keys"], *keys]
        row = desk.shares.create(me, given.state, given.frozen, pinned, token, OF_FINDING)
    else:
        state = figure.state or _state_of(desk, keys)
        row = freeze_row(desk, me, state, token, OF_FINDING, keys)
    state = ViewState.model_validate(row.state)
    # maps on Explain are the figure itself; a whole dissection behind Browse is only its ground
    explained = state.screen == "explain" and not figure.panels
    return row.id, state, [{"key": key} for key in row.frozen["keys"] if explained and not _atlas_key(row.frozen, key)]


def _atlas_key(frozen: Any, key: str) -> bool:
    atlas = frozen.get("atlas") or {}
    return key == atlas.get("map_key") or any(layer["key"] == key for layer in atlas.get("layers", ()))


def _state_of(desk: Desk, keys: Sequence[str]) -> ViewState:
    subjects = desk.engine.results.head(keys[0]).subjects
    return ViewState(screen="browse", model=subjects.get("model"), probe=subjects.get("probe"))


def _exemplars(desk: Desk, state: ViewState, share: str, panel: ExemplarPanel) -> str:
    """Key of the layer's dissection in the frozen view.

    Raises:
        InvalidInput: the view has no such unit.
    """
    frozen = desk.shares.get(share).frozen
    layers = {layer["name"]: layer for layer in (frozen.get("atlas") or {}).get("layers", ()) if layer["key"] is not None}
    if panel.layer not in layers:
        have = ", ".join(layers) or "none"
        raise InvalidInput(f"The view has no dissected layer '{panel.layer[:100]}'; it has: {have[:500]}.", field="panels")
    if panel.unit >= layers[panel.layer]["units"]:
        raise InvalidInput(f"Layer {panel.layer} has {layers[panel.layer]['units']} units; there is no {panel.unit}.", field="panels")
    return str(layers[panel.layer]["key"])


# --- evidence --------------------------------------------------------------------------------------------------------


def _evidence(desk: Desk, rows: Iterable[NewEvidence]) -> list[dict[str, Any]]:
    out = []
    for place, row in enumerate(rows):
        try:
            found = measure_in(desk.engine.results.load(row.key), row.reference)
        except MicrotomeError as error:
            error.field = f"evidence.{place}" + (f".{error.field}" if error.field else "")
            raise
        names = ("title", "value", "low", "high", "chance", "chance_low", "chance_high", "draws", "unit")
        numbers = {name: getattr(found, name) for name in names}
        out.append({
            "group": row.group, "test": row.test.strip(), "key": row.key, "reference": row.reference.model_dump(), **numbers,
            "n": _examples(desk, row.key),
        })  # fmt: skip
    return out


def _examples(desk: Desk, key: str) -> int | None:
    """How many examples of its probe set a result is from; None if it is from none."""
    head = desk.engine.results.head(key)
    probe = head.subjects.get("probe")
    if probe is None or head.probe_hash is None or "example" in head.subjects:
        return None
    row = desk.engine.sources.by_hash("probe", head.probe_hash)
    if row is None:
        return None
    limits = [head.params[name] for name in ("max_examples", "examples") if isinstance(head.params.get(name), int)]
    return min([int(row.description["examples"]), *limits])


def _provenance(desk: Desk, keys: Sequence[str], known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    out = {}
    for key in keys:
        try:
            head = desk.engine.results.head(key)
        except NotFound:
            if key not in known:
                raise
            out[key] = known[key]
            continue
        names = ("method", "version", "part", "subjects", "params", "model_hash", "probe_hash", "created", "seconds", "builds_on")
        made = {name: getattr(head, name) for name in names}
        out[key] = made | {name: head.provenance.get(name) for name in ("seed", "software", "device")}
    return out
