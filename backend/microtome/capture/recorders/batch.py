"""What a recorder is given, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.labels import LabelCodes

R = TypeVar("R", bound="Recorder")


@dataclass(frozen=True, slots=True)
class Batch:
    """Activations of consecutive examples: ``maps`` float32 [B, units, h, w] of the examples from ``start`` on, their labels.

    ``lengths`` int32 [B]: of each row, the sites that are used (texts differ in length); None where all are. What is behind them is zero.
    """

    start: int
    maps: npt.NDArray[np.float32]
    labels: LabelCodes
    lengths: npt.NDArray[np.int32] | None = None


class Recorder(Protocol):
    """A small accumulator. Because recorders merge, the same code runs on one device, on several, and on a cluster."""

    def update(self, batch: Batch, do: Arithmetic) -> None:
        """Take in a batch, with the arithmetic of the device at hand."""
        ...

    def merge(self: R, other: R) -> None:
        """Take in what another one of the same kind has seen of other examples."""
        ...
