"""Probe sets that are text: files of plain text, JSON lines, tables, and data sets that the datasets library has saved."""

from __future__ import annotations

import csv
import io
import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microtome.core.errors import InvalidInput, TooLarge, UnsupportedMedia
from microtome.core.keys import content_key, file_hash
from microtome.core.settings import settings
from microtome.probes.base import Report, TextSet
from microtome.probes.passages import passages

#: Plain text, in whatever language.
PLAIN = frozenset({".txt", ".md", ".rst", ".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".go", ".rs", ".html", ".xml", ".tex", ".log"})
TABLES = frozenset({".csv", ".tsv"})
LINES = frozenset({".jsonl", ".ndjson"})
SUFFIXES = PLAIN | TABLES | LINES
#: Names under which a table or an object has its text, and its class.
TEXT_FIELDS, LABEL_FIELDS = ("text", "content", "sentence", "document", "review", "prompt"), ("label", "class", "category", "target")
#: Bytes that are read at a time while a file is looked through.
_BLOCK = 1 << 20
#: Bytes of one row of a table or of JSON lines.
ROW = 200_000


@dataclass(slots=True)
class _Index:
    """Where every example lies: file, first byte, bytes, class (-1 for none). Some 20 bytes an example, whatever the texts."""

    file: array[int] = field(default_factory=lambda: array("l"))
    start: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("l"))
    label: array[int] = field(default_factory=lambda: array("l"))

    def add(self, file: int, start: int, size: int, label: int = -1) -> None:
        if len(self.file) >= settings().max_examples:
            raise TooLarge(
                f"There are more than {settings().max_examples:,} texts. Raise MICROTOME_MAX_EXAMPLES or use less.", field="source"
            )
        self.file.append(file)
        self.start.append(start)
        self.size.append(size)
        self.label.append(label)


class TextFiles(TextSet):
    """``path:FILE`` or ``path:FOLDER``: plain text in passages, rows of CSV or TSV, lines of JSON.

    Files are looked through once, block by block; a text is read from its file when it is asked for, so memory does not grow with them.
    Files that are no UTF-8 text are left out and named.
    """

    kind = "texts"

    def __init__(self, source: str, place: Path) -> None:
        self.source, self.concepts = source, ()
        self._root = place if place.is_dir() else place.parent
        files = sorted(text_files(place)) if place.is_dir() else [place]
        self._index, classes = _Index(), dict[str, int]()
        self._files: list[Path] = []
        reports: list[Report] = []
        hashes: list[list[str]] = []
        for path in files:
            relative = str(path.relative_to(self._root))
            try:
                self._take(path, len(self._files), classes)
            except (UnsupportedMedia, InvalidInput) as error:
                reports.append(Report(relative, error.detail))
                continue
            except OSError as error:
                reports.append(Report(relative, f"it cannot be read: {error.strerror or error}"))
                continue
            self._files.append(path)
            hashes.append([relative, file_hash(path)])
        self.reports, self.classes = tuple(reports), tuple(classes)
        if not len(self._index.file):
            why = f"; the first: {reports[0].file}: {reports[0].reason}" if reports else ""
            raise InvalidInput(f"{place} holds no text that can be used{why}", field="source")
        self.hash = content_key({"texts": hashes, "version": 1})
        self.bytes = sum(p.stat().st_size for p in self._files)

    def _take(self, path: Path, number: int, classes: dict[str, int]) -> None:
        """Add a whole file to the index, or nothing of it."""
        own = _Index()
        suffix = path.suffix.lower()
        rows = _rows(path) if suffix in TABLES else _objects(path) if suffix in LINES else _passages(path)
        known = dict(classes)
        for start, size, label in rows:
            own.add(number, start, size, known.setdefault(label, len(known)) if label is not None else -1)
        classes.update(known)
        for place in zip(own.file, own.start, own.size, own.label, strict=True):
            self._index.add(*place)

    def __len__(self) -> int:
        return len(self._index.file)

    def text(self, index: int) -> str:
        path = self._files[self._index.file[index]]
        try:
            with path.open("rb") as file:
                file.seek(self._index.start[index])
                data = file.read(self._index.size[index]).decode()
            return _text_of(path, data)
        except (OSError, ValueError, KeyError, StopIteration, csv.Error) as error:
            raise UnsupportedMedia(
                f"{path.name} could be read when it was added and cannot be read any more ({type(error).__name__}). It has changed: run "
                "again, and it is read anew.",
                field="probe",
            ) from None

    def label(self, index: int) -> int | None:
        found = self._index.label[index]
        return found if found >= 0 else None

    def name(self, index: int) -> str:
        """The file and the byte where the text begins."""
        path = self._files[self._index.file[index]]
        return f"{path.relative_to(self._root)}@{self._index.start[index]}"


def text_files(folder: Path) -> Iterator[Path]:
    """Text files below a folder; hidden ones and links that leave it are not followed."""
    root = folder.resolve()
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(directory) / name
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and path.resolve().is_relative_to(root):
                yield path


def _refuse_binary(data: bytes, at: int) -> None:
    zero = data.find(b"\0")
    if zero >= 0:
        raise UnsupportedMedia(f"it is no text: byte {at + zero:,} is zero", field="source")


def _decoded(data: bytes, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UnsupportedMedia(
            f"it is not UTF-8 at byte {at + error.start:,}; save it as UTF-8 (iconv -f ENCODING -t utf-8)", field="source"
        ) from None


def _passages(path: Path) -> Iterator[tuple[int, int, str | None]]:
    """Passages of a file of plain text, block by block; a block ends at a line end where it has one."""
    at = 0
    with path.open("rb") as file:
        rest = b""
        while True:
            block = file.read(_BLOCK)
            data = rest + block
            if not data:
                return
            _refuse_binary(data, at)
            spans = passages(data)
            if block and len(spans) > 1:
                spans.pop()  # may go on in the next block
            end = spans[-1][1] if block else len(data)
            if block and len(spans) == 1 and len(data) < 2 * _BLOCK and spans[0][1] == len(data):
                rest = data
                continue
            for start, stop in spans:
                if _decoded(data[start:stop], at + start).strip():
                    yield at + start, stop - start, None
            rest, at = data[end:], at + end
            if not block:
                return


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    at = 0
    with path.open("rb") as file:
        while line := file.readline(ROW + 1):
            if len(line) > ROW:
                raise UnsupportedMedia(f"the row at byte {at:,} is longer than {ROW:,} bytes", field="source")
            yield at, line
            at += len(line)


def _objects(path: Path) -> Iterator[tuple[int, int, str | None]]:
    """Lines of JSON, an object each, with a text and perhaps a class."""
    for number, (at, line) in enumerate(_lines(path), 1):
        _refuse_binary(line, at)
        if not line.strip():
            continue
        try:
            row = json.loads(_decoded(line, at))
            text, label = _fields(row, f"line {number}")
        except json.JSONDecodeError as error:
            raise UnsupportedMedia(f"line {number} is not JSON: {error.msg}", field="source") from None
        if text.strip():
            yield at, len(line), label


def _fields(row: Any, where: str) -> tuple[str, str | None]:
    if not isinstance(row, dict):
        raise InvalidInput(f"{where} is no object with a field '{TEXT_FIELDS[0]}'", field="source")
    names = {str(k).strip().lower(): k for k in row}
    name = next((n for n in TEXT_FIELDS if n in names), None)
    if name is None or not isinstance(row[names[name]], str):
        raise InvalidInput(f"{where} has no text: name the field one of {', '.join(TEXT_FIELDS)}; it has {list(row)[:8]}", field="source")
    label = next((row[names[n]] for n in LABEL_FIELDS if n in names), None)
    return row[names[name]], None if label is None or label == "" else str(label)[:100]


def _dialect(path: Path) -> str:
    return "excel-tab" if path.suffix.lower() == ".tsv" else "excel"


def _rows(path: Path) -> Iterator[tuple[int, int, str | None]]:
    """Rows of a table with a header. A row may hold line breaks within quotes, so it is read with the lines it spans."""
    spans: list[tuple[int, int]] = []

    def feed() -> Iterator[str]:
        for at, line in _lines(path):
            _refuse_binary(line, at)
            spans.append((at, at + len(line)))
            yield _decoded(line, at).removeprefix("\ufeff")

    reader = csv.reader(feed(), _dialect(path))
    try:
        header = next(reader, None)
        if header is None:
            raise UnsupportedMedia("it is empty", field="source")
        spans.clear()
        for row in reader:
            start, stop = spans[0][0], spans[-1][1]
            spans.clear()
            if stop - start > ROW:
                raise UnsupportedMedia(f"the row at byte {start:,} is longer than {ROW:,} bytes", field="source")
            if not row:
                continue
            text, label = _fields(dict(zip(header, row, strict=False)), f"the row at byte {start:,}")
            if text.strip():
                yield start, stop - start, label
    except csv.Error as error:
        raise UnsupportedMedia(f"it is no table: {error}", field="source") from None


def _text_of(path: Path, data: str) -> str:
    """The text of an example, from the bytes that the index names."""
    suffix = path.suffix.lower()
    if suffix in LINES:
        return _fields(json.loads(data), "the line")[0]
    if suffix in TABLES:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, _dialect(path)))
        row = next(csv.reader(io.StringIO(data), _dialect(path)))
        return _fields(dict(zip(header, row, strict=False)), "the row")[0]
    return data


