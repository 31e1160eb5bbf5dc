"""Results and the arrays in them: immutable, so clients may keep them for ever."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from microtome.api.deps import DeskDep, FastJSON, Sha, immutable, not_modified
from microtome.api.results import blob_response, export_file, figure_of, result_set, table_rows
from microtome.api.schemas.runs import ResultSet, TableRows

router = APIRouter(tags=["results"])
Name = Annotated[str, Path(min_length=1, max_length=100)]


@router.get("/results/{key}", response_model=ResultSet)
def get_results(desk: DeskDep, request: Request, key: Sha) -> Response:
    """All results under one key, with references to their arrays."""
    shape = result_set(desk, key)
    return not_modified(request, key) or FastJSON(shape, headers=immutable(key))


@router.get("/results/{key}/{name}/figure", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def figure(desk: DeskDep, key: Sha, name: Name) -> Response:
    """The result as a plotly figure; 404 for kinds that are not charts."""
    return Response(figure_of(desk, key, name), media_type="application/json", headers=immutable(f"{key}-{name}-figure"))


@router.get("/results/{key}/{name}/export", response_class=Response)
def export_result(desk: DeskDep, key: Sha, name: Name, format: Annotated[Literal["csv", "json", "npz", "html"], Query()]) -> Response:
    """The result as a file."""
    data, media, filename = export_file(desk, key, name, format)
    return Response(data, media_type=media, headers={"Content-Disposition": f'attachment; filename="{filename}"'})


@router.get("/results/{key}/{name}/rows", response_model=TableRows)
def rows(
    desk: DeskDep,
    key: Sha,
    name: Name,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    sort: Annotated[str | None, Query(max_length=100, description="Name of a column; the table's own order if left out.")] = None,
    descending: bool = True,
) -> Response:
    """A page of a unit table; cells in the order of the document's columns."""
    return FastJSON(table_rows(desk, key, name, offset, limit, sort, descending))


@router.get("/blobs/{sha256}", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
def blob(
    desk: DeskDep,
    request: Request,
    sha256: Sha,
    row: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only this slice of the first axis (one unit).")] = None,
) -> Response:
    """Raw little-endian bytes of one array; ``X-Dtype`` and ``X-Shape`` say how to read them. Takes ``Range``."""
    held = not_modified(request, sha256 if row is None else f"{sha256}-{row}")
    return held or blob_response(desk, sha256, row, request.headers.get("range"))
