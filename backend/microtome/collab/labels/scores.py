"""Agreement of a label set from its stored answers, as far as I may see them; remembered until an answer changes."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, Row, func, select

from microtome.collab.labels import agreement as agree
from microtome.collab.labels.agreement import Cells, Measure
from microtome.collab.labels.schema import ChoiceAnswer, RegionAnswer, ScaleAnswer, Schema, checked, read_schema, value_of
from microtome.collab.labels.sets import find_set
from microtome.collab.labels.visible import visible
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.core.errors import InvalidInput
from microtome.store import Store
from microtome.store import tables as t

KEEP = 32  # remembered answers
RATERS = 20  # whose pairs are listed: those with most answers
VALUES = 60  # that are listed one by one: those given most
Which = Literal["independent", "present"]
COMPARISON = {
    "text": "Texts agree if they are the same after Unicode NFKC, without regard to case, repeated spaces and a final full stop.",
    "choice": "Answers agree if they are the same choice, or the same set of choices.",
    "scale": "Answers agree if they are the same step; ordinal and interval alpha also count how far they are apart.",
    "yes-no": "Answers agree if they are the same.",
    "region": "Regions are compared by overlap (IoU), 0 on different examples; coefficients beyond chance are not defined for them.",
}


@dataclass(frozen=True)
class Given:
    """One living answer that is compared."""

    place: int
    rater: str
    answer: Any
    value: str


class Scores:
    """Agreement by set, pair, machine, answer and unit."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: OrderedDict[Any, Shape] = OrderedDict()
        self._lock = threading.Lock()

    def agreement(self, me: PersonRow, set_id: str, which: Which | None) -> Shape:
        """
        Args:
            which: ``independent``: what each said last without having been able to see others' answers; ``present``: what each
                says now. Left out: independent for blind sets.
        """
        u = t.label_unit
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            chosen: Which = which or ("independent" if of.blind else "present")
            seen = set(connection.execute(select(u.c.place).where(u.c.set_id == set_id, visible(of, me, u.c.place))).scalars())
            key = (set_id, of.revision, _stamp(connection, set_id), chosen, frozenset(seen))
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            shape = _compute(connection, of, seen, chosen)
        with self._lock:
            self._kept[key] = shape
            while len(self._kept) > KEEP:
                self._kept.popitem(last=False)
        return shape


def _stamp(connection: Connection, set_id: str) -> tuple[int, int, str]:
    """Changes whenever an answer of the set does."""
    r = t.rating
    query = select(func.count(), func.coalesce(func.sum(r.c.revision), 0), func.coalesce(func.max(r.c.changed), ""))
    count, total, newest = connection.execute(query.where(r.c.set_id == set_id)).one()
    return int(count), int(total), str(newest)


def _compute(connection: Connection, of: Row[Any], seen: set[int], which: Which) -> Shape:
    schema = read_schema(of.schema)
    rows, hidden = _rows(connection, of, seen, which)
    given, left_out = _valid(schema, of.version, rows)
    people = [g for g in given if g.rater.startswith("p:")]
    machines = [g for g in given if g.rater.startswith("m:")]
    units = {r.place: r for r in connection.execute(select(t.label_unit).where(t.label_unit.c.set_id == of.id))}
    by_place = _by_place(people)
    cells = _cells(schema, by_place.values())
    raters = _raters(connection, given)
    shares = _shares(schema, by_place, cells)
    return {
        "answers": which, "comparison": COMPARISON[schema.type], "units": len(seen), "hidden_units": len(units) - len(seen),
        "hidden_answers": hidden, "left_out": left_out, "units_compared": sum(len(g) > 1 for g in by_place.values()),
        "people": len({g.rater for g in people}), "machines": len({g.rater for g in machines}),
        "measures": _measures(schema, cells, shares), "pairs": _pairs(schema, given, raters),
        "machine_scores": _machine_scores(schema, by_place, machines, raters), "by_answer": _by_answer(schema, by_place),
        "by_unit": [
            {"layer": units[place].layer, "unit": units[place].unit, "answers": len(by_place[place]), "percent": shares.get(place)}
            for place in sorted(by_place)
        ],
    }  # fmt: skip


