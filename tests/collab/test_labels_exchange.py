"""Export and import: nothing is lost on the way and back, whatever people wrote; what is wrong is named by row and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from microtome.collab.labels.exchange.exchange import Exchange
from microtome.collab.labels.exchange.files import STYLES, decode, encode
from microtome.core.errors import Conflict, InvalidInput, NotFound, PreconditionRequired, TooLarge
from microtome.core.settings import Settings
from microtome.store import tables as t
from tests.collab.conftest import BOTH, CHOICE, Lab, lab_of

#: What was written about labels, children before parents.
TABLES = (t.rating_revision, t.decision_revision, t.rating, t.decision, t.label_batch, t.label_unit, t.label_set_revision, t.label_set)
EVIL = st.sampled_from(["=1+1", "+a", "-2", "@x", "'quoted", "''", "\tx", "a\nb", 'say "so"', "a,b;c", "日本", "🙂", "null", "true", "1"])
TEXT = st.one_of(EVIL, st.text(min_size=1, max_size=30)).filter(lambda s: "\0" not in s and any(c.isalnum() for c in s))
STEPS = st.lists(
    st.tuples(st.sampled_from(["give", "change", "delete", "machine", "settle", "bulk"]), st.integers(0, 2), st.integers(0, 3), TEXT),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lab]]:
    """Two installations that do not know each other."""
    from microtome.engine import Engine
    from microtome.engine.manifest import ManifestReader
    from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

    found = []
    for name in ("here", "there"):
        folder: Path = tmp_path_factory.mktemp(name)
        (folder / "manifest.json").write_text(orjson.dumps(MANIFEST).decode())
        options = Settings(data_dir=folder / "data", inline=True, source_roots=[folder])
        manifests = ManifestReader(options.data_dir, folder / "manifest.json")
        found.append(lab_of(Engine(options, executor="inline", workshop=FakeWorkshop(), reader=FakeReader(), manifests=manifests)))
    yield found
    for lab in found:
        lab.store.close()


def emptied(lab: Lab) -> Lab:
    with lab.store.write() as connection:
        for table in TABLES:
            connection.execute(delete(table))
    return lab


def live(lab: Lab, steps: Any) -> str:
    """A label set with a history; steps that are refused are part of life."""
    id = lab.make(schema={"type": "text"}, blind=False, name="=cmd|' /C calc'!A0")["id"]
    for action, who, unit, text in steps:
        person = (lab.ada, lab.ben, lab.cyd)[who]
        try:
            if action == "give":
                lab.ratings.give(person, id, "stage1", unit, text)
            elif action == "machine":
                lab.ratings.give(lab.eve, id, "stage1", unit, text, {"name": "=milan", "version": str(who)})
            elif action == "settle":
                lab.decisions.settle(lab.eve, id, "stage1", unit, text, f"-{text}")
            elif action == "bulk":
                lab.ratings.bulk(person, id, [{"layer": "stage1", "unit": u, "answer": text} for u in (unit, (unit + 1) % 4)], None, None)
            else:
                row = lab.ratings.page(person, id, "stage1", unit, person.id, None, 1)["items"][0]
                lab.ratings.change(person, row["id"], str(row["revision"]), answer=text, deleted=action == "delete")
        except (Conflict, IndexError, InvalidInput, PreconditionRequired):
            pass
    return id


def rows(lab: Lab) -> dict[str, Any]:
    """Everything in the tables, as far as a file can carry it: not the number of a row, nor the mark of a request."""
    left_out = {"seq", "token", "imported"}
    with lab.store.read() as connection:
        found = {table.name: [dict(r._mapping) for r in connection.execute(table.select())] for table in TABLES}
        names = {r.id: r.name for r in connection.execute(t.person.select())}
    for table in found.values():
        for row in table:
            row |= {f"{k} name": names[v] for k, v in row.items() if k.endswith("_id") and v in names}
    return {name: sorted(repr({k: v for k, v in row.items() if k not in left_out}) for row in table) for name, table in found.items()}


@settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, format=st.sampled_from(["csv", "json", "parquet"]), style=st.sampled_from(list(STYLES)))
def test_there_and_back_without_loss(places: list[Lab], steps: Any, format: Any, style: Any) -> None:
    here, there = (emptied(lab) for lab in places)
    id = live(here, steps)
    data, _ = Exchange(here.store, here.events).export(here.eve, id, format, style)
    made = Exchange(there.store, there.events).load(there.eve, data, None, None, None)
    assert made["id"] == id
    assert rows(there) == rows(here)
    assert Exchange(there.store, there.events).export(there.eve, id, format, style)[0] == data


@BOTH
def test_every_kind_of_answer_and_every_version(lab: Lab) -> None:
    exchange = Exchange(lab.store, lab.events)
    region = {"example": 1, "polygon": [[0.1, 0.25], [1, 0], [0.3333333333333333, 1]]}
    for schema, answer in (
        (CHOICE, "sky"), (CHOICE | {"several": True}, []), ({"type": "scale", "min": -1, "max": 1, "step": 0.1}, -0.3),
        ({"type": "yes-no"}, False), ({"type": "region"}, region),
    ):  # fmt: skip
        id = lab.make(schema=schema, blind=False)["id"]
        lab.ratings.give(lab.ada, id, "stage1", 0, answer)
        lab.sets.change(lab.eve, id, '"1"', {"question": "Once more?"})
        lab.ratings.give(lab.ben, id, "stage1", 0, answer)
        data, _ = exchange.export(lab.ada, id, "csv", "microtome")
        copy = exchange.load(lab.eve, data, None, None, None)  # its ids are taken here, so it gets others
        assert copy["id"] != id
        assert (copy["version"], copy["answers"], copy["imported"]["by"]) == (2, 2, "Eve")
        got = lab.ratings.page(lab.ada, copy["id"], None, None, None, None, 10)["items"]
        assert [(r["answer"], r["version"], r["author"]["name"]) for r in got] == [(answer, 2, "Ben"), (answer, 1, "Ada")]


def test_a_retry_of_an_import_makes_no_second_set(lab: Lab) -> None:
    exchange = Exchange(lab.store, lab.events)
    data, _ = exchange.export(lab.eve, lab.make(blind=False)["id"], "json", "microtome")
    first = exchange.load(lab.eve, data, "copy", None, "t")
    assert exchange.load(lab.eve, data, "copy", None, "t")["id"] == first["id"]
    assert exchange.load(lab.eve, data, "copy", None, "u")["id"] != first["id"]
    assert first["name"] == "copy"


def test_a_file_with_holes_is_not_given_out(lab: Lab) -> None:
    exchange = Exchange(lab.store, lab.events)
    id = lab.make(schema={"type": "text"})["id"]
    lab.ratings.give(lab.ada, id, "stage1", 0, "zebracrossing")
    lab.ratings.give(lab.ben, id, "stage1", 1, "my own")
    with pytest.raises(Conflict, match="answers for 1 units are hidden"):
        exchange.export(lab.ben, id, "csv", "microtome")
    mine = exchange.export(lab.ben, id, "csv", "microtome", mine=True)[0]
    assert b"my own" in mine
    assert b"zebracrossing" not in mine
    lab.ratings.reveal(lab.eve, id, None)
    assert b"zebracrossing" in exchange.export(lab.eve, id, "csv", "microtome")[0]


def test_a_blind_set_in_which_nobody_else_answered_has_no_holes(lab: Lab) -> None:
    exchange = Exchange(lab.store, lab.events)
    id = lab.make()["id"]
    assert exchange.export(lab.ada, id, "csv", "microtome")
    made = lab.ratings.give(lab.ada, id, "stage1", 1, "sky")
    assert exchange.export(lab.ada, id, "csv", "microtome")
    lab.ratings.change(lab.ada, made["id"], '"1"', deleted=True)
    with pytest.raises(Conflict, match="hidden"):  # the file would hold what it was before
        exchange.export(lab.ben, id, "csv", "microtome")


@BOTH
def test_in_a_team_a_file_speaks_for_nobody_else(lab: Lab) -> None:
    id = lab.make(blind=False)["id"]
    lab.ratings.give(lab.ada, id, "stage1", 0, "sky")
    lab.ratings.give(lab.eve, id, "stage1", 0, "tree")
    lab.ratings.bulk(lab.ben, id, [{"layer": "stage1", "unit": 1, "answer": "wall"}], None, None)
    lab.decisions.settle(lab.eve, id, "stage1", 1, "wall", "")
    exchange = Exchange(lab.store, lab.events, team=True)
    data = exchange.export(lab.eve, id, "json", "microtome")[0].replace(b'"Ada"', b'"Ada Forged"')
    made = exchange.load(lab.eve, data, None, None, "t")
    assert exchange.load(lab.eve, data, None, None, "t")["id"] == made["id"]
    got = lab.ratings.page(lab.eve, made["id"], None, None, None, None, 9)["items"]
    authors = {r["author"]["name"]: r["author"]["id"] for r in got}
    assert set(authors) == {"Ada Forged", "Ben", "Eve"}
    assert authors["Eve"] == lab.eve.id
    assert not {lab.ada.id, lab.ben.id} & set(authors.values())
    assert lab.sets.get(lab.ada, made["id"])["mine"] == 0
    assert lab.sets.get(lab.eve, made["id"])["mine"] == 1
    with lab.store.read() as connection:
        batches = connection.execute(t.label_batch.select().where(t.label_batch.c.set_id == made["id"]))
        assert [b.person_id for b in batches] == [authors["Ben"]]


def spoilt_content(lab: Lab, kind: str, change: Any) -> bytes:
    """An export in which the content of the first row of a kind is another."""
    data, _ = Exchange(lab.store, lab.events).export(lab.eve, live(lab, [("bulk", 0, 0, "sky")]), "json", "microtome")
    document = orjson.loads(data)
    row = next(row for row in document["rows"] if row["kind"] == kind)
    if "version" in change:
        row |= change
    else:
        row["content"] = orjson.dumps(orjson.loads(row["content"]) | change).decode()
    return orjson.dumps(document)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("set", {"selection": {"nonsense": 1}}, "'selection.nonsense'"),
        ("set", {"selection": {"text": "a\0"}}, "null character"),
        ("set", {"name": "a\0b"}, "null character"),
        ("set", {"name": "a\nb"}, "'name'"),
        ("set", {"name": " "}, "'name'"),
        ("set", {"question": "\0"}, "null character"),
        ("set", {"raters": 51}, "'raters'"),
        ("set", {"raters": True}, "'raters'"),
        ("set", {"blind": "yes"}, "'blind'"),
        ("set", {"schema": None}, "'schema'"),
        ("set", {"schema": {"type": "scale", "min": 0, "max": 1, "low": "\0"}}, "null character"),
        ("set", {"probe": "p" * 65}, "'probe'"),
        ("set", {"version": 10**15}, "column 'version': must be 1 to 2,147,483,647"),
        ("set", {"version": -1}, "column 'version'"),
        ("batch", {"ratings": 10**15}, "'ratings'"),
        ("batch", {"ratings": -1}, "'ratings'"),
        ("batch", {"undone": "yesterday"}, "'undone'"),
    ],
)
def test_content_has_the_bounds_of_what_is_made_here(lab: Lab, kind: str, change: Any, words: str) -> None:
    data = spoilt_content(lab, kind, change)
    before = rows(lab)
    with pytest.raises(InvalidInput, match=words):
        Exchange(lab.store, lab.events).load(lab.eve, data, None, None, None)
    assert rows(lab) == before


def test_a_selection_comes_along(lab: Lab) -> None:
    made = Exchange(lab.store, lab.events).load(
        lab.eve, spoilt_content(lab, "set", {"selection": {"layers": ["stage1"]}}), None, None, None
    )
    assert made["selection"]["layers"] == ["stage1"]


def test_formulas_are_text_in_a_spreadsheet(lab: Lab) -> None:
    data, _ = Exchange(lab.store, lab.events).export(
        lab.eve, live(lab, [("give", 0, 0, "=1+1"), ("give", 1, 0, "'x")]), "csv", "milannotations"
    )
    cells = [cell for row in csv.reader(io.StringIO(data.decode(), newline="")) for cell in row]
    assert "'=1+1" in cells
    assert "''x" in cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


NEURONPEDIA = [
    {"modelId": "fake", "layer": "stage1", "index": "2", "description": "sky at dusk", "authorName": None,
     "explanationModelName": "gpt-4o-mini", "typeName": "np_max-act", "createdAt": "2025-03-01T10:00:00+01:00", "scoreV1": 0.4},
    {"modelId": "fake", "layer": "stage1", "index": "2", "description": "=skies", "authorName": "Jo Doe", "explanationModelName": None},
]  # fmt: skip


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_explanations_of_others(lab: Lab, format: str) -> None:
    names = list(NEURONPEDIA[0])
    if format == "json":
        data = orjson.dumps(NEURONPEDIA)
    elif format == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(NEURONPEDIA)
        data = text.getvalue().encode()
    else:
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([{n: row.get(n) for n in names} for row in NEURONPEDIA]), out)
        data = out.getvalue()
    made = Exchange(lab.store, lab.events).load(lab.eve, data, "from elsewhere", None, None)
    assert (made["units"], made["answers"], made["machine_answers"], made["imported"]["ignored"]) == (1, 1, 1, ["scoreV1"])
    human, machine = lab.ratings.page(lab.ada, made["id"], None, None, None, None, 9)["items"]
    assert (human["answer"], human["author"]["name"]) == ("=skies", "Jo Doe")
    assert machine["machine"] == {"name": "gpt-4o-mini", "version": "np_max-act"}
    assert machine["created"] == "2025-03-01T09:00:00.000000Z"


def test_annotations_without_authors(lab: Lab) -> None:
    data = b"model,layer,unit,annotation\r\nfake,stage1,0,sky\r\nfake,stage1,0,blue things\r\nfake,stage2,3,trees\r\n"
    made = Exchange(lab.store, lab.events).load(lab.eve, data, None, None, None)
    assert (made["units"], made["answers"], made["raters"]) == (2, 3, 2)
    items = lab.ratings.page(lab.ada, made["id"], None, None, None, None, 9)["items"]
    assert sorted((r["layer"], r["author"]["name"], r["answer"]) for r in items) == [
        ("stage1", "annotator 1", "sky"), ("stage1", "annotator 2", "blue things"), ("stage2", "annotator 1", "trees"),
    ]  # fmt: skip


def spoilt(lab: Lab, **change: Any) -> bytes:
    """An export in which the answer's row (number 8: after one of the set and six units) has other cells."""
    id = live(lab, [("give", 0, 0, "sky")])
    data, _ = Exchange(lab.store, lab.events).export(lab.eve, id, "json", "microtome")
    document = orjson.loads(data)
    assert document["rows"][7]["kind"] == "rating"
    document["rows"][7] |= change
    return orjson.dumps(document)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": "7"}, "Row 8, column 'answer'"),
        ({"answer": "{"}, "Row 8, column 'answer': is no JSON"),
        ({"unit": 5}, "Row 8, column 'unit'"),
        ({"unit": "x"}, "Row 8, column 'unit': a whole number"),
        ({"deleted": "maybe"}, "Row 8, column 'deleted': true or false"),
        ({"revision": 2}, "Row 8, column 'revision': revision 1 is next"),
        ({"version": 9}, "Row 8, column 'version'"),
        ({"at": "yesterday"}, "Row 8, column 'at'"),
        ({"person_id": None}, "Row 8, column 'person_id': is empty"),
        ({"person_id": "../x"}, "Row 8, column 'person_id': is no id"),
        ({"person_name": "Somebody else"}, "Row 8, column 'batch'|Row 8, column 'person_name'|called"),
        ({"batch": "nope"}, "Row 8, column 'batch'"),
        ({"machine_name": "a@b", "machine_version": "1"}, "Row 8, column 'machine_name'"),
        ({"machine_name": "a\tb", "machine_version": "1"}, "Row 8, column 'machine_name'"),
        ({"kind": "mood"}, "Row 8, column 'kind'"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(lab: Lab, change: Any, words: str) -> None:
    if "person_name" in change:
        change = change | {"person_id": lab.eve.id}
    data = spoilt(lab, **change)
    before = rows(lab)
    with pytest.raises(InvalidInput, match=words):
        Exchange(lab.store, lab.events).load(lab.eve, data, None, None, None)
    assert rows(lab) == before


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidInput), (b"\xff\xfe\x00", InvalidInput), (b"{", InvalidInput), (b"[1]", InvalidInput), (b"PAR1xxxxPAR1", InvalidInput),
        (b"a,a\n1,2\n", InvalidInput), (b"a,b\n1\n", InvalidInput), (b'a\n"x', InvalidInput), (b"kind,id\nset,\n", InvalidInput),
        (b"model,layer,unit,annotation\nfake,stage9,0,sky\n", NotFound),
        (b"model,layer,unit,annotation\nfake,stage1,77,sky\n", InvalidInput),
        (b"model,layer,unit,annotation\na,stage1,0,sky\nb,stage1,0,sky\n", InvalidInput),
        (b"model,layer,unit,annotation\nfake,stage1,0,\n", InvalidInput), (b"x\n" + b"y\n" * 200_001, TooLarge),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused(lab: Lab, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        Exchange(lab.store, lab.events).load(lab.eve, data, None, None, None)


@given(st.lists(st.text(max_size=20).filter(lambda s: "\0" not in s and s != ""), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_any_text_survives_a_csv_cell(texts: list[str]) -> None:
    from microtome.collab.labels.exchange.rows import COLUMNS

    table = [dict.fromkeys(COLUMNS) | {"kind": "rating", "reason": text} for text in texts]
    assert [row["reason"] for row in decode(encode(table, "csv", "microtome"))[0]] == texts
