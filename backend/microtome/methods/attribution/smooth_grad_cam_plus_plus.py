"""Smooth Grad-CAM++."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.methods.attribution.baseline import normal_draws
from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept, layer_maps, signed
from microtome.methods.attribution.explain import BATCH, Attribution, Call, attribution, portions
from microtome.methods.attribution.grad_cam_plus_plus import plus_plus_weights
from microtome.methods.attribution.smoothgrad import noise_of
from microtome.methods.contract import Cost


class Params(CamParams):
    samples: int = Field(16, ge=1, le=1024, description="Noisy images whose derivatives are averaged.")
    noise: float = Field(0.15, gt=0, le=2, description="Deviation of the noise, in parts of the image's range of values.")


@attribution(
    "smooth-grad-cam-plus-plus",
    title="Smooth Grad-CAM++",
    params=Params,
    example_params=Params(samples=3),
    cite="Omeiza et al. 2019, arXiv:1908.01224",
    quantity="{} per unit of activation, times activation",
    signed=signed,
    cost=Cost(passes=1.5, times="samples"),
    passes=lambda p: 1.0 + 1.5 * p.samples,
)
def smooth_grad_cam_plus_plus(call: Call, params: Params) -> Attribution:
    """Grad-CAM++ with derivatives averaged over noisy copies of the image; for a layer, a subset of its maps, or of their neurons.

    The powers of the gradient are averaged each on its own, then put into the weights of Grad-CAM++ with the maps of the image itself.

    Formula:
        `alpha = mean(g^2) / (2 mean(g^2) + sum(A) mean(g^3))`; `w_k = sum over sites of alpha ReLU(mean(g))`;
        `map = ReLU(sum over k of w_k A^k)`, means over the noisy images.

    Known failures:
        Those of Grad-CAM++ and those of SmoothGrad: the weights are those of images with noise, which the model may read differently.
    """
    layer, heat = cam_layer(call, params), []
    deviation = noise_of(call, params.noise)
    for row in range(len(call.targets)):
        clean = layer_maps(call, layer, call.inputs[row : row + 1], [row]).activation.double()
        sums = torch.zeros(3, *clean.shape[1:], dtype=torch.float64, device=clean.device)
        for start, end in portions(params.samples, BATCH):
            call.run.check()
            call.run.progress(row * params.samples + start, len(call.targets) * params.samples, "noisy images")
            noise = normal_draws(call.inputs, call.seed, range(start, end)) * deviation[row]
            gradient = layer_maps(call, layer, call.inputs[row] + noise, [row] * (end - start)).gradient.double()
            sums += torch.stack([(gradient**power).sum(0) for power in (1, 2, 3)])
        first, second, third = (sums / params.samples)[:, None]
        heat.append((plus_plus_weights(clean, first, second, third) * kept(params, clean)).sum(1))
    return answer(call, params, layer, torch.cat(heat), {"samples": params.samples})
