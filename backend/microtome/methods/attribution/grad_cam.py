"""Grad-CAM."""

from __future__ import annotations

from microtome.methods.attribution.cam import CamParams, signed, weighted
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.contract import Cost


@attribution(
    "grad-cam",
    title="Grad-CAM",
    params=CamParams,
    cite="Selvaraju et al. 2017, arXiv:1610.02391",
    quantity="{} per unit of activation, times activation",
    signed=signed,
    cost=Cost(passes=1.5),
    passes=lambda p: 1.5,
)
def grad_cam(call: Call, params: CamParams) -> Attribution:
    """Class-discriminative map: ReLU of the gradient-weighted sum of a layer's maps (equations 1 and 2).

    Each map's weight is the gradient of the target, averaged over sites. The sum is upsampled bilinearly, half-pixel
    centres, to the size of the input. One forward pass, and a backward pass as far as the layer.

    Formula:
        `alpha_k = mean over sites (i, j) of df / dA^k_ij`; `map = ReLU(sum over k of alpha_k A^k)`.

    Known failures:
        It is as coarse as the layer. Averaging the gradient over sites is exact only where the rest of the network is a mean
        over sites and a linear layer; in earlier layers it marks places the network does not use (HiResCAM and Layer-CAM do
        not average). The ReLU hides what speaks against the target.
    """
    return weighted(call, params, lambda maps: maps.gradient.mean((2, 3), keepdim=True))