class SavedDataset(TextSet):
    """``path:FOLDER`` that ``datasets`` has written with ``save_to_disk``; needs that library."""

    kind = "texts"

    def __init__(self, source: str, folder: Path) -> None:
        try:
            import datasets
        except ImportError:
            raise InvalidInput(
                f"'{folder}' is a saved data set of Hugging Face; install the library to read it (pip install datasets), or save it as "
                "JSON lines: dataset.to_json('texts.jsonl').",
                field="source",
            ) from None
        try:
            found = datasets.load_from_disk(str(folder))
        except Exception as error:
            raise InvalidInput(f"'{folder}' cannot be read as a data set: {str(error)[:300]}", field="source") from None
        if not isinstance(found, datasets.Dataset):
            raise InvalidInput(
                f"'{folder}' holds several splits: name one of them, {', '.join(found)}, as path:{folder}/SPLIT.", field="source"
            )
        if len(found) > settings().max_examples:
            raise TooLarge(f"'{folder}' has {len(found):,} texts; at most {settings().max_examples:,} are allowed.", field="source")
        names = {n.lower(): n for n in found.column_names}
        text = next((names[n] for n in TEXT_FIELDS if n in names), None)
        label = next((names[n] for n in LABEL_FIELDS if n in names), None)
        if text is None:
            raise InvalidInput(f"'{folder}' has no column of texts: name it one of {', '.join(TEXT_FIELDS)}.", field="source")
        self.source, self.concepts, self.reports = source, (), ()
        self._found, self._text, self._label = found, text, label
        feature = found.features[label] if label is not None else None
        self._values = list(getattr(feature, "names", None) or sorted({str(v) for v in found[label]} if label is not None else set()))
        self.classes = tuple(self._values)
        files = sorted(p for p in folder.iterdir() if p.is_file())
        self.hash = content_key({"dataset": [[p.name, file_hash(p)] for p in files]})
        self.bytes = sum(p.stat().st_size for p in files)

    def __len__(self) -> int:
        return len(self._found)

    def text(self, index: int) -> str:
        return str(self._found[index][self._text])

    def label(self, index: int) -> int | None:
        if self._label is None:
            return None
        value = self._found[index][self._label]
        return (
            int(value) if isinstance(value, int) and hasattr(self._found.features[self._label], "names") else self._values.index(str(value))
        )

    def name(self, index: int) -> str:
        return f"row {index}"
