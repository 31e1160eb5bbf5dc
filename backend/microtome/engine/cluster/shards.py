"""The examples of a question, spread over a cluster in blocks.

Blocks begin at multiples of the batch and of the block that moments are summed in, so a block is computed just as it would be in
one process, whoever computes it. A station that is lost takes its blocks with it: they pass through the model again elsewhere,
and answer the question at hand again; all others go on.
"""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from microtome.capture.labels import LabelCodes
from microtome.capture.pieces import Piece
from microtome.capture.reading import sized
from microtome.capture.recorders.batch import Recorder
from microtome.capture.recorders.look import Look
from microtome.capture.recorders.moments import BLOCK
from microtome.capture.recorders.tally import ConceptAreas
from microtome.capture.run import BATCH
from microtome.capture.scratch import scratch_array
from microtome.core.context import RunContext
from microtome.engine.cluster.flights import Flights
from microtome.engine.cluster.pool import Pool, Seat
from microtome.models.model import Model
from microtome.probes import ProbeSet

R = TypeVar("R", bound=Recorder)
Floats = npt.NDArray[np.float32]
Block = tuple[int, int]
#: Blocks each station gets, about: more of them balance better and lose less, fewer cost less to manage.
_PER_SEAT = 8
_LARGEST = 16 * BLOCK
_AHEAD = 2  # calls given to a station at a time, so that it need not wait for the next one


def cut(examples: int, seats: int) -> list[Block]:
    """Blocks of about the same size, beginning at multiples of :data:`BLOCK`."""
    size = min(_LARGEST, BLOCK * max(1, math.ceil(examples / (BLOCK * _PER_SEAT * max(seats, 1)))))
    return [(start, min(start + size, examples)) for start in range(0, examples, size)]


