"""Probe sets and their examples."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from microtome.api import texts
from microtome.api.deps import Cursor, DeskDep, Limit, Me, Slug, SlugQuery, immutable, not_modified
from microtome.api.examples import example_page, example_shape, masks_shape
from microtome.api.pictures import example_picture
from microtome.api.schemas.runs import Run
from microtome.api.schemas.sources import Example, Examples, ExampleTokens, Masks, NewSource, ProbeDetail, Probes
from microtome.api.shapes import run_shape
from microtome.api.sources import probe_detail, probe_shapes

router = APIRouter(prefix="/probes", tags=["probes"])
Index = Annotated[int, Path(ge=0, le=10_000_000)]


@router.get("", response_model=Probes)
def list_probes(desk: DeskDep) -> dict[str, object]:
    """All probe sets."""
    return {"items": probe_shapes(desk)}


@router.post("", response_model=Run, status_code=202)
def add_probe(desk: DeskDep, me: Me, body: NewSource) -> dict[str, object]:
    """Add a probe set. The worker reads and hashes it; the answer is the run to watch."""
    desk.quotas.take_run(me.id)
    return run_shape(desk, desk.engine.add_source("add-probe", body.source, body.name, person=me.id))


@router.get("/{probe}", response_model=ProbeDetail)
def get_probe(desk: DeskDep, probe: Slug) -> dict[str, object]:
    """One probe set with its concepts and the files that were skipped."""
    return probe_detail(desk, probe)


@router.delete("/{probe}", status_code=204, response_class=Response)
def remove_probe(desk: DeskDep, me: Me, probe: Slug, results: Annotated[Literal["keep", "drop"], Query()] = "keep") -> Response:
    """Take a probe set off the list. Its files stay where they are."""
    desk.engine.remove_source("probe", probe, drop=results == "drop", person=me.id)
    return Response(status_code=204)


@router.get("/{probe}/examples", response_model=Examples)
def list_examples(
    desk: DeskDep,
    probe: Slug,
    label: Annotated[int | None, Query(ge=0, le=1_000_000, description="Class index of the probe set.")] = None,
    subset: Literal["all", "correct", "wrong"] = "all",
    model: SlugQuery | None = None,
    order: Literal["index", "confidence"] = "index",
    cursor: Cursor = None,
    limit: Limit = 60,
) -> dict[str, object]:
    """Examples, with the model's prediction where a run has computed them."""
    return example_page(desk, probe, label, subset, model, order, cursor, limit)


@router.get("/{probe}/examples/{index}", response_model=Example)
def get_example(desk: DeskDep, probe: Slug, index: Index, model: SlugQuery | None = None) -> dict[str, object]:
    """One example."""
    return example_shape(desk, probe, index, model)


@router.get("/{probe}/examples/{index}/image", response_class=Response)
def example_image(
    desk: DeskDep,
    request: Request,
    probe: Slug,
    index: Index,
    size: Annotated[int | None, Query(ge=16, le=1024, description="Longest side in pixels.")] = None,
    model: Annotated[SlugQuery | None, Query(description="Show what this model sees: resized and cropped.")] = None,
) -> Response:
    """The picture: WebP at ``size``, else lossless PNG as the model's processor gets it."""
    etag, data, media = example_picture(desk, probe, index, size, model, held=request.headers.get("if-none-match"))
    if data is None:
        return not_modified(request, etag) or Response(status_code=304)
    return Response(data, media_type=media, headers={**immutable(etag), "Cache-Control": "private, max-age=86400"})


@router.get("/{probe}/examples/{index}/tokens", response_model=ExampleTokens)
def example_tokens(desk: DeskDep, probe: Slug, index: Index, model: SlugQuery) -> dict[str, object]:
    """A text in the tokens of a model."""
    return texts.example_tokens(desk, probe, index, model)


@router.get("/{probe}/examples/{index}/masks", response_model=Masks)
def example_masks(desk: DeskDep, probe: Slug, index: Index) -> dict[str, object]:
    """Concepts in this example and how many pixels each has."""
    return masks_shape(desk, probe, index)
