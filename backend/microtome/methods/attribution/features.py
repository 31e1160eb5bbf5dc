"""Features of an image for methods that switch parts of it off: squares, or superpixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.attribution.explain import FORWARD_BATCH, Call, ExplainParams, portions
from microtome.methods.attribution.superpixels import superpixels
from microtome.methods.attribution.target import every_number


class FeatureParams(ExplainParams):
    """Base of the parameters of methods that explain by features."""

    features: Literal["squares", "superpixels"] = Field("squares", description="What is switched off together.")
    count: int = Field(49, ge=4, le=400, description="Features of the image, about: the nearest square number, or at most so many.")
    baseline: Baseline = Field("mean", description="What stands where a feature is off.")


@dataclass(frozen=True, slots=True)
class Features:
    """An image in parts.

    Attributes:
        rows: of the call that explain this image.
        image: [3, H, W]; off: the same with everything switched off.
        places: int64 [H, W], the feature of each pixel, from 0 without gaps.
    """

    call: Call
    rows: list[int]
    image: Tensor
    off: Tensor
    places: Tensor

    @property
    def count(self) -> int:
        return int(self.places.max()) + 1

    def ends(self) -> tuple[Tensor, Tensor]:
        """float64 [rows]: the targets of the image, and with everything off."""
        targets = [self.call.targets[r] for r in self.rows]
        with torch.inference_mode():
            found = every_number(self.call.model, torch.stack([self.image, self.off]), targets).double()
        return found[0], found[1]

    def answers(self, present: np.ndarray) -> Tensor:
        """float64 [n, rows]: the targets where the features that ``present`` [n, count] (bool) says are on."""
        call, targets = self.call, [self.call.targets[r] for r in self.rows]
        found = torch.zeros(len(present), len(targets), dtype=torch.float64, device=self.image.device)
        change = self.image - self.off
        for start, end in portions(len(present), FORWARD_BATCH):
            call.run.check()
            call.run.progress(start, len(present), "masks")
            on = torch.from_numpy(present[start:end]).to(change)[:, self.places.flatten()].view(-1, 1, *self.places.shape)
            with torch.inference_mode():
                found[start:end] = every_number(call.model, torch.addcmul(self.off, on, change), targets)
        return found

    def spread(self, values: Tensor) -> Tensor:
        """[rows, H, W] float32 of [rows, count]: each feature's value in equal parts over its pixels, so that the map adds up."""
        areas = torch.bincount(self.places.flatten(), minlength=self.count)
        return (values / areas)[:, self.places].float()


def features_of(call: Call, params: FeatureParams) -> Iterator[Features]:
    """Each image of a call in parts.

    Raises:
        InvalidInput: more features than the image has pixels.
    """
    height, width = call.inputs.shape[2:]
    if params.count > height * width:
        raise InvalidInput(f"An input of {width} x {height} pixels cannot have {params.count} features.", field="params.count")
    for rows in call.groups():
        image = call.inputs[rows[0]]
        if params.features == "squares":
            places = squares(height, width, params.count)
        else:
            mean, std = (np.asarray(v, np.float64).reshape(-1, 1, 1) for v in (call.model.preprocess.mean, call.model.preprocess.std))
            places = superpixels(np.clip(image.cpu().double().numpy() * std + mean, 0, 1).transpose(1, 2, 0), params.count)
        off = baseline_input(call.model, image[None], params.baseline, call.seed)[0]
        yield Features(call, rows, image, off, torch.from_numpy(places).to(image.device))


def squares(height: int, width: int, count: int) -> np.ndarray:
    """int64 [H, W]: a grid of n x n parts as equal as pixels allow, n the root of ``count``, rounded."""
    side = min(round(count**0.5), height, width)
    y, x = (np.arange(size) * side // size for size in (height, width))
    return y[:, None] * side + x[None, :]
