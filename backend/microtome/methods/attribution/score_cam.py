"""Score-CAM."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept, signed, strongest
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, attribution, portions
from microtome.methods.attribution.target import every_number
from microtome.methods.contract import Cost


class Params(CamParams):
    most: int | None = Field(None, ge=1, le=4096, description="At most so many maps, those that vary most; all if empty.")
    weights: Literal["softmax", "score"] = Field("softmax", description="Weights as published (softmax of the scores), or the scores.")


@attribution(
    "score-cam",
    title="Score-CAM",
    params=Params,
    example_params=Params(most=6),
    cite="Wang et al. 2020, arXiv:1910.01279",
    quantity="weighted activation",
    signed=signed,
    cost=Cost(passes=256.0),
    passes=lambda p: 2.0 + (p.most or 256),
)
def score_cam(call: Call, params: Params) -> Attribution:
    """A layer's maps, each weighted by the target of the image seen through it; no gradients.

    Each map is enlarged to the input, brought to 0 to 1, and multiplied with the image, whose mean colour is the dark of the mask.
    The targets of one image share the passes.

    Formula:
        `S_k = f(x * norm(up(A^k))) - f(0)`; `w = softmax(S)`, as in the paper's algorithm; `map = ReLU(sum over k of w_k A^k)`.

    Known failures:
        One forward pass per map of the layer. The softmax makes every weight positive and, where scores differ little, all alike:
        the map is then the mean activation, whatever the class; compare `weights=score`. Images seen through masks are no photographs.
    """
    layer = cam_layer(call, params)
    size = call.model.preprocess.size
    heat = torch.zeros(len(call.targets), layer.height, layer.width, dtype=torch.float64, device=call.inputs.device)
    looked = 0
    for rows in call.groups():
        image, targets = call.inputs[rows[:1]], [call.targets[r] for r in rows]
        with torch.inference_mode():
            with call.model.record([layer]) as recorded:
                call.model.forward(image)
            maps = layer.canonical(recorded[layer.name])[0]
            dark = every_number(call.model, torch.zeros_like(image), targets)
        low, high = maps.flatten(1).aminmax(dim=1)
        # A map without any variation is no mask; the paper's program leaves it out, and so do we.
        units = [u for u in strongest(maps, params, params.most) if high[u] > low[u]]
        looked = len(units)
        scores = torch.zeros(len(units), len(rows), dtype=torch.float64, device=image.device)
        for start, end in portions(len(units), FORWARD_BATCH):
            call.run.check()
            call.run.progress(start, len(units), "maps")
            part = units[start:end]
            masks = torch.nn.functional.interpolate(maps[part][:, None], size, mode="bilinear", align_corners=False)
            floor, roof = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = torch.where(roof > floor, (masks - floor) / torch.where(roof > floor, roof - floor, 1.0), 0.0)
            with torch.inference_mode():
                scores[start:end] = (every_number(call.model, image * masks, targets) - dark).double()
        weights = scores.softmax(0) if params.weights == "softmax" else scores
        own = kept(params, maps[None])[0][units].double()
        heat[rows] = torch.einsum("kr,khw->rhw", weights, own)
    return answer(call, params, layer, heat, {"maps": looked, "weights": params.weights})
