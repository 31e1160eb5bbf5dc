"""Parquet and Arrow tables in bounded batches, every value checked; what is wrong is named by file, row and column.

The only module that reads foreign tables. Row groups and record batches have a size limit, so that memory does not
depend on the size of a file; lists must all have the length that the manifest implies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from microtome.core.errors import InvalidInput, TooLarge

Array = npt.NDArray[Any]
Kind = Literal["int", "float", "flag", "text"]
GROUP_BYTES = 2**30  # of one row group or record batch, decompressed
BATCH_BYTES = 32 * 2**20
LONGEST_TEXT = 300
_FOOTER = 64 * 2**20
_FLOAT32 = float(np.finfo(np.float32).max)  # activations are kept in float32


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a table may have.

    Attributes:
        length: values per row when it is a list, None for a plain column.
        low, high: least and largest value allowed, both inclusive.
        empty: null is allowed and means *not measured*; NaN never is.
        names: an integer column may hold these texts instead, which become their places.
    """

    name: str
    kind: Kind
    required: bool = True
    low: float | None = None
    high: float | None = None
    length: int | None = None
    empty: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Batch:
    """Some rows of a table. Absent optional columns are absent.

    ``columns``: int64 (-1 where null), float64 (NaN where null), bool, or object (text, None where null); [rows] or
    [rows, length].
    """

    table: str
    start: int
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def refuse(self, wrong: npt.NDArray[np.bool_], column: str, why: str) -> None:
        """Raise for the first row in which ``wrong`` [rows] or [rows, length] holds.

        Raises:
            InvalidInput: with file, row (from 0), column and value.
        """
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise at(self.table, self.start + place[0], column, place[1] if len(place) > 1 else None, self.columns[column][place], why)


def problem(table: str, text: str) -> InvalidInput:
    return InvalidInput(f"{table}: {text}. Correct the table and its checksum; nothing was imported from it.", field="folder")


def at(table: str, row: int, column: str, entry: int | None, value: Any, why: str) -> InvalidInput:
    """A value that is wrong, with its place."""
    shown = "null" if value is None else f"'{value[:80]}'" if isinstance(value, str) else str(value)
    return problem(table, f"row {row}, column {column}{'' if entry is None else f'[{entry}]'}: {shown} {why}")


