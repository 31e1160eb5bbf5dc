"""Grid pointing game."""

from __future__ import annotations

from microtome.core.context import RunContext
from microtome.methods.benchmarks.contest import GridParams
from microtome.methods.benchmarks.on_grids import CITE, COST, compared
from microtome.methods.contract import method
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Distribution, Scorecard

#: Not validated here: the methods that it names are known once all of them are imported.
EXAMPLE = GridParams.model_construct(methods=["saliency", "grad-cam"], cells=2, images=2, confidence=0.0)


@method(
    "gridpg",
    title="Grid pointing game",
    question="Which attribution method finds the part of a picture that a class is due to?",
    subjects=("model", "probe"),
    returns=(Scorecard, Distribution),
    params=GridParams,
    example_params=EXAMPLE,
    cite=f"{CITE}; Boehle, Fritz, Schiele 2021, arXiv:2104.00032",
    cost=COST,
)
def gridpg(*, model: ImageModel, probe: ImageSet, params: GridParams, run: RunContext):  # type: ignore[no-untyped-def]
    """Methods explain the class of one cell in a grid of images of distinct classes that the model is sure about; how much hits the cell.

    The network sees the grid as one picture: at full size where its geometry allows it (convolutions with pooling at the end), else shrunk
    to the size of its input. With fewer classes than cells, classes repeat in cells that are not explained. The interval is 95 % of
    bootstrap means over grids.

    Formula:
        `score = sum over the pixels of the cell of max(map, 0) / sum over all pixels of max(map, 0)`, mean over grids. A map that is
        the same everywhere gets 1 / cells. Maps without anything positive are left out and counted (the paper counts them as 0).

    Known failures:
        It is not known that the network looks at the right cell: a grid is no image of the data, the evidence of other cells may speak for
        or against the class, and one head reads them all. A low score may be the network's. `difull` knows where the evidence is.
    """
    return compared("gridpg", "Grid pointing game", model, probe, params, run)
