"""The promises of the tinyplaces generator, measured on fewer pictures than training/check_tinyplaces.py uses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from microtome.probes.tinyplaces import CATEGORIES, CLASSES, CONCEPTS, SIZE, SPLITS, VERSION, render
from microtome.probes.tinyplaces.canvas import Canvas
from microtome.probes.tinyplaces.concepts import tag
from microtome.probes.tinyplaces.palette import LIGHTS, SUMMER

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 2400  # fewer make the share of a class under a rare concept too noisy for its bound

_DIGEST = """
import json, zlib
from microtome.probes.tinyplaces import CLASSES, render
out = []
for split in ("train", "val", "test"):
    for i in range(len(CLASSES)):
        scene = render(split, i)
        out.append(zlib.crc32(scene.image.tobytes() + scene.labels.tobytes()))
print(json.dumps(out))
"""


def _check_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_tinyplaces", ROOT / "training" / "check_tinyplaces.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report() -> dict:
    return _check_module().measure(SAMPLE)


def test_vocabulary() -> None:
    assert len(CLASSES) >= 12
    assert len(CONCEPTS) >= 45
    assert len(set(CONCEPTS)) == len(CONCEPTS)
    assert len(CONCEPTS) <= 255  # label maps are uint8
    assert {c.category for c in CONCEPTS} == set(CATEGORIES)
    assert tuple(c.name for c in CONCEPTS if c.category == "scene") == CLASSES


@pytest.mark.parametrize("split", SPLITS)
def test_shapes_types_and_balance(split: str) -> None:
    for index in (0, 1, 17, 12_345):
        scene = render(split, index)
        assert scene.image.shape == (SIZE, SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.labels.shape == (len(CATEGORIES), SIZE, SIZE)
        assert scene.labels.dtype == np.uint8
        assert scene.label == index % len(CLASSES)
        (value,) = np.unique(scene.labels[4])
        assert CONCEPTS[value - 1] == (CLASSES[scene.label], "scene")


def test_same_in_another_process() -> None:
    """A hash seed or an earlier picture must not change a picture."""
    here = [
        zlib.crc32(render(split, i).image.tobytes() + render(split, i).labels.tobytes())
        for split in reversed(SPLITS)
        for i in range(len(CLASSES))
    ]
    path = {"PYTHONPATH": str(ROOT / "backend"), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True, env=path)
    there = json.loads(done.stdout)
    n = len(CLASSES)
    assert there[2 * n :] + there[n : 2 * n] + there[:n] == here


def test_splits_and_indices_differ() -> None:
    seen = {render(split, i).image.tobytes() for split in SPLITS for i in (0, 12, 24)}
    assert len(seen) == 9


def test_a_pixel_belongs_to_the_shape_over_its_centre() -> None:
    """Edges beside a centre decide, to a third of a pixel."""
    import random

    canvas = Canvas(LIGHTS["noon"], SUMMER, random.Random(0))
    sky, house, boat = tag("sky"), tag("house", "wall", "brick"), tag("boat", "hull", "wood")
    canvas.rect(0, 0, 96, 96, (120, 170, 230), sky)
    canvas.rect(10.34, 20, 5, 5, (180, 60, 50), house)  # its left edge lies left of the centre of column 10
    canvas.rect(30.67, 20, 5, 5, (180, 60, 50), house)  # and here right of the centre of column 30
    canvas.rect(12, 22, 1, 1, (250, 250, 250), boat)
    rgb, ids, table = canvas.resolve()
    objects = table[0][ids]
    assert rgb.shape == (96, 96, 3)
    assert objects[22, 10] == house.object
    assert objects[22, 9] == sky.object
    assert objects[22, 30] == sky.object
    assert objects[22, 31] == house.object
    assert objects[22, 12] == boat.object
    assert table[1][ids][22, 12] == boat.part
    colours = {CONCEPTS[v - 1].name for v in np.unique(table[3][ids])}
    assert colours == {"blue", "red", "white"}


def test_every_label_lies_in_its_category(report: dict) -> None:
    assert report["labels_in_their_category"]
    assert report["class_counts"] == [SAMPLE // len(CLASSES)] * len(CLASSES)


def test_no_concept_gives_the_class_away(report: dict) -> None:
    assert report["max_class_given_concept"] <= 0.5, report["worst_concepts"]


def test_colours_do_not_give_the_class_away(report: dict) -> None:
    assert report["histogram_accuracy"] <= 0.60, report["histogram_accuracies"]


def test_every_concept_occurs(report: dict) -> None:
    assert report["min_frequency"] >= 0.01, report["rarest_concepts"]


def test_fast_enough_for_one_core(report: dict) -> None:
    assert report["images_per_minute"] >= 5000


def test_version_changes_with_the_pictures() -> None:
    """Stored results are keyed by VERSION: a new digest here asks for a new version."""
    digest = 0
    for i in range(2 * len(CLASSES)):
        digest = zlib.crc32(render("val", i).labels.tobytes(), digest)
    assert (VERSION, f"{digest:08x}") == ("1", "37142d14")
