"""What one question is answered from: views of recorded layers, and the passes that record them.

Methods ask views for moments, thresholds, counts and maps; whether the activations were recorded just now, for another question
before, or are spread over a cluster, they do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import arithmetic_for
from microtome.capture.labels import LabelCodes
from microtome.capture.pieces import Piece, bytes_per_unit, split
from microtome.capture.reading import check_fit, input_size, sized, text_width
from microtome.capture.recorders.batch import Recorder
from microtome.capture.recorders.histogram import Histogram
from microtome.capture.recorders.moments import MomentStats
from microtome.capture.recorders.ranked import Ranked
from microtome.capture.recorders.tally import ConceptAreas, Counts, Tally
from microtome.capture.recorders.thresholds import Thresholds, select
from microtome.capture.recorders.troughs import Troughs
from microtome.capture.scratch import scratch_budget
from microtome.capture.shard import Floats, Shard, Shards
from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet

R = TypeVar("R", bound=Recorder)
#: Units whose thresholds are found at a time; the counts of their digits take about 100 kB each.
_UNITS = 512
#: Of model, probe set, number of examples, and tokens of the longest text (None for images).
MakeShards = Callable[[Model, ProbeSet, int, int | None], Shards]


def local_shards(model: Model, probe: ProbeSet, examples: int, width: int | None) -> Shards:
    """All examples in this process, on the model's device."""
    return Shard(probe, 0, examples, arithmetic_for(str(model.device)), width)


@dataclass(slots=True)
class _Holding:
    """What is kept of one model on the first examples of one probe set."""

    shards: Shards
    examples: int
    width: int | None
    bytes: dict[Piece, int] = field(default_factory=dict)
    memo: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    logits: bool = False


