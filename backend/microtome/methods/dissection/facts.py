"""What is measured on a layer, before it becomes results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from microtome.capture.recorders.moments import MomentStats
from microtome.capture.recorders.tally import ConceptAreas, Counts
from microtome.capture.recorders.thresholds import Thresholds
from microtome.capture.scratch import scratch_array
from microtome.capture.taken import Taken, View
from microtome.core.context import RunContext
from microtome.methods.dissection.ranking import Ranking
from microtome.methods.dissection.tokens import TopTokens, Vocabulary
from microtome.models.layers import Layer

F = TypeVar("F")


def by_layer(
    taken: Taken, measure: Callable[[View], F], join: Callable[[Sequence[F]], F], layers: int, run: RunContext
) -> Iterator[tuple[Layer, F]]:
    """What is measured on each layer, its parts joined; reports progress in layers."""
    parts: list[F] = []
    done = 0
    for view in taken.views():
        run.progress(done, layers, "layers counted")
        parts.append(measure(view))
        if view.piece.stop == view.layer.units:
            yield view.layer, join(parts)
            parts, done = [], done + 1
            run.progress(done, layers, "layers counted")


def join_arrays(parts: Sequence[dict[str, npt.NDArray]]) -> dict[str, npt.NDArray]:
    """Arrays of consecutive units as one each."""
    return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """Everything measured on some units; the first axis of every array is theirs.

    ``peaks`` float32 [units, examples]; ``slots`` int32 [units, n] of examples, to which ``slot_values``, ``slot_sites`` and
    ``slot_maps`` [units, n, h, w] belong. ``ranking`` and ``tokens`` of units that read texts.
    """

    thresholds: Thresholds
    moments: MomentStats
    counts: Counts
    histogram: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
    peaks: npt.NDArray[np.float32]
    slots: npt.NDArray[np.int32]
    slot_values: npt.NDArray[np.float32]
    slot_sites: npt.NDArray[np.int32]
    slot_maps: npt.NDArray[np.float32]
    chance_best: npt.NDArray[np.float64] | None
    ranking: Ranking | None = None
    tokens: TopTokens | None = None

    @classmethod
    def join(cls, parts: Sequence[UnitFacts]) -> UnitFacts:
        """The facts of consecutive units as one."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        peaks = scratch_array((sum(len(p.peaks) for p in parts), first.peaks.shape[1]), np.float32)
        np.concatenate([p.peaks for p in parts], out=peaks)

        def all_of(name: str, of: str = "") -> npt.NDArray:
            return np.concatenate([getattr(getattr(p, of), name) if of else getattr(p, name) for p in parts])

        thresholds = Thresholds(first.thresholds.grid, all_of("values", "thresholds"), all_of("attained", "thresholds"))
        mean, std, minimum, maximum = (all_of(name, "moments") for name in ("mean", "std", "minimum", "maximum"))
        moments = MomentStats(mean, std, minimum, maximum, first.moments.count)
        return cls(
            thresholds=thresholds,
            moments=moments,
            counts=Counts(all_of("unit_areas", "counts"), all_of("shared", "counts")),
            histogram=(np.concatenate([p.histogram[0] for p in parts]), np.concatenate([p.histogram[1] for p in parts])),
            peaks=peaks,
            slots=all_of("slots"),
            slot_values=all_of("slot_values"),
            slot_sites=all_of("slot_sites"),
            slot_maps=all_of("slot_maps"),
            chance_best=None if first.chance_best is None else all_of("chance_best"),
            ranking=None
            if first.ranking is None
            else first.ranking._replace(precision=all_of("precision", "ranking"), f1=all_of("f1", "ranking")),
            tokens=None if first.tokens is None else TopTokens(all_of("items", "tokens"), all_of("values", "tokens")),
        )


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A layer's units, and what they are compared with; ``texts`` if they read, with the ``vocabulary`` of what they read."""

    layer: Layer
    units: UnitFacts
    areas: ConceptAreas
    input_size: tuple[int, int]
    concepts: list[str]
    examples: int
    bands: list[str]
    vocabulary: Vocabulary | None = None
