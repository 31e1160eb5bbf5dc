"""Attribution methods side by side: which ones, with which parameters, and their scores over the grids of a setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, MicrotomeError, NotFound
from microtome.methods.attribution.explain import Call
from microtome.methods.benchmarks.grids import Grid, images_of
from microtome.methods.benchmarks.scenes import Scene
from microtome.methods.contract import MethodParams, MethodSpec
from microtome.methods.faithfulness.localisation import inside_mass
from microtome.methods.faithfulness.model_randomisation import explainer
from microtome.methods.faithfulness.order import Floats
from microtome.probes import ImageSet

MethodName = Annotated[str, Field(max_length=100, json_schema_extra={"format": "method"})]
DEFAULT = ["saliency", "input-x-gradient", "integrated-gradients", "grad-cam", "layer-cam"]
#: Methods that work on rows of the network's own biases, which are cells where a head has a row for every cell.
_BY_ROWS = {"fullgrad": "it adds up biases image by image, and in this setting the network works cell by cell"}


class MethodsParams(MethodParams):
    """Base of the parameters of whatever compares methods: which ones, and how."""

    methods: list[MethodName] = Field(DEFAULT, min_length=1, max_length=12, description="Attribution methods that are compared.")
    method_params: dict[str, dict[str, Any]] = Field(
        {}, max_length=12, description="Parameters of methods by their id; their defaults for what is left out."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of what is drawn: images, the interval, and the methods' own draws.")

    @field_validator("methods")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        return [explainer(name).id for name in dict.fromkeys(value)]

    @field_validator("method_params")
    @classmethod
    def _fit(cls, value: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        for name, own in value.items():
            if name not in info.data.get("methods", [name]):
                raise ValueError(f"'{name[:60]}' is not among the methods that are compared")
            try:
                explainer(name).parse(own)
            except MicrotomeError as error:
                raise ValueError(error.detail) from None
        return value

    def contestants(self) -> list[Contestant]:
        out = []
        for name in self.methods:
            spec = explainer(name)
            given = self.method_params.get(name, {})
            seed = {"seed": self.seed} if "seed" in spec.params.model_fields and "seed" not in given else {}
            out.append(Contestant(spec, spec.parse(given | seed)))
        return out


class ContestParams(MethodsParams):
    """Base of the parameters of benchmarks that score where maps are positive."""

    smoothing: int = Field(
        0, ge=0, le=1023,
        description="Width of a Gaussian kernel, in pixels of the input, that maps are smoothed with afterwards; its deviation is a "
        "quarter of the width. 0 for none; scores before and after are given.",
    )  # fmt: skip


class GridParams(ContestParams):
    cells: int = Field(3, ge=2, le=3, description="Cells along each side of a grid.")
    images: int = Field(24, ge=1, le=500, description="Grids that are made.")
    explained: int = Field(1, ge=1, le=9, description="Cells that are explained in every grid; all places have their turn.")
    confidence: float = Field(0.9, ge=0, le=1, description="Only images to whose class the model gives at least this probability.")
    max_examples: int = Field(2000, ge=1, le=1_000_000, description="First examples of the probe set, among which such images are sought.")


@dataclass(slots=True)
class Contestant:
    """A method, its parameters, and what it scored.

    Attributes:
        scores: of every map in order, NaN where there is none. smoothed: the same after smoothing; empty without it.
        reasons: why maps have no score -> how many.
    """

    spec: MethodSpec
    params: Any
    scores: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def explain(self, call: Call) -> Floats | None:
        """Maps float64 [B, H, W], or None with the reason noted for every row."""
        assert self.spec.explain is not None
        try:
            maps = self.spec.explain(replace(call, seed=getattr(self.params, "seed", call.seed)), self.params).maps
        except (InvalidInput, NotFound) as refusal:
            self.without(refusal.detail, len(call.targets))
            return None
        if not torch.isfinite(maps).all():
            self.without("the map has values that are not finite", len(call.targets))
            return None
        return maps.detach().cpu().double().numpy()

    def refuse(self, reason: str, count: int) -> None:
        """Note ``count`` maps that there will not be."""
        self.without(reason, count)
        self.scores += [float("nan")] * count
        self.smoothed += [float("nan")] * count

    def without(self, reason: str, count: int) -> None:
        """Count maps that have no score."""
        """Count maps without a score."""
        self.reasons[reason] = self.reasons.get(reason, 0) + count

    def answer(self, call: Call, place: Scene, grid: Grid, width: int) -> Floats | None:
        """Explain the cells of a grid and note the scores; the maps [cells, H, W], if there are any."""
        if place.setting != "gridpg" and self.spec.id in _BY_ROWS:
            self.refuse(_BY_ROWS[self.spec.id], len(grid.explained))
            return None
        maps = self.explain(call)
        size = maps.shape[1:] if maps is not None else (1, 1)
        self.take(maps, [place.region(cell, size) for cell in grid.explained], width)
        return maps

    def take(self, maps: Floats | None, regions: Sequence[Any], width: int) -> None:
        """Score maps by the share of what is positive that lies in their regions; ``width`` of the kernel of smoothing."""
        for row, region in enumerate(regions):
            if maps is None:
                self.scores.append(float("nan"))
                self.smoothed.append(float("nan"))
                continue
            self.scores.append(float(inside_mass(maps[row], region)))
            self.smoothed.append(float(inside_mass(smooth(maps[row], width), region)) if width else self.scores[-1])
            if np.isnan(self.scores[-1]):
                self.without("nothing in the map is positive", 1)


class Quiet:
    """The context of a method inside a run: it can be cancelled, and keeps its progress to itself."""

    captures = None

    def __init__(self, run: RunContext) -> None:
        self._run = run

    @property
    def cancelled(self) -> bool:
        return self._run.cancelled

    def check(self) -> None:
        self._run.check()

    def progress(self, done: int, total: int, what: str = "") -> None:
        return

    def emit(self, preview: Mapping[str, Any]) -> None:
        return

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        raise RuntimeError("a method inside a benchmark publishes nothing")


def smooth(map: Floats, width: int) -> Floats:
    """A map [H, W] with its signs, smoothed by a Gaussian of deviation ``width`` / 4, cut off at the width; nothing lies outside."""
    side = width | 1
    if side < 3:
        return map
    line = np.exp(-0.5 * ((np.arange(side) - side // 2) / (width / 4)) ** 2)
    line /= line.sum()
    kernel = torch.from_numpy(line).view(1, 1, 1, -1)
    values = torch.nn.functional.conv2d(torch.from_numpy(map)[None, None], kernel, padding=(0, side // 2))
    return torch.nn.functional.conv2d(values, kernel.transpose(2, 3), padding=(side // 2, 0))[0, 0].numpy()  # type: ignore[no-any-return]


def neighbours(place: Scene, probe: ImageSet, grids: Sequence[Grid], number: int) -> Callable[[int], Tensor] | None:
    """Other grids, for methods that compare with other images."""
    others = [grid for i, grid in enumerate(grids) if i != number]
    if not others:
        return None

    def draw(count: int) -> Tensor:
        return torch.cat([place.inputs(images_of(place.base, probe, grid.examples)) for grid in others[:count]])

    return draw


def calls(place: Scene, probe: ImageSet, grids: Sequence[Grid], run: RunContext, seed: int) -> Iterator[tuple[Grid, Call]]:
    """A call for every grid, its rows the explained cells."""
    for number, grid in enumerate(grids):
        run.check()
        inputs = place.inputs(images_of(place.base, probe, grid.examples))
        targets = [place.target(cell, grid.classes[cell]) for cell in grid.explained]
        rows = inputs.expand(len(targets), -1, -1, -1)
        yield grid, Call(place.model, rows, targets, Quiet(run), seed, neighbours(place, probe, grids, number))


def contest(
    place: Scene, probe: ImageSet, grids: Sequence[Grid], contestants: Sequence[Contestant], params: GridParams, run: RunContext
) -> None:
    """Every method explains every grid; its scores are noted. One grid and one method at a time, whatever their number.

    Raises:
        RunCancelled.
    """
    total = len(grids) * len(contestants)
    try:
        for number, (grid, call) in enumerate(calls(place, probe, grids, run, params.seed)):
            for turn, one in enumerate(contestants):
                run.check()
                run.progress(number * len(contestants) + turn, total, "maps of grids")
                one.answer(call, place, grid, params.smoothing)
    finally:
        place.count()
    run.progress(total, total, "maps of grids")
