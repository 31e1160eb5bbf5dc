"""Probe sets that are folders: images by class, and images with a label PNG each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microtome.core.errors import InvalidInput, MicrotomeError, UnsupportedMedia
from microtome.core.settings import settings
from microtome.probes.base import Concept, ImageArray, ImageSet, LabelArray
from microtome.probes.decode import decode_image, open_checked
from microtome.probes.scan import scan

CLASS_FILE = "labels.csv"
CONCEPT_FILE = "concepts.json"


def _inspect(path: Path, *, orient: bool) -> tuple[int, int]:
    height, width, _ = decode_image(path, settings().image_pixels, path.name, orient=orient).shape
    return height, width


def _class_table(folder: Path) -> dict[str, str]:
    """``labels.csv`` with a header naming ``file`` and ``class`` (or ``label``): file -> class name."""
    path = folder / CLASS_FILE
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        names = {(n or "").strip().lower(): n for n in reader.fieldnames or []}
        file_column = names.get("file") or names.get("filename") or names.get("image")
        class_column = names.get("class") or names.get("label")
        if not file_column or not class_column:
            raise InvalidInput(f"{path} needs a first line with the columns 'file' and 'class'; it has {list(names)}.", field="source")
        return {row[file_column].strip(): row[class_column].strip() for row in reader if row[file_column]}


def _spoilt(file: str, reason: str) -> UnsupportedMedia:
    """A file that was fine when its folder was read and is not any more."""
    return UnsupportedMedia(
        f"{file} could be read when the folder was added and cannot be read any more: {reason.rstrip('.')}. Replace the file or remove "
        "it, then run again: the folder is read anew, and a file that is still damaged is left out and listed.",
        field="probe",
    )


def _image(folder: Path, file: str, *, orient: bool) -> ImageArray:
    try:
        return decode_image(folder / file, settings().image_pixels, file, orient=orient)
    except MicrotomeError as error:
        raise _spoilt(file, error.detail) from None


class ImageFolder(ImageSet):
    """A folder of images. Classes come from ``labels.csv`` if it is there, else from the first level of sub-folders."""

    kind = "images"

    def __init__(self, source: str, folder: Path) -> None:
        self.source, self._folder = source, folder
        table = _class_table(folder)
        found = scan(folder, lambda _: [], lambda p: _inspect(p, orient=True), {CLASS_FILE: json.dumps(table, sort_keys=True)})
        self._files = found.files
        self.hash, self.reports, self.bytes, self.size = found.hash, found.reports, found.bytes, found.size
        self.concepts = ()
        names = [table.get(f) if table else (Path(f).parts[0] if len(Path(f).parts) > 1 else None) for f in self._files]
        self.classes = tuple(sorted({n for n in names if n}))
        place = {name: i for i, name in enumerate(self.classes)}
        self._labels = [place.get(n) if n else None for n in names]

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> ImageArray:
        return _image(self._folder, self._files[index], orient=True)

    def label(self, index: int) -> int | None:
        return self._labels[index]

    def name(self, index: int) -> str:
        return self._files[index]


class _ConceptEntry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    index: int = Field(ge=0, le=65_534)
    name: str = Field(min_length=1, max_length=100)
    category: str = Field("object", min_length=1, max_length=50, pattern=r"^[^:]+$")


class _ConceptFile(BaseModel):
    model_config = ConfigDict(extra="ignore")
    concepts: list[_ConceptEntry] = Field(min_length=1, max_length=65_000)
    ignore: list[int] = Field(default_factory=list)


class SegmentationFolder(ImageSet):
    """``path:FOLDER#split``: images in ``split/``, label PNGs in ``split_labels/``, ``concepts.json`` beside them.

    A label PNG holds one class index per pixel (8 or 16 bit, palettes are read as indices) in the size of its image.
    """

    kind = "segmentation"

    def __init__(self, source: str, folder: Path, split: str) -> None:
        self.source, self._folder = source, folder / split
        self._label_folder = folder / f"{split}_labels"
        concept_path = folder / CONCEPT_FILE
        if not concept_path.exists():
            raise InvalidInput(f"{folder} has {split}_labels but no {CONCEPT_FILE} that names the label values.", field="source")
        text = concept_path.read_text(encoding="utf-8")
        try:
            file = _ConceptFile.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{concept_path}: {where or 'document'}: {first['msg']}.", field="source") from None
        self.concepts = tuple(Concept(c.name, c.category, i) for i, c in enumerate(file.concepts))
        doubled = {c.index for c in file.concepts if sum(d.index == c.index for d in file.concepts) > 1}
        if doubled or len({c.key for c in self.concepts}) < len(self.concepts):
            raise InvalidInput(f"{concept_path} names a concept or an index twice ({sorted(doubled)}).", field="source")
        # From the PNG's values to 1 + place in the list; 0 is nothing, _UNKNOWN is reported.
        self._unknown, self._ignored = 65_535, 65_534
        self._lookup = np.full(65_536, self._unknown, np.uint16)
        for i, entry in enumerate(file.concepts):
            self._lookup[entry.index] = i + 1
        for value in file.ignore:
            self._lookup[value] = self._ignored
        found = scan(self._folder, lambda p: [self._label_path(p)], self._inspect_pair, {CONCEPT_FILE: text})
        self._files = found.files
        self.hash, self.reports, self.bytes, self.size = found.hash, found.reports, found.bytes, found.size
        self.classes = ()

    def _label_path(self, image: Path) -> Path:
        return self._label_folder / image.relative_to(self._folder).with_suffix(".png")

    def _inspect_pair(self, path: Path) -> tuple[int, int]:
        size = _inspect(path, orient=False)
        values = self._read(self._label_path(path))
        if values.shape != size:
            raise ValueError(f"its label PNG has {values.shape[1]} x {values.shape[0]} pixels, the image {size[1]} x {size[0]}")
        unknown = values == self._unknown
        if unknown.any():
            raw = np.unique(self._raw(self._label_path(path))[unknown])
            raise ValueError(f"its label PNG holds values that {CONCEPT_FILE} does not name: {raw[:8].tolist()}")
        return size

    def _raw(self, path: Path) -> npt.NDArray[Any]:
        if not path.exists():
            raise ValueError(f"it has no label file {path.parent.name}/{path.name}")
        image = open_checked(path, settings().image_pixels, path.name)
        if image.mode not in ("L", "P", "I;16", "I", "1"):
            raise ValueError(f"its label PNG has mode {image.mode}; needs one index per pixel (8 or 16 bit grey, or palette)")
        return np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.uint16)

    def _read(self, path: Path) -> LabelArray:
        try:
            return self._lookup[self._raw(path)]
        except (OSError, SyntaxError, MicrotomeError) as error:
            raise ValueError(f"its label PNG cannot be read: {error}") from None

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> ImageArray:
        return _image(self._folder, self._files[index], orient=False)

    def label(self, index: int) -> int | None:
        return None

    def name(self, index: int) -> str:
        return self._files[index]

    def labels(self, index: int) -> LabelArray:
        values = self._values(index)
        return np.where(values == self._ignored, np.uint16(0), values)[None]

    def ignore(self, index: int) -> npt.NDArray[np.bool_]:
        return self._values(index) == self._ignored

    def _values(self, index: int) -> LabelArray:
        path = self._label_path(self._folder / self._files[index])
        try:
            values = self._read(path)
        except ValueError as error:
            raise _spoilt(str(path.relative_to(self._folder.parent)), str(error)) from None
        if (values == self._unknown).any():
            raise _spoilt(str(path.relative_to(self._folder.parent)), f"it holds values that {CONCEPT_FILE} does not name")
        return values