class View:
    """Units ``start`` to ``stop`` of a layer over all examples of the question."""

    def __init__(self, layer: Layer, piece: Piece, holding: _Holding, run: RunContext) -> None:
        self.layer, self.piece = layer, piece
        self._holding, self._run = holding, run

    @property
    def units(self) -> int:
        return self.piece.units

    def _once(self, name: str, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        at = (self.piece, name, *key)
        if at not in self._holding.memo:
            self._holding.memo[at] = make()
        return self._holding.memo[at]

    def record(self, *recorders: R, units: tuple[int, int] | None = None) -> Sequence[R]:
        """Feed recorders with every example; several at once share the reading."""
        return self._holding.shards.record(self.piece, recorders, self._run, units)

    def moments(self) -> MomentStats:
        return self._once("moments", (), lambda: self._holding.shards.look(self.piece).moments.finish())

    def peaks(self) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Largest activation of every unit on every example and its site (row-major), [units, examples] each."""
        return self._holding.shards.peaks(self.piece)

    def thresholds(self, grid: tuple[float, ...]) -> Thresholds:
        """Exact thresholds at ascending quantiles."""
        return self._once("thresholds", grid, lambda: self._select(grid))

    def _select(self, grid: tuple[float, ...]) -> Thresholds:
        tops = self._holding.shards.look(self.piece).tops
        parts = []
        for first in range(0, self.units, _UNITS):
            block = (first, min(first + _UNITS, self.units))
            restrict = None if block == (0, self.units) else block

            def count(recorder: Any, units: tuple[int, int] | None = restrict) -> Any:
                return self.record(recorder, units=units)[0]

            parts.append(select(tops[block[0] : block[1]], grid, count, count))
        return Thresholds(grid, np.concatenate([p.values for p in parts]), np.concatenate([p.attained for p in parts]))

    def histogram(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Edges and counts of each unit's activations between its extremes."""
        return self._once("histogram", (), self._histogram)

    def _histogram(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        moments = self.moments()
        return self.record(Histogram(moments.minimum, moments.maximum))[0].finish()

    def tally(self, thresholds: Floats, concepts: int) -> Counts:
        """Counts shared with concepts, at thresholds [units, points]."""
        return self.record(Tally(thresholds, concepts))[0].finish()

    def ranked(self, thresholds: Floats, concepts: int) -> Counts:
        """The same as :meth:`tally` at thresholds that most positions exceed, where sites are positions: in texts."""
        return self.record(Ranked(thresholds, concepts))[0].finish()

    def troughs(self) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Smallest activation of every unit on every example and its site, [units, examples] each."""
        examples = self._holding.examples
        found = self.record(Troughs(self.units, examples))[0]
        return found.values, found.sites

    def maps(self, slots: npt.NDArray[np.int32]) -> Floats:
        """Maps of chosen examples, ``slots`` [units, n], as float32 [units, n, h, w]."""
        return self._holding.shards.maps(self.piece, slots)


class Taken:
    """The examples of a question, and the layers it is about."""

    def __init__(self, model: Model, holding: _Holding, groups: list[list[Piece]], company: Sequence[Piece], run: RunContext) -> None:
        self._model, self._holding, self._groups, self._company, self._run = model, holding, groups, company, run

    @property
    def bytes(self) -> int:
        """Bytes of activations that are kept just now."""
        return sum(self._holding.bytes.values())

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what maps of sites cover: the model's input, or a row of the tokens of the longest text."""
        return input_size(self._model, self._holding.width)

    @property
    def passes(self) -> int:
        """Passes over the examples that the question takes if nothing is kept from before."""
        return max(1, len(self._groups))

    def views(self) -> Iterator[View]:
        """Every layer in order; one that does not fit is given in several parts, each valid until the next is asked for."""
        for group in self._groups:
            if len(self._groups) > 1:
                for piece in [p for p in self._holding.bytes if p not in group]:
                    _drop(self._holding, piece)
            self._record([*group, *self._company])
            for piece in group:
                yield View(sized(self._model.layers[piece.layer], self._holding.width), piece, self._holding, self._run)

    def logits(self) -> Floats:
        """float32 [examples, classes]."""
        self._record(self._company)
        return self._holding.shards.logits()

    def areas(self, concepts: int) -> ConceptAreas:
        """Positions of concepts over all examples; to be asked once something is recorded."""
        at = ("areas", concepts)
        if at not in self._holding.memo:
            self._holding.memo[at] = self._holding.shards.areas(concepts)
        return self._holding.memo[at]

    def labels(self) -> LabelCodes:
        """The labels of all examples; to be asked once something is recorded."""
        return self._holding.shards.labels()

    def lengths(self) -> npt.NDArray[np.int32] | None:
        """Tokens of every text, int32 [examples], as far as the window goes; None for images. To be asked once something is recorded."""
        return self._holding.shards.lengths()

    def _record(self, pieces: Sequence[Piece]) -> None:
        """Make one pass for those ``pieces`` that are not there."""
        holding = self._holding
        missing = [p for p in pieces if p not in holding.bytes]
        if not missing and holding.logits:
            return
        holding.shards.forward(self._model, missing, self._run)
        holding.logits = True
        for piece in missing:
            layer = sized(self._model.layers[piece.layer], holding.width)
            holding.bytes[piece] = bytes_per_unit(layer, holding.examples) * piece.units


def _drop(holding: _Holding, piece: Piece) -> None:
    holding.shards.drop(piece)
    del holding.bytes[piece]
    holding.memo = {key: value for key, value in holding.memo.items() if key[0] != piece}


class Captures:
    """Activations that are kept from question to question, within a bound: the oldest go first.

    Args:
        make: where examples go; this process if left out.
        wanted: names of layers that other waiting questions ask of the same model, probe set and number of examples; a pass that is
            made anyway records them too, if they fit.
    """

    def __init__(self, make: MakeShards = local_shards, wanted: Callable[[str, str, int], Collection[str]] | None = None) -> None:
        self._make, self._wanted = make, wanted
        self._held: dict[tuple[str, str, int], _Holding] = {}  # least recently used first

    @contextmanager
    def open(self, model: Model, probe: ProbeSet, layers: Sequence[Layer], examples: int, run: RunContext) -> Iterator[Taken]:
        """``layers`` over the first ``examples`` of ``probe``. Nothing is computed before a view is asked for.

        Raises:
            TooLarge: not even one unit fits the bound of scratch files.
        """
        check_fit(model, probe)
        key = (model.hash, probe.hash, examples)
        keep = bool(model.hash and probe.hash)  # what has no identity is never taken for something else
        budget = scratch_budget()
        holding = self._held.pop(key, None) if keep else None
        if holding is None:
            width = text_width(model, probe, examples)
            holding = _Holding(self._make(model, probe, examples, width), examples, width)
        try:
            groups = split([sized(layer, holding.width) for layer in layers], examples, budget)
            company: list[Piece] = []
            asked = [piece for group in groups for piece in group]
            if len(groups) <= 1:
                company = self._company(model, asked, key, budget, holding.width) if self._wanted and keep else []
                self._make_room(model, holding, [*asked, *company], budget)
            else:
                self._make_room(model, holding, [], budget)
            yield Taken(model, holding, groups, company, run)
        finally:
            if keep and holding.logits:
                twin = self._held.pop(key, None)  # of a question that came in between
                if twin is not None:
                    twin.shards.close()
                self._held[key] = holding
            else:
                holding.shards.close()

    def close(self) -> None:
        for holding in self._held.values():
            holding.shards.close()
        self._held.clear()

    def _company(self, model: Model, asked: Sequence[Piece], key: tuple[str, str, int], budget: int, width: int | None) -> list[Piece]:
        """Pieces for waiting questions that fit beside those asked for."""
        assert self._wanted is not None
        names = {p.layer for p in asked}
        room = budget - sum(bytes_per_unit(sized(model.layers[p.layer], width), key[2]) * p.units for p in asked)
        out = []
        for layer in model.layers.values():
            if layer.name in names or layer.name not in self._wanted(*key):
                continue
            size = bytes_per_unit(sized(layer, width), key[2]) * layer.units
            if size <= room:
                out.append(Piece(layer.name, 0, layer.units))
                room -= size
        return out

    def _make_room(self, model: Model, holding: _Holding, pieces: Sequence[Piece], budget: int) -> None:
        """Forget what is least recently used until ``pieces`` fit beside what stays."""
        layers = {p: sized(model.layers[p.layer], holding.width) for p in pieces if p not in holding.bytes}
        new = sum(bytes_per_unit(layer, holding.examples) * p.units for p, layer in layers.items())
        need = budget if not pieces else new + sum(holding.bytes.values())
        others = sum(sum(h.bytes.values()) for h in self._held.values())
        while self._held and need + others > budget:
            oldest = self._held.pop(next(iter(self._held)))
            others -= sum(oldest.bytes.values())
            oldest.shards.close()
        for piece in [p for p in holding.bytes if p not in pieces]:
            if need <= budget:
                break
            need -= holding.bytes[piece]
            _drop(holding, piece)


@contextmanager
def captured(model: Model, probe: ProbeSet, layers: Sequence[Layer], examples: int, run: RunContext) -> Iterator[Taken]:
    """:meth:`Captures.open`, with the captures of the run if it has any, so that questions share passes; else for this once."""
    captures: Captures | None = run.captures
    if captures is not None:
        with captures.open(model, probe, layers, examples, run) as taken:
            yield taken
        return
    own = Captures()
    try:
        with own.open(model, probe, layers, examples, run) as taken:
            yield taken
    finally:
        own.close()
