"""Folders as probe sets: what is read, what is left out and why, and that identity covers everything a model sees."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import micro

from microtome.core.errors import Forbidden, InvalidInput, MicrotomeError, NotFound, TooLarge, UnsupportedMedia
from microtome.probes import check_source, decode_image, open_probe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (20 + i, 10), colour).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def test_classes_from_sub_folders(folder: Path) -> None:
    probe = open_probe(f"path:{folder}")
    assert probe.classes == ("cat", "dog")
    assert [probe.label(i) for i in range(len(probe))] == [0, 0, 0, 1, 1, 1]
    assert probe.size is None
    assert probe.image(5).shape == (10, 22, 3)
    assert probe.image(0)[0, 0].tolist() == [255, 0, 0]


def test_classes_from_a_csv(folder: Path) -> None:
    (folder / "labels.csv").write_text("file,class\ncat/0.png,b\ndog/1.png,a\n")
    probe = open_probe(str(folder))
    assert probe.classes == ("a", "b")
    assert {probe.name(i): probe.label(i) for i in range(6)}["dog/1.png"] == 0
    assert {probe.name(i): probe.label(i) for i in range(6)}["cat/1.png"] is None
    (folder / "labels.csv").write_text("picture;kind\n")
    with pytest.raises(InvalidInput, match="columns 'file' and 'class'"):
        open_probe(str(folder))


def test_odd_files_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    whole = (folder / "cat" / "0.png").read_bytes()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3)).astype(np.uint8)).save(folder / "cat" / "half.png")
    data = (folder / "cat" / "half.png").read_bytes()
    (folder / "cat" / "half.png").write_bytes(data[: len(data) // 2])
    (folder / "cat" / "notes.txt").write_text("hello")
    (folder / "cat" / ".hidden.png").write_bytes(whole)
    (tmp_path / "outside.png").write_bytes(whole)
    (folder / "dog" / "link.png").symlink_to(tmp_path / "outside.png")
    Image.new("L", (5, 5), 200).save(folder / "dog" / "grey.png")
    Image.fromarray(np.full((5, 5), 40_000, np.uint16)).save(folder / "dog" / "deep.png")
    Image.new("RGBA", (5, 5), (0, 0, 0, 0)).save(folder / "dog" / "clear.png")
    probe = open_probe(str(folder))
    reports = {r.file: r.reason for r in probe.reports}
    assert set(reports) == {"cat/broken.png", "cat/half.png", "cat/notes.txt", "dog/link.png"}
    assert "damaged" in reports["cat/half.png"]
    found = {probe.name(i): probe.image(i) for i in range(len(probe))}
    assert found["dog/grey.png"][0, 0].tolist() == [200] * 3
    assert found["dog/deep.png"][0, 0].tolist() == [155] * 3
    assert found["dog/clear.png"][0, 0].tolist() == [255] * 3


def test_identity_changes_with_one_pixel_one_label_one_name(folder: Path) -> None:
    first = open_probe(str(folder)).hash
    assert open_probe(str(folder)).hash == first
    image = np.asarray(Image.open(folder / "cat" / "1.png")).copy()
    image[0, 0, 0] -= 1
    before = (folder / "cat" / "1.png").read_bytes()
    Image.fromarray(image).save(folder / "cat" / "1.png")
    assert open_probe(str(folder)).hash != first
    (folder / "cat" / "1.png").write_bytes(before)
    assert open_probe(str(folder)).hash == first
    (folder / "cat" / "1.png").rename(folder / "dog" / "9.png")
    assert open_probe(str(folder)).hash != first


def test_a_segmentation_folder(tmp_path: Path) -> None:
    micro.write_probe(tmp_path / "seg", 4)
    probe = open_probe(f"path:{tmp_path / 'seg'}")
    assert [c.key for c in probe.concepts] == ["object:sky", "object:disc", "part:square", "material:edge"]
    labels, ignore = probe.labels(0), probe.ignore(0)
    raw = np.asarray(Image.open(tmp_path / "seg" / "val_labels" / "000.png"))
    np.testing.assert_array_equal(ignore, raw == 9)
    np.testing.assert_array_equal(labels[0], np.where(raw == 9, 0, raw + 1))


def test_segmentation_problems_are_named(tmp_path: Path) -> None:
    root = micro.write_probe(tmp_path / "seg", 6)
    (root / "val_labels" / "000.png").unlink()
    Image.new("L", (3, 3)).save(root / "val_labels" / "001.png")
    Image.fromarray(np.full((72, 60), 77, np.uint8)).save(root / "val_labels" / "002.png")
    Image.new("RGB", (60, 72)).save(root / "val_labels" / "003.png")
    probe = open_probe(f"path:{root}#val")
    reasons = {r.file: r.reason for r in probe.reports}
    assert "no label file" in reasons["000.png"]
    assert "3 x 3" in reasons["001.png"]
    assert "77" in reasons["002.png"]
    assert "mode RGB" in reasons["003.png"]
    assert [probe.name(i) for i in range(len(probe))] == ["004.png", "005.png"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "document|JSON"),
        ("{}", "concepts"),
        ('{"concepts": [{"index": 0, "name": "a"}, {"index": 0, "name": "b"}]}', "twice"),
        ('{"concepts": [{"index": -1, "name": "a"}]}', "index"),
    ],
)
def test_a_bad_concept_file(tmp_path: Path, text: str, match: str) -> None:
    root = micro.write_probe(tmp_path / "seg", 2)
    (root / "concepts.json").write_text(text)
    with pytest.raises(InvalidInput, match=match):
        open_probe(f"path:{root}#val")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("path:/nowhere/at/all", NotFound),
        ("builtin:nothing", NotFound),
        ("builtin:tinyplaces#nosplit", InvalidInput),
        ("builtin:tinyplaces#val:0", InvalidInput),
        ("builtin:tinyplaces#val:9999999", InvalidInput),
        ("builtin:tinyplaces#../x", InvalidInput),
        ("s3:bucket", InvalidInput),
    ],
)
def test_bad_sources(source: str, error: type[MicrotomeError]) -> None:
    with pytest.raises(error) as caught:
        open_probe(source)
    assert caught.value.field == "source"


def test_empty_folder_and_split_that_climbs_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no images"):
        open_probe(str(tmp_path))
    with pytest.raises(InvalidInput, match="name of a split"):
        open_probe(f"path:{tmp_path}#../etc")


def test_only_allowed_folders_through_the_web(tmp_path: Path) -> None:
    inside = tmp_path / "allowed" / "x"
    inside.mkdir(parents=True)
    (tmp_path / "allowed" / "link").symlink_to(tmp_path)
    check_source(f"path:{inside}", [tmp_path / "allowed"])
    check_source("builtin:tinyplaces", [])
    for bad in (tmp_path, tmp_path / "allowed" / ".." / "other", tmp_path / "allowed" / "link" / "other"):
        with pytest.raises(Forbidden, match="MICROTOME_SOURCE_ROOTS"):
            check_source(f"path:{bad}", [tmp_path / "allowed"])


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_by_their_header() -> None:
    with pytest.raises(TooLarge, match="10000 x 10000"):
        decode_image(_png_header(10_000, 10_000), 40_000_000)
    with pytest.raises(TooLarge):
        decode_image(_png_header(60_000, 60_000), 40_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a", b"PK\x03\x04" + b"\0" * 50, b"\x89PNG\r\n\x1a\n", b"<svg></svg>", _png_header(50, 50)]
)
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises((UnsupportedMedia, TooLarge)):
        decode_image(data, 10_000)


def test_photographs_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (30, 10)).save(out, "JPEG", exif=exif)
    assert decode_image(out.getvalue(), 10_000).shape == (30, 10, 3)


def test_drawn_sets_are_kept_and_read_back_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microtome.core.settings import settings
    from microtome.probes import Generated

    monkeypatch.setattr(settings(), "data_dir", tmp_path)
    fresh = Generated("", "tinyplaces", "val", 14)
    fresh.materialise()
    kept = Generated("", "tinyplaces", "val", 14)
    assert kept.bytes > 14 * 96 * 96 * 3
    from microtome.probes import tinyplaces

    for i in (0, 13):
        scene = tinyplaces.render("val", i)
        np.testing.assert_array_equal(kept.image(i), scene.image)
        np.testing.assert_array_equal(kept.labels(i), scene.labels)
        assert kept.label(i) == scene.label
    assert kept.hash != Generated("", "tinyplaces", "val", 15).hash
