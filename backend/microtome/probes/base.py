"""What a probe set is: examples with optional class labels and optional exact concept masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from microtome.core.classes import match_classes

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


class Drawn(NamedTuple):
    """A generated picture: uint8 [H, W, 3], labels uint8 [L, H, W] (0 nothing, v > 0 concept v - 1), and its class."""

    image: ImageArray
    labels: npt.NDArray[np.uint8]
    label: int


@dataclass(frozen=True, slots=True)
class Example:
    """One image: uint8 [H, W, 3], with its class index where it is known.

    Attributes:
        probe, index: where it comes from; None for an upload. Masks are read from there when they are asked for, not before.
    """

    image: ImageArray
    label: int | None
    name: str
    probe: ImageSet | None = field(default=None, repr=False, compare=False)
    index: int | None = None

    def region(self, class_name: str) -> npt.NDArray[np.bool_] | None:
        """bool [H, W] in the geometry of the image: where something lies that speaks for a class. None if nobody says so."""
        if self.probe is None or self.index is None:
            return None
        return self.probe.class_region(self.index, class_name)


class ProbeSet(ABC):
    """Examples a model is looked at with. Reading is thread-safe; nothing here imports torch.

    Attributes:
        source: the text it was opened with.
        hash: sha256 of everything that can change what a model sees.
        concepts: all concepts; empty if the set has no masks.
        size: height and width if all images share one, else None.
        bytes: disk use.
    """

    modality: ClassVar[Literal["image", "text"]]
    kind: ClassVar[str]
    source: str
    hash: str
    classes: tuple[str, ...]
    concepts: tuple[Concept, ...]
    size: tuple[int, int] | None = None
    reports: tuple[Report, ...]
    bytes: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def label(self, index: int) -> int | None:
        """Class index, or None if the set has no classes."""

    @abstractmethod
    def name(self, index: int) -> str:
        """A name a person recognises: the file's path inside the folder."""

    @abstractmethod
    def labels(self, index: int) -> LabelArray | None:
        """uint16 [L, ...] over places: 0 nothing, v > 0 is ``concepts[v - 1]``. Several maps, since concepts overlap. None if none."""


class ImageSet(ProbeSet):
    """Images; places are pixels, and labels [L, H, W]."""

    modality = "image"

    @abstractmethod
    def image(self, index: int) -> ImageArray:
        """uint8 [H, W, 3]."""

    def labels(self, index: int) -> LabelArray | None:
        return None

    def ignore(self, index: int) -> npt.NDArray[np.bool_] | None:
        """bool [H, W]: positions that leave every area. None if there are none."""
        return None

    def class_concepts(self, index: int) -> Mapping[str, tuple[str, ...]]:
        """Class name -> keys of the concepts that define this class in example ``index``; absent where that is not known.

        By default a concept that bears a class's name, in any set that has masks.
        """
        return {concept.name: (concept.key,) for concept in self.concepts}

    def class_region(self, index: int, class_name: str) -> npt.NDArray[np.bool_] | None:
        """bool [H, W]: the union of the concepts that define a class in this example; None if there are none, or all of it is ignored.

        Names are compared as those of a model's classes are (:func:`match_classes`).
        """
        known = self.class_concepts(index)
        names = list(known)
        wanted = {key for place in match_classes(names, [class_name]) for key in known[names[place]]}
        maps = self.labels(index) if wanted else None
        if maps is None:
            return None
        region = np.asarray(np.isin(maps, [c.index + 1 for c in self.concepts if c.key in wanted]).any(axis=0))
        left_out = self.ignore(index)
        if left_out is not None:
            region &= ~left_out
        return region if region.any() else None

    def example(self, index: int) -> Example:
        return Example(self.image(index), self.label(index), self.name(index), self, index)


class TextSet(ProbeSet):
    """Texts; places are characters, and labels [L, characters]."""

    modality = "text"

    @abstractmethod
    def text(self, index: int) -> str: ...

    def labels(self, index: int) -> LabelArray | None:
        return None
