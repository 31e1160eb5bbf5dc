"""Which units fire in a region of an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.models.image import ImageModel
from microtome.probes import Example
from microtome.results import Matrix

#: Rows and columns that regions and maps are compared at; larger inputs are looked at on this grid.
_MOST = 128
_CHUNK = 128


class Params(MethodParams):
    polygon: list[tuple[float, float]] = Field(
        [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)], min_length=3, max_length=200,
        description="Corners of the region: x and y as shares of the width and height of what the model sees, from the upper left.",
    )  # fmt: skip
    units: int = Field(24, ge=1, le=200, description="Units that are listed, those with the largest contrast.")

    @field_validator("polygon")
    @classmethod
    def _inside(cls, value: list[tuple[float, float]]) -> list[tuple[float, float]]:
        for x, y in value:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError(f"corner ({x:g}, {y:g}) lies outside the image, which reaches from 0 to 1")
        return value


def filled(polygon: list[tuple[float, float]], height: int, width: int) -> npt.NDArray[np.bool_]:
    """bool [height, width]: pixels whose centre lies inside a closed polygon (even-odd rule)."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def contrasts(maps: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """[units, H, W] of maps [units, H, W]: the contrast at every place that the region [H, W] can be moved to, its own place at [0, 0].

    Contrast is the mean inside minus the mean outside, over the standard deviation of the map. Moving wraps round the edges, so one
    circular correlation gives all places. Zero where a map is the same everywhere.
    """
    maps, region = maps.double(), region.double()
    area, pixels = region.sum(), region.numel()
    inside = torch.fft.irfft2(torch.fft.rfft2(maps) * torch.fft.rfft2(region).conj(), s=tuple(region.shape)) / area
    mean, deviation = maps.mean((1, 2), keepdim=True), maps.std((1, 2), correction=0, keepdim=True)
    difference = (inside - mean) * pixels / (pixels - area)
    return torch.where(deviation > 1e-12 * (1 + mean.abs()), difference / deviation, 0.0)


@method(
    "region-units",
    title="Units that fire in a region",
    question="Which units fire here?",
    subjects=("model", "example"),
    optional_subjects=("layers",),
    returns=(Matrix,),
    params=Params,
    example_params=Params(units=4),
    interactive=True,
    cite="contrast of activation, DESIGN of Microtome; chance by moving the region over the torus (Lotwick, Silverman 1982)",
    cost=Cost(passes=1.0),
)
def region_units(  # type: ignore[no-untyped-def]
    *, model: ImageModel, example: Example, layers: list[str] | None = None, params: Params, run: RunContext
):
    """Units of the main layers whose activation is higher inside a region than outside, in standard deviations of their map.

    Beside each stands chance: the contrast that the same region reaches at 2.5 % of all other places, moved over the image and round
    its edges. Maps are brought to the grid of the input as everywhere (bilinear, half-pixel centres).

    Formula:
        contrast = (mean of the map inside - mean outside) / standard deviation of the map

    Known failures:
        A receptive field reaches far beyond its site: a unit may fire in a region for what lies beside it. Regions smaller than a site
        of a layer are blurred to that site. Not a statement of what the prediction rests on; unit-contributions is.

    Raises:
        InvalidInput: the region holds no pixel of the grid, or all of them; no layer has more than one site.
    """
    height, width = (min(side, _MOST) for side in model.preprocess.size)
    region = torch.from_numpy(filled(params.polygon, height, width))
    area = int(region.sum())
    if not 0 < area < region.numel():
        what = "holds no pixel" if area == 0 else "is the whole image"
        raise InvalidInput(f"The region {what} on a grid of {height} x {width}; draw another one.", field="params.polygon")
    asked = [model.layer(name) for name in layers] if layers else model.default_layers()
    asked = [layer for layer in asked if layer.height * layer.width > 1]
    if not asked:
        raise InvalidInput(
            "None of these layers has more than one site, so no unit fires in one place rather than another.", field="layers"
        )
    with torch.inference_mode(), model.record(asked) as recorded:
        model.forward(model.inputs([example.image]))
    names: list[str] = []
    rows: list[torch.Tensor] = []  # contrast, chance, inside, outside
    region = region.to(model.device)
    for done, layer in enumerate(asked):
        run.progress(done, len(asked), "layers")
        maps = layer.canonical(recorded[layer.name]).float()
        names += [f"{layer.name}/{unit}" for unit in range(layer.units)]
        for part in maps[0].split(_CHUNK):
            run.check()
            wide = torch.nn.functional.interpolate(part[None], (height, width), mode="bilinear", align_corners=False)[0]
            everywhere = contrasts(wide, region)
            chance = everywhere.flatten(1).quantile(0.975, dim=1)
            rows.append(torch.stack([everywhere[:, 0, 0], chance, wide[:, region].mean(1).double(), wide[:, ~region].mean(1).double()], 1))
    found = torch.cat(rows).cpu().numpy()
    if not np.isfinite(found).all():
        raise InvalidInput("Activations have values that are not finite; nothing was stored.", field="example")
    order = np.argsort(-found[:, 0], kind="stable")[: params.units]
    listed, values = [names[i] for i in order], found[order].astype(np.float32)
    above = int((found[:, 0] > found[:, 1]).sum())
    note = (
        f"Chance: what the same region reaches at 2.5 % of the {height * width:,} places that it can be moved to. "
        f"{above:,} of {len(found):,} units are above theirs; by chance {0.025 * len(found):.0f} would be."
    )
    return {
        "units": Matrix(
            title="Contrast of units inside the region", note=note, rows=listed, columns=["contrast"], row_axis="unit",
            column_axis="measure", quantity="contrast, standard deviations", arrays={"values": values[:, :1], "chance": values[:, 1:2]},
        ),
        "activation": Matrix(
            title="Mean activation inside and outside", rows=listed, columns=["inside", "outside"], row_axis="unit",
            column_axis="where", quantity="activation", arrays={"values": values[:, 2:]},
        ),
    }  # fmt: skip
