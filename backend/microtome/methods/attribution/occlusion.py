"""Occlusion."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, ExplainParams, MapFacts, attribution, portions
from microtome.methods.attribution.target import every_number
from microtome.methods.contract import Cost


class Params(ExplainParams):
    window: int = Field(16, ge=1, le=512, description="Side of the square that is covered, in pixels of the model's input.")
    stride: int = Field(8, ge=1, le=512, description="Step between squares, at most the window.")
    baseline: Baseline = Field("mean", description="What covers the square.")


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along an axis; the last one touches the edge, so that every pixel is covered."""
    starts = list(range(0, max(size - window, 0) + 1, stride))
    return starts if starts[-1] + window >= size else [*starts, size - window]


@attribution(
    "occlusion",
    title="Occlusion",
    params=Params,
    example_params=Params(window=16, stride=16),
    cite="Zeiler, Fergus 2014, arXiv:1311.2901",
    quantity="{}",
    cost=Cost(passes=144.0),
    passes=lambda p: 1.0 + max(1, round(96 / p.stride)) ** 2,
)
def occlusion(call: Call, params: Params) -> Attribution:
    """How much the target falls when a square is covered; every pixel gets the mean over the squares that cover it.

    Section 4.2 of the paper, with overlapping squares averaged. The targets of one image share their passes.

    Formula:
        `map_i = mean over squares S that cover pixel i of f(x) - f(x with S covered)`.

    Known failures:
        What is redundant gets nothing: of two signs that each suffice, neither is missed. The cover is an image the model never
        saw, and its edges may count more than what they hide. Nothing smaller than the window is resolved.
    """
    height, width = call.inputs.shape[2:]
    if params.window > min(height, width):
        raise InvalidInput(f"A window of {params.window} does not fit into an input of {width} x {height} pixels.", field="params.window")
    if params.stride > params.window:
        raise InvalidInput("A stride larger than the window leaves pixels that are never covered.", field="params.stride")
    places = [
        (y, x) for y in window_starts(height, params.window, params.stride) for x in window_starts(width, params.window, params.stride)
    ]
    maps = torch.zeros(len(call.targets), height, width, dtype=torch.float64, device=call.inputs.device)
    times = torch.zeros(height, width, dtype=torch.float64, device=call.inputs.device)
    for y, x in places:
        times[y : y + params.window, x : x + params.window] += 1
    for rows in call.groups():
        image, targets = call.inputs[rows[0]], [call.targets[r] for r in rows]
        cover = baseline_input(call.model, image[None], params.baseline, call.seed)[0]
        with torch.inference_mode():
            whole = every_number(call.model, image[None], targets)
        for start, end in portions(len(places), FORWARD_BATCH):
            call.run.check()
            call.run.progress(start, len(places), "squares")
            covered = image.expand(end - start, -1, -1, -1).clone()
            for row, (y, x) in enumerate(places[start:end]):
                window = (slice(None), slice(y, y + params.window), slice(x, x + params.window))
                covered[row][window] = cover[window]
            with torch.inference_mode():
                drop = (whole - every_number(call.model, covered, targets)).double()
            for row, (y, x) in enumerate(places[start:end]):
                maps[rows, y : y + params.window, x : x + params.window] += drop[row][:, None, None]
    facts: MapFacts = {"squares": len(places), "cover": params.baseline}
    return Attribution((maps / times).float(), None, facts, f"Squares of {params.window} pixels covered with: {params.baseline}.")
