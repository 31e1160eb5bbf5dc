"""Grad-CAM++."""

from __future__ import annotations

import torch
from torch import Tensor

from microtome.methods.attribution.cam import CamParams, Maps, signed, weighted
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.contract import Cost


def plus_plus_weights(activation: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """[B, units, 1, 1] from maps and the first three powers of the gradient there, all [B, units, h, w] (equations 5 and 19)."""
    below = 2 * second + activation.sum((2, 3), keepdim=True) * third
    alpha = torch.where(below != 0, second / torch.where(below != 0, below, 1.0), 0.0)
    return (alpha * first.relu()).sum((2, 3), keepdim=True)


def _weights(maps: Maps) -> Tensor:
    # Relative to the largest gradient: its third power would leave float32 in a network of small gradients. One factor per map.
    gradient = maps.gradient / maps.gradient.abs().amax((1, 2, 3), keepdim=True)
    size = maps.gradient.abs().amax((1, 2, 3), keepdim=True)
    return plus_plus_weights(maps.activation * size, gradient, gradient**2, gradient**3) * size


@attribution(
    "grad-cam-plus-plus",
    title="Grad-CAM++",
    params=CamParams,
    cite="Chattopadhyay et al. 2018, arXiv:1710.11063",
    quantity="{} per unit of activation, times activation",
    signed=signed,
    cost=Cost(passes=1.5),
    passes=lambda p: 1.5,
)
def grad_cam_plus_plus(call: Call, params: CamParams) -> Attribution:
    """Grad-CAM with weights that count every site alike where several parts of the image speak for the class.

    Positive gradients only, each weighted by a closed form of second and third derivatives of the exponential of the target. The
    factor exp(f), the same for a whole map, is left out.

    Formula:
        `alpha_ij = g_ij^2 / (2 g_ij^2 + sum(A) g_ij^3)`, `g = df/dA`; `w_k = sum over sites of alpha ReLU(g)`;
        `map = ReLU(sum over k of w_k A^k)`.

    Known failures:
        The closed form assumes a ReLU network and maps that are not negative: in other networks the denominator can cross zero and
        the weights jump. What speaks against the target is never seen. As coarse as the layer.
    """
    return weighted(call, params, _weights)
