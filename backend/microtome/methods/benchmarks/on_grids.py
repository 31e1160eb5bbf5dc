"""GridPG, DiPart and DiFull: grids of images, of which a good map shows the cell that it explains."""

from __future__ import annotations

from collections.abc import Mapping

from microtome.core.context import RunContext
from microtome.methods.benchmarks.contest import GridParams, contest
from microtome.methods.benchmarks.grids import Grid, Pools, draw_grids, sure_images
from microtome.methods.benchmarks.scenes import Scene, Setting, scene
from microtome.methods.benchmarks.tables import about, grid_results
from microtome.methods.contract import Cost
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Distribution, Scorecard

CITE = "Rao, Boehle, Schiele 2022, arXiv:2205.10435"
#: Images that go through the network for one grid of nine cells and the methods compared by default.
COST = Cost(passes=60.0, times="images", maps=9.0)


def prepared(
    setting: Setting, model: ImageModel, probe: ImageSet, params: GridParams, run: RunContext, cell: int | None = None
) -> tuple[Scene, Pools, list[Grid]]:
    """The network that looks at grids, and the grids; ``cell`` is explained in all of them, if it is given.

    Raises:
        InvalidInput: the model cannot look at grids in this way, or is sure about too few images.
    """
    run.check()
    place = scene(setting, model, params.cells)
    pools = sure_images(model, probe, params.max_examples, params.confidence, run)
    alone = setting == "gridpg"
    grids = draw_grids(pools, params.cells, params.images, params.explained, params.seed, alone=alone, source=model.source, place=cell)
    return place, pools, grids


def compared(
    setting: Setting, title: str, model: ImageModel, probe: ImageSet, params: GridParams, run: RunContext
) -> Mapping[str, Scorecard | Distribution]:
    """The results of a setting."""
    place, pools, grids = prepared(setting, model, probe, params, run)
    contestants = params.contestants()
    contest(place, probe, grids, contestants, params, run)
    size = place.model.preprocess.size
    cells = [cell for grid in grids for cell in grid.explained]
    chance = float(sum(place.region(cell, size).mean() for cell in cells) / len(cells))
    return grid_results(title, contestants, chance, params, about(place, pools, grids, params, model), len(grids[0].explained))
