"""Label sets as files, and back."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile

from microtome.api.deps import DeskDep, Id, Me, Viewer
from microtome.api.revised import idempotency_key, tagged
from microtome.api.schemas.labels import LabelSet
from microtome.collab.labels.exchange.files import MEDIA, Format, Style

router = APIRouter(prefix="/label-sets", tags=["label sets"])
Mine = Annotated[bool, Query(description="Only my own answers, without decisions.")]
NewName = Annotated[str | None, Form(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Model = Annotated[str | None, Form(min_length=1, max_length=64, description="What the set is about, if not what the file says.")]


@router.get("/{id}/export", response_class=Response, responses={200: {"content": {media.split(";")[0]: {} for media in MEDIA.values()}}})
def export_labels(desk: DeskDep, me: Viewer, id: Id, format: Format = "csv", style: Style = "microtome", mine: Mine = False) -> Response:
    """The whole label set with its history as a file; 409 while answers are hidden from me."""
    data, name = desk.label_exchange.export(me, id, format, style, mine=mine)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "labels"
    return Response(data, media_type=MEDIA[format], headers={"Content-Disposition": f'attachment; filename="{plain}.{format}"'})


@router.post("/import", response_model=LabelSet, status_code=201)
def import_labels(
    desk: DeskDep,
    me: Me,
    request: Request,
    response: Response,
    file: Annotated[UploadFile, File(description="CSV, JSON or Parquet; its content decides what it is, not its name.")],
    name: NewName = None,
    model: Model = None,
) -> dict[str, object]:
    """A new label set from a file. It is validated whole before anything is written; errors name row and column."""
    data = file.file.read(desk.settings.upload_bytes + 1)
    return tagged(response, desk.label_exchange.load(me, data, name, model, idempotency_key(request)))
