"""A finding from another installation: what its file says is a claim, until it is computed again here.

Nothing of the file is trusted: numbers keep the mark of where they come from, arrays are not taken over (a result under its key is
always one that was computed here), and pictures of the unit's exemplars come back when the dissection is computed and the panel is
added again.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from typing import Any

from pydantic import Field, ValidationError, field_validator

from microtome.api.desk import Desk
from microtome.api.findings.document import content_hash
from microtome.api.findings.export.crate import FORMAT
from microtome.api.schemas.findings import Caption, Claim, EvidenceGroup, Key, Panel, Prose, Title, Tolerance
from microtome.collab.findings.findings import Content
from microtome.collab.findings.visible import OF_FINDING
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput
from microtome.core.selection import Strict
from microtome.core.stored import Parameters
from microtome.core.viewstate import ViewState
from microtome.results.measured import Reference
from microtome.store.sources import TYPES

NAME = "finding.json"
LARGEST = 5_000_000  # bytes of finding.json, unpacked
ENTRIES = 20_000
Text = Field(max_length=300)


class Number(Strict):
    group: EvidenceGroup
    test: str = Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")
    key: Key
    reference: Reference
    title: str = Text
    value: float = Field(allow_inf_nan=False)
    low: float | None = Field(allow_inf_nan=False)
    high: float | None = Field(allow_inf_nan=False)
    chance: float | None = Field(allow_inf_nan=False)
    chance_low: float | None = Field(allow_inf_nan=False)
    chance_high: float | None = Field(allow_inf_nan=False)
    draws: int | None = Field(ge=0, le=2**53)
    unit: str = Field(max_length=100)
    n: int | None = Field(ge=0, le=2**53)


class Made(Strict):
    key: Key
    title: str = Text
    method: str = Field(max_length=60)
    version: str = Field(max_length=20)
    part: str = Field(max_length=200)
    subjects: Parameters
    params: Parameters
    model_hash: Key | None
    probe_hash: Key | None
    created: str = Field(max_length=40)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    builds_on: list[Key] = Field(max_length=2000)
    seed: int | None = Field(ge=-(2**53), le=2**53)
    software: dict[str, str] = Field(max_length=50)
    device: str | None = Field(max_length=100)

    @field_validator("subjects")
    @classmethod
    def _named(cls, subjects: dict[str, Any]) -> dict[str, Any]:
        """What is looked up by name is a name."""
        for role, most in (("model", 64), ("probe", 64), ("example", 200)):
            value = subjects.get(role)
            if value is not None and not (isinstance(value, str) and 0 < len(value) <= most):
                raise ValueError(f"the {role} of a result is a name of 1 to {most} characters")
        return subjects


class Drawn(Strict):
    caption: Caption
    panels: list[Panel] = Field(max_length=4)
    state: ViewState


class File(Strict):
    """``finding.json`` of a crate."""

    format: str = Field(pattern=f"^{FORMAT}$")
    microtome: str = Field(max_length=40)
    title: Title
    claim: Claim
    body: Prose
    tolerance: Tolerance
    evidence: list[Number] = Field(max_length=60)
    provenance: list[Made] = Field(max_length=500)
    figures: list[Drawn] = Field(max_length=12)
    content_hash: Key
    created: str = Field(max_length=40)
    changed: str = Field(max_length=40)
    number: int = Field(ge=0, le=2**53)
    shown: int = Field(ge=1, le=2**53)
    contributors: list[str] = Field(max_length=200)


def read(data: bytes) -> File:
    """
    Raises:
        InvalidInput: it is no zip file with a finding of ours, or says something that could not have been written here.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > ENTRIES:
                raise InvalidInput(f"The file has more than {ENTRIES:,} entries.", field="file")
            with archive.open(NAME) as entry:  # nothing is unpacked to disk, and nothing else is read
                text = entry.read(LARGEST + 1)
    except KeyError:
        raise InvalidInput(f"The file has no {NAME}. Export the finding as an RO-Crate (zip) and send that.", field="file") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise InvalidInput(f"The file cannot be read as a zip file: {str(error)[:200]}.", field="file") from None
    if len(text) > LARGEST:
        raise InvalidInput(f"{NAME} is larger than {LARGEST:,} bytes.", field="file")
    try:
        return File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"])
        raise InvalidInput(f"{NAME} is not what this version writes: {where}: {first['msg']}.", field="file") from None