def read(path: Path, table: str, rows: int, fields: Sequence[Field]) -> Iterator[Batch]:
    """Checked batches of a table.

    Args:
        table: how errors name it. rows: what the manifest says.

    Raises:
        InvalidInput: it is not a table of its kind, has other columns, types, lengths or values than allowed, or other rows.
        TooLarge: a row group or record batch is larger than 1 GiB.
    """
    per_row = sum(8 * (field.length or 1) for field in fields)
    size = max(1, min(65_536, BATCH_BYTES // per_row))
    start = 0
    try:
        schema, batches = _parquet(path, table, rows, size) if path.suffix == ".parquet" else _arrow(path, table, size)
        known = _known(schema, table, fields)
        for part in batches:
            columns = {field.name: _column(part.column(field.name), field, table, start) for field in known}
            if len(part):
                yield Batch(table, start, columns)
            start += len(part)
    except (pa.ArrowException, OSError, EOFError) as error:
        text = (str(error).splitlines() or [""])[0][:200]
        raise problem(table, f"cannot be read ({text}); it is damaged or not a {path.suffix[1:]} file") from None
    if start != rows:
        raise problem(table, f"has {start:,} rows, the manifest says {rows:,}")


def _too_large(table: str, what: str, size: int) -> TooLarge:
    return TooLarge(
        f"{table}: {what} takes {size:,} bytes, more than {GROUP_BYTES:,}. Write it in smaller pieces (row_group_size=100_000).",
        field="folder",
    )


def _parquet(path: Path, table: str, rows: int, size: int) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    file = pq.ParquetFile(
        path, memory_map=False, pre_buffer=False, buffer_size=2**20, thrift_string_size_limit=_FOOTER, thrift_container_size_limit=10**6
    )
    if file.metadata.num_rows != rows:
        raise problem(table, f"has {file.metadata.num_rows:,} rows, the manifest says {rows:,}")
    for group in range(file.metadata.num_row_groups):
        if (held := file.metadata.row_group(group).total_byte_size) > GROUP_BYTES:
            raise _too_large(table, f"row group {group}", held)
    return file.schema_arrow, file.iter_batches(batch_size=size, use_threads=False)


def _arrow(path: Path, table: str, size: int) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    file = pa.ipc.open_file(pa.memory_map(str(path)))

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            if batch.nbytes > GROUP_BYTES:
                raise _too_large(table, f"record batch {number}", batch.nbytes)
            batch.validate(full=True)  # offsets of a damaged file would otherwise be followed out of its memory
            for start in range(0, len(batch), size):
                yield batch.slice(start, size)

    return file.schema, batches()


def _known(schema: pa.Schema, table: str, fields: Sequence[Field]) -> list[Field]:
    """The fields that the table has, in its order."""
    by_name = {field.name: field for field in fields}
    for name in schema.names:
        if name not in by_name:
            raise problem(table, f"has an unknown column '{name[:80]}'. Columns: {', '.join(by_name)}")
    if len(set(schema.names)) != len(schema.names):
        raise problem(table, "has a column twice")
    for field in fields:
        if field.required and field.name not in schema.names:
            raise problem(table, f"has no column '{field.name}', which is needed. It has {', '.join(schema.names) or 'none'}")
    return [by_name[name] for name in schema.names]


def _column(column: pa.Array, field: Field, table: str, start: int) -> Array:
    """The values of a column, checked."""
    if field.length is None:
        return _plain(column, field, table, start, None)
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        if field.length == 1:  # one value per row needs no list around it
            return _plain(column, field, table, start, None)[:, None]
        raise problem(table, f"column {field.name} is {kind}; it must hold lists of {field.length} numbers")
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    wrong = lengths != field.length
    if wrong.any():
        row = int(wrong.argmax())
        have = "null" if lengths[row] < 0 else f"a list of {lengths[row]}"
        raise at(table, start + row, field.name, None, have, f"has not the {field.length} values that the manifest implies")
    return _plain(column.flatten(), field, table, start, field.length).reshape(len(column), field.length)


_TYPES = {
    "int": (pa.types.is_integer, "integers"),
    "float": (lambda t: pa.types.is_floating(t) or pa.types.is_integer(t), "numbers"),
    "flag": (pa.types.is_boolean, "booleans"),
    "text": (lambda t: pa.types.is_string(t) or pa.types.is_large_string(t), "texts"),
}


def _plain(values: pa.Array, field: Field, table: str, start: int, length: int | None) -> Array:
    if pa.types.is_null(values.type) and field.empty:  # a column of nothing but null has no other type
        values = values.cast({"int": pa.int64(), "float": pa.float64(), "flag": pa.bool_(), "text": pa.string()}[field.kind])
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if field.names and _TYPES["text"][0](kind):
        return _places(values, field, table, start)
    fits, name = _TYPES[field.kind]
    if not fits(kind):
        raise problem(table, f"column {field.name} holds {values.type}; it must hold {name}")

    def refuse(wrong: Array, why: str, show: Any = None) -> None:
        if wrong.any():
            place = int(wrong.argmax())
            row, entry = divmod(place, length) if length else (place, None)
            raise at(table, start + row, field.name, entry, show if show is not None else values[place].as_py(), why)

    if values.null_count and not field.empty:
        refuse(np.asarray(values.is_null().to_numpy(zero_copy_only=False)), "is not allowed here; every row needs a value", "null")
    if field.kind == "text":
        texts = values.dictionary if pa.types.is_dictionary(values.type) else values
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        if longest > LONGEST_TEXT:  # before a dictionary is spelt out row by row
            raise problem(table, f"column {field.name} holds a text of {longest:,} characters; at most {LONGEST_TEXT} are allowed")
        return np.asarray(values.to_numpy(zero_copy_only=False), object)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if field.kind == "flag":
        return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)
    if field.kind == "int":
        found = pc.fill_null(values.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        wrong = np.zeros(len(found), np.bool_)
        if field.low is not None:
            wrong |= (found < field.low) & ~(field.empty & (found == -1))
        if field.high is not None:
            wrong |= found > field.high
        refuse(wrong, f"is outside {_range(field)}")
        return np.asarray(found, np.int64)
    null = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    number = np.array(pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False), np.float64)
    refuse(~np.isfinite(number), "is not a number that can be kept; write null for what was not measured, or leave the column out")
    low, high = field.low if field.low is not None else -_FLOAT32, field.high if field.high is not None else _FLOAT32
    refuse(((number < low) | (number > high)) & ~null, f"is outside {_range(field)}")
    number[null] = np.nan
    return number


def _places(values: pa.Array, field: Field, table: str, start: int) -> Array:
    """Texts as their places in the field's names."""
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    known = {name: place for place, name in enumerate(field.names)}
    place = np.array([known.get(text, -1) for text in coded.dictionary.to_pylist()] + [-1], np.int64)
    found = place[pc.fill_null(coded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)]
    if (found < 0).any():
        row = int((found < 0).argmax())
        raise at(table, start + row, field.name, None, values[row].as_py(), f"is none of the manifest's {len(field.names)} names")
    return found


def _range(field: Field) -> str:
    low = "" if field.low is None else f"{field.low:g}"
    high = "" if field.high is None else f"{field.high:g}"
    return f"{low or 'the float32 range'} to {high}" if high else f"{low} and more" if low else "the range of float32"
