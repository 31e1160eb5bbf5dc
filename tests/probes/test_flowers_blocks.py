"""The built-in sets with known answers: what defines a class is where the masks say, and nothing else gives it away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microtome.core.errors import InvalidInput, NotFound
from microtome.core.settings import settings
from microtome.probes import blocks, flowers, open_probe, tinyplaces

PART = {concept.name: concept.index + 1 for concept in flowers.CONCEPTS}


@pytest.mark.parametrize("module", [flowers, blocks])
def test_a_picture_is_a_function_of_split_and_index(module: object) -> None:
    one, again, other, split = (module.render(*key) for key in (("val", 5), ("val", 5), ("val", 13), ("train", 5)))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert (one.image != other.image).any()
    assert (one.image != split.image).any()
    assert one.image.dtype == one.labels.dtype == np.uint8
    assert one.image.shape[:2] == one.labels.shape[1:]


def _means(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour of every part of many flowers, [count, parts, 3], and their classes."""
    drawn = [flowers.render(name, i) for i in range(count)]
    means = [[d.image[d.labels[0] == PART[part]].mean(0) for part in flowers.PARTS] for d in drawn]
    return np.array(means), np.array([d.label for d in drawn])


def test_every_flower_shows_all_parts_and_only_the_defining_one_tells_its_class() -> None:
    means, labels = _means("val", 320)
    assert np.isfinite(means).all()  # every part is to be seen in every picture
    for at, part in enumerate(flowers.PARTS):
        own = [i for i, name in enumerate(flowers.CLASSES) if flowers.MARKS[name][0] == part]
        others = means[~np.isin(labels, own), at]
        shared = np.array(flowers.SHARED[part], float)
        near = np.linalg.norm(others[:, None] - shared, axis=2).min(1)
        assert np.quantile(near, 0.95) < 70  # light and neighbours at the rim move a colour that far
        for label in own:
            marked = means[labels == label, at]
            mark = np.array(flowers.MARKS[flowers.CLASSES[label]][1], float)
            closer = np.linalg.norm(marked - mark, axis=1) < np.linalg.norm(marked[:, None] - shared, axis=2).min(1)
            assert closer.mean() > 0.9
        # Among the classes that it does not define, a part says nothing of the class: group means lie within chance.
        spread = np.stack([means[(labels == c), at].mean(0) for c in range(len(flowers.CLASSES)) if c not in own])
        assert np.abs(spread - spread.mean(0)).max() < 4 * others.std(0).max() / np.sqrt(40)


def test_pebbles_bear_the_colours_of_all_classes_alike() -> None:
    share = np.zeros((8, 8))
    for i in range(400):
        drawn = flowers.render("val", i)
        pebbles = drawn.image[drawn.labels[1] == PART["pebble"]].astype(float)
        if len(pebbles):
            marks = np.array([colour for _, colour in flowers.MARKS.values()], float)
            nearest = np.linalg.norm(pebbles[:, None] - marks, axis=2).argmin(1)
            share[drawn.label] += np.bincount(nearest, minlength=8) / len(pebbles)
    share /= 50
    # 50 pictures a class: a share of 1/8 has a standard error of about 0.035.
    assert np.abs(share - share.mean(0)).max() < 0.15


def test_the_region_of_a_class_is_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = open_probe("builtin:flowers#val:16")
    assert probe.classes == flowers.CLASSES
    assert probe.size == (64, 64)
    for index in range(16):
        name = flowers.CLASSES[index % 8]
        drawn = flowers.render("val", index)
        region = probe.example(index).region(name)
        np.testing.assert_array_equal(region, drawn.labels[0] == PART[flowers.MARKS[name][0]])
    monkeypatch.setattr(settings(), "data_dir", tmp_path)
    kept = open_probe("builtin:flowers#val:16")
    kept.materialise()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(kept.image(3), flowers.render("val", 3).image)
    assert kept.hash != open_probe("builtin:tinyplaces#val:16").hash != open_probe("builtin:blocks#val:16").hash


def test_blocks_hold_their_scene_and_a_shuffled_one_that_knows_nothing_of_it() -> None:
    above = 0
    for index in range(48):
        drawn = blocks.render("val", index)
        assert drawn.image.shape == (96, 48, 3)
        assert drawn.label == index % 12
        signal = drawn.labels[0] == 1
        assert signal.sum() == 48 * 48 == (drawn.labels[0] == 2).sum()
        above += int(signal[0, 0])
        scene = tinyplaces.render("val", index).image.reshape(48, 2, 48, 2, 3).mean((1, 3)).round()
        np.testing.assert_array_equal(drawn.image[signal].reshape(48, 48, 3), scene)
    assert 10 < above < 38  # a fair coin: 24, standard deviation 3.5
    probe = open_probe("builtin:blocks#val:24")
    own, other = blocks.CLASSES[5], blocks.CLASSES[6]
    np.testing.assert_array_equal(probe.example(5).region(own), blocks.render("val", 5).labels[0] == 1)
    assert probe.example(5).region(other) is None


def test_names_splits_and_counts_that_there_are_not_are_refused() -> None:
    for source, word in (
        ("builtin:flowers#night", "no split 'night'"), ("builtin:blocks#val:0", "1 to"), ("builtin:petals", "there is tinyplaces"),
    ):  # fmt: skip
        with pytest.raises((InvalidInput, NotFound), match=word):
            open_probe(source)
