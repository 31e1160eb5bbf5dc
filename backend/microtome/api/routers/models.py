"""Models."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from microtome.api import texts
from microtome.api.deps import DeskDep, Me, Slug, Viewer
from microtome.api.schemas.runs import Run
from microtome.api.schemas.sources import ModelDetail, Models, NewSource, PromptText, TextTokens
from microtome.api.shapes import run_shape
from microtome.api.sources import model_detail, model_shapes

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", response_model=Models)
def list_models(desk: DeskDep, me: Viewer) -> dict[str, object]:
    """All models, with what Home shows of their dissection."""
    return {"items": model_shapes(desk, me)}


@router.post("", response_model=Run, status_code=202)
def add_model(desk: DeskDep, me: Me, body: NewSource) -> dict[str, object]:
    """Add a model. The worker reads, hashes and describes it; the answer is the run to watch."""
    desk.quotas.take_run(me.id)
    return run_shape(desk, desk.engine.add_source("add-model", body.source, body.name, person=me.id))


@router.get("/{model}", response_model=ModelDetail)
def get_model(desk: DeskDep, me: Viewer, model: Slug) -> dict[str, object]:
    """One model with its layers, classes, configuration and card."""
    return model_detail(desk, me, model)


@router.post("/tokens", response_model=TextTokens)
def prompt_tokens(desk: DeskDep, body: PromptText) -> dict[str, object]:
    """A text in the tokens of a model that reads; nothing is stored and no model is run."""
    return texts.prompt_tokens(desk, body.model, body.text)


@router.delete("/{model}", status_code=204, response_class=Response)
def remove_model(desk: DeskDep, me: Me, model: Slug, results: Annotated[Literal["keep", "drop"], Query()] = "keep") -> Response:
    """Take a model off the list. Its files stay where they are, annotations stay; results stay unless dropped."""
    desk.engine.remove_source("model", model, drop=results == "drop", person=me.id)
    return Response(status_code=204)
