"""Which examples stand for a unit: the strongest, some at lower activation bands, some at random, the weakest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import kernels

#: Quantiles of positions whose thresholds mark the bands between the top and the rest.
BANDS = (0.999, 0.99, 0.95)
#: The band of the most negative activations, of units that have two ends.
NEGATIVE = "negative"


def nearest_examples(peaks: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int32]:
    """int32 [units, count]: examples whose peak [units, examples] lies closest to the target [units], nearest first.

    Exact; equally near ones in order of the example. Infinite targets take the largest or the smallest peaks.
    """
    units, examples = peaks.shape
    count = min(count, examples)
    keys, chosen = np.empty((units, count), np.float32), np.empty((units, count), np.int32)
    kernels.nearest(peaks, np.ascontiguousarray(targets, dtype=np.float32), keys, chosen)
    return chosen


def top_examples(peaks: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int32]:
    """int32 [units, count]: examples with the largest peaks, largest first; equal peaks in order of the example."""
    return nearest_examples(peaks, np.full(len(peaks), np.inf, np.float32), count)


def band_names(count: int) -> list[str]:
    """The band of every slot, with ``count`` slots a band."""
    return [name for name in ("top", *(f"q{q}" for q in BANDS), "random", "lowest") for _ in range(count)]


def choose_exemplars(
    peaks: npt.NDArray[np.float32], band_thresholds: npt.NDArray[np.float32], count: int, seed: int
) -> npt.NDArray[np.int32]:
    """Slots of every unit, int32 [units, slots] of examples; :func:`band_names` says which band each is of.

    A band holds the examples whose peak lies closest to the band's threshold; ties go to the earlier example.

    Args:
        peaks: float32 [units, examples]. band_thresholds: float32 [units, len(BANDS)].
        count: slots per band. seed: of the random band, which is the same for all units.
    """
    units, examples = peaks.shape
    count = min(count, examples)
    parts = [top_examples(peaks, count)]
    for index in range(len(BANDS)):
        near = nearest_examples(peaks, band_thresholds[:, index], count)
        strongest_first = np.argsort(-np.take_along_axis(peaks, near, axis=1), axis=1, kind="stable")
        parts.append(np.take_along_axis(near, strongest_first, axis=1))
    drawn = np.sort(np.random.default_rng(seed).choice(examples, count, replace=False)).astype(np.int32)
    parts.append(np.tile(drawn, (units, 1)))
    parts.append(nearest_examples(peaks, np.full(units, -np.inf, np.float32), count))
    return np.concatenate(parts, axis=1)
