"""In which order pixels are taken away, and what the model says of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from microtome.core.context import RunContext
from microtome.models.image import ImageModel, class_probabilities

if TYPE_CHECKING:
    from microtome.methods.attribution.target import Target

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int32]
#: Shares of the pixels at which curves are measured: closer where they move, and the same read from either end.
SHARES = (0.0, 0.03, 0.08, 0.16, 0.30, 0.50, 0.70, 0.84, 0.92, 0.97, 1.0)


def counts(pixels: int) -> list[int]:
    """Pixels taken at each of ``SHARES``; what is left at one is what is taken at its mirror image."""
    half = [max(1, round(share * pixels)) for share in SHARES[1 : len(SHARES) // 2]]
    return [0, *half, pixels // 2, *(pixels - count for count in reversed(half)), pixels]


def ranks(maps: Floats) -> Ranks:
    """Place of every pixel when the largest value goes first, [rows, pixels] of maps [rows, pixels]; ties go by index.

    The order is signed: what speaks for the target first, what speaks against it last. That is what a signed map claims, and
    a map without signs means the same.
    """
    order = np.argsort(-maps, axis=1, kind="stable")
    places = np.empty(order.shape, np.int32)
    np.put_along_axis(places, order, np.arange(maps.shape[1], dtype=np.int32)[None], axis=1)
    return places


@dataclass(frozen=True, slots=True)
class Removal:
    """Pixels of one row of ranks that are filled: those with ``first <= rank < last``."""

    row: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says of filled images: logits [removals, classes], and the numbers [removals] of targets at a layer."""

    logits: Tensor
    at_layers: dict[Target, Tensor]
    multilabel: bool = False

    def numbers(self, target: Target) -> Floats:
        """The target's number, float64 [removals]."""
        values = self.at_layers[target] if target.layer is not None else target.number(self.logits, {})
        return values.double().numpy()

    def values(self, target: Target) -> Floats:
        """What curves show: the probability of a class, or the number of any other target, float64 [removals]."""
        if target.index is None:
            return self.numbers(target)
        return class_probabilities(self.logits, self.multilabel)[:, target.index].numpy()


def answers(
    model: ImageModel, image: Tensor, fill: Tensor, places: Ranks, removals: Sequence[Removal], targets: Sequence[Target], run: RunContext,
    what: str = "",
) -> Answers:  # fmt: skip
    """Forward passes of ``image`` [1, 3, H, W] with pixels taken from ``fill``, in batches of bounded memory; told in CPU tensors.

    ``what`` names them where progress is to be reported.
    """
    layers = {t.layer.name: t.layer for t in targets if t.layer is not None}
    height, width = image.shape[2:]
    device = image.device
    order = torch.tensor(places, device=device)
    table = torch.tensor([[r.row, r.first, r.last] for r in removals], device=device)
    logits: list[Tensor] = []
    numbers: dict[Target, list[Tensor]] = {t: [] for t in targets if t.layer is not None}
    with torch.inference_mode():
        for part in table.split(max(8, min(64, 1_600_000 // (height * width)))):
            run.check()
            if what:
                run.progress(sum(map(len, logits)), len(removals), what)
            place = order[part[:, 0]]
            gone = ((place >= part[:, 1:2]) & (place < part[:, 2:3])).view(-1, 1, height, width)
            # Channels last, which convolutions on CPUs take up to twice as fast.
            inputs = torch.where(gone, fill, image).contiguous(memory_format=torch.channels_last)
            with model.record(list(layers.values())) as recorded:
                out = model.forward(inputs)
            logits.append(out.float().cpu())
            for target, found in numbers.items():
                found.append(target.number(out, recorded).float().cpu())
    return Answers(torch.cat(logits), {target: torch.cat(found) for target, found in numbers.items()}, model.multilabel)
