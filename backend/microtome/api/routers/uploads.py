"""Images of one's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Query, Request, Response, UploadFile

from microtome.api.deps import DeskDep, Me, Sha, SlugQuery, immutable, not_modified
from microtome.api.pictures import store_upload, upload_picture
from microtome.api.schemas.sources import Upload

router = APIRouter(prefix="/uploads", tags=["uploads"])


@router.post("", response_model=Upload, status_code=201)
def upload(desk: DeskDep, me: Me, file: Annotated[UploadFile, File(description="PNG, JPEG, WebP, GIF or BMP.")]) -> dict[str, object]:
    """Keep an image for explaining. Its content decides what it is, not its name."""
    return store_upload(desk, file.file.read(desk.settings.upload_bytes + 1), me.id)


@router.get("/{sha256}/image", response_class=Response)
def upload_image(
    desk: DeskDep, request: Request, sha256: Sha, size: Annotated[int | None, Query(ge=16, le=1024)] = None, model: SlugQuery | None = None
) -> Response:
    """The uploaded image, re-encoded; with ``model``, what that model sees of it."""
    etag = f"{sha256[:32]}-{size or 0}-{model or ''}"
    held = not_modified(request, etag)
    if held is not None:
        return held
    data, media = upload_picture(desk, sha256, size, model)
    return Response(data, media_type=media, headers={**immutable(etag), "Cache-Control": "private, max-age=3600"})
