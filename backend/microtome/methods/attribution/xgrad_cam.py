"""XGrad-CAM."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.cam import CamParams, answer, cam_layer, kept, layer_maps, signed, strongest, without
from microtome.methods.attribution.explain import BATCH, Attribution, Call, attribution, portions
from microtome.methods.contract import Cost
from microtome.models.layers import Layer


class Params(CamParams):
    axiom_units: int = Field(
        16, ge=0, le=4096, description="Units switched off to measure the sensitivity axiom, those that vary most; 0 leaves it out."
    )


def xgrad_weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """[B, units, 1, 1]: the gradient, averaged over sites with the share each site has in its map; 0 for a map that sums to 0."""
    sums = activation.sum((2, 3), keepdim=True)
    return torch.where(sums != 0, (activation * gradient).sum((2, 3), keepdim=True) / torch.where(sums != 0, sums, 1.0), 0.0)


@attribution(
    "xgrad-cam",
    title="XGrad-CAM",
    params=Params,
    example_params=Params(axiom_units=4),
    cite="Fu et al. 2020, arXiv:2008.02312",
    quantity="{} per unit of activation, times activation",
    signed=signed,
    cost=Cost(passes=22.0),
    passes=lambda p: 1.5 + 1.3 * min(p.axiom_units, 32),
)
def xgrad_cam(call: Call, params: Params) -> Attribution:
    """Grad-CAM with weights chosen to come close to two axioms, and how far they hold for this image.

    Sensitivity: what switching a map off takes from the target should be what the map contributes. Conservation: the
    contributions should add up to the target. Both are measured: the missing share of each, 0 if it holds exactly.

    Formula:
        `w_k = sum over sites of (A^k_ij / sum(A^k)) * df/dA^k_ij`; `map = ReLU(sum over k of w_k A^k)`.
        Sensitivity gap: `sum_k |f - f(without k) - sum(w_k A^k)| / sum_k |f - f(without k)|`;
        conservation gap: `|f - sum_k sum(w_k A^k)| / |f|`.

    Known failures:
        The axioms hold only as far as the rest of the network is linear without bias: read the two gaps. A map whose values
        cancel (layers with negative values) gets a huge weight. As coarse as the layer.
    """
    layer, heat = cam_layer(call, params), []
    sensitivity: dict[int, float] = {}
    conservation: list[float] = []
    for start, end in portions(len(call.targets), BATCH):
        call.run.check()
        found = layer_maps(call, layer, call.inputs[start:end], list(range(start, end)))
        weights = xgrad_weights(found.activation, found.gradient)
        heat.append((weights * kept(params, found.activation)).sum(1))
        shares = (weights * found.activation).double().sum((2, 3))
        conservation += ((found.numbers - shares.sum(1)).abs() / found.numbers.abs().clamp(min=1e-30)).tolist()
        if params.axiom_units:
            for group in call.groups():
                inside = [r for r in group if start <= r < end]
                if inside:
                    rows = [r - start for r in inside]
                    gaps = _sensitivity(call, layer, params, inside, found.activation[rows], shares[rows], found.numbers[rows])
                    sensitivity |= dict(zip(inside, gaps, strict=True))
    facts: dict[str, object] = {"conservation_gap": conservation}
    if sensitivity:
        facts |= {"sensitivity_gap": [sensitivity[r] for r in range(len(call.targets))], "sensitivity_units": params.axiom_units}
    return answer(call, params, layer, torch.cat(heat), facts)


def _sensitivity(
    call: Call, layer: Layer, params: Params, rows: list[int], activation: Tensor, shares: Tensor, numbers: Tensor
) -> list[float]:
    """Of rows that share an image, in its order: how far contributions [rows, units] are from what switching units off takes away."""
    units = strongest(activation[0], params, params.axiom_units)
    group = next(g for g in call.groups() if rows[0] in g)
    columns = [group.index(r) for r in rows]
    missing = torch.zeros(len(rows), dtype=torch.float64, device=shares.device)
    taken = torch.zeros_like(missing)
    for part, values in without(call, layer, rows[0], units):
        fall = numbers[:, None] - values[:, columns].double().T
        missing += (fall - shares[:, part]).abs().sum(1)
        taken += fall.abs().sum(1)
    return torch.where(taken > 0, missing / taken.clamp(min=1e-300), 0.0).tolist()
