"""The hot loops on a CPU, compiled by numba. :mod:`microtome.capture.arithmetic.tensors` gives the same numbers with torch alone.

No fast-math: float32 arithmetic in the written order, so that any other implementation of that order agrees bit for bit.
"""

from __future__ import annotations

import numba
import numpy as np

TOP, LOW = 12, 10  # bits of the digits in which thresholds are found: 12, 10, 10
NONE = 255
_SLOTS = 1024


@numba.njit(inline="always")
def _ordered(bits):  # type: ignore[no-untyped-def]
    """float32 bits (int32) as uint32 that sorts as the floats do; both zeros are one number."""
    if bits == np.int32(-2147483648):
        bits = np.int32(0)
    return np.uint32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))) ^ np.uint32(0x80000000)


@numba.njit(parallel=True, cache=True, nogil=True)
def look(maps, bits, used, mean, squares, low, high, peaks, sites, tops):  # type: ignore[no-untyped-def]
    """Moments, extremes, peaks and first digits of float32 [B, units, h, w], reading every value once from memory.

    ``used`` int32 [B]: sites of each row that count, from the first on.
    ``mean`` and ``squares`` float64 [B, units]: mean and sum of squared deviations of each map. ``low`` and ``high`` [B, units];
    ``peaks`` and ``sites`` [units, B]; ``tops`` int64 [units, 2**TOP] counts the first digits.
    """
    images, units, height, width = maps.shape
    shift = np.uint32(32 - TOP)
    for u in numba.prange(units):
        for i in range(images):
            width = used[i]
            cells = height * width
            if cells == 0:
                mean[i, u], squares[i, u], low[i, u], high[i, u] = 0.0, 0.0, np.inf, -np.inf
                peaks[u, i], sites[u, i] = -np.inf, 0
                continue
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
                    tops[u, np.uint64(_ordered(bits[i, u, y, x]) >> shift)] += 1
            mean[i, u], squares[i, u] = middle, spread
            low[i, u], high[i, u] = least, most
            peaks[u, i], sites[u, i] = most, where


@numba.njit(inline="always")
def _candidates(values, bits, used, bound, found):  # type: ignore[no-untyped-def]
    """Bits of the first ``used`` of ``values`` that are not below ``bound``, into ``found``; returns how many."""
    n = np.uint64(0)
    for c in range(used):
        found[n] = bits[c]  # written always, kept only if it can matter: no branch to mispredict
        n += np.uint64(values[c] >= bound)
    return n


@numba.njit(parallel=True, cache=True, nogil=True)
def second_digits(values, bits, used, table, bounds, counts):  # type: ignore[no-untyped-def]
    """Counts of the second digit of values whose first digit has a slot in ``table`` uint8 [units, 2**TOP].

    ``values`` float32 [B, units, cells] and their ``bits``, of which the first ``used`` int32 [B] count; ``bounds`` float32 [units],
    below which no digit is looked for;
    ``counts`` [units, slots, 2**LOW].
    """
    images, units, cells = values.shape
    mask = np.uint32((1 << LOW) - 1)
    for u in numba.prange(units):
        found = np.empty(cells + 1, np.int32)
        for i in range(images):
            for k in range(_candidates(values[i, u], bits[i, u], used[i], bounds[u], found)):
                key = _ordered(found[k])
                slot = table[u, np.uint64(key >> np.uint32(32 - TOP))]
                if slot != NONE:
                    counts[u, np.uint64(slot), np.uint64((key >> np.uint32(LOW)) & mask)] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def third_digits(values, bits, used, table, second, bounds, counts):  # type: ignore[no-untyped-def]
    """Counts of the last digit of values whose first two have a slot in ``second`` uint8 [units, slots, 2**LOW]."""
    images, units, cells = values.shape
    mask = np.uint32((1 << LOW) - 1)
    for u in numba.prange(units):
        found = np.empty(cells + 1, np.int32)
        for i in range(images):
            for k in range(_candidates(values[i, u], bits[i, u], used[i], bounds[u], found)):
                key = _ordered(found[k])
                slot = table[u, np.uint64(key >> np.uint32(32 - TOP))]
                if slot != NONE:
                    slot = second[u, np.uint64(slot), np.uint64((key >> np.uint32(LOW)) & mask)]
                    if slot != NONE:
                        counts[u, np.uint64(slot), np.uint64(key & mask)] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def descend(counts, slot, left, digit, above):  # type: ignore[no-untyped-def]
    """For every unit and point, the digit in which the ``left``-th value from the top of its slot lies (0 is the largest).

    ``counts`` [units, slots, digits]; ``slot`` and ``left`` int64 [units, points]. Slots do not fall along points, and
    within a slot ``left`` does not rise. Fills ``digit``, and adds to ``above`` the values in higher digits, which ``left`` loses.
    """
    units, points = slot.shape
    for u in numba.prange(units):
        place, passed, here = 0, 0, -1
        for p in range(points - 1, -1, -1):
            if slot[u, p] != here:
                here, place, passed = slot[u, p], counts.shape[2] - 1, 0
            while place > 0 and passed + counts[u, here, place] <= left[u, p]:
                passed += counts[u, here, place]
                place -= 1
            digit[u, p] = place
            above[u, p] += passed
            left[u, p] -= passed


