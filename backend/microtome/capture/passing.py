"""A pass that keeps no activations: statistics, quantiles and the strongest examples of every unit, in memory that does not grow.

For corpora whose activations fit no disk (4 bytes a unit and token). What needs all activations of a unit at once, exact thresholds and
IoU among it, is for :mod:`microtome.capture.taken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.arithmetic import DIGITS, Arithmetic
from microtome.capture.reading import reading_of
from microtome.capture.recorders.leaders import Leaders
from microtome.capture.recorders.look import Look
from microtome.capture.run import BATCH, forward_pass, read_ahead
from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass left of one layer."""

    look: Look
    leaders: Leaders


def pass_by(
    model: Model, probe: ProbeSet, layers: Sequence[Layer], examples: int, width: int, count: int, do: Arithmetic, run: RunContext
) -> tuple[dict[str, Passed], int]:
    """One pass over the first ``examples`` texts; by layer, and the number of tokens.

    Args:
        width: tokens of the longest text. count: examples kept of every unit.
    """
    reading = reading_of(model, probe, width)
    found = {x.name: Passed(Look(x.units), Leaders(x.units, count, width)) for x in layers}
    # Rooms that every batch uses again. Recorders are fed once a batch is through: one that runs out of memory is given again.
    rooms = {x.name: np.empty(BATCH * x.units * width, np.float32) for x in layers}
    views: dict[str, npt.NDArray[np.float32]] = {}
    total = 0

    def read(first: int, last: int) -> torch.Tensor:
        run.check()
        return reading.read(range(first, last), labels=False)[0]

    def take(_: int, name: str, tensor: torch.Tensor) -> None:
        texts, units = tensor.shape[:2]
        wide = min(tensor.shape[3], width)
        views[name] = rooms[name][: texts * units * wide].reshape(texts, units, 1, wide)
        torch.from_numpy(views[name]).copy_(tensor[..., :wide])

    def observe(first: int, inputs: torch.Tensor, _: torch.Tensor | None) -> None:
        nonlocal total
        used = reading.lengths(inputs)
        assert used is not None
        total += int(used.sum())
        for name, maps in views.items():
            texts, units = maps.shape[:2]
            peaks, sites = np.empty((units, texts), np.float32), np.empty((units, texts), np.int32)
            found[name].look.update(first, maps, peaks, sites, do, used)
            found[name].leaders.update(first, maps, peaks, sites)

    forward_pass(model, read_ahead(read, examples, BATCH), examples, run, observe, layers, take, answers=False)
    return found, total


def rough_quantiles(tops: npt.NDArray[np.int64], grid: Sequence[float]) -> npt.NDArray[np.float32]:
    """Quantiles float32 [units, points] from counts of first digits [units, 2**12], interpolated within a digit.

    A digit holds the numbers that share sign, exponent and the first three bits behind it, so a quantile is off by at most an eighth of
    its own size.
    """
    units, digits = tops.shape
    shift = sum(DIGITS[1:])
    keys = (np.arange(digits + 1, dtype=np.int64) << shift) - 2**31
    ordered = keys.clip(-(2**31), 2**31 - 1).astype(np.int32)
    bits = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).astype(np.int32)
    # Digits beyond the infinities stand for no number and hold no count.
    plain = bits.view(np.float32)
    edges = np.where(np.isfinite(plain), plain, np.where(keys < 0, -1, 1) * np.finfo(np.float32).max).astype(np.float64)
    below = np.concatenate([np.zeros((units, 1), np.int64), np.cumsum(tops, axis=1)], axis=1)
    total = below[:, -1:]
    out = np.empty((units, len(grid)), np.float32)
    for point, q in enumerate(grid):
        rank = q * total[:, 0]
        digit = np.array([np.searchsorted(row, r, side="right") for row, r in zip(below, rank, strict=True)]).clip(1, digits) - 1
        row = np.arange(units)
        inside = tops[row, digit]
        share = np.divide(rank - below[row, digit], inside, out=np.zeros(units), where=inside > 0).clip(0, 1)
        out[:, point] = edges[digit] + share * (edges[digit + 1] - edges[digit])
    return out
