"""Readers of texts: what is in a file comes out as it was, and what is no text is left out and named with the byte where it goes wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import micro

from microtome.core.errors import InvalidInput, UnsupportedMedia
from microtome.probes.passages import PASSAGE, passages
from microtome.probes.texts import ROW, SavedDataset, TextFiles


def texts(place: Path) -> TextFiles:
    return TextFiles(f"path:{place}", place)


def all_of(found: TextFiles) -> list[str]:
    return [found.text(i) for i in range(len(found))]


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab é漢😀\n ", min_size=1, max_size=3000))
def test_passages_are_the_whole_text_and_cut_no_character(text: str) -> None:
    data = text.encode()
    spans = passages(data)
    assert b"".join(data[a:b] for a, b in spans) == data
    assert all(0 < b - a <= PASSAGE and data[a:b].decode() is not None for a, b in spans)


def test_a_file_of_several_blocks_comes_out_as_it_was(tmp_path: Path) -> None:
    """2.5 MB, with characters of two bytes across the borders of blocks and a stretch without any line end."""
    whole = "ä = 1\n" * 300_000 + "é" * 250_000 + "\nend\n"
    (tmp_path / "long.txt").write_text(whole, encoding="utf-8")
    found = texts(tmp_path / "long.txt")
    assert "".join(all_of(found)) == whole
    assert not found.reports
    assert found.label(0) is None
    assert found.name(0) == "long.txt@0"


def test_rows_of_tables_and_lines_of_json_have_texts_and_classes(tmp_path: Path) -> None:
    rows = [('a, "b"\nand c', "x"), ("é", "y"), ("plain", "x")]
    with (tmp_path / "t.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("Label", "Text"), *((label, text) for text, label in rows)])
    with (tmp_path / "t.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, "excel-tab").writerows([("text", "label"), *rows])
    lines = [json.dumps({"content": text, "category": label}) for text, label in rows]
    (tmp_path / "t.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    for name in ("t.csv", "t.tsv", "t.jsonl"):
        found = texts(tmp_path / name)
        assert all_of(found) == [text for text, _ in rows], name
        assert [found.classes[found.label(i) or 0] for i in range(3)] == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("binary.txt", b"abc\0def", "byte 3 is zero"),
        ("latin.txt", "abc ä".encode("latin-1"), "not UTF-8 at byte 4"),
        ("bad.jsonl", b'{"text": "a"}\n{"text"', "line 2 is not JSON"),
        ("other.jsonl", b'{"words": "a"}', "has no text"),
        ("number.jsonl", b"3", "no object"),
        ("long.csv", b"text\n" + b"x" * (ROW + 1), "longer than"),
        ("none.csv", b"", "empty"),
        ("nameless.csv", b"a,b\n1,2\n", "has no text"),
    ],
)
def test_what_is_no_text_is_named_and_the_other_files_are_read(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.txt").write_text("good", encoding="utf-8")
    found = texts(tmp_path)
    assert all_of(found) == ["good"]
    [report] = found.reports
    assert report.file == name
    assert reason in report.reason
    with pytest.raises((InvalidInput, UnsupportedMedia), match="no text that can be used"):
        texts(tmp_path / name)


def test_identity_is_of_what_was_read_and_a_file_that_changes_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one text\n", encoding="utf-8")
    before = texts(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UnsupportedMedia, match="has changed"):
        before.text(0)
    path.write_text("another\n", encoding="utf-8")
    assert texts(path).hash != before.hash


def test_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    feature = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [1, 0]}, features=feature).save_to_disk(str(tmp_path / "set"))
    found = SavedDataset(f"path:{tmp_path / 'set'}", tmp_path / "set")
    assert [found.text(i) for i in range(len(found))] == ["a", "b"]
    assert [found.classes[found.label(i) or 0] for i in range(2)] == ["yes", "no"]


def test_characters_that_a_tokenizer_does_not_know_are_tokens_of_their_own() -> None:
    model = micro.load_text("bert")
    text = "def 漢 add"
    tokens = model.tokenizer.encode(text)
    assert [p for p in tokens.pieces(text) if "漢" in p] == ["漢"]
    assert "[UNK]" in [model.tokenizer.text_of(int(i)) for i in tokens.ids]
