"""SmoothGrad over embeddings."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, gradient_sum
from microtome.methods.text_attribution.explain import Attribution, text_attribution
from microtome.methods.text_attribution.gradient import Size, size_of
from microtome.methods.text_attribution.target import TextExplainParams


class Params(TextExplainParams):
    samples: int = Field(32, ge=2, le=2048, description="Noisy copies of the text averaged over.")
    noise: float = Field(0.15, gt=0, le=2, description="Deviation of the noise, in parts of the range of the text's embeddings.")
    average: Literal["gradient", "square", "variance"] = Field(
        "gradient", description="What is averaged: the gradient, its square (SmoothGrad-squared), or its variance (VarGrad)."
    )
    size: Size = Field("euclidean", description="How what a token's embedding gets becomes one number: by length, sum or maximum.")


def deviation_of(call: Call, noise: float) -> Tensor:
    """[1, T, 1]: deviation of the noise at every token, a share of the range of the explained embeddings; none at the others."""
    own = call.vectors[call.places]
    deviation = torch.zeros(1, len(call.ids), 1, device=own.device)
    deviation[:, call.places] = noise * (own.max() - own.min())
    return deviation


@text_attribution(
    "text-smoothgrad",
    title="SmoothGrad of the words",
    params=Params,
    example_params=Params(samples=4),
    cite="Smilkov et al. 2017, arXiv:1706.03825; VarGrad: Adebayo et al. 2018, arXiv:1810.03307",
    quantity="{} per unit of embedding",
    signed=False,
    cost=Cost(passes=3.0, times="samples"),
    passes=lambda p: 3.0 * p.samples,
)
def text_smoothgrad(call: Call, params: Params) -> Attribution:
    """Mean gradient of the target over copies of the text with Gaussian noise on its embeddings.

    Formula:
        `map_i = |1/n sum over k of df/dx_i (x + e_k)|`, `e_k ~ N(0, s^2)`, `s = noise * (max x - min x)`. Squared: the mean of the
        squares; VarGrad: the mean of the squares less the square of the mean.

    Known failures:
        The result is that of a blurred model; in a space where every token is a point, noise of this size may lead past many others.
        It has no sign. The published share of noise is one for images.

    Raises:
        InvalidInput: as of :func:`microtome.methods.text_attribution.target.asked`.
    """
    deviation = deviation_of(call, params.noise)

    def points(which: Tensor) -> Tensor:
        return normal_draws(call.vectors[None], call.seed, which.tolist()) * deviation + call.vectors

    def squares_too(gradient: Tensor, _: Tensor) -> Tensor:
        return torch.cat([gradient, gradient.square()], -1)

    plain = params.average == "gradient"
    mean = gradient_sum(call, params.samples, points, None if plain else squares_too)[call.places] / params.samples
    if not plain:
        first, second = mean.chunk(2, -1)
        mean = second if params.average == "square" else (second - first.square()).clamp(min=0)
    return Attribution(size_of(mean, params.size), None, {"samples": params.samples})