@numba.njit(parallel=True, cache=True, nogil=True)
def histogram(values, used, low, scale, counts):  # type: ignore[no-untyped-def]
    """Counts of the first ``used`` int32 [B] of float32 [B, units, cells] in equal bins from ``low`` [units].

    ``scale`` [units] is bins per unit of activation.
    """
    images, units, most = values.shape
    last = np.int32(counts.shape[1] - 1)
    for u in numba.prange(units):
        places = np.empty(most + 1, np.int32)
        # Neighbours in a map often share a bin; two tables, so that one count need not wait for the one before.
        twins = np.zeros((2, last + 1), np.int32)
        for i in range(images):
            cells = used[i]
            for c in range(cells):
                places[c] = min(max(np.int32((values[i, u, c] - low[u]) * scale[u]), np.int32(0)), last)
            for c in range(0, cells - 1, 2):
                twins[0, np.uint64(places[c])] += np.int32(1)
                twins[1, np.uint64(places[c + 1])] += np.int32(1)
            if cells % 2:
                twins[0, np.uint64(places[cells - 1])] += np.int32(1)
        for bin_ in range(last + 1):
            counts[u, bin_] += twins[0, bin_] + twins[1, bin_]


@numba.njit(inline="always")
def _reaches(top, limit):  # type: ignore[no-untyped-def]
    """Whether an interpolation of values up to ``top`` can lie above ``limit``. Rounding may lift it by units in the last place."""
    return top + abs(top) * np.float32(1e-6) > limit


@numba.njit
def _slots(limits, bins, inside):  # type: ignore[no-untyped-def]
    """Places between the outer limits, such that a value's bin follows from its place and one comparison.

    A place is a range of float32 numbers in their order. ``inside`` is the limit in this place (infinity if there is none);
    ``bins`` is the bin of values up to it in the lower, of values above it in the upper 16 bits.

    Returns:
        The first number in order, the shift from numbers to places, and whether some place holds two different limits.
    """
    points = len(limits)
    plain = limits + np.float32(0)  # -0 becomes 0, which compares the same
    bits = plain.view(np.int32)
    keys = np.empty(points, np.int64)
    for p in range(points):
        keys[p] = bits[p] ^ ((bits[p] >> np.int32(31)) & np.int32(0x7FFFFFFF))
    base = keys[0]
    if base == 0:  # a unit that is often exactly zero: spend the places on what is above
        for p in range(points):
            if keys[p] > 0:
                base = keys[p]
                break
    shift = 0
    while (keys[points - 1] - base) >> shift > _SLOTS - 4:
        shift += 1
    inside[:] = np.inf
    step = np.zeros(_SLOTS, np.uint32)
    crowded = False
    for p in range(points):
        place = 0 if keys[p] < base else min(((keys[p] - base) >> shift) + 1, _SLOTS - 1)
        if step[place] == 0:
            inside[place] = plain[p]
        elif inside[place] != plain[p]:
            crowded = True
        step[place] += 1
    passed = np.uint32(0)
    for place in range(_SLOTS):
        bins[place] = passed | ((passed + step[place]) << np.uint32(16))
        passed += step[place]
    return base, shift, crowded


