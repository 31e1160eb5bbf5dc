"""The compiled tally against the slow reference and against torch in the same order of operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.capture.kernels import bilinear_grid
from microtome.capture.recorders.summary import Summary
from microtome.capture.recorders.tally import IGNORED, ConceptAreas, Tally
from microtome.capture.recorders.thresholds import GRID, exact_thresholds
from tests.reference.dissection import dissect


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
def test_counts_equal_the_reference(shape: tuple[int, int, int, int], size: tuple[int, int], relu: bool) -> None:
    maps, labels, ignore = _case(0, shape, size, relu)
    thresholds = exact_thresholds(maps, GRID)
    marked = labels.copy()
    marked[np.repeat(ignore[:, None], 2, 1)] = IGNORED
    tally = Tally(thresholds.values, 5, size)
    tally.update(maps, marked)
    counts = tally.finish()
    for quantile in (0.9, 0.98, 0.995):
        point, expected = GRID.index(quantile), dissect(maps, labels, ignore, 5, quantile)
        np.testing.assert_array_equal(thresholds.values[:, point], expected.threshold)
        areas = ConceptAreas.of(marked, 5)
        assert areas.positions == expected.positions
        np.testing.assert_array_equal(areas.areas, expected.concept_areas)
        slack = expected.uncertain
        assert (np.abs(counts.unit_areas[:, point] - expected.unit_areas) <= slack).all()
        assert (np.abs(counts.shared[:, :, point] - expected.shared) <= slack[:, None]).all()


def test_bit_equal_to_torch_in_the_same_order() -> None:
    maps, labels, _ = _case(3, (8, 6, 6, 5), (24, 20), False)
    thresholds = exact_thresholds(maps, (0.9, 0.99))
    tally = Tally(thresholds.values, 5, (24, 20))
    tally.update(maps, labels)
    counts = tally.finish()
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
    thresholds = exact_thresholds(maps, GRID).values
    whole, left, right = (Tally(thresholds, 5, (20, 20)) for _ in range(3))
    whole.update(maps, labels)
    left.update(maps[:3], labels[:3])
    right.update(maps[3:], labels[3:])
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


def test_moments_equal_numpy_in_double_and_merge_exactly() -> None:
    maps = (np.random.default_rng(1).normal(size=(40, 6, 9, 8)) * 3 + 100).astype(np.float32)
    whole, left, right = Summary(40, 6), Summary(40, 6), Summary(40, 6)
    for start in range(0, 40, 16):
        whole.update(maps[start : start + 16], start)
    left.update(maps[:11], 0)
    right.update(maps[11:], 11)
    left.merge(right)
    values = maps.astype(np.float64).transpose(1, 0, 2, 3).reshape(6, -1)
    flat = maps.reshape(40, 6, -1)
    for summary in (whole, left):
        stats, peaks, sites = summary.finish()
        np.testing.assert_allclose(stats.mean, values.mean(1), rtol=1e-12)
        np.testing.assert_allclose(stats.std, values.std(1), rtol=1e-9)
        np.testing.assert_array_equal(stats.maximum, values.max(1))
        np.testing.assert_array_equal(stats.minimum, values.min(1))
        assert stats.count == values.shape[1]
        np.testing.assert_array_equal(peaks, flat.max(2))
        np.testing.assert_array_equal(sites, flat.argmax(2))


def test_counts_at_a_quantile_do_not_depend_on_the_others_even_on_plateaus() -> None:
    """Values just at the threshold, on plateaus and at borders, are where skipping rows could change a count."""
    generator = np.random.default_rng(9)
    maps = generator.choice(np.float32([0, 0.1, 0.3, 0.7]), (20, 6, 7, 7)).astype(np.float32)
    labels = generator.integers(0, 4, (20, 1, 28, 28)).astype(np.uint16)
    every, alone = exact_thresholds(maps, GRID), exact_thresholds(maps, (0.9,))
    counts = []
    for thresholds in (every.values, alone.values):
        tally = Tally(thresholds, 3, (28, 28))
        tally.update(maps, labels)
        counts.append(tally.finish())
    np.testing.assert_array_equal(counts[0].unit_areas[:, 0], counts[1].unit_areas[:, 0])
    np.testing.assert_array_equal(counts[0].shared[:, :, 0], counts[1].shared[:, :, 0])
