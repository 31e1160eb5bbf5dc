"""Extremal perturbations, of the image or of the channels of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, MapFacts, attribution, portions
from microtome.methods.attribution.smooth_masks import SmoothMask, fitted
from microtome.methods.attribution.target import numbers
from microtome.methods.contract import Cost
from microtome.models.layers import Layer

#: Masks that are fitted at once: each keeps the cells that reach every pixel in memory.
_MASKS = 8
#: Channels named in the facts.
_NAMED = 8


class Params(ExplainParams):
    areas: list[Annotated[float, Field(ge=0.005, le=0.9)]] = Field(
        [0.05, 0.1, 0.2], min_length=1, max_length=8, description="Shares of the image (or of the layer's channels), one mask for each."
    )
    variant: Literal["preserve", "delete", "dual"] = Field(
        "preserve", description="The mask keeps what holds the target up, hides what makes it fall, or both at once."
    )
    steps: int = Field(150, ge=2, le=2000, description="Steps of the optimisation.")
    grid: int = Field(14, ge=3, le=64, description="Cells of a mask along each side, which is how smooth it is.")
    fill: Baseline = Field("blur", description="What stands where a mask hides the image.")
    layer: str | None = Field(
        None, max_length=200, description="A layer whose channels are masked instead of the image (salient channels).",
        json_schema_extra={"format": "layer"},
    )  # fmt: skip


def _passes(params: Params) -> float:
    return 3.0 * params.steps * len(params.areas) * (2 if params.variant == "dual" else 1)


@attribution(
    "extremal-perturbation",
    title="Extremal Perturbation",
    params=Params,
    example_params=Params(areas=[0.2], steps=4, grid=6),
    cite="Fong, Patrick, Vedaldi 2019, arXiv:1910.08485",
    quantity="share of the areas whose mask holds the pixel; activation in the channels kept, if a layer is given",
    signed=lambda p: p.layer is not None,
    cost=Cost(passes=9.0, times="steps"),
    passes=_passes,
)
def extremal_perturbation(call: Call, params: Params) -> Attribution:
    """The region of a given area that moves the target most, as a smooth mask; the map is the mean over areas.

    The target is measured in parts of its fall from the image to the filled image, so that one weight of the area serves all targets.
    The paper fills with several grades of blur, here it is one fill, mixed in. With `layer`, channels are masked: the facts name those
    that are kept, and the map is the layer's activation in them, enlarged, where the paper inverts features. Nothing is drawn.

    Formula:
        `m_a = argmax over m of f(m * x) - w |sort(m) - r_a|^2`, `r_a` ones for the share a and zeros else, `w` growing; delete:
        `-f((1 - m) * x)`; dual: their difference. `map = mean over a of m_a`.

    Known failures:
        A local optimum: cells far from what matters at the start may never be tried. Regions that suffice are not those that are
        needed: compare preserve and delete. Masks are fitted against the model and may find what no photograph shows. An area larger
        than what matters is filled with whatever does no harm.
    """
    layer = call.model.layer(params.layer) if params.layer else None
    pairs = [(row, area) for row in range(len(call.targets)) for area in params.areas]
    found = []
    for start, end in portions(len(pairs), _MASKS):
        rows = [row for row, _ in pairs[start:end]]
        areas = torch.tensor([area for _, area in pairs[start:end]], device=call.inputs.device)

        def check(step: int, start: int = start, count: int = end - start) -> None:
            call.run.check()
            call.run.progress(start * params.steps + step * count, len(pairs) * params.steps, "steps")

        if layer is None:
            size = (int(call.inputs.shape[2]), int(call.inputs.shape[3]))
            smooth: Callable[[Tensor], Tensor] = SmoothMask(params.grid, size, call.inputs.device)
            seen, cells = _through_image(call, rows, params), [params.grid, params.grid]
        else:
            smooth, seen, cells = _as_it_is, _through_channels(call, rows, layer), [layer.units]
        half = torch.full((len(rows), *cells), 0.5, device=call.inputs.device)
        found.append(fitted(half, areas, smooth, _reward(seen, params), params.steps, check))
    masks = torch.cat(found).unflatten(0, (len(call.targets), len(params.areas)))
    reached = ((masks.flatten(2) > 0.5).float().mean(2) / torch.tensor(params.areas, device=masks.device)).mean(1)
    facts: MapFacts = {"areas": ", ".join(f"{a:g}" for a in params.areas), "variant": params.variant, "area reached": reached.tolist()}
    if layer is None:
        return Attribution(masks.mean(1), None, facts | {"fill": params.fill}, f"Masks that {params.variant}.")
    return _channels(call, layer, masks.mean(1), facts)


def _as_it_is(cells: Tensor) -> Tensor:
    return cells.clamp(0, 1)


def _through_image(call: Call, rows: list[int], params: Params) -> Callable[[Tensor], Tensor]:
    """``masks [n, H, W] -> [n]``: the targets of the rows, seen through the masks."""
    image, targets = call.inputs[rows], [call.targets[r] for r in rows]
    fill = baseline_input(call.model, image, params.fill, call.seed)

    def seen(masks: Tensor) -> Tensor:
        return numbers(call.model, torch.lerp(fill, image, masks[:, None]), targets)

    return seen


def _through_channels(call: Call, rows: list[int], layer: Layer) -> Callable[[Tensor], Tensor]:
    """``masks [n, units] -> [n]``: the targets of the rows, with the layer's channels multiplied by the masks at every site.

    Raises (when called):
        InvalidInput: the target does not depend on the layer.
    """
    image, targets = call.inputs[rows], [call.targets[r] for r in rows]

    def seen(masks: Tensor) -> Tensor:
        def change(output: Tensor) -> Tensor:
            between = [1] * (output.ndim - 2)
            return output * (masks.view(len(masks), -1, *between) if layer.unit_axis == 1 else masks.view(len(masks), *between, -1))

        with call.model.changed(layer, change):
            out = numbers(call.model, image, targets)
        if masks.requires_grad and not out.requires_grad:
            raise InvalidInput(f"{targets[0].name} does not depend on {layer.label}. Choose an earlier layer.", field="params.layer")
        return out

    return seen


def _reward(seen: Callable[[Tensor], Tensor], params: Params) -> Callable[[Tensor], Tensor]:
    """What is made large, in parts of the target's change from everything to nothing."""
    scale: list[Tensor] = []

    def reward(masks: Tensor) -> Tensor:
        if not scale:
            with torch.no_grad():
                scale.append((seen(torch.ones_like(masks)) - seen(torch.zeros_like(masks))).abs().clamp(min=1e-6))
        up = seen(masks) if params.variant != "delete" else 0.0
        down = seen(1 - masks) if params.variant != "preserve" else 0.0
        return (up - down) / scale[0]

    return reward


def _channels(call: Call, layer: Layer, weights: Tensor, facts: MapFacts) -> Attribution:
    """The layer's activation in the channels that the masks [B, units] keep, and the names of these."""
    heat: list[Tensor] = [torch.zeros(0)] * len(call.targets)
    for rows in call.groups():
        call.run.check()
        with torch.inference_mode(), call.model.record([layer]) as recorded:
            call.model.forward(call.inputs[rows[:1]])
        activation = layer.canonical(recorded[layer.name])[0]
        for row in rows:
            heat[row] = (activation * weights[row, :, None, None]).sum(0)
    best = [
        ", ".join(f"{int(i)} ({float(row[i]):.2f})" for i in row.argsort(descending=True, stable=True)[:_NAMED] if row[i] > 0.05)
        for row in weights
    ]
    maps = torch.nn.functional.interpolate(torch.stack(heat)[:, None], call.model.preprocess.size, mode="bilinear", align_corners=False)
    note = f"Channels of {layer.label}; the map is its activation in them."
    return Attribution(maps[:, 0], None, facts | {"layer": layer.label, "channels": best}, note)