@numba.njit(parallel=True, cache=True, nogil=True)
def tally(maps, thresholds, codes, members, offsets, row_first, row_weight, col_first, col_weight, unit_bins, shared_bins):  # type: ignore[no-untyped-def]
    """Add the positions of ``maps`` to bins; see :mod:`microtome.capture.recorders.tally`.

    Maps, rows of cells and cells that cannot reach the lowest threshold are skipped. What is left is interpolated into a
    buffer, every value gets its bin without a branch, and combinations of labels are counted; only then are combinations taken
    apart into concepts.
    """
    images, units, height, width = maps.shape
    points = thresholds.shape[1]
    stride = points + 1
    layers = members.shape[1]
    size = len(row_weight) * len(col_weight)
    most = 0
    for i in range(images):
        most = max(most, offsets[i + 1] - offsets[i])
    one = np.float32(1)
    for u in numba.prange(units):
        limits = thresholds[u]
        lowest = limits[0]
        bins, inside = np.empty(_SLOTS, np.uint32), np.empty(_SLOTS, np.float32)
        first, shift, crowded = _slots(limits, bins, inside)
        base = np.int32(max(first - 1, -2147483648))
        up = np.uint32(shift)
        lift = (np.uint32(1) << up) - np.uint32(1)
        hit, low_hit = np.empty((height, width + 1), np.uint8), np.empty(width + 1, np.uint8)
        cells = np.empty(width, np.int64)
        values, where = np.empty(size + 1, np.float32), np.empty(size + 1, np.uint32)
        bits = values.view(np.int32)
        places, rows = np.empty(size + 1, np.uint32), np.empty(size + 1, np.uint32)
        touched = np.empty(most + 2, np.uint32)
        local = np.zeros((most + 1) * stride, np.uint32)  # small enough for the cache, unlike the whole table
        for i in range(images):
            hits = np.uint32(0)
            for y in range(height):
                for x in range(width):
                    reached = np.uint8(_reaches(maps[i, u, y, x], lowest))
                    hit[y, x] = reached
                    hits += np.uint32(reached)
                hit[y, width] = 0
            if hits == 0:
                continue
            n = np.uint64(0)
            for a in range(height):
                b = min(a + 1, height - 1)
                for x in range(width + 1):
                    low_hit[x] = hit[a, x] | hit[b, x]
                found = np.uint64(0)
                for c in range(width):
                    cells[found] = c
                    found += np.uint64(low_hit[c] | low_hit[c + 1])
                if found == 0:
                    continue
                for y in range(row_first[a], row_first[a + 1]):
                    f = row_weight[y]
                    for j in range(found):
                        c = cells[j]
                        d = min(c + 1, width - 1)
                        left = maps[i, u, a, c] * (one - f) + maps[i, u, b, c] * f
                        right = maps[i, u, a, d] * (one - f) + maps[i, u, b, d] * f
                        if not _reaches(max(left, right), lowest):
                            continue
                        start = np.uint64(col_first[c])
                        count = np.uint64(col_first[c + 1]) - start
                        for k in range(count):
                            g = col_weight[start + k]
                            value = left * (one - g) + right * g
                            values[n], rows[n] = value, np.uint32(codes[i, y, start + k]) * np.uint32(stride)
                            n += np.uint64(value > lowest)  # written always, kept if above the lowest: no branch to mispredict
            if crowded:
                for k in range(n):
                    bin_ = 1
                    while bin_ < points and values[k] > limits[bin_]:
                        bin_ += 1
                    where[k] = rows[k] + np.uint32(bin_)
            else:
                for k in range(n):
                    key = bits[k] ^ ((bits[k] >> np.int32(31)) & np.int32(0x7FFFFFFF))
                    away = np.uint32(max(key, base) - base)  # numba subtracts in 64 bits: nothing overflows
                    places[k] = min((away >> up) + np.uint32((away & lift) != 0), np.uint32(_SLOTS - 1))
                for k in range(n):
                    place = np.uint64(places[k])
                    both = bins[place]
                    where[k] = rows[k] + ((both >> np.uint32(16)) if values[k] > inside[place] else (both & np.uint32(0xFFFF)))
            found = np.uint64(0)
            for k in range(n):
                row = np.uint64(rows[k])
                touched[found] = rows[k]
                found += np.uint64(local[row] == 0)
                local[row] = 1  # the first place of a row says that it was touched
                local[np.uint64(where[k])] += np.uint32(1)
            for r in range(found):
                row = np.uint64(touched[r])
                if row > 0:  # ignored positions count nowhere
                    k = offsets[i] + np.int64(row) // stride - 1
                    for g in range(np.uint64(points)):
                        unit_bins[u, g] += local[row + np.uint64(1) + g]
                    for la in range(layers):
                        member = members[k, la]
                        if member != 0:  # "nothing" is no concept
                            for g in range(np.uint64(points)):
                                shared_bins[u, member - 1, g] += local[row + np.uint64(1) + g]
                for g in range(np.uint64(stride)):
                    local[row + g] = 0


