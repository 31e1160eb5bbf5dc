"""Occlusion."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.common import image_map, prepare, resolve_targets
from microtome.methods.attribution.integrated_gradients import Baseline, baseline_input
from microtome.methods.contract import Cost, MethodParams, method
from microtome.models.model import Model
from microtome.probes import Example
from microtome.results import ImageMap

_BATCH = 32


class Params(MethodParams):
    window: int = Field(16, ge=1, le=512, description="Side of the square that is covered, in pixels of the model's input.")
    stride: int = Field(8, ge=1, le=512, description="Step between squares, at most the window.")
    baseline: Baseline = Field("mean", description="What covers the square.")


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along an axis; the last one touches the edge, so that every pixel is covered."""
    starts = list(range(0, max(size - window, 0) + 1, stride))
    return starts if starts[-1] + window >= size else [*starts, size - window]


@method(
    "occlusion",
    title="Occlusion",
    question="Where did the model look?",
    subjects=("model", "example"),
    optional_subjects=("targets",),
    returns=(ImageMap,),
    params=Params,
    example_params=Params(window=16, stride=16),
    interactive=True,
    cite="Zeiler, Fergus 2014, arXiv:1311.2901",
    cost=Cost(passes=144.0),
)
def occlusion(*, model: Model, example: Example, targets: list[int] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """How much the class logit falls when a square is covered; every pixel gets the mean over the squares that cover it.

    Section 4.2 of the paper, with overlapping squares averaged. Unit: logits.
    """
    inputs = prepare(model, example)
    chosen, logits = resolve_targets(model, inputs, targets)
    height, width = inputs.shape[2:]
    if params.window > min(height, width):
        raise InvalidInput(f"A window of {params.window} does not fit into an input of {width} x {height} pixels.", field="params.window")
    if params.stride > params.window:
        raise InvalidInput("A stride larger than the window leaves pixels that are never covered.", field="params.stride")
    cover = baseline_input(model, inputs, params.baseline)
    places = [
        (y, x) for y in window_starts(height, params.window, params.stride) for x in window_starts(width, params.window, params.stride)
    ]
    total = torch.zeros(len(chosen), height, width, dtype=torch.float64, device=inputs.device)
    times = torch.zeros(height, width, dtype=torch.float64, device=inputs.device)
    for start in range(0, len(places), _BATCH):
        run.check()
        part = places[start : start + _BATCH]
        covered = inputs.repeat(len(part), 1, 1, 1)
        for row, (y, x) in enumerate(part):
            window = (slice(y, y + params.window), slice(x, x + params.window))
            covered[row, :, window[0], window[1]] = cover[0, :, window[0], window[1]]
        with torch.inference_mode():
            drop = (logits[chosen] - model.forward(covered)[:, chosen]).double()
        for row, (y, x) in enumerate(part):
            window = (slice(y, y + params.window), slice(x, x + params.window))
            total[:, window[0], window[1]] += drop[row][:, None, None]
            times[window] += 1
        run.progress(min(start + _BATCH, len(places)), len(places), "squares")
    return {
        "map": image_map(
            model, total / times, chosen, logits, title=f"Occlusion by squares of {params.window} pixels", quantity="logits",
            note=f"Squares covered with: {params.baseline}.",
        )
    }  # fmt: skip
