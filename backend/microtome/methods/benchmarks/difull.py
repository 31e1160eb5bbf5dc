"""DiFull: every cell by itself."""

from __future__ import annotations

from microtome.core.context import RunContext
from microtome.methods.benchmarks.contest import GridParams
from microtome.methods.benchmarks.gridpg import EXAMPLE
from microtome.methods.benchmarks.on_grids import CITE, COST, compared
from microtome.methods.contract import method
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Distribution, Scorecard


@method(
    "difull",
    title="DiFull",
    question="Does a map mark what cannot have had any influence?",
    subjects=("model", "probe"),
    returns=(Scorecard, Distribution),
    params=GridParams,
    example_params=EXAMPLE,
    cite=CITE,
    cost=COST,
)
def difull(*, model: ImageModel, probe: ImageSet, params: GridParams, run: RunContext):  # type: ignore[no-untyped-def]
    """Grids as in GridPG, but each cell goes through a copy of the network of its own: nothing outside it can influence its logits.

    The score is exact by construction: what a map marks outside the explained cell is wrong, whatever the network has learnt. Maps of
    layers are those of all copies, side by side.

    Formula:
        `score = sum over the pixels of the cell of max(map, 0) / sum over all pixels of max(map, 0)`, for the logit of the cell's own
        copy, mean over grids; 1 for a map that is right, 1 / cells for one that is the same everywhere.

    Known failures:
        It says only that a map stays out of other cells, not that it is right inside its own: the mask of the cell itself would
        score 1. Coarse maps that are enlarged bilinearly (the CAM family) lose a little across borders. Occlusion windows across a border
        mark both sides of it. Methods that read modules past layers (attention) are refused.
    """
    return compared("difull", "DiFull", model, probe, params, run)
