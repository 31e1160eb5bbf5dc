"""SmoothGrad."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.attribution.gradient import Colours, over_colours, sampled_gradients
from microtome.methods.contract import Cost


class Params(ExplainParams):
    samples: int = Field(32, ge=2, le=2048, description="Noisy images averaged over.")
    noise: float = Field(0.15, gt=0, le=2, description="Deviation of the noise, in parts of the image's range of values.")
    average: Literal["gradient", "square", "variance"] = Field(
        "gradient", description="What is averaged: the gradient, its square (SmoothGrad-squared), or its variance (VarGrad)."
    )
    colours: Colours = Field("max", description="How the three colours of a pixel become one number: by magnitude, or signed.")


def noise_of(call: Call, share: float) -> Tensor:
    """Deviation of the noise for every row, [B, 1, 1, 1]: a share of the row's range of values."""
    flat = call.inputs.flatten(1)
    return (share * (flat.amax(1) - flat.amin(1))).view(-1, 1, 1, 1)


@attribution(
    "smoothgrad",
    title="SmoothGrad",
    params=Params,
    example_params=Params(samples=4),
    cite="Smilkov et al. 2017, arXiv:1706.03825; VarGrad: Adebayo et al. 2018, arXiv:1810.03307",
    quantity="{} per unit of input",
    signed=lambda p: p.colours == "signed" and p.average == "gradient",
    cost=Cost(passes=3.0, times="samples"),
    passes=lambda p: 3.0 * p.samples,
)
def smoothgrad(call: Call, params: Params) -> Attribution:
    """Mean gradient of the target over copies of the image with Gaussian noise.

    Every row sees the same noise, scaled to its own range of values. Squares and variances are of each colour, then reduced.

    Formula:
        `map = 1/n sum over k of df/dx (x + e_k)`, `e_k ~ N(0, s^2)`, `s = noise * (max x - min x)`; reduced over colours.
        Squared: the mean of the squares; VarGrad: the mean of the squares less the square of the mean.

    Known failures:
        The result is that of a blurred model, not of the model: with much noise it describes images the model never sees. A
        sharper picture is not a truer one; look at deletion and insertion. The squared and variance forms lose the sign.
    """
    deviation = noise_of(call, params.noise)
    rows = list(range(len(call.targets)))

    def points(own: Tensor, sample: Tensor) -> Tensor:
        noise = normal_draws(call.inputs, call.seed, sample.tolist())
        return noise.mul_(deviation[own]).add_(call.inputs[own])

    def squares_too(gradient: Tensor, own: Tensor, sample: Tensor) -> Tensor:
        return torch.cat([gradient, gradient.square()], 1)

    plain = params.average == "gradient"
    mean = sampled_gradients(call, rows, params.samples, points, None if plain else squares_too) / params.samples
    if not plain:
        first, second = mean.chunk(2, 1)
        mean = second if params.average == "square" else (second - first.square()).clamp(min=0)
    return Attribution(over_colours(mean, params.colours), None, {"samples": params.samples})
