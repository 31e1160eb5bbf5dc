"""Evidence as it is found: scores with what random maps get, reasons for those that are missing, curves with their bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from microtome.core.errors import InvalidInput
from microtome.methods.faithfulness.order import SHARES, Floats
from microtome.results import Curves, Scorecard

if TYPE_CHECKING:
    from microtome.methods.attribution.target import Target

#: Names of scores, in the order in which they are shown.
SCORES = (
    "deletion", "insertion", "infidelity", "max-sensitivity", "sparseness", "completeness-gap", "pointing-game", "inside-mass",
    "inside-rank", "randomisation",
)  # fmt: skip


class Sheet:
    """Scores and curves of the maps of one example.

    Attributes:
        draws: what random maps get, by target's name and score, where they were drawn one by one.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = list(targets)
        self.scores: list[Scorecard.Score] = []
        self.draws: dict[tuple[str, str], Floats] = {}
        self._missing: dict[str, list[str]] = {}
        self._series: list[tuple[str, Floats, Floats, Floats]] = []

    def add(
        self, target: Target, name: str, value: float, unit: str = "", *, chance: float | None = None, draws: Floats | None = None,
        band: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        """One score. ``draws`` are the values of random maps: their mean is the chance level unless it is known, and they give the band.

        Raises:
            InvalidInput: a value that is not finite, by name.
        """
        if draws is not None:
            self.draws[target.name, name] = draws
            chance = float(draws.mean()) if chance is None else chance
            band = float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))
        low, high = band or (None, None)
        for what, number in ((name, value), (f"chance of {name}", chance), (f"band of {name}", low), (f"band of {name}", high)):
            if number is not None and not np.isfinite(number):
                raise InvalidInput(
                    f"The evidence has a value that is not finite: the {what} for {target.name} is {number}. Nothing was stored.",
                    field="example",
                )
        self.scores.append(
            Scorecard.Score(
                name=name, value=value, unit=unit, group=target.name, chance=chance, chance_low=low, chance_high=high,
                draws=None if draws is None else len(draws),
            )
        )  # fmt: skip

    def leave_out(self, target: Target, names: str, reason: str) -> None:
        """Say why scores are missing that one might look for."""
        self._missing.setdefault(target.name, []).append(f"{names}: {reason}")

    def curve(self, name: str, curve: Floats, random: Floats) -> None:
        """A curve [shares] and those of random orders [draws, shares].

        Raises:
            InvalidInput: a value that is not finite, by name.
        """
        if not (np.isfinite(curve).all() and np.isfinite(random).all()):
            raise InvalidInput(f"The curve '{name}' has values that are not finite. Nothing was stored.", field="example")
        low, high = np.quantile(random, [0.05, 0.95], axis=0)
        self._series.append((name, curve, low, high))

    def missing(self) -> dict[str, str]:
        return {f"left out: {group}": "; ".join(reasons) for group, reasons in self._missing.items()}

    def curves(self, note: str) -> Curves:
        units = list(dict.fromkeys("probability" if t.index is not None else t.unit for t in self._targets))
        arrays = {
            name: np.array([s[place] for s in self._series], np.float32).reshape(-1, len(SHARES))
            for place, name in ((1, "y"), (2, "low"), (3, "high"))
        }
        return Curves(
            title="Deletion and insertion", note=note, series=[s[0] for s in self._series], x_axis="pixels changed (%)",
            y_axis=" or ".join(units), arrays={"x": np.array(SHARES, np.float32) * 100, **arrays},
        )  # fmt: skip

    def scorecard(self, note: str, facts: dict[str, str | int | float | bool | None]) -> Scorecard:
        groups = [t.name for t in self._targets]
        scores = sorted(self.scores, key=lambda s: (groups.index(s.group), SCORES.index(s.name)))
        return Scorecard(title="Evidence", note=note, scores=scores, facts=facts | self.missing())