@numba.njit(parallel=True, cache=True, nogil=True)
def sums_from_above(bins, sums):  # type: ignore[no-untyped-def]
    """``sums[u, c, g]`` = the sum of ``bins[u, c, g:]``: from bins to counts above."""
    for u in numba.prange(bins.shape[0]):
        for c in range(bins.shape[1]):
            total = 0
            for g in range(bins.shape[2] - 1, -1, -1):
                total += bins[u, c, g]
                sums[u, c, g] = total


@numba.njit(parallel=True, cache=True, nogil=True)
def permuted(maps, thresholds, codes, members, offsets, partner, row_lo, row_hi, row_f, col_lo, col_hi, col_f, areas, shared):  # type: ignore[no-untyped-def]
    """Counts with masks of example i on the labels of example ``partner[p, i]``: the chance of the best concept.

    ``areas`` int64 [units, permutations], ``shared`` int64 [units, permutations, concepts + 1].
    """
    images, units, height, width = maps.shape
    permutations = partner.shape[0]
    layers = members.shape[1]
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
                begin = offsets[j] - 1
                for s in range(n):
                    code = codes[j, where_y[s], where_x[s]]
                    if code == 0:
                        continue
                    areas[u, p] += 1
                    for la in range(layers):
                        shared[u, p, members[begin + code, la]] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def nearest(values, targets, keys, chosen):  # type: ignore[no-untyped-def]
    """The examples whose value lies closest to a target, nearest first; equal ones in order of the example.

    ``values`` float32 [units, examples], ``targets`` float32 [units] (an infinite one takes the largest or smallest values);
    ``keys`` float32 and ``chosen`` int32 [units, count] are filled.
    """
    units, examples = values.shape
    count = chosen.shape[1]
    for u in numba.prange(units):
        target = targets[u]
        n = 0
        for e in range(examples):
            if target == np.inf:
                key = -values[u, e]
            elif target == -np.inf:
                key = values[u, e]
            else:
                key = abs(values[u, e] - target)
            if n == count and not key < keys[u, count - 1]:
                continue
            at = n if n < count else count - 1
            n = min(n + 1, count)
            while at > 0 and key < keys[u, at - 1]:
                keys[u, at], chosen[u, at] = keys[u, at - 1], chosen[u, at - 1]
                at -= 1
            keys[u, at], chosen[u, at] = key, e


