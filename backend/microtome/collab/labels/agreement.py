"""Agreement between raters. Answers may be missing; a coefficient that is 0/0 has no value and says why, it is never 0 or 1.

- **percent**: mean over units with two or more answers of the share of pairs of answers that agree.
- **Cohen's kappa** (two raters), also with quadratic weights for scales: (p_o - p_e) / (1 - p_e) from the two raters' own marginals.
- **Fleiss' kappa** (Fleiss 1971): the same number of answers per unit, p_e from the pooled marginals.
- **Krippendorff's alpha** (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"): 1 - D_o / D_e over pairable values, with
  nominal, ordinal or interval differences. Ordinal differences are differences of mid-ranks, so all three have closed forms.

Intervals are 95 %, by bootstrap over units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Metric = Literal["nominal", "ordinal", "interval"]
Statistic = Callable[[Floats], float | None]  # of how often each unit counts
DRAWS = 1000
NO_PAIRS = "No unit has answers of two raters."
NO_VARIATION = "All answers are the same, so agreement beyond chance is not defined (0/0)."


@dataclass(frozen=True)
class Measure:
    """A number with its interval; ``value`` is None where it is not defined, and ``why`` says the reason."""

    value: float | None
    why: str | None = None
    low: float | None = None
    high: float | None = None
    units: int = 0
    answers: int = 0
    draws: int = 0


@dataclass(frozen=True)
class Cells:
    """How often each value was given for each unit, for units with two or more answers; only counts above 0.

    Args:
        unit, code, count: one entry per unit and value; units are numbered 0 to ``units - 1``.
        values: one number per code, ascending; the codes of values that are no numbers are in no order.
    """

    unit: Ints
    code: Ints
    count: Ints
    units: int
    values: Floats

    @classmethod
    def of(cls, answers: Sequence[Sequence[object]], order: Sequence[object] | None = None) -> Cells:
        """From the answers for each unit. ``order`` lists the values of a scale, ascending, as numbers."""
        pairable = [given for given in answers if len(given) > 1]
        names = list(order) if order is not None else list({a: None for given in pairable for a in given})
        codes = {name: i for i, name in enumerate(names)}
        rows = [(u, codes[a], n) for u, given in enumerate(pairable) for a, n in Counter(given).items()]
        table = np.array(rows, np.int64).reshape(-1, 3)
        values = np.array([float(v) for v in names] if order is not None else range(len(names)), np.float64)  # type: ignore[arg-type]
        return cls(table[:, 0], table[:, 1], table[:, 2], len(pairable), values)

    @property
    def sizes(self) -> Floats:
        """Answers per unit."""
        return np.bincount(self.unit, self.count, self.units).astype(np.float64)


def by_unit(cells: Cells) -> Floats:
    """Share of pairs of answers that agree, per unit."""
    agreeing = np.bincount(cells.unit, cells.count * (cells.count - 1), cells.units)
    return agreeing / (cells.sizes * (cells.sizes - 1))


def percent(cells: Cells) -> Measure:
    if cells.units == 0:
        return Measure(None, NO_PAIRS)

    def statistic(kinds: Cells) -> Statistic:
        shares = by_unit(kinds)
        return lambda weight: float(shares @ weight / weight.sum())

    return _measured(cells, statistic)


def alpha(cells: Cells, metric: Metric, *, interval: bool = True) -> Measure:
    """Krippendorff's alpha; without its confidence interval if ``interval`` is False."""
    if cells.units == 0:
        return Measure(None, NO_PAIRS)
    return _measured(cells, lambda kinds: _alpha(kinds, metric), interval=interval)


def fleiss(cells: Cells) -> Measure:
    """Fleiss' kappa over the units that have the number of answers that most have (the larger of two equally common ones)."""
    if cells.units == 0:
        return Measure(None, NO_PAIRS)
    sizes, counts = np.unique(cells.sizes, return_counts=True)
    size = sizes[len(sizes) - 1 - np.argmax(counts[::-1])]
    chosen = cells.sizes == size
    number = np.cumsum(chosen) - 1
    keep = chosen[cells.unit]
    same = Cells(number[cells.unit[keep]], cells.code[keep], cells.count[keep], int(chosen.sum()), cells.values)

    def statistic(kinds: Cells) -> Statistic:
        shares = by_unit(kinds)

        def kappa(weight: Floats) -> float | None:
            marginal = np.bincount(kinds.code, kinds.count * weight[kinds.unit], len(kinds.values)) / (weight.sum() * size)
            return _beyond(float(shares @ weight / weight.sum()), float(marginal @ marginal))

        return kappa

    return _measured(same, statistic)


def cohen(a: Sequence[int], b: Sequence[int], values: Sequence[float] | None = None) -> Measure:
    """Cohen's kappa of two raters over the units that both rated. ``values`` (one per code) gives quadratic weights."""
    if len(a) == 0:
        return Measure(None, NO_PAIRS)
    codes = 1 + max(*a, *b)
    table = np.zeros((codes, codes))
    np.add.at(table, (np.asarray(a), np.asarray(b)), 1.0)
    table /= len(a)
    if values is None:
        agreeing = np.eye(codes)
    else:
        numbers = np.asarray(values, np.float64)[:codes]
        agreeing = 1.0 - (numbers[:, None] - numbers) ** 2
    observed, expected = float((table * agreeing).sum()), float((np.outer(table.sum(1), table.sum(0)) * agreeing).sum())
    value = _beyond(observed, expected)
    return Measure(value, NO_VARIATION if value is None else None, units=len(a), answers=2 * len(a))


