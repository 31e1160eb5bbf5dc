"""Results computed elsewhere."""

from __future__ import annotations

from fastapi import APIRouter

from microtome.api.deps import DeskDep, Me
from microtome.api.schemas.runs import Run
from microtome.api.schemas.sources import NewImport
from microtome.api.shapes import run_shape

router = APIRouter(prefix="/imports", tags=["imports"])


@router.post("", response_model=Run, status_code=202)
def import_results(desk: DeskDep, me: Me, body: NewImport) -> dict[str, object]:
    """Import a folder of tables (docs/bulk-import.md) that lies on the server; the answer is the run to watch.

    Its parts are the layers. Put again after an interruption, it goes on with those that are missing.
    """
    desk.quotas.take_run(me.id)
    return run_shape(desk, desk.engine.import_folder(body.folder, person=me.id))
