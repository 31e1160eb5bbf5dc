"""Everything that can be wrong with a folder, and everything that can go wrong on the way: named, and nothing half-visible."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtome.core.errors import NotFound
from microtome.ingest import reader
from tests.ingest.conftest import assert_nothing, imported, refused
from tests.ingest.tables import CONCEPTS, EXAMPLES, LAYERS, reseal, write_folder


def put(table: str, column: str, row: int, value: Any) -> Callable[[str, str, dict[str, Any]], dict[str, Any]]:
    """Change one value of one table of the second layer (or of the tables that belong to no layer)."""

    def change(layer: str, name: str, columns: dict[str, Any]) -> dict[str, Any]:
        if name != table or layer == "stage1":
            return columns
        values = list(np.asarray(columns[column]).tolist())
        values[row] = value(values[row]) if callable(value) else value
        return {**columns, column: values}

    return change


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "words"),
    [
        ("units", "mean", 4, float("nan"), ["stage2/units.parquet", "row 4", "column mean", "nan"]),
        ("units", "std", 2, -0.5, ["row 2", "column std", "-0.5", "0 and more"]),
        ("units", "density", 1, 1.5, ["row 1", "column density", "1.5"]),
        ("units", "max", 3, -99.0, ["row 3", "is larger than max"]),
        ("units", "unit", 5, 4, ["row 5", "column unit", "4 stands twice"]),
        ("units", "unit", 5, 9, ["row 5", "column unit", "9 is outside 0 to 8"]),
        ("units", "unit", 5, -1, ["row 5", "-1 is outside"]),
        ("units", "mean", 4, 1e39, ["row 4", "1e+39"]),
        ("quantiles", "threshold", 6, lambda v: v[::-1], ["row 6", "threshold[1]", "is smaller than at the quantile before"]),
        ("quantiles", "threshold", 6, lambda v: v[:1], ["row 6", "a list of 1", "2 values"]),
        ("quantiles", "unit_area", 6, [400, 3], ["row 6", "unit_area[0]", "400 is outside 0 to 320"]),
        ("scores", "concept", 7, "object:moon", ["row 7", "'object:moon'", "none of the manifest's 3 names"]),
        ("scores", "unit", 7, 9, ["row 7", "9 is outside"]),
        ("scores", "intersection", 7, [300, 300], ["row 7", "intersection[0]", "own area"]),
        ("scores", "concept", 7, CONCEPTS[0], ["row 7", "stands twice for this unit"]),
        ("exemplars", "example", 9, 20, ["row 9", "column example", "20 is outside 0 to 19"]),
        ("exemplars", "rank", 9, 3, ["row 9", "column rank", "not below the band's count"]),
        ("exemplars", "site_row", 9, 4, ["row 9", "4 is outside 0 to 3"]),
        ("exemplars", "activation", 9, None, ["row 9", "null", "every row needs a value"]),
        ("exemplars", "map", 9, [0.0] * 15, ["row 9", "a list of 15", "16 values"]),
        ("exemplars", "map", 9, [float("inf"), *[0.0] * 15], ["row 9", "map[0]", "inf"]),
        ("histograms", "counts", 3, [-1] * 8, ["row 3", "counts[0]", "-1"]),
        ("histograms", "edges", 3, lambda v: v[::-1], ["row 3", "smaller than the edge before it"]),
        ("peaks", "peaks", 3, [1.0] * 19, ["row 3", "a list of 19", "20 values"]),
        ("map", "unit", 8, 12, ["map.parquet", "row 8", "12 is no unit of its layer"]),
        ("map", "x", 8, float("nan"), ["map.parquet", "row 8", "column x"]),
        ("names", "example", 3, 2, ["names.parquet", "row 3", "2 stands twice"]),
        ("names", "name", 3, "x" * 301, ["names.parquet", "301 characters"]),
    ],
)
def test_a_wrong_value_is_named_by_file_row_and_column(
    lab: Any, tmp_path: Path, table: str, column: str, row: int, value: Any, words: list[str]
) -> None:
    reason = refused(lab(), write_folder(tmp_path / "in", change=put(table, column, row, value)))
    for word in words:
        assert word in reason, reason


def test_missing_units_columns_and_unknown_ones_are_named(lab: Any, tmp_path: Path) -> None:
    def fewer(layer: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {n: v[:-2] for n, v in columns.items()} if (layer, table) == ("stage2", "peaks") else columns

    assert "no row for unit 7 and 1 more" in refused(lab("a"), write_folder(tmp_path / "a", change=fewer))

    def renamed(_: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {n.replace("mean", "maen"): v for n, v in columns.items()} if table == "units" else columns

    assert "unknown column 'maen'" in refused(lab("b"), write_folder(tmp_path / "b", change=renamed))

    def without(_: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in columns.items() if n != "example"}

    assert "no column 'example'" in refused(lab("c"), write_folder(tmp_path / "c", keep={"units", "exemplars"}, change=without))

    def some(_: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {n: v[:-1] for n, v in columns.items()} if table == "scores" else columns

    reason = refused(lab("d"), write_folder(tmp_path / "d", change=some))
    assert "none for unit 5 and 'colour:red'" in reason
    assert "omitted_scores" in reason


def test_scores_that_contradict_each_other_are_refused(lab: Any, tmp_path: Path) -> None:
    def wrong(_: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {**columns, "iou": [0.9] * len(columns["unit"])} if table == "scores" else columns

    assert "but its intersection and areas give" in refused(lab("a"), write_folder(tmp_path / "a", change=wrong))

    def best(_: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        return {**columns, "best_iou": [0.9] * len(columns["unit"])} if table == "units" else columns

    assert "but its scores give" in refused(lab("b"), write_folder(tmp_path / "b", change=best))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_damaged_file_is_noticed_by_its_checksum_and_else_by_its_format(lab: Any, tmp_path: Path, suffix: str) -> None:
    folder = write_folder(tmp_path / "in", suffix=suffix)
    path = folder / f"stage2/scores{suffix}"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "has the sha256" in refused(lab("a"), folder)
    reseal(folder)  # a checksum of the damaged file
    assert "is damaged or not a" in refused(lab("b"), folder)
    path.write_bytes(bytes(b ^ 0x5A if 40 < i < len(whole) - 400 and i % 7 == 0 else b for i, b in enumerate(whole)))
    reseal(folder)
    refused(lab("c"), folder)  # whatever the damage is taken for, it ends with a reason and nothing visible
    path.unlink()
    assert "has no file" in refused(lab("d"), folder)


def test_arrow_offsets_that_lead_out_of_the_file_are_refused(lab: Any, tmp_path: Path) -> None:
    """Followed without a check they would read, or crash on, memory that is not the table's."""
    folder = write_folder(tmp_path / "in", suffix=".arrow")
    path = folder / "stage2" / "peaks.arrow"
    offsets = (np.arange(LAYERS["stage2"] + 1, dtype=np.int32) * EXAMPLES).tobytes()
    whole = path.read_bytes()
    assert whole.count(offsets) == 1
    path.write_bytes(whole.replace(offsets, offsets[:-4] + np.array([2**30], np.int32).tobytes()))
    reseal(folder)
    refused(lab(), folder)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m["layers"][0]["files"]["units"].update(file="../units.parquet"), ["relative path inside the folder"]),
        (lambda m: m["layers"][0]["files"]["units"].update(file="/etc/units.parquet"), ["relative path inside the folder"]),
        (lambda m: m["layers"][0]["files"]["units"].update(file="a/../../units.parquet"), ["relative path inside the folder"]),
        (lambda m: m["layers"][0]["files"]["units"].update(file="stage1/units.csv"), [".parquet or .arrow"]),
        (lambda m: m["layers"][0]["files"]["units"].update(rows=7), ["has 6 rows, the manifest says 7"]),
        (lambda m: m["layers"][0]["files"].pop("units"), ["no table 'units'"]),
        (lambda m: m["layers"][0].update(units=10**9), ["MICROTOME_MAX_UNITS"]),
        (lambda m: m["layers"][0].update(name="a b"), ["layers.0.name"]),
        (lambda m: m["layers"].append(m["layers"][0]), ["holds 'stage1' twice"]),
        (lambda m: m["layers"][0].update(colour="red"), ["colour"]),
        (lambda m: m["model"].update(name="Far Net!"), ["model.name"]),
        (lambda m: m["model"].update(hash="abc"), ["model.hash"]),
        (lambda m: m["probe"].update(concepts=["sky"]), ["probe.concepts"]),
        (lambda m: m["probe"].update(examples=10**8), ["MICROTOME_MAX_EXAMPLES"]),
        (lambda m: m["probe"].update(source="path:/nowhere", names=None), ["cannot be read here", "remove it from the manifest"]),
        (lambda m: m["measure"].update(grid=[0.98, 0.9]), ["increasing"]),
        (lambda m: m["measure"].update(concept_areas=[1]), ["1 numbers for 3 probe.concepts"]),
        (lambda m: m["measure"].update(concept_areas=None), ["measure.concept_areas"]),
        (lambda m: m.update(version=2), ["version"]),
        (lambda m: m.update(bands=[]), ["bands is empty"]),
    ],
)
def test_a_wrong_manifest_is_named_by_field(lab: Any, tmp_path: Path, edit: Callable[[Any], Any], words: list[str]) -> None:
    folder = write_folder(tmp_path / "in")
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    reason = refused(lab(), folder)
    for word in words:
        assert word in reason, reason