def specific(cells: Cells) -> tuple[Floats, Floats]:
    """Per code: how often it was given, and the share of pairs with it that agree on it (NaN if it never stood in a pair)."""
    others = cells.count * (cells.sizes[cells.unit] - 1)
    size = len(cells.values)
    agreeing = np.bincount(cells.code, cells.count * (cells.count - 1), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(cells.code, cells.count, size).astype(np.float64), agreeing / np.bincount(cells.code, others, size)


def overlap(a: Floats, b: Floats, grid: int = 64) -> float:
    """IoU of two polygons in the unit square, over the centres of a grid (even-odd rule)."""
    one, two = _raster(a, grid), _raster(b, grid)
    union = int((one | two).sum())
    return float((one & two).sum() / union) if union else 0.0


def _raster(polygon: Floats, grid: int) -> npt.NDArray[np.bool_]:
    centre = (np.arange(grid) + 0.5) / grid
    x, y = np.meshgrid(centre, centre)
    inside = np.zeros((grid, grid), np.bool_)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        spans = (y1 <= y) != (y2 <= y)
        if y1 != y2:
            inside ^= spans & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside


def _alpha(cells: Cells, metric: Metric) -> Statistic:
    """D_o and D_e without the factors that cancel. What does not depend on the weights is computed once."""
    sizes, size = cells.sizes, len(cells.values)
    if metric == "nominal":
        apart = (sizes**2 - np.bincount(cells.unit, cells.count**2, cells.units)) / (sizes - 1)
    elif metric == "interval":
        apart = _apart(cells, sizes, cells.values)

    def alpha(weight: Floats) -> float | None:
        marginal = np.bincount(cells.code, cells.count * weight[cells.unit], size)
        total = marginal.sum()
        if np.count_nonzero(marginal) < 2:
            return None
        if metric == "nominal":
            return float(1 - (total - 1) * (apart @ weight) / (total**2 - marginal @ marginal))
        place = cells.values if metric == "interval" else np.cumsum(marginal) - marginal / 2
        place = place - (marginal @ place) / total  # differences do not change, and nothing large cancels
        observed = (apart if metric == "interval" else _apart(cells, sizes, place)) @ weight
        return float(1 - (total - 1) * observed / (2 * total * (marginal @ place**2)))

    return alpha


def _apart(cells: Cells, sizes: Floats, place: Floats) -> Floats:
    """Per unit, the squared differences of all ordered pairs of answers over the number of answers less one."""
    first = np.bincount(cells.unit, cells.count * place[cells.code], cells.units)
    second = np.bincount(cells.unit, cells.count * place[cells.code] ** 2, cells.units)
    return 2 * (sizes * second - first**2) / (sizes - 1)


def _beyond(observed: float, expected: float) -> float | None:
    return None if 1 - expected < 1e-12 else (observed - expected) / (1 - expected)


def _measured(cells: Cells, statistic: Callable[[Cells], Statistic], *, interval: bool = True) -> Measure:
    """The statistic and its interval. Draws in which it is not defined are left out; with too many of them there is none."""
    kinds, kind_of = _kinds(cells)
    of_weights = statistic(kinds)
    answers = int(cells.count.sum())
    value = of_weights(np.bincount(kind_of, minlength=kinds.units).astype(np.float64))
    if value is None:
        return Measure(None, NO_VARIATION, units=cells.units, answers=answers)
    if cells.units < 2 or not interval:
        return Measure(value, units=cells.units, answers=answers)
    generator = np.random.default_rng(0)
    weights = (
        np.bincount(kind_of[generator.integers(0, cells.units, cells.units)], minlength=kinds.units).astype(np.float64)
        for _ in range(DRAWS)
    )
    drawn = [d for d in map(of_weights, weights) if d is not None]
    if len(drawn) < 0.9 * DRAWS:
        return Measure(value, units=cells.units, answers=answers, draws=len(drawn))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Measure(value, None, float(low), float(high), cells.units, answers, len(drawn))


def _kinds(cells: Cells) -> tuple[Cells, Ints]:
    """Units with the same counts are counted once, with their number as the weight: of twenty thousand units rated by three
    people on five steps there are at most 35 kinds. Also the kind of each unit."""
    starts = np.searchsorted(cells.unit, np.arange(cells.units + 1))
    pairs = np.stack([cells.code, cells.count], axis=1)
    seen: dict[bytes, int] = {}
    kind_of = np.empty(cells.units, np.int64)
    first: list[int] = []
    for unit in range(cells.units):
        part = pairs[starts[unit] : starts[unit + 1]]
        key = part[np.argsort(part[:, 0])].tobytes()
        kind_of[unit] = seen.setdefault(key, len(seen))
        if kind_of[unit] == len(first):
            first.append(unit)
    rows = np.concatenate([np.arange(starts[u], starts[u + 1]) for u in first])
    sizes = np.diff(starts)[first]
    return Cells(np.repeat(np.arange(len(first)), sizes), cells.code[rows], cells.count[rows], len(first), cells.values), kind_of
