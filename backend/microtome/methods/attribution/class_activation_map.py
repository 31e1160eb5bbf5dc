"""CAM."""

from __future__ import annotations

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept, layer_maps, signed
from microtome.methods.attribution.explain import BATCH, Attribution, Call, attribution, portions
from microtome.methods.contract import Cost
from microtome.models.layers import Layer

#: Weights that differ by more than this, in parts of the largest, between sites or activations are no weights of a linear layer.
_CONSTANT = 1e-3


def _refusal(layer: Layer, why: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"CAM needs a linear layer right after the mean over sites. Behind {layer.label} something else follows ({why}). Use grad-cam.",
        field=field,
    )


@attribution(
    "cam",
    title="CAM",
    params=CamParams,
    cite="Zhou et al. 2016, arXiv:1512.04150",
    quantity="{}",
    signed=signed,
    cost=Cost(passes=3.0),
    passes=lambda p: 3.0,
)
def cam(call: Call, params: CamParams) -> Attribution:
    """Class activation map: a layer's maps in the weights of the linear layer that follows their mean.

    Defined only where the target is a linear function of the means of the layer's maps (global average pooling, then a linear layer).
    Whether that is so is measured, from the gradient at every site and at other activations, and any other layer is refused. The
    mean of the map over sites (before the ReLU) is then the target less its bias; both stand beside the map.

    Formula:
        `f = sum over k of w_k mean(A^k) + b`; `map = ReLU(sum over k of w_k A^k)`.

    Known failures:
        Only at the last layer, and as coarse as it is. A site of that layer sees most of the image: a bright cell need not mean that
        the evidence lies below it.
    """
    # Also a layer that is no main one: what counts is that nothing but the mean follows.
    last = [layer for layer in call.model.layers.values() if layer.height * layer.width > 1][-1:]
    layer = cam_layer(call, params if params.layer or not last else params.model_copy(update={"layer": last[0].name}))
    heat: list[Tensor] = []
    completeness: list[dict[str, float]] = []
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        rows, inputs = list(range(start, end)), call.inputs[start:end]
        try:
            found, half = layer_maps(call, layer, inputs, rows), layer_maps(call, layer, inputs, rows, scale=0.5)
        except InvalidInput as error:
            raise error if params.layer else _refusal(layer, "no gradient comes back to its sites", "model") from error
        weights = found.gradient.mean((2, 3), keepdim=True)
        largest = weights.abs().amax((1, 2, 3))
        off = torch.maximum(*((maps.gradient - weights).abs().amax((1, 2, 3)) for maps in (found, half))) / largest
        if not bool((off <= _CONSTANT).all()):
            change = f"its weights change by {float(off.max()):.0%} from place to place"
            raise _refusal(layer, change, "params.layer" if params.layer else "model")
        sites = layer.height * layer.width
        values = (weights * sites * found.activation).sum(1)
        heat.append((weights * sites * kept(params, found.activation)).sum(1))
        # The bias is what the target is when the maps are nothing: f(A) - 2 (f(A) - f(A / 2)) for a linear function.
        bias = (2 * half.numbers - found.numbers).tolist()
        for total, number, constant in zip(values.double().mean((1, 2)).tolist(), found.numbers.tolist(), bias, strict=True):
            completeness.append({"total": total, "expected": number - constant, "gap": abs(total - number + constant)})
    whole = answer(call, params, layer, torch.cat(heat))
    return Attribution(whole.maps, completeness, whole.facts, whole.note + " Its mean over sites, before the ReLU, adds up to the target.")
