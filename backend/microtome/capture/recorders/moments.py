"""Mean, standard deviation and extremes of every unit's activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Examples whose moments are summed up first. Blocks are merged in order, so the last bit does not depend on who counted them.
BLOCK = 256
_ROOM = 64
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MomentStats:
    """Per unit over all examples and sites: float64 [units] each; population standard deviation."""

    mean: Doubles
    std: Doubles
    minimum: Doubles
    maximum: Doubles
    count: int


class _Block:
    """Merges by Chan, Golub and LeVeque 1979, into arrays [units] of zeros that it is given."""

    def __init__(self, mean: Doubles, squares: Doubles) -> None:
        self.count, self.mean, self.squares = 0, mean, squares

    def add(self, count: int, mean: Doubles, squares: Doubles) -> None:
        total = self.count + count
        shift = mean - self.mean
        self.mean += shift * (count / total)
        self.squares += squares
        self.squares += shift**2 * (self.count * count / total)
        self.count = total


class Moments:
    """Examples must arrive in order within a block of BLOCK examples; blocks may be spread over several recorders."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._blocks: dict[int, _Block] = {}
        # Room for many blocks at a time: small arrays that stay, made between the large ones of each batch, would keep the
        # memory allocator from using theirs again, and memory would grow with the examples.
        self._room: list[Doubles] = []
        self.minimum, self.maximum = np.full(units, np.inf), np.full(units, -np.inf)

    def update(self, start: int, mean: Doubles, squares: Doubles, low: npt.NDArray, high: npt.NDArray, cells: npt.NDArray) -> None:
        """Maps of the examples from ``start`` on by their own moments, [B, units] each; ``cells`` [B] values per map."""
        for row, count in enumerate(cells.tolist()):
            if count:
                self._block((start + row) // BLOCK).add(count, mean[row], squares[row])
        self.minimum = np.minimum(self.minimum, low.min(axis=0))
        self.maximum = np.maximum(self.maximum, high.max(axis=0))

    def _block(self, number: int) -> _Block:
        if number not in self._blocks:
            self._room = self._room or list(np.zeros((_ROOM, 2, self._units)))
            self._blocks[number] = _Block(*self._room.pop())
        return self._blocks[number]

    def merge(self, other: Moments) -> None:
        shared = self._blocks.keys() & other._blocks.keys()
        if shared:
            raise ValueError(f"blocks {sorted(shared)[:5]} were recorded twice; split examples at multiples of {BLOCK}")
        self._blocks |= other._blocks
        self.minimum, self.maximum = np.minimum(self.minimum, other.minimum), np.maximum(self.maximum, other.maximum)

    def finish(self) -> MomentStats:
        whole = _Block(*np.zeros((2, self._units)))
        for _, block in sorted(self._blocks.items()):
            whole.add(block.count, block.mean, block.squares)
        return MomentStats(whole.mean, np.sqrt(whole.squares / max(whole.count, 1)), self.minimum, self.maximum, whole.count)
