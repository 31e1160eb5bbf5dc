"""The hot loops, compiled by numba. Each has a plain numpy/torch form in the tests that gives identical counts.

No fast-math: float32 arithmetic in the written order, so that any other implementation of that order agrees bit for bit.
"""

from __future__ import annotations

import os

import numba
import numpy as np
import numpy.typing as npt

_GUESSES = 256


def bilinear_grid(source: int, target: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Neighbours and weight of each of ``target`` positions on an axis of ``source`` cells, half-pixel centres.

    As ``torch.nn.functional.interpolate(align_corners=False)``, in float32.
    """
    scale = np.float32(source) / np.float32(target)
    place = np.maximum((np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0))
    low = np.minimum(place.astype(np.int32), source - 1)
    high = np.minimum(low + 1, source - 1).astype(np.int32)
    # At the border both neighbours are the same cell; a weight of zero keeps its value exact instead of nearly so.
    return low, high, np.where(high > low, place - low, 0).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def sample_unit(maps, unit, step, out):  # type: ignore[no-untyped-def]
    """Every ``step``-th value of a unit of float32 [n, units, h, w] into ``out``; returns how many."""
    images, _, height, width = maps.shape
    cells = height * width
    n = 0
    for place in range(0, images * cells, step):
        i, site = place // cells, place % cells
        out[n] = maps[i, unit, site // width, site % width]
        n += 1
    return n


@numba.njit(cache=True, nogil=True)
def collect_above(maps, unit, bound, out):  # type: ignore[no-untyped-def]
    """Values of a unit above ``bound`` into ``out``, in any order; returns how many, or -1 if they do not fit."""
    images, _, height, width = maps.shape
    n, room = 0, len(out) - width
    for i in range(images):
        for y in range(height):
            if n > room:
                return -1
            for x in range(width):
                value = maps[i, unit, y, x]
                out[n] = value  # written always, kept only if above: no branch to mispredict
                n += value > bound
    return n


@numba.njit(inline="always")
def _reaches(top, limit):  # type: ignore[no-untyped-def]
    """Whether an interpolation of values up to ``top`` can lie above ``limit``. Rounding may lift it by units in the last place."""
    return top + abs(top) * np.float32(1e-6) > limit


@numba.njit(inline="always")
def _bin_guesses(limits):  # type: ignore[no-untyped-def]
    """A table from a value's place between the outer limits to about its bin, and the scale of that place.

    Searching from the guess takes a step or none, where searching from the bottom mispredicts a branch for most values.
    """
    points = len(limits)
    width = limits[points - 1] - limits[0]
    scale = np.float32(_GUESSES - 1) / width if width > 0 else np.float32(0)
    guess = np.zeros(_GUESSES, np.uint8)
    g = 0
    for k in range(_GUESSES):
        edge = limits[0] + np.float32(k) / scale if scale > 0 else limits[0]
        while g + 1 < points and edge > limits[g + 1]:
            g += 1
        guess[k] = g
    return guess, scale


@numba.njit(parallel=True, cache=True, nogil=True)
def tally_kernel(maps, thresholds, labels, row_lo, row_hi, row_f, col_cell, col_hi, col_f, unit_bins, shared_bins):  # type: ignore[no-untyped-def]
    """Add the positions of ``maps`` to bins; see :mod:`microtome.capture.recorders.tally`.

    ``col_cell`` int32 [width + 1]: first output column of every source cell, so that whole cells can be skipped.
    """
    images, units, height, width = maps.shape
    points = thresholds.shape[1]
    layers = labels.shape[1]
    one = np.float32(1)
    for u in numba.prange(units):
        lowest = thresholds[u, 0]
        limits = thresholds[u]
        row = np.empty(width, np.float32)
        shared = np.zeros(shared_bins.shape[1:], np.int32)  # small enough for the cache, unlike the whole table
        guess, scale = _bin_guesses(limits)
        for i in range(images):
            top = maps[i, u, 0, 0]
            for y in range(height):
                for x in range(width):
                    top = max(top, maps[i, u, y, x])
            if not _reaches(top, lowest):
                continue
            for y in range(row_lo.shape[0]):
                f = row_f[y]
                a, b = row_lo[y], row_hi[y]
                for x in range(width):
                    row[x] = maps[i, u, a, x] * (one - f) + maps[i, u, b, x] * f
                for c in range(width):
                    left = row[c]
                    right = row[min(c + 1, width - 1)]
                    if not _reaches(max(left, right), lowest):
                        continue
                    for x in range(col_cell[c], col_cell[c + 1]):
                        value = left * (one - col_f[x]) + right * col_f[x]
                        if not value > lowest or labels[i, 0, y, x] == 65535:
                            continue
                        g = guess[min(int((value - lowest) * scale), _GUESSES - 1)]
                        while g + 1 < points and value > limits[g + 1]:
                            g += 1
                        while g > 0 and not value > limits[g]:
                            g -= 1
                        unit_bins[u, g] += 1
                        for k in range(layers):
                            shared[labels[i, k, y, x], g] += 1
        for c in range(shared.shape[0]):
            for g in range(points):
                shared_bins[u, c, g] += shared[c, g]


@numba.njit(parallel=True, cache=True, nogil=True)
def suffix_sums(bins, sums):  # type: ignore[no-untyped-def]
    """``sums[u, c, g]`` = the sum of ``bins[u, c + 1, g:]``: from bins to counts above, without the row of "nothing"."""
    for u in numba.prange(bins.shape[0]):
        for c in range(sums.shape[1]):
            total = 0
            for g in range(bins.shape[2] - 1, -1, -1):
                total += bins[u, c + 1, g]
                sums[u, c, g] = total


@numba.njit(parallel=True, cache=True, nogil=True)
def summary_kernel(maps, mean, squares, low, high, peaks, sites):  # type: ignore[no-untyped-def]
    """Moments, extremes and peaks of float32 [B, units, h, w], reading every value once from memory.

    ``mean`` and ``squares`` float64 [B, units]: mean and sum of squared deviations of each map, to be merged afterwards.
    """
    images, units, height, width = maps.shape
    cells = height * width
    for u in numba.prange(units):
        for i in range(images):
            total = 0.0
            least = maps[i, u, 0, 0]
            most, where = least, 0
            for y in range(height):
                for x in range(width):
                    value = maps[i, u, y, x]
                    total += value
                    if value > most:
                        most, where = value, y * width + x
                    least = min(least, value)
            middle = total / cells
            spread = 0.0
            for y in range(height):
                for x in range(width):
                    away = maps[i, u, y, x] - middle
                    spread += away * away
            mean[i, u], squares[i, u] = middle, spread
            low[i, u], high[i, u] = least, most
            peaks[i, u], sites[i, u] = most, where


@numba.njit(parallel=True, cache=True, nogil=True)
def histogram_kernel(maps, low, scale, counts):  # type: ignore[no-untyped-def]
    """Counts of float32 [B, units, h, w] in equal bins from ``low`` [units]; ``scale`` is bins per unit of activation."""
    images, units, height, width = maps.shape
    bins = counts.shape[1]
    for u in numba.prange(units):
        for i in range(images):
            for y in range(height):
                for x in range(width):
                    place = int((maps[i, u, y, x] - low[u]) * scale[u])
                    counts[u, min(max(place, 0), bins - 1)] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def permuted_kernel(maps, thresholds, labels, partner, row_lo, row_hi, row_f, col_lo, col_hi, col_f, areas, shared):  # type: ignore[no-untyped-def]
    """Counts with masks of example i on the labels of example ``partner[p, i]``: the chance of the best concept.

    ``areas`` int64 [units, permutations], ``shared`` int64 [units, permutations, concepts + 1].
    """
    images, units, height, width = maps.shape
    permutations = partner.shape[0]
    layers = labels.shape[1]
    one = np.float32(1)
    size = row_lo.shape[0] * col_lo.shape[0]
    for u in numba.prange(units):
        limit = thresholds[u]
        row = np.empty(width, np.float32)
        where_y, where_x = np.empty(size, np.int32), np.empty(size, np.int32)
        for i in range(images):
            top = maps[i, u, 0, 0]
            for y in range(height):
                for x in range(width):
                    top = max(top, maps[i, u, y, x])
            if not _reaches(top, limit):
                continue
            n = 0
            for y in range(row_lo.shape[0]):
                f = row_f[y]
                a, b = row_lo[y], row_hi[y]
                best = -np.inf
                for x in range(width):
                    row[x] = maps[i, u, a, x] * (one - f) + maps[i, u, b, x] * f
                    best = max(best, row[x])
                if not _reaches(best, limit):
                    continue
                for x in range(col_lo.shape[0]):
                    if row[col_lo[x]] * (one - col_f[x]) + row[col_hi[x]] * col_f[x] > limit:
                        where_y[n], where_x[n] = y, x
                        n += 1
            for p in range(permutations):
                j = partner[p, i]
                for s in range(n):
                    if labels[j, 0, where_y[s], where_x[s]] == 65535:
                        continue
                    areas[u, p] += 1
                    for k in range(layers):
                        shared[u, p, labels[j, k, where_y[s], where_x[s]]] += 1


def set_threads(count: int) -> None:
    """Threads of the kernels; 0 takes all cores."""
    available = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(max(1, min(count or os.cpu_count() or 1, available)))
