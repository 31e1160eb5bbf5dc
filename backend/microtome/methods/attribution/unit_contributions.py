"""Which units a prediction rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.target import every_number, targets_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.probes import Example
from microtome.results import Matrix


class Params(MethodParams):
    units: int = Field(24, ge=1, le=200, description="Units per target, those with the largest contributions of either sign.")
    measured: bool = Field(True, description="Also switch every listed unit off and measure what the number loses. One pass a unit.")


def contributions(model: ImageModel, inputs: torch.Tensor, targets: Any, layers: list[Layer]) -> list[torch.Tensor]:
    """Per target [units of all layers one after the other]: activation times gradient, summed over sites."""
    with torch.enable_grad(), model.record(layers, keep_graph=True) as recorded:
        numbers = every_number(model, inputs.clone().requires_grad_(True), targets)[0]
        outputs = [recorded[layer.name] for layer in layers]
        found = []
        for number in numbers:
            gradients = torch.autograd.grad(number, outputs, retain_graph=True, allow_unused=True)
            found.append(
                torch.cat([
                    torch.zeros(layer.units, device=inputs.device)
                    if gradient is None
                    else (layer.canonical(output.detach()) * layer.canonical(gradient)).sum((0, 2, 3))
                    for layer, output, gradient in zip(layers, outputs, gradients, strict=True)
                ])
            )  # fmt: skip
    return found


@method(
    "unit-contributions",
    title="Unit contributions",
    question="Which units does this prediction rest on?",
    subjects=("model", "example"),
    optional_subjects=("targets", "layers"),
    returns=(Matrix,),
    params=Params,
    example_params=Params(units=4),
    interactive=True,
    cite="Molchanov et al. 2017, arXiv:1611.06440, equation 7, for one image and with its sign",
    cost=Cost(passes=3.0, times="units"),
)
def unit_contributions(  # type: ignore[no-untyped-def]
    *,
    model: ImageModel,
    example: Example,
    targets: list[Any] | None = None,
    layers: list[str] | None = None,
    params: Params,
    run: RunContext,
):
    """Activation times gradient, summed over sites: to first order, what the number loses when the unit is switched off.

    Beside the estimate stands the measurement, for the listed units: the number as it is, minus the number with the unit at zero
    everywhere. Units of one layer after another do not add up: a later unit carries what an earlier one began.

    Formula:
        c_u = sum over sites s of a_us dy/da_us

    Known failures:
        A unit behind a saturated one has no gradient, and two units that can stand in for each other both measure as nothing.

    Raises:
        InvalidInput: no layer is reached by the gradient.
    """
    run.check()
    inputs = model.inputs([example.image])
    chosen = targets_of(model, inputs, targets)
    asked = [model.layer(name) for name in layers] if layers else model.default_layers()
    found = torch.stack(contributions(model, inputs, chosen, asked)).cpu().numpy()
    if not np.isfinite(found).all():
        raise InvalidInput("The contributions have values that are not finite; nothing was stored.", field="example")
    if not found.any():
        asked_for = ", ".join(t.name for t in chosen)
        raise InvalidInput(f"No unit of the chosen layers contributes to {asked_for}.", field="layers")
    order = np.unique(np.concatenate([np.argsort(-np.abs(row), kind="stable")[: params.units] for row in found]))
    order = order[np.argsort(-np.abs(found[:, order]).max(0), kind="stable")]
    first = np.cumsum([0, *(layer.units for layer in asked)])
    places = [(asked[k], int(at - first[k])) for at in order for k in [int(np.searchsorted(first, at, "right")) - 1]]
    rows = [f"{layer.name}/{index}" for layer, index in places]
    names, unit = [t.name for t in chosen], " or ".join(dict.fromkeys(t.unit for t in chosen))
    results = {
        "contributions": Matrix(
            title="Contributions of units, first order", rows=rows, columns=names, row_axis="unit", column_axis="target",
            quantity=f"activation x gradient, {unit}", arrays={"values": found[:, order].T.astype(np.float32)},
        )
    }  # fmt: skip
    if params.measured:
        with torch.inference_mode():
            whole = every_number(model, inputs, chosen)[0]
            lost = []
            for number, (layer, index) in enumerate(places):
                run.check()
                run.progress(number, len(places), "units switched off")
                with model.ablated(layer, [index]):
                    lost.append(whole - every_number(model, inputs, chosen)[0])
        run.progress(len(places), len(places), "units switched off")
        results["ablation"] = Matrix(
            title="What the number loses without each unit", rows=rows, columns=names, row_axis="unit", column_axis="target",
            quantity=f"loss when switched off, {unit}", arrays={"values": torch.stack(lost).float().cpu().numpy()},
        )  # fmt: skip
    return results
