"""Methods, from the exported manifest."""

from __future__ import annotations

from fastapi import APIRouter

from microtome.api.deps import DeskDep, Id
from microtome.api.schemas.runs import Method, Methods

router = APIRouter(prefix="/methods", tags=["methods"])


@router.get("", response_model=Methods)
def list_methods(desk: DeskDep) -> dict[str, object]:
    """All installed methods; ``params`` is the JSON schema that forms are drawn from."""
    return {"items": [public(m) for m in desk.engine.methods().values()]}


@router.get("/{id}", response_model=Method)
def get_method(desk: DeskDep, id: Id) -> dict[str, object]:
    """One method."""
    return public(desk.engine.method(id))


def public(manifest: dict[str, object]) -> dict[str, object]:
    return {name: manifest[name] for name in Method.model_fields}
