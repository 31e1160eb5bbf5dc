"""Units that fire in a region: the polygon, the contrast at every place against a slow reference, and a planted unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.region_units import Params, contrasts, filled, region_units
from microtome.probes import Example
from tests import micro

SQUARE = [(0.25, 0.5), (0.75, 0.5), (0.75, 1.0), (0.25, 1.0)]


def test_a_polygon_holds_the_pixels_whose_centre_it_holds() -> None:
    expected = np.zeros((8, 12), bool)
    expected[4:, 3:9] = True
    assert (filled(SQUARE, 8, 12) == expected).all()
    corner = filled([(0.0, 0.0), (0.99, 0.0), (0.0, 0.99)], 10, 10)
    assert corner.sum() == 45
    assert corner[0, 0]
    assert not corner[9, 9]
    bow = filled([(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)], 40, 40)  # even-odd: two triangles
    assert bow[20, 1]
    assert bow[20, 38]
    assert not bow[1, 20]
    assert abs(bow.mean() - 0.5) < 0.03


def test_contrast_at_every_place_is_that_of_a_region_that_was_moved_there() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 6, 9, generator=generator)
    region = torch.zeros(6, 9, dtype=torch.bool)
    region[1:3, 2:6] = True
    found = contrasts(maps, region)
    for down in range(6):
        for right in range(9):
            moved = torch.roll(region, (down, right), (0, 1))
            for unit in range(3):
                own = maps[unit].double()
                slow = (own[moved].mean() - own[~moved].mean()) / own.std(correction=0)
                assert abs(float(found[unit, down, right] - slow)) < 1e-9
    assert (contrasts(torch.full((1, 6, 9), 3.7), region) == 0).all()


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_the_first_unit_is_the_one_that_a_slow_search_finds(family: str) -> None:
    model = micro.load(family)
    example = Example(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8), None, "noise")
    asked = Params(polygon=SQUARE, units=5)
    found = region_units.function(model=model, example=example, params=asked, run=SilentContext())
    matrix, activation = found["units"], found["activation"]
    region = torch.from_numpy(filled(SQUARE, 64, 64))
    best = ("", -np.inf)
    with torch.inference_mode(), model.record(model.default_layers()) as recorded:
        model.forward(model.inputs([example.image]))
    for layer in model.default_layers():
        if layer.height * layer.width == 1:
            continue
        wide = torch.nn.functional.interpolate(layer.canonical(recorded[layer.name]), (64, 64), mode="bilinear")[0].double()
        for unit, own in enumerate(wide):
            contrast = float((own[region].mean() - own[~region].mean()) / own.std(correction=0))
            if contrast > best[1]:
                best = (f"{layer.name}/{unit}", contrast)
    assert matrix.rows[0] == best[0]
    assert len(matrix.rows) == 5
    values = matrix.arrays["values"][:, 0]
    assert values[0] == pytest.approx(best[1], rel=1e-5)
    assert (np.diff(values) <= 0).all()
    inside, outside = activation.arrays["values"].T
    assert (inside[values > 0] > outside[values > 0]).all()
    assert np.isfinite(matrix.arrays["chance"]).all()


def test_chance_is_what_a_map_without_place_reaches() -> None:
    maps = torch.randn(400, 16, 16, generator=torch.Generator().manual_seed(3))
    region = torch.from_numpy(filled(SQUARE, 16, 16))
    everywhere = contrasts(maps, region)
    above = (everywhere[:, 0, 0] > everywhere.flatten(1).quantile(0.975, dim=1)).double().mean()
    assert 0.005 < float(above) < 0.05  # 0.025 expected, standard error 0.008


def test_regions_without_pixels_or_without_outside_are_refused() -> None:
    model = micro.load("resnet")
    example = Example(np.zeros((64, 64, 3), np.uint8), None, "black")
    for polygon, word in (([(0.5, 0.5), (0.501, 0.5), (0.5, 0.501)], "no pixel"), ([(0, 0), (1, 0), (1, 1), (0, 1)], "whole image")):
        with pytest.raises(InvalidInput, match=word):
            region_units.function(model=model, example=example, params=Params(polygon=polygon), run=SilentContext())
    with pytest.raises(ValueError, match="outside the image"):
        Params(polygon=[(0, 0), (1.2, 0), (0, 1)])
