"""Calls that are under way to stations: sent, watched, landed, lost, called off."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from microtome.core.context import RunContext
from microtome.core.errors import MicrotomeError, Unavailable
from microtome.engine.cluster.pool import Pool, Seat

log = structlog.get_logger("microtome.cluster")
_POLL = 0.1  # seconds between two looks
_STOP = 20.0  # seconds that stations get to end what was called off
_DEATHS = 3  # stations that one block may take with it before it is given up
_numbers = itertools.count()


@dataclass(eq=False, slots=True)
class Flight:
    """One call."""

    seat: Seat
    method: str
    number: int
    blocks: list[tuple[int, int]]
    note: Any
    answer: Any = None


class Flights:
    """Calls of one capture, named ``capture`` on the stations."""

    def __init__(self, pool: Pool, capture: str) -> None:
        self._pool, self._ray, self._capture = pool, pool.ray, capture
        self._flights: dict[Any, Flight] = {}
        self._states: dict[Seat, Any] = {}  # answers to come of how far a station is
        self._far: dict[int, int] = {}  # examples done, by number of the call
        self._deaths: Counter[tuple[str, tuple[int, int]]] = Counter()  # in a row, by method and block
        self._run: RunContext | None = None

    @property
    def blocks(self) -> set[tuple[int, int]]:
        """Blocks that calls are about."""
        return {b for f in self._flights.values() for b in f.blocks}

    def count(self, seat: Seat) -> int:
        """Calls a station has not answered."""
        return sum(f.seat is seat for f in self._flights.values())

    def send(self, seat: Seat, blocks: Sequence[tuple[int, int]], method: str, *given: Any, note: Any = None) -> None:
        """Call a method of a station; ``note`` is kept beside the call."""
        number = next(_numbers)
        ref = getattr(seat.handle, method).remote(number, self._capture, *given)
        self._flights[ref] = Flight(seat, method, number, list(blocks), note)

    @contextmanager
    def under(self, run: RunContext) -> Iterator[None]:
        """Calls inside the block belong to ``run``. When it is left by an error, what is under way is called off."""
        outer, self._run = self._run, run
        try:
            yield
        except BaseException:
            self._call_off()
            raise
        finally:
            self._run = outer

    def _call_off(self) -> None:
        last: dict[Seat, int] = {}
        for flight in self._flights.values():
            last[flight.seat] = max(flight.number, last.get(flight.seat, -1))
        for seat, number in last.items():
            seat.handle.stop.remote(number)
        refs = list(self._flights)
        self._flights.clear()
        if refs:
            _, going = self._ray.wait(refs, num_returns=len(refs), timeout=_STOP)
            if going:
                log.warning("stations still work on what was called off", calls=len(going))

    def landed(self, watch: Callable[[int], None] = lambda _: None) -> list[Flight]:
        """Calls that were answered, none after a moment without. Those of a lost station vanish from what is under way.

        Args:
            watch: told the number of examples that calls under way have done.

        Raises:
            MicrotomeError: the run was cancelled, or what a station raised, naming its host.
        """
        assert self._run is not None
        self._run.check()
        if not self._flights:
            return []
        first, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=_POLL)
        done, _ = self._ray.wait(list(self._flights), num_returns=len(self._flights), timeout=0) if first else ([], [])
        out = []
        for ref in done:
            flight = self._flights.pop(ref)
            self._far.pop(flight.number, None)
            try:
                flight.answer = self._ray.get(ref)
                out.append(flight)
                for block in flight.blocks:
                    self._deaths.pop((flight.method, block), None)
            except self._pool.lost as error:
                self._lost(flight, error)
            except self._ray.exceptions.RayTaskError as error:
                raise self._said(flight.seat, error) from None
        self._ask_how_far()
        watch(sum(self._far.values()))
        return out

    def _lost(self, flight: Flight, error: BaseException) -> None:
        if flight.seat not in self._pool.seats:
            return  # said already, by another call to the same station
        # the oldest call was at work, the others waited behind it
        blamed = min([flight, *(f for f in self._flights.values() if f.seat is flight.seat)], key=lambda f: f.number)
        self._pool.lose(flight.seat)
        self._states.pop(flight.seat, None)
        for block in blamed.blocks:
            self._deaths[blamed.method, block] += 1
            if self._deaths[blamed.method, block] >= _DEATHS:
                raise Unavailable(
                    f"Examples {block[0]} to {block[1] - 1} ended {_DEATHS} workers of the cluster, one after the other; the last was on "
                    f"{(flight.seat.about or {}).get('host')}. Too little memory there is the usual reason: give workers more of it, "
                    "fewer of them to a machine (MICROTOME_RAY_CPUS), or choose fewer layers."
                ) from error

    @staticmethod
    def _said(seat: Seat, error: Any) -> BaseException:
        cause = error.cause
        if isinstance(cause, MicrotomeError):
            told = copy.copy(cause)
            told.detail = f"{cause.detail.rstrip()} This was on {(seat.about or {}).get('host')}."
            told.args = (told.detail,)
            return told
        log.error("a station failed", host=(seat.about or {}).get("host"), trace=str(error)[-4000:])
        return cause if isinstance(cause, Exception) else error

    def _ask_how_far(self) -> None:
        under_way = {f.number for f in self._flights.values()}
        for seat in {f.seat for f in self._flights.values()}:
            if seat not in self._states:
                self._states[seat] = seat.handle.state.remote()
        for seat, ref in list(self._states.items()):
            if self._ray.wait([ref], timeout=0)[0]:
                del self._states[seat]
                try:
                    number, done = self._ray.get(ref)
                except self._pool.lost:
                    continue  # its calls say so too
                if number in under_way:
                    self._far[number] = done
        self._far = {number: done for number, done in self._far.items() if number in under_way}

    def forget(self, seats: Collection[Seat], piece: Any | None) -> None:
        """Have stations forget a piece of the capture, or all of it."""
        refs = [seat.handle.drop.remote(self._capture, piece) for seat in seats if seat in self._pool.seats]
        if refs:  # waited for, because calls of an actor may overtake one another
            self._ray.wait(refs, num_returns=len(refs), timeout=_STOP)
