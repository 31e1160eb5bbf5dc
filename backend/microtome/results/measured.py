"""One number of a result, named so that it can be found again: what a hypothesis is about, and what evidence quotes.

A reference leads to a score of a :class:`Scorecard` (``name``, and ``group`` where names repeat), to a cell of a
:class:`UnitTable` (``row`` is the unit, ``column`` its column) or to a cell of a :class:`Matrix` (``row`` and ``column``, by name or,
where they are numbered, by number).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from microtome.core.errors import InvalidInput
from microtome.results.base import Result
from microtome.results.kinds import Matrix, Scorecard, UnitTable

#: Names that an offer lists; rows or columns beyond are taken too, they are only not listed.
LISTED = 500
#: Columns of a unit table that have their chance level in another column.
CHANCE_OF = {"best_iou": "best_chance"}

Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
Place = Annotated[StrictInt, Field(ge=0, le=100_000_000)] | Text


class Reference(BaseModel):
    """Where a number stands in what a run returns."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    part: str = Field(
        "", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Part of the run, such as a layer; empty if it has one."
    )
    item: Text = Field(description="Name of the result within the part.", examples=["effect"])
    name: Text | None = Field(None, description="Name of a score.", examples=["all classes"])
    group: Text | None = Field(None, description="Group of the score, where names repeat.")
    row: Place | None = Field(None, description="Unit, or row of a matrix by name or number.")
    column: Place | None = Field(None, description="Column, by name or number.")


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with what it must be read with; ``low`` and ``high`` are the 95 % interval."""

    value: float
    title: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    chance_low: float | None = None
    chance_high: float | None = None
    draws: int | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """Numbers that a result has: complete where ``rows`` and ``columns`` are None, else with one of them to be chosen."""

    reference: Reference
    title: str
    unit: str = ""
    row_axis: str = ""
    rows: int | None = None
    row_names: tuple[str, ...] = ()
    column_axis: str = ""
    columns: int | None = None
    column_names: tuple[str, ...] = ()


def measure_in(results: Mapping[str, Result], reference: Reference) -> Measured:
    """The number among the results of one part.

    Raises:
        InvalidInput: there is none of that name; the message names what there is.
    """
    result = results.get(reference.item)
    if result is None:
        raise InvalidInput(f"There is no result '{reference.item}' in this part. It has: {_list(results)}.", field="reference.item")
    return measure(result, reference)


def measure(result: Result, reference: Reference) -> Measured:
    """The number that ``reference`` names in ``result``; ``part`` and ``item`` have been followed already.

    Raises:
        InvalidInput: it does not fit, or the number could not be computed; the message names what there is.
    """
    if isinstance(result, Scorecard):
        return _score(result, reference)
    if isinstance(result, UnitTable):
        return _cell_of_units(result, reference)
    if isinstance(result, Matrix):
        return _cell(result, reference)
    raise InvalidInput(
        f"'{reference.item}' is of the kind {result.kind}, which has no single numbers. Choose a scorecard, a table of units or a matrix.",
        field="reference.item",
    )


def references(result: Result, part: str = "", item: str = "result") -> list[Offered]:
    """The numbers that a form can offer; empty for kinds that have none."""
    if isinstance(result, Scorecard):
        return [
            Offered(Reference(part=part, item=item, name=s.name, group=s.group or None), _title(result, s), s.unit)
            for s in result.scores
            if s.value is not None
        ]
    if isinstance(result, UnitTable):
        return [
            Offered(
                Reference(part=part, item=item, column=head.name), f"{result.title}: {head.title}", head.unit,
                row_axis="unit", rows=len(result.units),
            )
            for head in result.columns
            if head.type != "text"
        ]  # fmt: skip
    if isinstance(result, Matrix):
        rows, columns = result.arrays["values"].shape
        return [
            Offered(
                Reference(part=part, item=item), result.title, result.quantity,
                row_axis=result.row_axis, rows=rows, row_names=tuple(result.rows[:LISTED]),
                column_axis=result.column_axis, columns=columns, column_names=tuple(result.columns[:LISTED]),
            )
        ]  # fmt: skip
    return []


def _title(card: Scorecard, score: Scorecard.Score) -> str:
    return f"{card.title}: {f'{score.group}, ' if score.group else ''}{score.name}"


def _score(card: Scorecard, reference: Reference) -> Measured:
    _unused(reference, "a scorecard", "row", "column")
    if reference.name is None:
        raise InvalidInput(f"Say which score of '{card.title}' is meant: {_scores(card)}.", field="reference.name")
    found = [s for s in card.scores if s.name == reference.name and reference.group in (None, s.group)]
    if not found:
        where = f" in the group '{reference.group}'" if reference.group else ""
        raise InvalidInput(f"'{card.title}' has no score '{reference.name}'{where}. It has: {_scores(card)}.", field="reference.name")
    if len(found) > 1:
        raise InvalidInput(
            f"'{card.title}' has the score '{reference.name}' in several groups: {_list(s.group for s in found)}. Name one.",
            field="reference.group",
        )
    s = found[0]
    value = _known(s.value, f"The score '{s.name}' of '{card.title}'")
    return Measured(value, _title(card, s), s.unit, s.low, s.high, s.chance, s.chance_low, s.chance_high, s.draws)


def _cell_of_units(table: UnitTable, reference: Reference) -> Measured:
    _unused(reference, "a table of units", "name", "group")
    offered = [head.name for head in table.columns if head.type != "text"]
    if reference.column not in offered:
        raise InvalidInput(
            f"'{table.title}' has no column of numbers '{reference.column or ''}'. It has: {_list(offered)}.", field="reference.column"
        )
    unit = _number(reference.row)
    place = [] if unit is None else [i for i in (unit,) if i < len(table.units) and table.units[i] == unit]
    if not place and unit is not None:  # tables need not hold their units in order
        place = [int(i) for i in (table.units == unit).nonzero()[0]]
    if not place:
        first, last = (int(table.units.min()), int(table.units.max())) if len(table.units) else (0, 0)
        raise InvalidInput(
            f"'{table.title}' has {len(table.units):,} units from {first} to {last}; there is no '{_said(reference.row)}'.",
            field="reference.row",
        )
    column = str(reference.column)
    head, values = table.stored(column)
    value = _known(float(values[place[0]]), f"{head.title} of unit {unit}")
    chance = None
    if CHANCE_OF.get(column) in offered:
        known = float(table.stored(CHANCE_OF[column])[1][place[0]])
        chance = known if math.isfinite(known) else None
    return Measured(value, f"{table.title}, unit {unit}: {head.title}", head.unit, chance=chance)


def _cell(matrix: Matrix, reference: Reference) -> Measured:
    _unused(reference, "a matrix", "name", "group")
    rows, columns = matrix.arrays["values"].shape
    row, row_name = _index(reference.row, matrix.rows, rows, matrix.row_axis, matrix, "row")
    column, column_name = _index(reference.column, matrix.columns, columns, matrix.column_axis, matrix, "column")
    title = f"{matrix.title}: {matrix.row_axis} {row_name}, {matrix.column_axis} {column_name}"
    chance = float(matrix.arrays["chance"][row, column]) if "chance" in matrix.arrays else math.nan
    value = _known(float(matrix.arrays["values"][row, column]), title)
    return Measured(value, title, matrix.quantity, chance=chance if math.isfinite(chance) else None)


def _index(wanted: Any, names: Sequence[str], count: int, axis: str, matrix: Matrix, field: str) -> tuple[int, str]:
    """Place of a row or column, and how it is called. A name goes before a number."""
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted), wanted
    number = _number(wanted)
    if number is None or number >= count or (names and isinstance(wanted, str)):
        there = _list(names) if names else f"numbers from 0 to {count - 1}"
        raise InvalidInput(f"'{matrix.title}' has no {axis} '{_said(wanted)}'. It has: {there}.", field=f"reference.{field}")
    return number, names[number] if names else str(number)


def _number(wanted: Any) -> int | None:
    if isinstance(wanted, str):
        return int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 9 else None
    return wanted if isinstance(wanted, int) else None


def _known(value: float | None, what: str) -> float:
    if value is None or not math.isfinite(value):
        raise InvalidInput(f"{what} could not be computed: there is no number.", field="reference")
    return float(value)


def _unused(reference: Reference, what: str, *fields: str) -> None:
    for field in fields:
        if getattr(reference, field) is not None:
            raise InvalidInput(f"'{reference.item}' is {what}: leave out '{field}'.", field=f"reference.{field}")


def _said(value: Any) -> str:
    return "" if value is None else str(value)[:60]


def _scores(card: Scorecard) -> str:
    return _list(f"{s.group} / {s.name}" if s.group else s.name for s in card.scores)


def _list(names: Any, most: int = 12) -> str:
    all_names = [str(name)[:80] for name in names]
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return (", ".join(all_names[:most]) + more) or "nothing"
