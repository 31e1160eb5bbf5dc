"""Findings: claims with frozen views and evidence, checked again and again."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
from fastapi import APIRouter, File, Path, Query, Request, Response, UploadFile

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, Reader, SlugQuery
from microtome.api.desk import Desk
from microtome.api.findings import document
from microtome.api.findings.compose import compose, recompose
from microtome.api.findings.export import files, incoming
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.findings import ChangedFinding, Check, Checks, Finding, FindingHeads, FindingRevisions, NewFinding
from microtome.api.shapes import number_cursor
from microtome.collab.people import PersonRow
from microtome.core.errors import TooLarge

router = APIRouter(tags=["findings"])
Shape = dict[str, object]
RevisionQuery = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The newest if left out.")]


@router.get("/findings", response_model=FindingHeads)
def list_findings(
    desk: DeskDep, me: Reader, model: SlugQuery | None = None, deleted: bool = False, cursor: Cursor = None, limit: Limit = 50
) -> Shape:
    """Findings that I may see, newest first; who is not signed in sees the public ones."""
    before = number_cursor(cursor)
    rows = desk.findings.public(before, limit + 1) if me is None else desk.findings.page(me, model, deleted, before, limit + 1)
    return {"items": document.heads(desk, rows[:limit]), "next": str(rows[limit - 1].seq) if len(rows) > limit else None}


@router.post("/findings", response_model=Finding, status_code=201)
def make_finding(desk: DeskDep, me: Me, body: NewFinding, request: Request, response: Response) -> Shape:
    """Write a finding: its views are frozen, its numbers are read from stored results, all of them are pinned."""
    token = idempotency_key(request)
    row = desk.findings.create(me, compose(desk, me, body, token), token=token)
    return tagged(response, document.finding(desk, me, row))


@router.get("/findings/{id}", response_model=Finding)
def get_finding(desk: DeskDep, me: Reader, id: Id, response: Response, revision: RevisionQuery = None) -> Shape:
    """A finding, with whether it still holds: the files of its models and probe sets are looked at again."""
    row = desk.findings.get(me, id)
    return tagged(response, document.finding(desk, me, row, revision))


@router.patch("/findings/{id}", response_model=Finding)
def change_finding(
    desk: DeskDep, me: Me, id: Id, body: ChangedFinding, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """A new revision. Figures that are kept are named by ``share``."""
    token = idempotency_key(request)
    # before views are frozen for it: what is refused leaves nothing behind
    desk.findings.check_change(me, id, if_match, body.visibility, token)
    content = recompose(desk, me, desk.findings.get(me, id), body, token)
    row = desk.findings.change(me, id, if_match, content, token=token)
    return tagged(response, document.finding(desk, me, row))


@router.delete("/findings/{id}", response_model=Finding)
def delete_finding(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Delete a finding: one more revision, which can be taken back."""
    row = desk.findings.change(me, id, if_match, None, deleted=True, token=idempotency_key(request))
    return tagged(response, document.finding(desk, me, row))


@router.post("/findings/{id}/restore", response_model=Finding)
def restore_finding(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision the newest one; who may read it stays as it is."""
    row = desk.findings.restore(me, id, if_match, body.revision, idempotency_key(request))
    return tagged(response, document.finding(desk, me, row))


@router.get("/findings/{id}/history", response_model=FindingRevisions)
def finding_history(desk: DeskDep, me: Reader, id: Id) -> Shape:
    """All revisions that I may read, oldest first: what was written in private stays with those who saw it then."""
    return {"items": document.history(desk, me, id)}


@router.post("/findings/{id}/check", response_model=Check, status_code=202)
def check_finding(desk: DeskDep, me: Me, id: Id) -> Shape:
    """Compute everything again that the finding rests on, and compare."""
    row = desk.findings.get(me, id)
    check = desk.verifier.begin(me, row)
    if desk.verifier.settle(row, check) is not None:  # runs are executed in this process
        check = desk.finding_checks.get(id, check.id)
    return desk.finding_checks.shapes([check])[0]


@router.get("/findings/{id}/checks", response_model=Checks)
def list_checks(desk: DeskDep, me: Reader, id: Id) -> Shape:
    """Checks, newest first."""
    return {"items": document.checks(desk, me, desk.findings.get(me, id))}


@router.post("/findings/import", response_model=Finding, status_code=201)
async def import_finding(
    desk: DeskDep, me: Me, request: Request, response: Response, file: Annotated[UploadFile, File(description="An RO-Crate.")]
) -> Shape:
    """A finding that was exported elsewhere as an RO-Crate. Its numbers are what the file says until they are computed again here."""
    data = await file.read(desk.settings.upload_bytes + 1)
    return await anyio.to_thread.run_sync(_imported, desk, me, data, idempotency_key(request), response)


def _imported(desk: Desk, me: PersonRow, data: bytes, token: str | None, response: Response) -> Shape:
    if len(data) > desk.settings.upload_bytes:
        raise TooLarge(f"The file is larger than {desk.settings.upload_bytes:,} bytes.", field="file")
    content, origin = incoming.take(desk, me, incoming.read(data), "workspace", token)
    row = desk.findings.create(me, content, token=token, origin=origin)
    return tagged(response, document.finding(desk, me, row))


BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {} for media in sorted({media for media, _ in files.FORMATS.values()})}}
}


@router.get("/findings/{id}/export", response_class=Response, responses=BINARY)
def export_finding(desk: DeskDep, me: Reader, id: Id, format: files.Format = "html", revision: RevisionQuery = None) -> Response:
    """A page that opens without a server, a notebook that computes it again, an RO-Crate, JSON, BibTeX or a CITATION file."""
    row = desk.findings.get(me, id)
    return files.answer(desk, document.finding(desk, me, row, revision), format)


@router.get("/findings/{id}/figures/{number}", response_class=Response, responses=BINARY)
def export_figure(
    desk: DeskDep, me: Reader, id: Id, number: Annotated[int, Path(ge=1, le=12)], format: files.FigureFormat = "svg",
    revision: RevisionQuery = None,
) -> Response:  # fmt: skip
    """A figure with its caption as SVG, PDF or PNG, or its data as CSV."""
    row = desk.findings.get(me, id)
    return files.figure(desk, document.finding(desk, me, row, revision), number, format)


@router.get("/findings/{id}/preview", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def finding_preview(desk: DeskDep, me: Reader, id: Id) -> Response:
    """A picture for where a link to the finding is shown: title, claim, first figure."""
    row = desk.findings.get(me, id)
    return files.preview(desk, document.finding(desk, me, row))