@numba.njit(parallel=True, cache=True, nogil=True)
def ranked(values, thresholds, codes, members, offsets, unit_bins, shared_bins):  # type: ignore[no-untyped-def]
    """Add positions to bins between thresholds, where sites are positions; what is not above the lowest threshold is left out.

    ``values`` float32 [B, units, positions]; ``codes`` [B, positions]; ``members`` and ``offsets`` as in
    :mod:`microtome.capture.labels`, the labels of a code one after the other, 0 where there is no more.
    """
    texts, units, positions = values.shape
    points = thresholds.shape[1]
    layers = members.shape[1]
    concepts = shared_bins.shape[1]
    for u in numba.prange(units):
        limits = thresholds[u]
        own = np.zeros(points, np.int64)
        local = np.zeros((concepts, points), np.int32)  # small enough for the cache
        for i in range(texts):
            for x in range(positions):
                code = codes[i, x]
                value = values[i, u, x]
                if code == 0 or not value > limits[0]:
                    continue
                low, high = 0, points  # the last threshold that lies below
                while high - low > 1:
                    middle = (low + high) >> 1
                    if value > limits[middle]:
                        low = middle
                    else:
                        high = middle
                own[low] += 1
                row = offsets[i] + np.int64(code) - 1
                for la in range(layers):
                    member = members[row, la]
                    if member == 0:
                        break
                    local[member - 1, low] += 1
        for g in range(points):
            unit_bins[u, g] += own[g]
            for c in range(concepts):
                shared_bins[u, c, g] += local[c, g]


@numba.njit(parallel=True, cache=True, nogil=True)
def troughs(values, used, least, sites):  # type: ignore[no-untyped-def]
    """Smallest of the first ``used`` int32 [B] of float32 [B, units, cells], and where: ``least`` and ``sites`` [units, B].

    Infinite at site 0 where nothing is used.
    """
    texts, units, _ = values.shape
    for u in numba.prange(units):
        for i in range(texts):
            lowest, where = np.float32(np.inf), 0
            for c in range(used[i]):
                if values[i, u, c] < lowest:
                    lowest, where = values[i, u, c], c
            least[u, i], sites[u, i] = lowest, where


@numba.njit(parallel=True, cache=True, nogil=True)
def sums_by_kind(values, kinds, sums):  # type: ignore[no-untyped-def]
    """Add float32 [B, units, positions] to ``sums`` float64 [units, kinds], by ``kinds`` int32 [B, positions]; -1 counts nowhere."""
    texts, units, positions = values.shape
    for u in numba.prange(units):
        for i in range(texts):
            for x in range(positions):
                kind = kinds[i, x]
                if kind >= 0:
                    sums[u, kind] += values[i, u, x]


@numba.njit(parallel=True, cache=True, nogil=True)
def keep_leaders(maps, start, peaks, sites, values, examples, places, kept):  # type: ignore[no-untyped-def]
    """Put those of ``peaks`` float32 [units, B] that are among the largest so far into ``values`` [units, count], largest first.

    ``maps`` float32 [B, units, w] of the examples from ``start`` on; a map is copied only if its peak gets in.
    """
    units, texts = peaks.shape
    count = values.shape[1]
    width = maps.shape[2]
    for u in numba.prange(units):
        for i in range(texts):
            peak = peaks[u, i]
            if not peak > values[u, count - 1]:
                continue
            at = count - 1
            while at > 0 and peak > values[u, at - 1]:
                values[u, at], examples[u, at], places[u, at] = values[u, at - 1], examples[u, at - 1], places[u, at - 1]
                kept[u, at] = kept[u, at - 1]
                at -= 1
            values[u, at], examples[u, at], places[u, at] = peak, start + i, sites[u, i]
            for x in range(width):
                kept[u, at, x] = maps[i, u, x]
            for x in range(width, kept.shape[2]):
                kept[u, at, x] = 0.0
