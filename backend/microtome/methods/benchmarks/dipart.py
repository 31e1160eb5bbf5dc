"""DiPart: a head for every cell."""

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
    "dipart",
    title="DiPart",
    question="Does a map stay in the cell that the explained head reads?",
    subjects=("model", "probe"),
    returns=(Scorecard, Distribution),
    params=GridParams,
    example_params=EXAMPLE,
    cite=CITE,
    cost=COST,
)
def dipart(*, model: ImageModel, probe: ImageSet, params: GridParams, run: RunContext):  # type: ignore[no-untyped-def]
    """Grids as in GridPG, but each cell has a head of its own that sees only that cell's part of the last maps.

    The network runs over the whole grid up to its last layer with sites; behind it, the same pooling and classifier read every cell by
    itself. What lies outside a cell reaches its head only through the receptive fields across its border.

    Formula:
        `score = sum over the pixels of the cell of max(map, 0) / sum over all pixels of max(map, 0)`, for the logit of the cell's own
        head, mean over grids; 1 / cells for a map that is the same everywhere.

    Known failures:
        A score below 1 need not be wrong: near the border a cell does see its neighbours. Only for networks that can read a larger input
        and have a layer that all goes through; transformers with fixed positions are refused.
    """
    return compared("dipart", "DiPart", model, probe, params, run)
