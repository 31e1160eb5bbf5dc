"""RISE: randomised input sampling for explanation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.target import every_number
from microtome.methods.contract import Cost


class Params(ExplainParams):
    masks: int = Field(1000, ge=2, le=20000, description="Random masks the image is seen through.")
    grid: int = Field(7, ge=1, le=32, description="Cells along each side of a mask, before it is enlarged and shifted.")
    keep: float = Field(0.5, gt=0, lt=1, description="Chance that a cell is kept.")
    fill: Baseline = Field("mean", description="What stands where a cell is not kept; the mean colour as in the authors' program.")
    centre: bool = Field(
        True, description="Less the mean over all masks, which shifts the whole map and takes most of its noise; off: as published."
    )


def random_masks(count: int, grid: int, keep: float, size: tuple[int, int], seed: int) -> Iterator[Tensor]:
    """Masks of the paper's section 3.2, float32 [n, H, W] in pieces of at most :data:`FORWARD_BATCH`; their expectation is ``keep``.

    A grid of kept and dropped cells is enlarged bilinearly by one cell more than the image needs and shifted by less than a cell.
    """
    generator = torch.Generator().manual_seed(seed)
    cells = [-(-side // grid) for side in size]
    large = [(grid + 1) * cell for cell in cells]
    for start, end in portions(count, FORWARD_BATCH):
        kept = (torch.rand(end - start, 1, grid, grid, generator=generator) < keep).float()
        tops, lefts = (torch.randint(cell, (end - start,), generator=generator).tolist() for cell in cells)
        smooth = torch.nn.functional.interpolate(kept, large, mode="bilinear", align_corners=False)[:, 0]
        yield torch.stack([m[y : y + size[0], x : x + size[1]] for m, y, x in zip(smooth, tops, lefts, strict=True)])


class _Sums:
    """Sums over masks of ``f^a M^b``, from which follow the map and its standard error."""

    def __init__(self, rows: int, pixels: int, device: torch.device) -> None:
        self.rows, self.count = rows, 0
        self.first, self.second = (torch.zeros(1 + 2 * rows, pixels, dtype=torch.float64, device=device) for _ in range(2))
        self.plain = torch.zeros(1 + 2 * rows, dtype=torch.float64, device=device)

    def add(self, numbers: Tensor, masks: Tensor) -> None:
        """numbers float64 [n, rows], masks [n, pixels]."""
        powers = torch.cat([torch.ones_like(numbers[:, :1]), numbers, numbers.square()], 1)
        wide = masks.double()
        self.first += powers.T @ wide
        self.second += powers.T @ wide.square_()
        self.plain += powers.sum(0)
        self.count += len(numbers)

    def answer(self, keep: float, centre: bool) -> tuple[Tensor, Tensor]:
        """Map [rows, pixels] and its standard error, likewise.

        With ``c = mean f`` (or 0) and ``d = keep`` (or 0) the terms are ``(f - c)(M - d) / keep``. Centred, their sum over n - 1 is the
        sample covariance, which is unbiased; as published, their mean is.
        """
        n, split = self.count, (1, self.rows, self.rows)
        zero, one, two = self.plain.split(split)
        (m0, m1, m2), (s0, s1, s2) = self.first.split(split), self.second.split(split)
        c = (one / n)[:, None] if centre else torch.zeros_like(one)[:, None]
        d = keep if centre else 0.0
        total = m1 - c * m0 - d * (one[:, None] - c * zero[:, None])
        squares = (
            (s2 - 2 * c * s1 + c * c * s0) - 2 * d * (m2 - 2 * c * m1 + c * c * m0)
            + d * d * (two[:, None] - 2 * c * one[:, None] + c * c * zero[:, None])
        )  # fmt: skip
        variance = (squares / n - (total / n).square()).clamp(min=0)
        return total / ((n - 1 if centre else n) * keep), (variance / (n - 1)).sqrt() / keep


@attribution(
    "rise",
    title="RISE",
    params=Params,
    example_params=Params(masks=12, grid=4),
    cite="Petsiuk, Das, Saenko 2018, arXiv:1806.07421",
    quantity="{}",
    cost=Cost(passes=1.0, times="masks"),
    passes=lambda p: float(p.masks),
)
def rise(call: Call, params: Params) -> Attribution:
    """How much more the target is, on average over random masks, when a pixel is kept.

    Masks are drawn once for a seed and shared by all images and targets. The paper averages the class's probability; here it is the
    target's own number, as for every method, and the mean over all masks is taken off unless asked otherwise: that changes no order
    in expectation, and takes away the noise of how often a pixel happened to be kept.

    Formula:
        `map_i = 1/(N p) sum over masks M of f(x * M + fill * (1 - M)) M_i`, the paper's equation 6; centred:
        `1/((N - 1) p) sum of (f - mean f) M_i`. Both without bias. `standard_error` is that of a pixel, averaged over the map.

    Known failures:
        Noise: the error falls with the root of the number of masks; compare it with the range of the map. Nothing finer than a cell is
        resolved, and small objects vanish in cells that are half dropped. Images seen through masks are no photographs.
    """
    height, width = size = (int(call.inputs.shape[2]), int(call.inputs.shape[3]))
    device = call.inputs.device
    groups = call.groups()
    firsts = [call.inputs[g[0]] for g in groups]
    fills = [baseline_input(call.model, image[None], params.fill, call.seed)[0] for image in firsts]
    sums = [_Sums(len(g), height * width, device) for g in groups]
    for drawn in random_masks(params.masks, params.grid, params.keep, size, params.seed):
        masks = drawn.to(device)
        for rows, image, fill, own in zip(groups, firsts, fills, sums, strict=True):
            call.run.check()
            call.run.progress(own.count, params.masks, "masks")
            seen = torch.addcmul(fill, masks[:, None], image - fill)
            with torch.inference_mode():
                found = every_number(call.model, seen, [call.targets[r] for r in rows]).double()
            own.add(found, masks.flatten(1))
    maps = torch.zeros(len(call.targets), height, width, device=device)
    errors = [0.0] * len(call.targets)
    for rows, own in zip(groups, sums, strict=True):
        values, deviations = own.answer(params.keep, params.centre)
        maps[rows] = values.view(-1, height, width).float()
        for row, error in zip(rows, deviations.mean(1).tolist(), strict=True):
            errors[row] = error
    facts = {"masks": params.masks, "fill": params.fill, "standard_error": errors}
    return Attribution(maps, None, facts, f"{params.masks} masks of {params.grid} x {params.grid} cells; filled with: {params.fill}.")
