"""Built-in generators as probe sets, drawn once and kept on disk, since everything reads them many times."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.errors import InvalidInput
from microtome.core.keys import content_key
from microtome.core.settings import settings
from microtome.probes import blocks, flowers, tinyplaces
from microtome.probes.base import Concept, ImageArray, ImageSet, LabelArray

DEFAULT_COUNT = 2400
MAX_COUNT = 100_000
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Generator:
    """What draws the pictures of a built-in probe set.

    Attributes:
        version: part of the identity; another drawing of the same index is another version.
        size: height and width of every picture.
        render: (split, index) -> picture, labels and class; a pure function.
        defined_by: class -> keys of the concepts that define it where a picture of class ``label`` holds them.
    """

    name: str
    version: str
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    concepts: tuple[Concept, ...]
    size: tuple[int, int]
    render: Callable[[str, int], Any]
    defined_by: Callable[[int], Mapping[str, tuple[str, ...]]]


GENERATORS = {
    g.name: g
    for g in (
        Generator(
            "tinyplaces", tinyplaces.VERSION, tuple(tinyplaces.SPLITS), tuple(tinyplaces.CLASSES),
            tuple(Concept(c.name, c.category, i) for i, c in enumerate(tinyplaces.CONCEPTS)), (tinyplaces.SIZE, tinyplaces.SIZE),
            tinyplaces.render, lambda label: tinyplaces.DEFINED_BY,
        ),
        Generator(
            "flowers", flowers.VERSION, tuple(flowers.SPLITS), flowers.CLASSES, flowers.CONCEPTS, (flowers.SIZE, flowers.SIZE),
            flowers.render, lambda label: flowers.DEFINED_BY,
        ),
        Generator(
            "blocks", blocks.VERSION, tuple(blocks.SPLITS), blocks.CLASSES, blocks.CONCEPTS, (2 * blocks.SIDE, blocks.SIDE),
            blocks.render, lambda label: {blocks.CLASSES[label]: ("block:signal",)},
        ),
    )
}  # fmt: skip


def _draw(name: str, split: str, start: int, stop: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    drawn = [GENERATORS[name].render(split, i) for i in range(start, stop)]
    return np.stack([d.image for d in drawn]), np.stack([d.labels for d in drawn])


class Generated(ImageSet):
    """``builtin:NAME[#split[:count]]``: generated pictures with exact masks. Default ``#val:2400``."""

    kind = "generator"

    def __init__(self, source: str, name: str, split: str, count: int) -> None:
        generator = GENERATORS[name]
        if split not in generator.splits:
            raise InvalidInput(f"{name} has no split '{split[:40]}'; use {', '.join(generator.splits)}.", field="source")
        if not 1 <= count <= MAX_COUNT:
            raise InvalidInput(f"{name} can give 1 to {MAX_COUNT:,} images, not {count}.", field="source")
        self.source, self._generator, self._split, self._count = source, generator, split, count
        self.hash = content_key({"generator": name, "version": generator.version, "split": split, "count": count})
        self.classes, self.concepts, self.size = generator.classes, generator.concepts, generator.size
        self.reports = ()
        self._images: npt.NDArray[np.uint8] | None = None
        self._masks: npt.NDArray[np.uint8] | None = None
        self._open()

    @property
    def bytes(self) -> int:  # type: ignore[override]
        return sum(p.stat().st_size for p in self._paths() if p.exists())

    def _paths(self) -> tuple[Path, Path]:
        folder = settings().data_dir / "decoded"
        return folder / f"{self.hash}.images.npy", folder / f"{self.hash}.labels.npy"

    def _open(self) -> None:
        images, masks = self._paths()
        if self._images is None and images.exists() and masks.exists():
            self._images, self._masks = np.load(images, mmap_mode="r"), np.load(masks, mmap_mode="r")

    def materialise(self, progress: Callable[[int, int, str], None] = lambda *_: None) -> None:
        """Draw all examples into two files, on all cores. Does nothing if they are there."""
        self._open()
        if self._images is not None:
            return
        spans = [(i, min(i + _CHUNK, self._count)) for i in range(0, self._count, _CHUNK)]
        parts: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]] = []
        # Threads would not help (drawing holds the interpreter lock); a fresh process each has no locks to inherit.
        with ProcessPoolExecutor(min(os.cpu_count() or 1, len(spans)), mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_draw, self._generator.name, self._split, a, b) for a, b in spans]
            try:
                for done, job in enumerate(jobs):
                    parts.append(job.result())
                    progress(spans[done][1], self._count, "images drawn")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        for path, arrays in zip(self._paths(), zip(*parts, strict=True), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False, suffix=".part") as handle:
                np.save(handle, np.concatenate(arrays))
            os.replace(handle.name, path)
        self._open()

    def __len__(self) -> int:
        return self._count

    def image(self, index: int) -> ImageArray:
        if self._images is not None:
            return np.array(self._images[index])
        return np.array(self._generator.render(self._split, index).image)

    def label(self, index: int) -> int | None:
        return index % len(self.classes)

    def name(self, index: int) -> str:
        return f"{self._split}/{index:05d}"

    def labels(self, index: int) -> LabelArray:
        if self._masks is not None:
            return self._masks[index].astype(np.uint16)
        return np.asarray(self._generator.render(self._split, index).labels.astype(np.uint16))

    def class_concepts(self, index: int) -> Mapping[str, tuple[str, ...]]:
        """What defines each class, as far as the picture holds it; a class that it does not show may have something in it all the same."""
        seen = {self.concepts[v - 1].key for v in np.unique(self.labels(index)) if v}
        defined = self._generator.defined_by(index % len(self.classes))
        present = {name: tuple(k for k in keys if k in seen) for name, keys in defined.items()}
        return {name: keys for name, keys in present.items() if keys}
