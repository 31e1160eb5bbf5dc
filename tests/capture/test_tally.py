"""The compiled tally against the slow reference and against torch in the same order of operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.capture.arithmetic import Arithmetic
from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.arithmetic.tensors import Tensors
from microtome.capture.grid import bilinear_grid
from microtome.capture.labels import IGNORED, encode
from microtome.capture.recorders.batch import Batch
from microtome.capture.recorders.look import Look
from microtome.capture.recorders.moments import BLOCK
from microtome.capture.recorders.tally import ConceptAreas, Counts, Tally
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from tests.reference.dissection import dissect

BOTH = pytest.mark.parametrize("do", [Compiled(), Tensors()], ids=["compiled", "tensors"])


def _count(maps: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, concepts: int, do: Arithmetic) -> Counts:
    tally = Tally(thresholds, concepts)
    tally.update(Batch(0, maps, encode(labels)), do)
    return tally.finish()


def _case(seed: int, shape: tuple[int, int, int, int], size: tuple[int, int], relu: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    maps = generator.normal(size=shape).astype(np.float32)
    maps = maps.clip(0) if relu else maps
    labels = generator.integers(0, 6, (shape[0], 2, *size)).astype(np.uint16)
    ignore = generator.random((shape[0], *size)) < 0.1
    return maps, labels, ignore


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((9, 5, 7, 7), (28, 28)), ((5, 3, 12, 9), (48, 36)), ((4, 4, 1, 1), (8, 8)), ((6, 3, 16, 16), (16, 16)),
        ((3, 2, 20, 20), (10, 12)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("relu", [False, True])
@BOTH
def test_counts_equal_the_reference(do: Arithmetic, shape: tuple[int, int, int, int], size: tuple[int, int], relu: bool) -> None:
    maps, labels, ignore = _case(0, shape, size, relu)
    thresholds = exact_thresholds(maps, GRID, do)
    marked = labels.copy()
    marked[np.repeat(ignore[:, None], 2, 1)] = IGNORED
    counts = _count(maps, marked, thresholds.values, 5, do)
    for quantile in (0.98, 0.99, 0.995):
        point, expected = GRID.index(quantile), dissect(maps, labels, ignore, 5, quantile)
        np.testing.assert_array_equal(thresholds.values[:, point], expected.threshold)
        areas = ConceptAreas.of(encode(marked), 5)
        assert areas.positions == expected.positions
        np.testing.assert_array_equal(areas.areas, expected.concept_areas)
        slack = expected.uncertain
        assert (np.abs(counts.unit_areas[:, point] - expected.unit_areas) <= slack).all()
        assert (np.abs(counts.shared[:, :, point] - expected.shared) <= slack[:, None]).all()


@BOTH
def test_bit_equal_to_dense_interpolation_in_the_same_order(do: Arithmetic) -> None:
    maps, labels, _ = _case(3, (8, 6, 6, 5), (24, 20), False)
    thresholds = exact_thresholds(maps, (0.9, 0.99), do)
    counts = _count(maps, labels, thresholds.values, 5, do)
    m = torch.from_numpy(maps)
    (a, b, f), (c, d, g) = bilinear_grid(6, 24), bilinear_grid(5, 20)
    f, g = torch.from_numpy(f)[:, None], torch.from_numpy(g)
    rows = m[:, :, a] * (1 - f) + m[:, :, b] * f
    large = rows[..., c] * (1 - g) + rows[..., d] * g
    for point in range(2):
        mask = large > torch.from_numpy(thresholds.values[:, point])[None, :, None, None]
        np.testing.assert_array_equal(counts.unit_areas[:, point], mask.sum((0, 2, 3)))
        for concept in range(5):
            here = torch.from_numpy((labels == concept + 1).sum(1))
            np.testing.assert_array_equal(counts.shared[:, concept, point], (mask * here[:, None]).sum((0, 2, 3)))


def test_shards_merge_to_the_whole() -> None:
    maps, labels, _ = _case(4, (10, 4, 5, 5), (20, 20), True)
    do = Compiled()
    thresholds = exact_thresholds(maps, GRID, do).values
    whole, left, right = (Tally(thresholds, 5) for _ in range(3))
    whole.update(Batch(0, maps, encode(labels)), do)
    left.update(Batch(0, maps[:3], encode(labels[:3])), do)
    right.update(Batch(3, maps[3:], encode(labels[3:])), do)
    left.merge(right)
    a, b = left.finish(), whole.finish()
    np.testing.assert_array_equal(a.shared, b.shared)
    np.testing.assert_array_equal(a.unit_areas, b.unit_areas)


@pytest.mark.parametrize(("source", "target"), [(7, 112), (14, 112), (1, 5), (12, 6), (9, 9)])
def test_grid_is_that_of_interpolate(source: int, target: int) -> None:
    line = torch.arange(source, dtype=torch.float32) ** 2
    low, high, f = bilinear_grid(source, target)
    ours = line.numpy()[low] * (1 - f) + line.numpy()[high] * f
    theirs = torch.nn.functional.interpolate(line[None, None, None], (1, target), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(ours, theirs[0, 0, 0].numpy(), rtol=2e-6, atol=1e-5)


def _look(maps: np.ndarray, ranges: list[tuple[int, int]], do: Arithmetic) -> tuple[Look, np.ndarray, np.ndarray]:
    look, peaks, sites = Look(maps.shape[1]), np.empty(maps.shape[1::-1], np.float32), np.empty(maps.shape[1::-1], np.int32)
    for first, last in ranges:
        look.update(first, maps[first:last], peaks[:, first:last], sites[:, first:last], do)
    return look, peaks, sites


@BOTH
def test_moments_equal_numpy_in_double(do: Arithmetic) -> None:
    maps = (np.random.default_rng(1).normal(size=(40, 6, 9, 8)) * 3 + 100).astype(np.float32)
    look, peaks, sites = _look(maps, [(0, 16), (16, 32), (32, 40)], do)
    values = maps.astype(np.float64).transpose(1, 0, 2, 3).reshape(6, -1)
    flat = maps.reshape(40, 6, -1).transpose(1, 0, 2)
    stats = look.moments.finish()
    np.testing.assert_allclose(stats.mean, values.mean(1), rtol=1e-12)
    np.testing.assert_allclose(stats.std, values.std(1), rtol=1e-9)
    np.testing.assert_array_equal(stats.maximum, values.max(1))
    np.testing.assert_array_equal(stats.minimum, values.min(1))
    assert stats.count == values.shape[1]
    np.testing.assert_array_equal(peaks, flat.max(2))
    np.testing.assert_array_equal(sites, flat.argmax(2))


def test_moments_are_the_same_to_the_last_bit_however_blocks_are_spread() -> None:
    maps = np.random.default_rng(2).normal(size=(2 * BLOCK + 30, 3, 2, 2)).astype(np.float32)
    do = Compiled()
    whole, _, _ = _look(maps, [(0, BLOCK), (BLOCK, 2 * BLOCK), (2 * BLOCK, len(maps))], do)
    ends, _, _ = _look(maps, [(2 * BLOCK, len(maps)), (0, 100), (100, BLOCK)], do)
    middle, _, _ = _look(maps, [(BLOCK, 2 * BLOCK)], do)
    ends.merge(middle)
    a, b = whole.moments.finish(), ends.moments.finish()
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.std, b.std)
    np.testing.assert_array_equal(whole.tops, ends.tops)
    with pytest.raises(ValueError, match="twice"):
        ends.merge(middle)


@BOTH
def test_counts_at_a_quantile_do_not_depend_on_the_others_even_on_plateaus(do: Arithmetic) -> None:
    """Values just at the threshold, on plateaus and at borders, are where skipping rows could change a count."""
    generator = np.random.default_rng(9)
    maps = generator.choice(np.float32([0, 0.1, 0.3, 0.7]), (20, 6, 7, 7)).astype(np.float32)
    labels = generator.integers(0, 4, (20, 1, 28, 28)).astype(np.uint16)
    every, alone = exact_thresholds(maps, GRID, do), exact_thresholds(maps, (0.98,), do)
    counts = [_count(maps, labels, thresholds.values, 3, do) for thresholds in (every, alone)]
    np.testing.assert_array_equal(counts[0].unit_areas[:, 0], counts[1].unit_areas[:, 0])
    np.testing.assert_array_equal(counts[0].shared[:, :, 0], counts[1].shared[:, :, 0])


@pytest.mark.parametrize("kind", ["normal", "relu", "mostly zero", "negative", "wide", "crowded", "constant"])
def test_both_arithmetics_give_the_same_numbers(kind: str) -> None:
    """Every shape of distribution, since bins are found in a way that depends on where the thresholds lie."""
    generator = np.random.default_rng(5)
    maps = generator.normal(size=(30, 4, 9, 8)).astype(np.float32)
    if kind == "relu":
        maps = maps.clip(0)
    elif kind == "mostly zero":
        maps = np.where(generator.random(maps.shape) < 0.02, abs(maps), 0).astype(np.float32)
    elif kind == "negative":
        maps -= 5
    elif kind == "wide":
        maps = (np.exp(maps * 12)).astype(np.float32)
    elif kind == "crowded":
        maps = np.where(generator.random(maps.shape) < 0.001, maps * 1e6, 1 + maps * 1e-6).astype(np.float32)
    elif kind == "constant":
        maps[:] = -0.0
    labels = generator.integers(0, 5, (30, 3, 36, 40)).astype(np.uint16)
    labels[:, :, :3] = IGNORED
    compiled, tensors = exact_thresholds(maps, GRID, Compiled()), exact_thresholds(maps, GRID, Tensors())
    np.testing.assert_array_equal(compiled.values, tensors.values)
    np.testing.assert_array_equal(compiled.attained, tensors.attained)
    a, b = (_count(maps, labels, compiled.values, 4, do) for do in (Compiled(), Tensors()))
    np.testing.assert_array_equal(a.unit_areas, b.unit_areas)
    np.testing.assert_array_equal(a.shared, b.shared)
    assert kind == "constant" or a.shared.any()


def test_label_codes_stand_for_all_label_maps() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 3, 7, 9)).astype(np.uint16)
    labels[1, :, 2] = IGNORED
    codes = encode(labels)
    for i in range(4):
        rows = codes.members[codes.offsets[i] : codes.offsets[i + 1]]
        assert len(np.unique(rows, axis=0)) == len(rows)
        kept = codes.codes[i] > 0
        np.testing.assert_array_equal(kept, labels[i, 0] != IGNORED)
        np.testing.assert_array_equal(rows[codes.codes[i][kept] - 1].T, labels[i][:, kept])
