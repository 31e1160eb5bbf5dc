"""Atlas, cross-filter and units."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from microtome.api.browse import atlas as atlases
from microtome.api.browse import detail, linked, rows, unitmap
from microtome.api.browse.driven import driven_page
from microtome.api.browse.similar import similar_units
from microtome.api.browse.strips import strip as draw_strip
from microtome.api.deps import (
    Cursor,
    DeskDep,
    FastJSON,
    LayerName,
    ShareQuery,
    Slug,
    SlugQuery,
    UnitIndex,
    Viewer,
    immutable,
    not_modified,
)
from microtome.api.schemas.units import (
    Aggregate,
    AggregateQuery,
    Atlas,
    ConceptTable,
    DrivenPage,
    SimilarUnits,
    Snippets,
    UnitDetail,
    UnitMap,
    UnitsPage,
    UnitsQuery,
)
from microtome.api.texts import snippets as snippets_of

router = APIRouter(tags=["units"])
Quantile = Annotated[float | None, Query(gt=0, lt=1)]


@router.get("/atlas", response_model=Atlas)
def atlas(desk: DeskDep, model: SlugQuery, probe: SlugQuery, share: ShareQuery = None) -> Response:
    """Which results Browse draws from, layer by layer."""
    return FastJSON(atlases.shape(desk, atlases.find(desk, model, probe, share)))


@router.post("/units/query", response_model=UnitsPage)
def query(desk: DeskDep, me: Viewer, body: UnitsQuery) -> Response:
    """One page of the units table."""
    return FastJSON(rows.page(desk, me, body))


@router.post("/units/aggregate", response_model=Aggregate)
def aggregate(desk: DeskDep, me: Viewer, body: AggregateQuery) -> Response:
    """All linked views at once, for one selection."""
    return FastJSON(linked.aggregate(desk, me, body))


@router.post("/units/export", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def export_units(desk: DeskDep, me: Viewer, body: UnitsQuery) -> Response:
    """Every row in the selection as CSV."""
    return StreamingResponse(
        rows.csv_of(desk, me, body),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{body.model}-units.csv"'},
    )


@router.get("/units/map", response_model=UnitMap)
def unit_map(desk: DeskDep, model: SlugQuery, probe: SlugQuery, share: ShareQuery = None) -> Response:
    """The map of units: what it shows and how many chunks its points come in."""
    return FastJSON(unitmap.head(desk, atlases.find(desk, model, probe, share)))


@router.get("/units/map/{chunk}", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
def unit_map_chunk(
    desk: DeskDep,
    request: Request,
    chunk: Annotated[int, Path(ge=0, le=10_000)],
    model: SlugQuery,
    probe: SlugQuery,
    version: Annotated[str, Query(min_length=1, max_length=64, description="Of the head that this chunk belongs to.")],
    share: ShareQuery = None,
) -> Response:
    """Points of the map as columns of little-endian numbers, at most 2 MB: x, y, layer, concept, IoU, density (uint16), unit (uint32)."""
    etag = f"map1-{version}-{chunk}"
    if (held := not_modified(request, etag)) is not None:
        return held
    data = unitmap.chunk(desk, atlases.find(desk, model, probe, share), chunk, version)
    return Response(data, media_type="application/octet-stream", headers=immutable(etag))


@router.get("/units/driven", response_model=DrivenPage)
def driven(
    desk: DeskDep,
    model: SlugQuery,
    probe: SlugQuery,
    example: Annotated[int, Query(ge=0, le=2**31 - 1)],
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    share: ShareQuery = None,
) -> Response:
    """Which units an example drives: those that have it among their exemplars, where it ranks highest first."""
    return FastJSON(driven_page(desk, atlases.find(desk, model, probe, share), example, cursor, limit))


@router.get("/units/{model}/{layer}/{unit}", response_model=UnitDetail)
def unit(
    desk: DeskDep, me: Viewer, model: Slug, layer: LayerName, unit: UnitIndex, probe: SlugQuery, quantile: Quantile = None,
    share: ShareQuery = None,
) -> Response:  # fmt: skip
    """Everything the inspector and the unit page show."""
    return FastJSON(detail.unit(desk, me, atlases.find(desk, model, probe, share), layer, unit, quantile))


@router.get("/units/{model}/{layer}/{unit}/concepts", response_model=ConceptTable)
def concepts(
    desk: DeskDep, model: Slug, layer: LayerName, unit: UnitIndex, probe: SlugQuery, quantile: Quantile = None,
    share: ShareQuery = None,
) -> Response:  # fmt: skip
    """The unit's concepts at another quantile, from recorded counts: no forward pass."""
    return FastJSON(detail.concepts(desk, atlases.find(desk, model, probe, share), layer, unit, quantile))


@router.get("/units/{model}/{layer}/{unit}/similar", response_model=SimilarUnits)
def similar(desk: DeskDep, model: Slug, layer: LayerName, unit: UnitIndex, probe: SlugQuery, share: ShareQuery = None) -> Response:
    """Units of all layers whose largest activations over the images go up and down with this one's."""
    return FastJSON(similar_units(desk, atlases.find(desk, model, probe, share), layer, unit))


@router.get("/units/{model}/{layer}/{unit}/snippets", response_model=Snippets)
def snippets(
    desk: DeskDep,
    request: Request,
    model: Slug,
    layer: LayerName,
    unit: UnitIndex,
    probe: SlugQuery,
    count: Annotated[int, Query(ge=1, le=36)] = 5,
    band: Annotated[str | None, Query(max_length=20, description="All of them if left out.")] = None,
    context: Annotated[int, Query(ge=0, le=512, description="Tokens on either side of the strongest one.")] = 12,
    key: Annotated[str | None, Query(max_length=64, description="Key of the layer's results; makes the URL immutable.")] = None,
    share: ShareQuery = None,
) -> Response:
    """Exemplars of a unit that reads: tokens around the place where it is strongest, with its activation at each."""
    etag = f"snippets1-{key}-{unit}-{count}-{band}-{context}"
    if key is not None and (held := not_modified(request, etag)) is not None:
        return held
    data = snippets_of(desk, atlases.find(desk, model, probe, share), layer, unit, count=count, band=band, context=context)
    return FastJSON(data, headers=immutable(etag) if key is not None else None)


@router.get("/units/{model}/{layer}/{unit}/strip", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
def strip(
    desk: DeskDep,
    request: Request,
    model: Slug,
    layer: LayerName,
    unit: UnitIndex,
    probe: SlugQuery,
    count: Annotated[int, Query(ge=1, le=24)] = 5,
    size: Annotated[int, Query(ge=16, le=256)] = 36,
    scale: Annotated[int, Query(ge=1, le=3)] = 2,
    quantile: Quantile = None,
    band: Annotated[str, Query(max_length=20)] = "top",
    key: Annotated[str | None, Query(max_length=64, description="Key of the layer's results; makes the URL immutable.")] = None,
    share: ShareQuery = None,
) -> Response:
    """Exemplars side by side, cropped around the peak, with the outline of the active region."""
    etag = f"strip1-{key}-{unit}-{count}-{size}-{scale}-{quantile}-{band}"
    if key is not None and (held := not_modified(request, etag)) is not None:
        return held
    found = atlases.find(desk, model, probe, share)
    data = draw_strip(desk, found, layer, unit, count=count, size=size, scale=scale, quantile=quantile, band=band)
    caching = immutable(etag) if key is not None else {"Cache-Control": "private, max-age=30"}
    return Response(data, media_type="image/webp", headers=caching)