def take(desk: Desk, me: PersonRow, file: File, visibility: str, token: str | None) -> tuple[Content, dict[str, Any]]:
    """The content of a finding here, and where it came from.

    Raises:
        InvalidInput: a number rests on a result of which the file does not say how it was made.
    """
    made = {m.key: m.model_dump(exclude={"key", "title"}) for m in file.provenance}
    without = [row.test for row in file.evidence if row.key not in made]
    if without:
        raise InvalidInput(f"The file does not say how '{without[0]}' was made.", field="file")
    evidence = [row.model_dump() for row in file.evidence]
    said = Content(
        title=file.title, claim=file.claim, body=file.body, evidence=evidence, provenance=made, tolerance=file.tolerance,
        figures=[{"caption": f.caption, "panels": [p.model_dump(mode="json") for p in f.panels]} for f in file.figures], visibility="",
    )  # fmt: skip
    if content_hash(said) != file.content_hash:
        raise InvalidInput("The file was changed after it was exported: its sha256 is not that of what it says.", field="file")
    _rename(desk, list(made.values()))
    figures, dropped = [], 0
    for place, drawn in enumerate(file.figures):
        panels = [panel.model_dump(mode="json") for panel in drawn.panels if panel.kind == "result" and panel.key in made]
        dropped += len(drawn.panels) - len(panels)
        state = ViewState(screen="browse", model=_here(desk, "model", drawn.state.model), probe=_here(desk, "probe", drawn.state.probe))
        frozen: dict[str, Any] = {
            "keys": [],
            "model_hash": None,
            "probe_hash": None,
            "methods": {},
            "software": {},
            "atlas": None,
            "runs": [],
        }
        keys = [panel["key"] for panel in panels]
        share = desk.shares.create(
            me, state.model_dump(mode="json"), frozen, keys, None if token is None else f"{token} figure {place}", OF_FINDING
        )
        figures.append({"share": share.id, "caption": drawn.caption, "panels": panels, "behind": []})
    content = Content(
        title=file.title, claim=file.claim, body=file.body, figures=figures, evidence=evidence,
        provenance=made, tolerance=file.tolerance, visibility=visibility,
    )  # fmt: skip
    origin = {
        "content_hash": file.content_hash, "number": file.number, "revision": file.shown, "created": file.created,
        "contributors": file.contributors, "microtome": file.microtome, "panels_left_out": dropped,
    }  # fmt: skip
    return content, origin


def _rename(desk: Desk, made: list[dict[str, Any]]) -> None:
    """Call models and probe sets as they are called here, where they are here; examples by the probe set that they are of."""
    names: dict[tuple[str, str], str] = {}
    for entry in made:
        for kind in TYPES:
            there, hash = entry["subjects"].get(kind), entry[f"{kind}_hash"]
            row = desk.engine.sources.by_hash(kind, hash) if isinstance(there, str) and hash is not None else None
            if row is not None and row.current:
                names[kind, there] = str(row.slug)
    for entry in made:
        subjects = entry["subjects"]
        for kind in TYPES:
            subjects |= {kind: names[kind, subjects[kind]]} if (kind, subjects.get(kind)) in names else {}
        probe, _, index = str(subjects.get("example", "")).rpartition(":")
        if ("probe", probe) in names:
            subjects["example"] = f"{names['probe', probe]}:{index}"


def _here(desk: Desk, kind: Any, name: str | None) -> str | None:
    return name if name is not None and desk.engine.sources.find(kind, name) is not None else None
