"""Rows that people sort, filter and join on, made from results by the names of kinds and columns alone.

A large layer has tens of millions of them, so they are made by columns, not one by one, and written by the fastest way each
database has (``store.bulk``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Table, delete, insert, select

from microtome.results import Gallery, Matrix, Result, UnitTable
from microtome.store import tables as t
from microtome.store.bulk import insert_rows
from microtome.store.database import Store

STATS = {c.name for c in t.unit_stat.columns} - {"result", "unit"}
BEST = 8  # rows of unit_concept per unit at most; the whole matrix stays in its blob
SLOTS = 20  # rows of exemplar per unit at most
CHUNK = 65_536  # units whose rows are made at once
STEP = 500_000  # rows removed in one transaction
Rows = tuple[Table, dict[str, Any]]


def index_rows(store: Store, results: Iterable[Result]) -> int:
    """Write the rows of some results under a new number, which is returned.

    They are written in steps, each a short transaction, so that others can write meanwhile; nobody sees them until a result
    has the number. What a crash leaves behind is removed by :func:`sweep_rows`.
    """
    with store.write() as connection:
        number = int(connection.execute(insert(t.row_set).values(at=time.time()).returning(t.row_set.c.number)).scalar_one())
    try:
        for result in results:
            for table, columns in _rows(result):
                with store.write() as connection:
                    insert_rows(connection, table, {"result": number, **columns})
    except BaseException:
        drop_rows(store, [number])
        raise
    return number


def drop_rows(store: Store, numbers: Sequence[int]) -> None:
    """Remove all rows under these numbers, in steps."""
    for number in numbers:
        for table, column in ((t.unit_stat, "unit"), (t.unit_concept, "unit"), (t.exemplar, "example")):
            more, place = True, table.c[column]
            while more:
                with store.write() as connection:
                    ahead = select(place).where(table.c.result == number).order_by(place).offset(STEP).limit(1)
                    edge = connection.execute(ahead).scalar()
                    here = (table.c.result == number,) if edge is None else (table.c.result == number, place <= edge)
                    connection.execute(delete(table).where(*here))
                more = edge is not None
        with store.write() as connection:
            connection.execute(delete(t.row_set).where(t.row_set.c.number == number))


def sweep_rows(store: Store, older_than: float = 3600.0) -> int:
    """Remove rows of results that never came to be. Returns how many results those were.

    Args:
        older_than: seconds; younger rows may belong to a result that is just being written.
    """
    used = select(t.result.c.number).where(t.result.c.number.is_not(None))
    query = select(t.row_set.c.number).where(t.row_set.c.number.not_in(used), t.row_set.c.at < time.time() - older_than)
    with store.read() as connection:
        lost = list(connection.execute(query).scalars())
    drop_rows(store, lost)
    return len(lost)


def _rows(result: Result) -> Iterator[Rows]:
    """Tables and columns of a result's rows, if its kind has any."""
    if isinstance(result, UnitTable):
        yield from _stats(result)
    elif isinstance(result, Matrix) and (result.row_axis, result.column_axis, result.quantity) == ("unit", "concept", "IoU"):
        yield from _concepts(result)
    elif isinstance(result, Gallery):
        yield from _exemplars(result)


def _stats(table: UnitTable) -> Iterator[Rows]:
    names = [head.name for head in table.columns if head.name in STATS and _fits(head.name, head.type)]
    if not names:
        return
    for start in range(0, len(table.units), CHUNK):
        part = slice(start, start + CHUNK)
        columns: dict[str, Any] = {"unit": table.units[part]}
        for name in names:
            head, values = table.stored(name)
            columns[name] = np.array([*(n[:300] for n in head.names), None], object)[values[part]] if head.type == "text" else values[part]
        yield t.unit_stat, columns


def _fits(name: str, type_: str) -> bool:
    """Whether a column of this type can stand in the column of rows: a text in a column of numbers has no place there."""
    wanted = t.unit_stat.c[name].type.python_type
    return type_ in {float: ("number", "integer"), int: ("integer",), bool: ("flag",), str: ("text",)}[wanted]


def _concepts(matrix: Matrix) -> Iterator[Rows]:
    """The best concepts of each unit, as far as they lie above 0 and above what independent masks would give."""
    units, concepts = matrix.arrays["values"].shape
    count = min(BEST, concepts)
    names = np.array([name[:300] for name in matrix.columns], object)
    if count == 0:
        return
    for start in range(0, units, CHUNK):
        part = slice(start, start + CHUNK)
        values = np.nan_to_num(matrix.arrays["values"][part], nan=-1.0)
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        iou = np.take_along_axis(values, order, axis=1)
        others = {n: np.take_along_axis(matrix.arrays[n][part], order, axis=1) for n in ("ceiling", "chance") if n in matrix.arrays}
        unit, rank = np.nonzero((iou > 0) & (iou > others.get("chance", 0)))
        rows = {"unit": unit + start, "rank": rank, "concept": names[order[unit, rank]], "iou": iou[unit, rank]}
        yield t.unit_concept, rows | {n: v[unit, rank] for n, v in others.items()}


def _exemplars(gallery: Gallery) -> Iterator[Rows]:
    """The top exemplars of each unit, sorted as the table is, so that it only grows at its end."""
    slots = [i for i, band in enumerate(gallery.bands) if band == "top"][:SLOTS]
    example: npt.NDArray[Any] = np.asarray(gallery.arrays["example"])[:, slots]
    unit, rank = np.nonzero(example >= 0)
    shown = example[unit, rank]
    order = np.lexsort((unit, rank, shown))
    for start in range(0, len(order), 8 * CHUNK):
        some = order[start : start + 8 * CHUNK]
        u, r = unit[some], rank[some]
        slot = np.asarray(slots)[r]
        site = gallery.arrays["site"][u, slot]
        yield t.exemplar, {
            "example": shown[some], "rank": r, "unit": u, "activation": gallery.arrays["activation"][u, slot],
            "site_row": np.minimum(site[:, 0], 32767), "site_column": np.minimum(site[:, 1], 32767),
        }  # fmt: skip
