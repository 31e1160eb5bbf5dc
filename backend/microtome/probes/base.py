"""What a probe set is: examples with optional class labels and optional exact concept masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]
LabelArray = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Concept:
    """A named property with a mask over sites. ``index`` is its place in the probe set's list."""

    name: str
    category: str
    index: int

    @property
    def key(self) -> str:
        """``category:name``, unique within a probe set."""
        return f"{self.category}:{self.name}"


@dataclass(frozen=True, slots=True)
class Report:
    """A file that was left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Example:
    """One image: uint8 [H, W, 3], with its class index where it is known."""

    image: ImageArray
    label: int | None
    name: str


class ProbeSet(ABC):
    """Examples a model is looked at with. Reading is thread-safe; nothing here imports torch.

    Attributes:
        source: the text it was opened with.
        hash: sha256 of everything that can change what a model sees.
        concepts: all concepts; empty if the set has no masks.
        size: height and width if all images share one, else None.
        bytes: disk use.
    """

    kind: ClassVar[str]
    source: str
    hash: str
    classes: tuple[str, ...]
    concepts: tuple[Concept, ...]
    size: tuple[int, int] | None
    reports: tuple[Report, ...]
    bytes: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> ImageArray:
        """uint8 [H, W, 3]."""

    @abstractmethod
    def label(self, index: int) -> int | None:
        """Class index, or None if the set has no classes."""

    @abstractmethod
    def name(self, index: int) -> str:
        """A name a person recognises: the file's path inside the folder."""

    def labels(self, index: int) -> LabelArray | None:
        """uint16 [L, H, W]: 0 nothing, v > 0 is ``concepts[v - 1]``. Several maps, since concepts overlap. None if none."""
        return None

    def ignore(self, index: int) -> npt.NDArray[np.bool_] | None:
        """bool [H, W]: positions that leave every area. None if there are none."""
        return None

    def example(self, index: int) -> Example:
        return Example(self.image(index), self.label(index), self.name(index))
