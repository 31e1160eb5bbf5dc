"""What makes one image like another."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import occlusion as squares
from microtome.methods.attribution import rise as masks
from microtome.methods.attribution.baseline import Baseline
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.contract import Cost


class Params(ExplainParams):
    estimator: Literal["masks", "windows"] = Field("masks", description="What hides parts of the image: random masks, or a sliding window.")
    masks: int = Field(1000, ge=2, le=20000, description="Random masks.")
    grid: int = Field(7, ge=1, le=32, description="Cells of a mask along each side.")
    keep: float = Field(0.5, gt=0, lt=1, description="Chance that a cell of a mask is kept.")
    window: int = Field(16, ge=1, le=512, description="Side of the sliding window, in pixels of the model's input.")
    stride: int = Field(8, ge=1, le=512, description="Step of the sliding window.")
    fill: Baseline = Field("mean", description="What stands where the image is hidden.")


def _passes(params: Params) -> float:
    return float(params.masks) if params.estimator == "masks" else 1.0 + max(1, round(96 / params.stride)) ** 2


@attribution(
    "similarity-saliency",
    title="Similarity saliency",
    params=Params,
    example_params=Params(masks=32),
    cite="Plummer, Vasileva, Petsiuk, Saenko, Forsyth 2020, arXiv:1905.10797; masks: Petsiuk, Das, Saenko 2018, arXiv:1806.07421",
    quantity="{}",
    cost=Cost(passes=1.0, times="masks"),
    passes=_passes,
)
def similarity_saliency(call: Call, params: Params) -> Attribution:
    """Which regions of an image make it like another one: parts of it are hidden while the other image stays as it is.

    The saliency of the paper with a fixed reference, as it finds best, by random masks or a sliding window; these are RISE and occlusion of
    the similarity. Likeness is the cosine between what a layer gives for both images, mean over sites. For regions of the other
    image, ask about that one with this one as its target. The paper's choice of attributes is not part of this.

    Formula:
        `s(x) = cos(g(x), g(reference))`; masks: `map_i = cov(s(M x), M_i) / keep`; windows: `map_i = mean over windows that cover i of
        s(x) - s(x with the window filled)`.

    Known failures:
        Regions that are alike in both images but also everywhere else count for little, and what the layer does not keep is never
        found. Hiding what is only in this image makes both more alike, which is negative. Means over sites forget where things are, so a
        match need not be of the same place or size.
    """
    for target in call.targets:
        if target.like is None:
            raise InvalidInput(
                f"'{target.name}' is no other image, and this method is about likeness to one. Name one as a target: "
                '{"like": "PROBE:INDEX"}, or --target like:PROBE:INDEX. For classes and units use RISE or occlusion.',
                field="targets",
            )
    if params.estimator == "masks":
        given = masks.Params(masks=params.masks, grid=params.grid, keep=params.keep, fill=params.fill, seed=params.seed)
        found: Attribution = masks.rise.explain(call, given)  # type: ignore[misc]
    else:
        window = squares.Params(window=params.window, stride=params.stride, baseline=params.fill, seed=params.seed)
        found = squares.occlusion.explain(call, window)  # type: ignore[misc]
    return replace(found, facts={**found.facts, "reference": "fixed", "layer": [t.layer.label for t in call.targets if t.layer]})
