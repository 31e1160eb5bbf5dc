"""Rows as files: CSV, JSON or Parquet; with the column names of Microtome, of Neuronpedia or of MILANNOTATIONS.

A cell of a CSV file that a spreadsheet would run as a formula gets an apostrophe in front, which reading takes away again; so
does one that begins with an apostrophe itself, so that nothing is lost. In the other two styles everything that their own
columns cannot hold stands in further columns whose names begin with ``microtome_``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from microtome.collab.labels.exchange.rows import COLUMNS, Flat
from microtome.core.errors import InvalidInput, TooLarge

Format = Literal["csv", "json", "parquet"]
Style = Literal["microtome", "neuronpedia", "milannotations"]
MEDIA: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
ROWS = 200_000
BYTES = 64 * 2**20  # of a file, and unpacked at most eight times that
PREFIX = "microtome_"
#: Columns of other people's files, by ours. ``text`` is the answer as text; the others hold the same as ours do.
STYLES: dict[Style, dict[str, str]] = {
    "microtome": {},
    "neuronpedia": {
        "model": "modelId", "layer": "layer", "unit": "index", "text": "description", "person_id": "authorId",
        "person_name": "authorName", "machine_name": "explanationModelName", "machine_version": "typeName", "at": "createdAt",
    },
    "milannotations": {"model": "model", "layer": "layer", "unit": "unit", "text": "annotation"},
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_ARROW = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}


def encode(rows: Sequence[Flat], format: Format, style: Style) -> bytes:
    """A file of these rows."""
    names = _names(style)
    types = {names[ours]: kind for ours, kind in COLUMNS.items()}
    table = [{names[ours]: row[ours] for ours in COLUMNS} for row in rows]
    if style != "microtome":
        types[names["text"]] = str
        table = [new | {names["text"]: _text(row["answer"])} for new, row in zip(table, rows, strict=True)]
    if format == "json":
        return orjson.dumps({"format": "microtome-labels", "style": style, "rows": table}, option=orjson.OPT_INDENT_2)
    if format == "parquet":
        columns = {name: pa.array([row[name] for row in table], _ARROW[kind]) for name, kind in types.items()}
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out, compression="zstd")
        return out.getvalue()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(types), lineterminator="\r\n")
    writer.writeheader()
    for row in table:
        writer.writerow({name: _guard(_cell(value)) for name, value in row.items()})
    return text.getvalue().encode()


def decode(data: bytes) -> tuple[list[dict[str, Any]], Style, list[str]]:
    """Rows of a file by our names (``text`` for the answer as text), its style, and the columns that nobody knows.

    What the file is, is told by its content. A cell is None where it is empty; its type is the column's.

    Raises:
        InvalidInput, TooLarge: naming row and column where there are some.
    """
    if len(data) > BYTES:
        raise TooLarge(f"The file has {len(data):,} bytes; at most {BYTES:,} are read. Split it.", field="file")
    table, columns = _parquet(data) if data[:4] == b"PAR1" else _json(data) if data.lstrip()[:1] in (b"{", b"[") else _csv(data)
    if len(table) > ROWS:
        raise TooLarge(f"The file has {len(table):,} rows; at most {ROWS:,} are read. Split it.", field="file")
    style: Style = "neuronpedia" if "modelId" in columns else "milannotations" if "annotation" in columns else "microtome"
    ours = {theirs: name for name, theirs in _names(style).items()}
    unknown = sorted(set(columns) - set(ours))
    rows = []
    for number, row in enumerate(table, 1):
        rows.append({ours[name]: _typed(value, ours[name], name, number) for name, value in row.items() if name in ours})
    return rows, style, unknown


def _names(style: Style) -> dict[str, str]:
    """Our names and those in the file."""
    known = STYLES[style]
    names = {ours: known.get(ours, ours if style == "microtome" else PREFIX + ours) for ours in COLUMNS}
    return names | ({"text": known["text"]} if "text" in known else {})


def _text(answer: str | None) -> str | None:
    """An answer as text: itself if it is one, else JSON."""
    if answer is None:
        return None
    value = orjson.loads(answer)
    return value if isinstance(value, str) else answer


def _cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _guard(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unguard(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _typed(value: Any, ours: str, name: str, number: int) -> Any:
    """A cell in the type of its column."""
    kind = COLUMNS.get(ours, str)
    if value is None or (value == "" and kind is not str):
        return None
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind is int and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        wanted = {str: "text", int: "a whole number", bool: "true or false"}[kind]
        raise InvalidInput(f"Row {number}, column '{name}': {wanted} is needed, got {repr(value)[:80]}.", field=name)
    if isinstance(value, str) and "\0" in value:
        raise InvalidInput(f"Row {number}, column '{name}': the text holds a null character.", field=name)
    return value


def _csv(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The file is neither Parquet nor JSON, and no UTF-8 text from byte {error.start} on.", field="file") from error
    csv.field_size_limit(1_000_000)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table: list[dict[str, Any]] = []
    try:
        columns = next(reader, [])
        if not columns or len(set(columns)) < len(columns) or len(columns) > 200:
            raise InvalidInput("The first line must name the columns, each once, at most 200.", field="file")
        for number, row in enumerate(reader, 1):
            if number > ROWS:
                raise TooLarge(f"The file has more than {ROWS:,} rows. Split it.", field="file")
            if len(row) != len(columns):
                raise InvalidInput(f"Row {number} has {len(row)} cells, the heading {len(columns)}.", field="file")
            table.append({name: _unguard(cell) if cell else None for name, cell in zip(columns, row, strict=True)})
    except csv.Error as error:
        raise InvalidInput(f"Row {len(table) + 1} is no CSV: {error}.", field="file") from error
    return table, columns


def _json(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The file begins like JSON, but is none: {error}.", field="file") from error
    rows = document.get("rows") if isinstance(document, Mapping) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput("The file must hold a list of rows, or an object with one under 'rows'.", field="file")
    return rows, list({name: None for row in rows for name in row})


def _parquet(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if file.metadata.num_rows > ROWS or sum(group.total_byte_size for group in groups) > 8 * BYTES:
            raise TooLarge(f"The file has more than {ROWS:,} rows, or {8 * BYTES:,} bytes when unpacked. Split it.", field="file")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"The file begins like Parquet, but cannot be read: {str(error)[:200]}.", field="file") from error
    return table.to_pylist(), list(table.column_names)
