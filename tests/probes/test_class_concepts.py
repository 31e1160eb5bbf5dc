"""What speaks for a class in a picture: the logic of the generator, and names elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from tests import micro

from microtome.probes import Example, open_probe
from microtome.probes.tinyplaces import CLASSES, CONCEPTS, DEFINED_BY, render

PICTURES = 240


@pytest.fixture(scope="module")
def presence() -> np.ndarray:
    """bool [pictures, concepts]."""
    out = np.zeros((PICTURES, len(CONCEPTS)), bool)
    for i in range(PICTURES):
        out[i, [v - 1 for v in np.unique(render("train", i).labels) if v]] = True
    return out


@pytest.mark.parametrize("name", CLASSES)
def test_what_defines_a_class_is_drawn_in_it_more_than_elsewhere(name: str, presence: np.ndarray) -> None:
    place = {f"{c.category}:{c.name}": i for i, c in enumerate(CONCEPTS)}
    own = np.arange(PICTURES) % len(CLASSES) == CLASSES.index(name)
    share = {key: (presence[own, place[key]].mean(), presence[~own, place[key]].mean()) for key in DEFINED_BY[name]}
    assert max(inside for inside, _ in share.values()) == 1.0, "every picture of a class holds something that defines it"
    for key, (inside, outside) in share.items():
        assert inside > outside + 0.2, key


def test_the_region_of_a_class_is_the_union_of_its_concepts() -> None:
    probe = open_probe("builtin:tinyplaces#test:24")
    place = {c.key: c.index + 1 for c in probe.concepts}
    for index in (0, 1, 13):  # two beaches' neighbours of different content
        labels, label = probe.labels(index), probe.label(index)
        assert label is not None
        expected = np.zeros(labels.shape[1:], bool)
        for key in DEFINED_BY[probe.classes[label]]:
            for layer in labels:
                expected |= layer == place[key]
        region = probe.example(index).region(probe.classes[label])
        np.testing.assert_array_equal(region, expected)
        assert 0 < region.mean() < 1


def test_a_class_the_picture_holds_nothing_of_has_no_region() -> None:
    probe = open_probe("builtin:tinyplaces#test:24")
    forest = probe.example(3)
    assert "city by day" not in probe.class_concepts(3)
    assert forest.region("city by day") is None
    assert forest.region("no such class") is None


def test_elsewhere_a_concept_with_the_name_of_the_class_speaks_for_it_without_what_is_ignored() -> None:
    probe = micro.probe()
    labels, ignored = probe.labels(0), probe.ignore(0)
    disc = next(c.index + 1 for c in probe.concepts if c.name == "disc")
    expected = (labels[0] == disc) & ~ignored
    np.testing.assert_array_equal(probe.example(0).region("Disc"), expected)
    assert probe.example(0).region("stripe") is None


def test_an_upload_has_no_region() -> None:
    assert Example(np.zeros((4, 4, 3), np.uint8), None, "upload").region("disc") is None
