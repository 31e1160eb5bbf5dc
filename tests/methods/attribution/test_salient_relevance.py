"""Salient relevance against explicit loops over patches, and on maps whose salient place is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from microtome.methods.attribution import salient_relevance as module
from microtome.methods.attribution.lrp import lrp
from microtome.methods.attribution.salient_relevance import resized, salience, salient_relevance
from tests.methods.attribution.calls import close, explained, maps


def blob(height: int = 48, width: int = 48, y: int = 12, x: int = 30) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 20.0)


def cut(map: np.ndarray) -> tuple[list[np.ndarray], list[tuple[float, float]], tuple[int, int]]:
    """Patches of every second place, and where they are."""
    wide = np.pad(map, 3, mode="edge")
    height, width = map.shape
    values, places = [], []
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            values.append(wide[row : row + 7, column : column + 7].ravel())
            places.append(((row + 0.5) / max(map.shape), (column + 0.5) / max(map.shape)))
    return values, places, ((height + 1) // 2, (width + 1) // 2)


def loops(map: Tensor, similar: int) -> Tensor:
    """Goferman et al. 2012, one patch after another."""
    height, width = map.shape
    scaled = map / map.abs().max()
    total = torch.zeros(height, width)
    for scale in (1.0, 0.8, 0.5, 0.3):
        others, at = [], []
        for part in (1.0, 0.5, 0.25):
            if scale * part >= 0.2:
                small = resized(scaled, (max(7, round(height * scale * part)), max(7, round(width * scale * part))))
                values, places, _ = cut(small.double().numpy())
                others, at = others + values, at + places
        own, own_at, grid = cut(resized(scaled, (max(7, round(height * scale)), max(7, round(width * scale)))).double().numpy())
        everything, everywhere = np.array(others), np.array(at)
        level = []
        for value, place in zip(own, own_at, strict=True):
            unlike = np.sqrt(((everything - value) ** 2).sum(1)) / 14 / (1 + 3 * np.sqrt(((everywhere - place) ** 2).sum(1)))
            level.append(1 - np.exp(-np.sort(unlike)[1 : similar + 1].mean()))
        total += resized(torch.tensor(np.array(level)).float().view(grid), (height, width)) / 4
    total /= total.max()
    foci = np.argwhere(total.numpy() >= 0.8)
    for row in range(height):
        for column in range(width):
            far = np.sqrt(((foci - [row, column]) ** 2).sum(1)).min() / max(height, width)
            total[row, column] *= max(0.0, 1 - far)
    return total / total.max()


@pytest.mark.parametrize("shape", [(32, 32), (40, 28)])
def test_salience_is_what_loops_over_patches_give(shape: tuple[int, int]) -> None:
    map = blob(*shape, y=10, x=20) - 0.5 * blob(*shape, y=24, x=8) + 0.1 * torch.rand(shape, generator=torch.Generator().manual_seed(0))
    close(salience(map, 16), loops(map, 16), 1e-4)


def test_what_stands_out_is_salient_and_its_surroundings_fade() -> None:
    found = salience(blob(), 64)
    assert found.shape == (48, 48)
    assert float(found.min()) >= 0
    assert float(found.max()) == pytest.approx(1)
    top = np.unravel_index(int(found.argmax()), found.shape)
    assert np.hypot(top[0] - 12, top[1] - 30) <= 6
    assert float(found[40:, :10].mean()) < 0.2 * float(found[8:17, 26:35].mean())
    torch.testing.assert_close(salience(blob() * 1e-9, 64), found, rtol=1e-3, atol=1e-4)  # its size does not matter
    assert not salience(torch.zeros(20, 20), 64).any()


def test_a_large_map_is_looked_at_small_and_given_back_large() -> None:
    found = salience(blob(160, 200, y=40, x=150), 64)
    assert found.shape == (160, 200)
    top = np.unravel_index(int(found.argmax()), found.shape)
    assert np.hypot(top[0] - 40, top[1] - 150) <= 12


@pytest.mark.parametrize(("family", "rule"), [("resnet", "composite"), ("resnet", "z-plus"), ("vit", "gamma")])
def test_it_is_the_salience_of_the_map_of_lrp(family: str, rule: Any) -> None:
    found = explained(salient_relevance, salient_relevance.params(rule=rule), family, [0, {"minus": [0, 2]}])
    wanted = torch.from_numpy(maps(lrp, lrp.params(rule=rule), family, [0, {"minus": [0, 2]}]))
    for row in range(2):
        close(found.maps[row], salience(wanted[row], 64), 1e-3)
    assert rule in found.note
    assert not found.completeness
    assert module.SIDE == 64
    assert found.facts["computed at"] == "64 pixels a side"