def test_links_out_of_the_folder_are_not_followed(lab: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in")
    path = folder / "stage1" / "peaks.parquet"
    path.rename(tmp_path / "peaks.parquet")
    path.symlink_to(tmp_path / "peaks.parquet")
    assert "leaves the folder" in refused(lab("a"), folder)
    path.unlink()
    os.mkfifo(path)
    assert "not a plain file" in refused(lab("b"), folder)
    path.unlink()
    (tmp_path / "peaks.parquet").rename(path)
    (folder / "manifest.json").rename(tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    assert "leaves the folder" in refused(lab("c"), folder)


def test_absurd_sizes_are_refused_before_they_are_read(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "in")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest + " " * (16 * 2**20))
    assert "larger than 16,777,216 bytes" in refused(lab("a"), folder)
    (folder / "manifest.json").write_text("[" * 100_000)
    assert "not valid JSON" in refused(lab("b"), folder)
    huge = json.loads(manifest)
    huge["layers"][0] |= {"units": 900_000}
    huge["probe"]["concepts"] = [f"object:{i}" for i in range(20_000)]
    huge["measure"]["concept_areas"] = [1] * 20_000
    (folder / "manifest.json").write_text(json.dumps(huge))
    assert "GB are free" in refused(lab("c"), folder).replace("\n", " ")
    (folder / "manifest.json").write_text(manifest)
    monkeypatch.setattr(reader, "GROUP_BYTES", 100)
    assert "smaller pieces" in refused(lab("d"), folder)


def test_a_file_changed_under_way_is_noticed(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "in")
    real = reader.read

    def touched(path: Path, table: str, rows: int, fields: Any) -> Any:
        yield from real(path, table, rows, fields)
        if table == "stage2/units.parquet":
            os.utime(path, (1, 1))

    monkeypatch.setattr("microtome.ingest.layer.read", touched)
    assert "was changed while it was being imported" in refused(lab(), folder)


def test_a_full_disk_keeps_whole_layers_and_the_import_goes_on(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microtome.store import blobs

    desk, folder = lab(), write_folder(tmp_path / "in")
    monkeypatch.setattr(blobs, "IN_SQL", 0)
    real, written = blobs.write_atomic, []

    def full(path: Path, data: Any) -> None:
        if len(written) >= 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        real(path, data)

    monkeypatch.setattr(blobs, "write_atomic", full)
    run = desk.engine.import_folder(str(folder), trusted=True)
    assert run.state == "failed"
    assert "no room" in run.error["detail"]
    parts = desk.engine.runs.parts([run.id])[run.id]
    assert [done for _, _, done in parts] == [True, False, False]
    with pytest.raises(NotFound):
        desk.engine.results.head(parts[1][1])
    first = desk.engine.results.head(parts[0][1]).created
    monkeypatch.setattr(blobs, "write_atomic", real)
    again = imported(desk, folder)
    assert [done for _, _, done in desk.engine.runs.parts([again.id])[again.id]] == [True, True, True]
    assert desk.engine.results.head(parts[0][1]).created == first  # the complete layer was not written again


KILLED = """
import os, signal, sys
from microtome.core.settings import settings
from microtome.engine import Engine
from microtome.store.results import ResultRepository
real = ResultRepository.put
def put(self, head, results):
    if head.part == "stage2":
        print("now", flush=True)
        signal.pause()
    real(self, head, results)
ResultRepository.put = put
Engine(settings(), executor="inline").import_folder(sys.argv[1], trusted=True)
"""


def test_a_killed_import_is_taken_up_again_at_the_next_layer(lab: Any, tmp_path: Path) -> None:
    from microtome.ingest.scratch import Scratch

    folder = write_folder(tmp_path / "in")
    environment = {**os.environ, "MICROTOME_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert any(line == "now\n" for line in process.stdout)  # ends there, or with the process
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    desk = lab("data")
    run = desk.engine.runs.page(state="running", model=None, method=None, before=None, limit=1)[0]
    parts = desk.engine.runs.parts([run.id])[run.id]
    assert [done for _, _, done in parts] == [True, False, False]
    assert len(list(desk.store.data_dir.glob("import-scratch-*"))) == 1  # what the dead process was building
    first = desk.engine.results.head(parts[0][1]).created
    assert desk.engine.runs.recover(run.owner) == [run.id]  # as a living worker does once the lease is out
    time.sleep(0.01)
    again = imported(desk, folder)  # joins the queued run and executes it
    assert again.id == run.id
    assert [done for _, _, done in desk.engine.runs.parts([run.id])[run.id]] == [True, True, True]
    assert desk.engine.results.head(parts[0][1]).created == first
    assert not list(desk.store.data_dir.glob("import-scratch-*"))
    with Scratch(desk.store.data_dir):
        pass


def test_cancel_between_layers_keeps_whole_layers(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microtome.store.results import ResultRepository

    desk = lab()
    real = ResultRepository.put

    def put(self: Any, head: Any, results: Any) -> None:
        real(self, head, results)
        desk.engine.cancel(head.run_id)

    monkeypatch.setattr(ResultRepository, "put", put)
    monkeypatch.setattr("microtome.engine.context.POLL", 0.0)
    run = desk.engine.import_folder(str(write_folder(tmp_path / "in")), trusted=True)
    assert run.state == "cancelled"
    assert [done for _, _, done in desk.engine.runs.parts([run.id])[run.id]] == [True, False, False]


def test_a_changed_manifest_is_another_import_and_the_old_one_stays(lab: Any, tmp_path: Path) -> None:
    desk = lab()
    first = imported(desk, write_folder(tmp_path / "a"))
    second = imported(desk, write_folder(tmp_path / "b", change=put("units", "mean", 0, 0.0)))
    keys = [{k for _, k, _ in desk.engine.runs.parts([r.id])[r.id]} for r in (first, second)]
    assert keys[0].isdisjoint(keys[1])
    assert desk.engine.results.stored(keys[0] | keys[1]) == keys[0] | keys[1]
    assert len(LAYERS) + 1 == len(keys[0])


def test_an_empty_data_folder_is_empty(lab: Any) -> None:
    """The check that the others rely on can fail."""
    desk = lab()
    assert_nothing(desk)
    desk.engine.sources.save("probe", "builtin:x", "a" * 64, {"concepts": []})
    with pytest.raises(AssertionError):
        assert_nothing(desk)
