"""Robustness of the order of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator

from microtome.core.context import RunContext
from microtome.methods.attribution.explain import Call, neighbours_of
from microtome.methods.attribution.target import resolve
from microtome.methods.benchmarks.contest import Contestant, MethodsParams, Quiet
from microtome.methods.benchmarks.measures import Facts, Shown, shown_of
from microtome.methods.benchmarks.rank_order import overlap, tau_b
from microtome.methods.benchmarks.tables import left_out, scored
from microtome.methods.contract import Cost, method
from microtome.methods.faithfulness.model_randomisation import interval
from microtome.methods.faithfulness.order import Floats
from microtome.methods.faithfulness.sensitivity import noisy
from microtome.methods.interventions.ablate_units import spread
from microtome.models.image import ImageModel
from microtome.probes import ImageSet
from microtome.results import Curves, Scorecard

TITLE = "Robustness of ranks"
#: Share of the pixels whose overlap is measured, and the most pixels whose ranks are compared.
TOP, MOST_PIXELS = 0.05, 4096
_MEASURES = {"rank-correlation": "Kendall's tau-b", "top-overlap": f"overlap of the first {TOP:.0%} of the pixels"}


class Params(MethodsParams):
    images: int = Field(12, ge=1, le=500, description="Images, spread evenly over the probe set.")
    draws: int = Field(4, ge=1, le=50, description="Noisy images for every image and radius.")
    radii: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.01, 0.02, 0.05, 0.1], min_length=1, max_length=10, description="Largest change of a pixel, of the range of colours."
    )

    @field_validator("radii")
    @classmethod
    def _sorted(cls, value: list[float]) -> list[float]:
        return sorted(set(value))


@method(
    "rank-robustness",
    title=TITLE,
    question="Do the pixels that a map puts first stay first when the image hardly changes?",
    subjects=("model", "probe"),
    returns=(Curves, Scorecard),
    params=Params,
    #: Not validated here: the methods that it names are known once all of them are imported.
    example_params=Params.model_construct(methods=["saliency", "grad-cam"], images=2, draws=2, radii=[0.02, 0.1]),
    cite="Ghorbani, Abid, Zou 2019, arXiv:1710.10547 (the measures)",
    cost=Cost(passes=1.0, times="images", maps=17.0),
)
def rank_robustness(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """The order of the pixels in the map of an image, against that in maps of the image with uniform noise, by the size of the noise.

    Explained is the class that the model predicts for the image without noise, also where noise changes the prediction; how often it
    does is told. The noise is the same for all methods, and the same pattern, only larger, for a larger radius. The interval is 95 % of
    bootstrap means over images (over noisy images, if there is one image).

    Formula:
        `tau-b(map(x), map(x + r u))` and `|top(map(x)) & top(map(x + r u))| / k`, u uniform in -1 to 1 in colours, k = 5 % of the pixels,
        mean over draws and images. Chance, for maps that have nothing to do with each other: 0, and 5 %. Orders are by the signed value.

    Known failures:
        Random noise is the mildest test: the paper looks for the worst noise, which moves maps much further. A map that is the same for
        every image is perfectly robust, and a smooth one more than a fine one. Where the prediction changes the map has a reason to.
        Of images with more than 4,096 pixels, tau-b takes 4,096 drawn by the seed (the deviation from all pixels is about 0.01).
    """
    contestants = params.contestants()
    run.check()
    shown = shown_of(model, probe, spread(len(probe), params.images, len(probe.classes)), run)
    height, width = model.preprocess.size
    pixels = height * width
    chosen = np.random.default_rng([params.seed, 0x7A0]).permutation(pixels)[:MOST_PIXELS]
    top = max(1, round(TOP * pixels))
    shape = (len(shown.index), len(params.radii), params.draws)
    found = {one.spec.id: {name: np.full(shape, np.nan) for name in _MEASURES} for one in contestants}
    moved = np.zeros(shape[:2])
    for row in range(len(shown.index)):
        noises = _noisy_images(model, probe, shown, row, params)
        with torch.inference_mode():
            moved[row] = [float((model.forward(images).argmax(1) != int(shown.predicted[row])).float().mean()) for images in noises]
        for turn, one in enumerate(contestants):
            run.check()
            run.progress(row * len(contestants) + turn, len(shown.index) * len(contestants), "maps of noisy images")
            _compare(model, probe, shown, row, noises, one, found[one.spec.id], chosen, top, params, run)
    run.progress(1, 1, "maps of noisy images")
    facts: Facts = {
        "images": len(shown.index), "noisy images each": params.draws, "explained": "the class predicted without noise",
        "pixels compared": len(chosen), "pixels on top": top, "noise": "uniform", "seed": params.seed,
        **{f"prediction changed at {r:g}": f"{s:.1%} of the noisy images" for r, s in zip(params.radii, moved.mean(0), strict=True)},
        **{f"version: {one.spec.title}": one.spec.version for one in contestants}, **left_out(contestants),
    }  # fmt: skip
    return _results(scored(contestants), found, params, facts, {"rank-correlation": 0.0, "top-overlap": top / pixels})


def _noisy_images(model: ImageModel, probe: ImageSet, shown: Shown, row: int, params: Params) -> list[torch.Tensor]:
    """For every radius [draws, 3, H, W]; every image has a noise of its own."""
    index = int(shown.index[row])
    image = model.inputs([probe.image(index)])
    seed = int(np.random.default_rng([params.seed, index]).integers(2**31))
    return [noisy(image, model.preprocess.std, seed, params.draws, radius) for radius in params.radii]


def _compare(
    model: ImageModel, probe: ImageSet, shown: Shown, row: int, noises: Sequence[torch.Tensor], one: Contestant,
    found: Mapping[str, Floats], chosen: npt.NDArray[np.int64], top: int, params: Params, run: RunContext,
) -> None:  # fmt: skip
    """One image, one method: its map, and those of the noisy images."""
    example = probe.example(int(shown.index[row]))
    target = resolve(model, torch.empty(0), int(shown.predicted[row]))
    call = Call(model, model.inputs([example.image]), [target], Quiet(run), params.seed, neighbours_of(model, example, params.seed))
    clean = one.explain(call)
    values: list[float] = []
    for place, images in enumerate(noises if clean is not None else ()):
        maps = one.explain(replace(call, inputs=images, targets=[target] * len(images)))
        if maps is None:
            continue
        assert clean is not None
        for draw, map in enumerate(maps):
            run.check()
            same, other = clean[0].reshape(-1), map.reshape(-1)
            tau = tau_b(same[chosen], other[chosen])
            if np.isnan(tau):
                one.without("the map is the same everywhere", 1)
                continue
            found["rank-correlation"][row, place, draw] = tau
            found["top-overlap"][row, place, draw] = overlap(same, other, top)
            values.append(tau)
    one.scores.append(float(np.mean(values)) if values else float("nan"))


def _summary(values: Floats, seed: int) -> tuple[float, float | None, float | None]:
    """Mean over images of the mean over draws [images, draws], NaN left out, with its interval."""
    kept = values[np.isfinite(values).any(1)]
    if len(kept) == 1:
        own = kept[:, np.isfinite(kept[0])]
        return (float(own.mean()), *(interval(own, seed) or (None, None)))
    means = np.array([row[np.isfinite(row)].mean() for row in kept])
    return (float(means.mean()), *(interval(means[:, None], seed) or (None, None)))


def _results(
    contestants: Sequence[Contestant], found: Mapping[str, Mapping[str, Floats]], params: Params, facts: Facts, chance: Mapping[str, float]
) -> dict[str, Curves | Scorecard]:
    scores: list[Scorecard.Score] = []
    results: dict[str, Curves | Scorecard] = {}
    for name, words in _MEASURES.items():
        lines = np.full((3, len(contestants), len(params.radii)), np.nan)
        for line, one in enumerate(contestants):
            for place, radius in enumerate(params.radii):
                values = found[one.spec.id][name][:, place]
                if not np.isfinite(values).any():
                    continue
                value, low, high = _summary(values, params.seed)
                lines[:, line, place] = value, value if low is None else low, value if high is None else high
                scores.append(
                    Scorecard.Score(
                        name=f"{name} at {radius:g}", value=value, low=low, high=high, chance=chance[name], group=one.spec.title
                    )
                )
        results[name] = Curves(
            title=f"{TITLE}: {words}", note=f"Chance: {chance[name]:.3g}. Bands: 95 % of bootstrap means over images.",
            series=[one.spec.title for one in contestants], x_axis="largest change of a pixel (of the range of colours)", y_axis=words,
            arrays={"x": np.array(params.radii, np.float32)} | dict(zip(("y", "low", "high"), lines.astype(np.float32), strict=True)),
        )  # fmt: skip
    order = [one.spec.title for one in contestants]
    scores.sort(key=lambda s: order.index(s.group))
    note = "Order of the pixels with and without noise. Chance: maps that have nothing to do with each other."
    return {"scores": Scorecard(title=TITLE, note=note, scores=scores, facts=facts), **results}