def _rows(connection: Connection, of: Row[Any], seen: set[int], which: Which) -> tuple[list[Any], int]:
    """Answers that count and that I may see; and how many living ones I may not."""
    r, past = t.rating, t.rating_revision
    living = (r.c.set_id == of.id, r.c.deleted.is_(False))
    query = select(r.c.place, r.c.rater, r.c.answer, r.c.value, r.c.version).where(*living)
    if which == "independent":
        newest = (
            select(past.c.of_id, func.max(past.c.revision).label("revision"))
            .where(past.c.informed.is_(False), past.c.deleted.is_(False))
            .group_by(past.c.of_id)
            .subquery()
        )
        query = (
            select(r.c.place, r.c.rater, past.c.answer, past.c.value, past.c.version)
            .join(newest, newest.c.of_id == r.c.id)
            .join(past, (past.c.of_id == r.c.id) & (past.c.revision == newest.c.revision))
            .where(*living)
        )
    rows = list(connection.execute(query.order_by(r.c.place, r.c.seq)))
    shown = [row for row in rows if row.place in seen]
    return shown, len(rows) - len(shown)


def _valid(schema: Schema, version: int, rows: Sequence[Any]) -> tuple[list[Given], int]:
    """Answers in the terms of the present schema; and how many of an older version are none."""
    given, left_out = [], 0
    for row in rows:
        if row.version == version:
            given.append(Given(row.place, row.rater, row.answer, row.value))
            continue
        try:
            answer = checked(schema, row.answer)
        except InvalidInput:
            left_out += 1
        else:
            given.append(Given(row.place, row.rater, answer, value_of(schema, answer)))
    return given, left_out


def _by_place(given: Sequence[Given]) -> dict[int, list[Given]]:
    found: dict[int, list[Given]] = {}
    for one in given:
        found.setdefault(one.place, []).append(one)
    return found


def _cells(schema: Schema, groups: Any) -> Cells:
    if isinstance(schema, ScaleAnswer):
        steps = [round(schema.min + i * schema.step, 9) + 0.0 for i in range(schema.steps + 1)]
        return Cells.of([[g.answer for g in group] for group in groups], steps)
    return Cells.of([[g.value for g in group] for group in groups])


def _shares(schema: Schema, by_place: Mapping[int, list[Given]], cells: Cells) -> dict[int, float]:
    """Share of pairs that agree, by place; for regions the mean overlap of pairs."""
    compared = [place for place, group in by_place.items() if len(group) > 1]
    if isinstance(schema, RegionAnswer):
        return {place: float(np.mean([_overlap(a.answer, b.answer) for a, b in combinations(by_place[place], 2)])) for place in compared}
    return dict(zip(compared, agree.by_unit(cells).tolist(), strict=True))


def _measures(schema: Schema, cells: Cells, shares: Mapping[int, float]) -> list[Shape]:
    if isinstance(schema, RegionAnswer):
        mean = Measure(float(np.mean(list(shares.values()))), units=len(shares)) if shares else Measure(None, agree.NO_PAIRS)
        return [{"id": "overlap", "title": "Mean overlap (IoU)"} | asdict(mean)]
    found = {
        "percent": ("Percent agreement", agree.percent(cells)),
        "fleiss": ("Fleiss' kappa", agree.fleiss(cells)),
        "alpha-nominal": ("Krippendorff's alpha, nominal", agree.alpha(cells, "nominal")),
    }
    if isinstance(schema, ScaleAnswer):
        found["alpha-ordinal"] = ("Krippendorff's alpha, ordinal", agree.alpha(cells, "ordinal"))
        found["alpha-interval"] = ("Krippendorff's alpha, interval", agree.alpha(cells, "interval"))
    return [{"id": id, "title": title} | asdict(measure) for id, (title, measure) in found.items()]


def _pairs(schema: Schema, given: Sequence[Given], raters: Mapping[str, Shape]) -> list[Shape]:
    """Every two raters over the units that both rated."""
    often = [rater for rater, _ in Counter(g.rater for g in given).most_common(RATERS)]
    answers = {rater: {g.place: g for g in given if g.rater == rater} for rater in often}
    return [
        {"a": raters[a], "b": raters[b]}
        | _compared(schema, [(answers[a][p], answers[b][p]) for p in sorted(answers[a].keys() & answers[b].keys())])
        for a, b in combinations(often, 2)
    ]


