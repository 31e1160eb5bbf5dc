"""Which examples stand for a unit: the strongest, some at lower activation bands, some at random, the weakest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.capture.recorders.peaks import top_examples

#: Quantiles of positions whose thresholds mark the bands between the top and the rest.
BANDS = (0.999, 0.99, 0.9)


def choose_exemplars(
    peaks: npt.NDArray[np.float32], band_thresholds: npt.NDArray[np.float32], count: int, seed: int
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Slots of every unit and the band of every slot.

    Args:
        peaks: float32 [examples, units]. band_thresholds: float32 [units, len(BANDS)].
        count: slots per band, cut to the number of examples.
        seed: of the random band, which is the same draw for every unit so that units can be compared on it.

    Returns:
        int32 [units, slots] of examples, and the name of each slot's band: ``top``, ``q0.999`` ..., ``random``, ``lowest``.
        A band holds the examples whose peak lies closest to the band's threshold; ties go to the earlier example.
    """
    examples, units = peaks.shape
    count = min(count, examples)
    parts = [top_examples(peaks, count)]
    names = ["top"] * count
    for index, quantile in enumerate(BANDS):
        distance = np.abs(peaks - band_thresholds[None, :, index])
        nearest = np.argsort(distance, axis=0, kind="stable")[:count]
        inside = np.take_along_axis(peaks, nearest, axis=0)
        strongest_first = np.argsort(-inside, axis=0, kind="stable")
        parts.append(np.take_along_axis(nearest, strongest_first, axis=0).T.astype(np.int32))
        names += [f"q{quantile}"] * count
    drawn = np.sort(np.random.default_rng(seed).choice(examples, count, replace=False)).astype(np.int32)
    parts.append(np.tile(drawn, (units, 1)))
    names += ["random"] * count
    lowest = np.argsort(peaks, axis=0, kind="stable")[:count].T.astype(np.int32)
    parts.append(lowest)
    names += ["lowest"] * count
    return np.concatenate(parts, axis=1), names