class ClusterShards:
    """Implements :class:`microtome.capture.shard.Shards` over the stations of a pool."""

    def __init__(self, pool: Pool, model: Model, probe: ProbeSet, examples: int, width: int | None) -> None:
        if BLOCK % BATCH:
            raise ValueError(f"blocks of {BLOCK} are no whole batches of {BATCH}")
        self._pool = pool
        self._plan: dict[str, Any] = {
            "model": {"source": model.source, "hash": model.hash}, "probe": {"source": probe.source, "hash": probe.hash}, "width": width,
        }  # fmt: skip
        self._model, self._examples = model, examples
        self._flights = Flights(pool, secrets.token_hex(8))
        self._blocks: list[Block] = []
        self._owner: dict[Block, Seat] = {}
        self._have: dict[Block, set[Piece]] = {}  # pieces that the owner of a block has of it
        self._pieces: list[Piece] = []
        self._run: RunContext | None = None

    # --- passing examples through the model -------------------------------------------------------------------------

    def forward(self, model: Model, pieces: Sequence[Piece], run: RunContext) -> None:
        self._model, self._run = model, run
        if not self._blocks:
            self._blocks = cut(self._examples, len(self._pool.ready(run.check, everybody=True)))
        self._pieces = list(dict.fromkeys([*self._pieces, *pieces]))
        self._place(self._blocks)

    def _lacks(self, block: Block) -> bool:
        self._forget_lost(block)
        return block not in self._owner or not self._have[block].issuperset(self._pieces)

    def _forget_lost(self, block: Block) -> None:
        owner = self._owner.get(block)
        if owner is not None and owner not in self._pool.seats:
            del self._owner[block], self._have[block]

    def _place(self, blocks: Sequence[Block]) -> None:
        """See to it that every one of ``blocks`` is held by a living station, with all pieces."""
        run, flights = self._context(), self._flights
        total = sum(b - a for a, b in blocks if self._lacks((a, b)))
        done = shown = 0

        def show(under_way: int) -> None:
            nonlocal shown
            shown = max(shown, min(done + under_way, total))  # what a lost station had done is done again
            run.progress(shown, total, "images")

        with flights.under(run):
            while waiting := [b for b in blocks if self._lacks(b)]:
                given = flights.blocks
                self._hand_out([b for b in waiting if b not in given])
                for flight in flights.landed(show):
                    [block] = flight.blocks
                    self._owner[block] = flight.seat
                    self._have[block] = {*self._have.get(block, ()), *flight.note}
                    self._model.forward_passes += block[1] - block[0]
                    done += block[1] - block[0]
                show(0)

    def _hand_out(self, waiting: list[Block]) -> None:
        """Give blocks to stations, in turn: those they have a part of already, then those nobody has."""
        seats = self._pool.ready(self._context().check)
        for depth in range(1, _AHEAD + 1):
            for seat in seats:
                block = next((b for b in waiting if self._owner.get(b, seat) is seat), None)
                if block is None or self._flights.count(seat) >= depth:
                    continue
                waiting.remove(block)
                mine = self._owner.get(block) is seat
                pieces = [p for p in self._pieces if not (mine and p in self._have[block])]
                self._flights.send(seat, [block], "forward", self._plan, block, pieces, note=pieces)

    def _context(self) -> RunContext:
        if self._run is None:
            raise RuntimeError("nothing has been passed through the model yet")
        return self._run

    # --- asking all blocks ------------------------------------------------------------------------------------------

    def _ask(self, method: str, *given: Any) -> Iterator[Any]:
        """The answers of stations about all their blocks together, in any order."""
        todo = list(self._blocks)
        while todo:
            self._place(todo)
            with self._flights.under(self._context()):
                for seat in list(dict.fromkeys(self._owner[b] for b in todo)):
                    blocks = [b for b in todo if self._owner[b] is seat]
                    self._flights.send(seat, blocks, method, [start for start, _ in blocks], *given)
                while self._flights.blocks:
                    for flight in self._flights.landed():
                        todo = [b for b in todo if b not in flight.blocks]
                        yield flight.answer

    def _ask_each(self, method: str, given: dict[Block, tuple[Any, ...]]) -> Iterator[tuple[Block, Any]]:
        """The answers about single blocks, in any order; few at a time, because they may be large."""
        todo = list(given)
        while todo:
            self._place(todo)
            with self._flights.under(self._context()):
                for block in todo[: _AHEAD * len(self._pool.seats)]:
                    self._flights.send(self._owner[block], [block], "each", [block[0]], method, *given[block])
                while self._flights.blocks:
                    for flight in self._flights.landed():
                        [block] = flight.blocks
                        todo.remove(block)
                        yield block, flight.answer[0]

    def look(self, piece: Piece) -> Look:
        parts = self._ask("merged", "look", piece)
        total: Look = copy.deepcopy(next(parts))  # what comes from shared memory is read-only
        for part in parts:
            total.merge(part)
        return total

    def record(self, piece: Piece, recorders: Sequence[R], run: RunContext, units: tuple[int, int] | None = None) -> Sequence[R]:
        """Here ``recorders`` must be fresh: every station begins with a copy of them."""
        self._run = run
        parts = self._ask("record", piece, self._pool.ray.put(list(recorders)), units)
        total: list[R] = copy.deepcopy(next(parts))
        for part in parts:
            for mine, other in zip(total, part, strict=True):
                mine.merge(other)
        return total

    def areas(self, concepts: int) -> ConceptAreas:
        return sum(self._ask("merged", "areas", concepts), ConceptAreas(np.zeros(concepts, np.int64), 0))

    def peaks(self, piece: Piece) -> tuple[Floats, npt.NDArray[np.int32]]:
        values = scratch_array((piece.units, self._examples), np.float32)
        sites = scratch_array((piece.units, self._examples), np.int32)
        for (start, stop), found in self._ask_each("peaks", {b: (piece,) for b in self._blocks}):
            values[:, start:stop], sites[:, start:stop] = found
        return values, sites

    def maps(self, piece: Piece, slots: npt.NDArray[np.int32]) -> Floats:
        asked: dict[Block, tuple[Any, ...]] = {}
        places: dict[Block, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]] = {}
        for start, stop in self._blocks:
            inside = (slots >= start) & (slots < stop)
            width = int(inside.sum(axis=1).max(initial=0))
            if width == 0:
                continue
            # the slots of this block to the left, as many columns as the unit with most of them needs
            columns = np.argsort(~inside, axis=1, kind="stable")[:, :width]
            mine = np.take_along_axis(inside, columns, axis=1)
            wanted = np.where(mine, np.take_along_axis(slots, columns, axis=1) - start, 0).astype(np.int32)
            asked[start, stop] = (piece, wanted)
            unit, place = np.nonzero(mine)
            places[start, stop] = (unit, columns[unit, place], place)
        layer = sized(self._model.layers[piece.layer], self._plan["width"])
        out = np.empty((*slots.shape, layer.height, layer.width), np.float32)
        for block, found in self._ask_each("maps", asked):
            unit, column, place = places[block]
            out[unit, column] = found[unit, place]
        return out

    def logits(self) -> Floats:
        out = np.empty((self._examples, len(self._model.classes)), np.float32)
        for (start, stop), found in self._ask_each("logits", {b: () for b in self._blocks}):
            out[start:stop] = found
        return out

    def labels(self) -> LabelCodes:
        codes: npt.NDArray[Any] | None = None
        members: dict[Block, npt.NDArray[np.uint16]] = {}
        counts = np.zeros(self._examples + 1, np.int64)
        for (start, stop), found in self._ask_each("labels", {b: () for b in self._blocks}):
            if codes is None:
                codes = scratch_array((self._examples, *found.codes.shape[1:]), found.codes.dtype)
            codes[start:stop] = found.codes
            counts[start + 1 : stop + 1] = np.diff(found.offsets)
            members[start, stop] = found.members
        if codes is None:
            raise RuntimeError("there are no examples")
        layers = max(m.shape[1] for m in members.values())
        rows = [np.pad(members[b], ((0, 0), (0, layers - members[b].shape[1]))) for b in self._blocks]
        return LabelCodes(codes, np.concatenate(rows), np.cumsum(counts))

    def lengths(self) -> npt.NDArray[np.int32] | None:
        found = dict(self._ask_each("lengths", {b: () for b in self._blocks}))
        parts = [found[b] for b in self._blocks]
        return None if parts[0] is None else np.concatenate(parts)

    # --- forgetting -------------------------------------------------------------------------------------------------

    def drop(self, piece: Piece) -> None:
        self._pieces = [p for p in self._pieces if p != piece]
        for have in self._have.values():
            have.discard(piece)
        self._flights.forget(set(self._owner.values()), piece)

    def close(self) -> None:
        self._flights.forget(set(self._owner.values()), None)
        self._owner.clear()
        self._have.clear()
        self._pieces = []
