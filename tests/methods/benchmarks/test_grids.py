"""Grids and the networks that look at them, against cells taken one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.benchmarks.grids import Pools, cell_region, draw_grids, edges, images_of, shrunk, stitched, unstitched
from microtome.methods.benchmarks.scenes import Cells, cuts, scene
from tests import micro
from tests.reference import grids as reference

POOLS = Pools({c: list(range(10 * c, 10 * c + 10)) for c in range(12)}, 120, "labels")


def cell_images(family: str, cells: int) -> torch.Tensor:
    return images_of(micro.load(family), micro.probe(), [i % 12 for i in range(cells**2)])


@pytest.mark.parametrize("cells", [2, 3])
def test_a_grid_is_its_images_row_by_row(cells: int) -> None:
    parts = torch.randn(2 * cells**2, 3, 4, 5)
    grid = stitched(parts, cells)
    for number in range(2):
        own = [p.numpy() for p in parts[number * cells**2 : (number + 1) * cells**2]]
        np.testing.assert_array_equal(grid[number].numpy(), reference.mosaic(own))
    torch.testing.assert_close(unstitched(grid, cells), parts, rtol=0, atol=0)


@pytest.mark.parametrize("size", [6, 7, 64, 97])
@pytest.mark.parametrize("cells", [2, 3])
def test_a_pixel_belongs_to_the_cell_of_its_centre(size: int, cells: int) -> None:
    borders = edges(size, cells)
    for k in range(cells):
        for pixel in range(borders[k], borders[k + 1]):
            assert int((pixel + 0.5) * cells / size) == k
    regions = np.stack([cell_region((size, size + 1), cells, c) for c in range(cells**2)])
    assert (regions.sum(0) == 1).all()


def test_shrunk_cells_do_not_mix() -> None:
    parts = torch.arange(9.0).view(9, 1, 1, 1).expand(9, 3, 32, 32)
    small = shrunk(parts, 3, (64, 64))
    for cell in range(9):
        region = torch.from_numpy(cell_region((64, 64), 3, cell))
        torch.testing.assert_close(small[0, :, region], torch.full((3, int(region.sum())), float(cell)))


@pytest.mark.parametrize("explained", [1, 4, 9])
def test_drawn_classes_are_distinct_and_every_place_has_its_turn(explained: int) -> None:
    drawn = draw_grids(POOLS, 3, 18, explained, 5, alone=True, source="m")
    assert drawn == draw_grids(POOLS, 3, 18, explained, 5, alone=True, source="m")
    assert drawn[:4] == draw_grids(POOLS, 3, 4, explained, 5, alone=True, source="m")
    assert drawn != draw_grids(POOLS, 3, 18, explained, 6, alone=True, source="m")
    turns = np.bincount([cell for grid in drawn for cell in grid.explained], minlength=9)
    assert turns.tolist() == [2 * explained] * 9
    for grid in drawn:
        assert len(set(grid.classes)) == 9
        assert all(e // 10 == c for e, c in zip(grid.examples, grid.classes, strict=True))


@pytest.mark.parametrize("known", [2, 3, 5])
def test_with_few_classes_the_explained_one_is_alone(known: int) -> None:
    few = Pools({c: POOLS.images[c] for c in range(known)}, 20, "labels")
    for grid in draw_grids(few, 3, 12, 2, 0, alone=True, source="m"):
        assert len(grid.explained) == min(2, known - 1)
        for cell in grid.explained:
            assert grid.classes.count(grid.classes[cell]) == 1


def test_one_class_makes_no_grid_unless_cells_have_heads_of_their_own() -> None:
    one = Pools({4: [1, 2]}, 20, "labels")
    with pytest.raises(InvalidInput, match="one class only"):
        draw_grids(one, 2, 3, 1, 0, alone=True, source="m")
    assert draw_grids(one, 2, 1, 1, 0, alone=False, source="m")[0].classes == (4, 4, 4, 4)


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_difull_gives_every_cell_its_own_logits_and_nothing_else(family: str) -> None:
    model, images = micro.load(family), cell_images(family, 2)
    place = scene("difull", model, 2)
    before = model.forward_passes
    grid = place.inputs(images)
    logits = place.model.forward(grid)
    assert model.forward_passes == before + 4
    torch.testing.assert_close(logits.view(4, -1), model.forward(images), rtol=1e-4, atol=1e-5)
    changed = grid.clone()
    changed[:, :, 64:, 64:] = 0.0
    other = place.model.forward(changed).view(4, -1)
    torch.testing.assert_close(other[:3], logits.view(4, -1)[:3], rtol=1e-4, atol=1e-5)
    leaf = grid.clone().requires_grad_(True)
    target = place.target(1, 2)
    number = target.number(place.model.forward(leaf), {})
    assert float(number.detach()) == pytest.approx(float(model.forward(images)[1, 2]), abs=1e-5)
    gradient = torch.autograd.grad(number.sum(), leaf)[0].abs().sum((0, 1)).numpy()
    region = place.region(1, gradient.shape)
    assert gradient[region].any()
    assert not gradient[~region].any()
    assert place.model.classes[target.weights[0][0]] == f"{model.classes[2]} in cell 1"


@pytest.mark.parametrize("family", ["resnet", "vit", "convnext"])
def test_layers_of_difull_are_those_of_the_cells_side_by_side(family: str) -> None:
    model, images = micro.load(family), cell_images(family, 2)
    place = scene("difull", model, 2)
    grid = torch.cat([place.inputs(images), place.inputs(images.flip(0))])
    for layer in model.default_layers():
        own = place.model.layer(layer.label)
        assert (own.units, own.height, own.width) == (layer.units, 2 * layer.height, 2 * layer.width)
        with model.record([layer]) as single:
            model.forward(images)
        maps = layer.canonical(single[layer.name])
        with place.model.record([own]) as recorded:
            whole = place.model.forward(grid)
        for row, parts in enumerate((maps, maps.flip(0))):
            wanted = reference.mosaic([m.numpy() for m in parts])
            np.testing.assert_allclose(own.canonical(recorded[own.name])[row].numpy(), wanted, rtol=1e-3, atol=1e-4)
        with place.model.changed(own, torch.clone):
            torch.testing.assert_close(place.model.forward(grid), whole, rtol=1e-4, atol=1e-5)
        if not layer.special:  # a class token is a site of the layer, and none of the grid
            with place.model.ablated(own, [0, 3]):
                ours = place.model.forward(grid)[0].view(4, -1)
            with model.ablated(layer, [0, 3]):
                torch.testing.assert_close(ours, model.forward(images), rtol=1e-3, atol=1e-4)


def test_dipart_is_the_backbone_on_the_grid_and_the_head_on_each_part() -> None:
    model, images = micro.load("resnet"), cell_images("resnet", 3)
    place = scene("dipart", model, 3)
    grid = place.inputs(images)
    ours = place.model.forward(grid).view(9, -1)
    features = model.network.resnet(grid).last_hidden_state
    assert features.shape[2:] == (6, 6)
    for cell in range(9):
        y, x = 2 * (cell // 3), 2 * (cell % 3)
        head = model.network.classifier(features[:, :, y : y + 2, x : x + 2].mean((2, 3)))
        torch.testing.assert_close(ours[cell], head[0], rtol=1e-4, atol=1e-5)
    # Whoever records the last layer sees the whole grid, not the parts.
    last = list(place.model.layers.values())[-1]
    with place.model.record([last]) as recorded:
        place.model.forward(grid)
    torch.testing.assert_close(recorded[last.name], features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["resnet", "convnext", "mobilenet"])
def test_gridpg_shows_the_network_the_grid_as_it_is(family: str) -> None:
    model, images = micro.load(family), cell_images(family, 2)
    place = scene("gridpg", model, 2)
    grid = place.inputs(images)
    np.testing.assert_array_equal(grid[0].numpy(), reference.mosaic([i.numpy() for i in images]))
    torch.testing.assert_close(place.model.forward(grid), model.network(grid).logits)
    before = model.forward_passes
    place.count()
    assert model.forward_passes == before + 4


def test_a_network_of_fixed_size_sees_a_shrunk_grid_and_has_no_dipart() -> None:
    model = micro.load("vit")
    place = scene("gridpg", model, 3)
    assert place.model is model
    assert "shrunk to 64 x 64" in place.seen
    assert place.inputs(cell_images("vit", 3)).shape == (1, 3, 64, 64)
    with pytest.raises(InvalidInput, match="fixed size") as caught:
        scene("dipart", model, 2)
    assert caught.value.field == "model"


def test_a_layer_cuts_where_all_goes_through_it() -> None:
    model = micro.load("resnet")
    assert cuts(model, model.layer("stage4.1"))
    assert cuts(model, model.layer("stage2.0"))
    assert not cuts(model, model.layer("stage4.1.layer"))  # beside it runs the residual path


def test_modules_are_not_to_be_seen_behind_difull() -> None:
    model: Any = scene("difull", micro.load("vit"), 2).model
    assert isinstance(model, Cells)
    assert not list(model.network.children())