def _compared(schema: Schema, pairs: Sequence[tuple[Given, Given]]) -> Shape:
    """Percent agreement and kappa of two raters."""
    if isinstance(schema, RegionAnswer):
        overlaps = [_overlap(a.answer, b.answer) for a, b in pairs]
        share = float(np.mean(overlaps)) if overlaps else None
        why = COMPARISON["region"] if overlaps else agree.NO_PAIRS
        return {"units": len(pairs), "percent": share, "kappa": None, "weighted_kappa": None, "why": why}
    scale = isinstance(schema, ScaleAnswer)
    names: list[Any] = sorted({g.answer if scale else g.value for pair in pairs for g in pair})
    codes = {name: i for i, name in enumerate(names)}
    first, second = ([codes[p[i].answer if scale else p[i].value] for p in pairs] for i in (0, 1))
    kappa = agree.cohen(first, second)
    weighted = agree.cohen(first, second, names).value if scale and pairs else None
    share = float(np.mean(np.equal(first, second))) if pairs else None
    return {"units": len(pairs), "percent": share, "kappa": kappa.value, "weighted_kappa": weighted, "why": kappa.why}


def _machine_scores(
    schema: Schema, by_place: Mapping[int, list[Given]], machines: Sequence[Given], raters: Mapping[str, Shape]
) -> list[Shape]:
    """Each machine against what most people said; units where people are tied are left out and counted."""
    scores = []
    for rater in dict.fromkeys(g.rater for g in machines):
        pairs, ties = [], 0
        for one in (g for g in machines if g.rater == rater and g.place in by_place):
            best = Counter(g.value for g in by_place[one.place]).most_common(2)
            if len(best) > 1 and best[0][1] == best[1][1] and not isinstance(schema, RegionAnswer):
                ties += 1
                continue
            pairs.append((next(g for g in by_place[one.place] if g.value == best[0][0]), one))
        scores.append({"machine": raters[rater]["machine"], "ties": ties} | _compared(schema, pairs))
    return scores


def _by_answer(schema: Schema, by_place: Mapping[int, list[Given]]) -> list[Shape]:
    """For each answer (of several: for each choice, given or not) how far raters agree on it."""
    if isinstance(schema, RegionAnswer):
        return []
    groups = [group for group in by_place.values() if len(group) > 1]
    if isinstance(schema, ChoiceAnswer) and schema.several:
        shown: list[tuple[str, Any]] = [(option, lambda g, o=option: o in g.answer) for option in schema.options]
    else:
        often = Counter(g.value for group in groups for g in group).most_common(VALUES)
        texts = {g.value: str(g.answer) for group in groups for g in group}
        shown = [(texts[value], lambda g, v=value: g.value == v) for value, _ in often]
    found = []
    for name, test in shown:
        one = Cells.of([[bool(test(g)) for g in group] for group in groups], [False, True])
        counts, shares = agree.specific(one)
        value = None if np.isnan(shares[1]) else float(shares[1])
        alpha = agree.alpha(one, "nominal", interval=False)
        found.append(
            {"answer": name, "count": int(counts[1]), "agreement": value, "alpha": alpha.value,
             "why": "Nobody gave this answer." if value is None else alpha.why}
        )  # fmt: skip
    return found


def _raters(connection: Connection, given: Sequence[Given]) -> dict[str, Shape]:
    names = {g.rater for g in given}
    people = named(connection, (rater[2:] for rater in names if rater.startswith("p:")))
    found: dict[str, Shape] = {}
    for rater in names:
        name, _, version = rater[2:].partition("@")
        is_person = rater.startswith("p:")
        found[rater] = {
            "person": people[rater[2:]] if is_person else None, "machine": None if is_person else {"name": name, "version": version},
        }  # fmt: skip
    return found


def _overlap(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    return agree.overlap(_polygon(a), _polygon(b)) if a["example"] == b["example"] else 0.0


def _polygon(region: Mapping[str, Any]) -> agree.Floats:
    if "polygon" in region:
        return np.array(region["polygon"], np.float64)
    left, top, right, bottom = region["rectangle"]
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
