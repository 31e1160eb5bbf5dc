"""Explain beyond single maps: regions and their units, differences of maps, many classes, questions about the whole set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect
from safetensors.torch import load_file, save_file

from tests import micro
from tests.e2e.conftest import Server

EXPLAIN = "/explain?m=tinyplaces-resnet&p=tinyplaces"
Open = Callable[..., Page]


def test_a_region_that_is_brushed_shows_the_units_that_fire_there(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=saliency")
    tile = page.get_by_test_id("tile-saliency")
    expect(tile).to_have_attribute("data-state", "done", timeout=90_000)
    box = tile.locator("canvas").first.bounding_box()
    assert box is not None
    corners = [(0.2, 0.2), (0.7, 0.25), (0.65, 0.7), (0.3, 0.6), (0.2, 0.25)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("region="))
    units = page.get_by_test_id("region-units")
    expect(units.locator("li").first).to_be_visible(timeout=90_000)
    expect(page.get_by_text(re.compile("by chance .* would be"))).to_be_visible()
    listed = units.locator("li").count()
    # The same in numbers, for the keyboard; and one step back by the browser's button.
    page.get_by_label("right", exact=True).fill("90")
    page.get_by_label("right", exact=True).press("Enter")
    expect(page).to_have_url(re.compile("region=[^&]*0.9"))
    expect(units.locator("li").first).to_be_visible(timeout=90_000)
    page.get_by_test_id("browse-contributions").click()
    expect(page).to_have_url(re.compile("/browse"))
    expect(page.get_by_test_id("counts")).to_contain_text(re.compile(rf"^{listed} of "))
    page.go_back()
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("region="))
    expect(page.get_by_test_id("contributions").locator("li").first).to_be_visible(timeout=90_000)


def test_the_difference_of_two_maps(open_page: Open, tmp_path: Path) -> None:
    page = open_page(EXPLAIN + "&with=grad-cam,saliency")
    for method in ("grad-cam", "saliency"):
        expect(page.get_by_test_id(f"tile-{method}")).to_have_attribute("data-state", "done", timeout=90_000)
    page.get_by_test_id("difference-of-maps").click()
    page.get_by_role("button", name="Show the difference").click()
    tile = page.get_by_test_id("tile-difference")
    expect(tile).to_have_attribute("data-state", "done")
    expect(tile).to_contain_text("each map over its own scale")
    expect(tile.get_by_test_id("difference-rho")).to_contain_text(re.compile(r"\d\.\d\d"))
    tile.get_by_label("More about the difference").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    download.value.save_as(tmp_path / "difference.csv")
    lines = (tmp_path / "difference.csv").read_text().splitlines()
    assert lines[0].startswith("# Grad-CAM minus Saliency")
    assert len(lines) == 2 + 96 * 96
    page.reload()
    expect(page.get_by_test_id("tile-difference")).to_have_attribute("data-state", "done", timeout=90_000)
    page.get_by_test_id("tile-saliency").get_by_label("More about Saliency").click()
    page.get_by_role("button", name="Remove from the grid").click()
    expect(page.get_by_test_id("tile-difference")).to_have_count(0)


def test_many_classes_stand_as_small_multiples(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=saliency&for=0,1,2,3,4,5")
    tile = page.get_by_test_id("tile-saliency")
    expect(tile).to_have_attribute("data-state", "done", timeout=120_000)
    maps = tile.locator("canvas")
    expect(maps).to_have_count(6)
    first, second = maps.nth(0).bounding_box(), maps.nth(1).bounding_box()
    assert first is not None
    assert second is not None
    assert first["y"] == second["y"]
    assert first["width"] < 260
    expect(tile.locator('[data-score="deletion"]')).to_have_count(6)


def test_a_question_about_the_whole_set(open_page: Open, server: Server) -> None:
    asked = {"methods": ["saliency", "grad-cam"], "images": 2}
    server.run("gridpg", params=asked, model="tinyplaces-resnet", probe="tinyplaces")
    page = open_page(EXPLAIN)
    page.get_by_test_id("whole-set").click()
    expect(page).to_have_url(re.compile("set="))
    page.locator('[data-benchmark="gridpg"]').click()
    table = page.get_by_test_id("score-table").first
    expect(table).to_contain_text("Grad-CAM")
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_test_id("run-benchmark")).to_be_disabled()
    page.get_by_test_id("share-button").click()
    link = page.get_by_test_id("share-link")
    expect(link).to_have_value(re.compile("/s/"))
    fresh = open_page("/s/" + link.input_value().split("/s/")[1])
    expect(fresh.get_by_text("Frozen by the link")).to_be_visible()
    expect(fresh.get_by_test_id("score-table").first.locator("tbody tr")).to_have_count(2)
    page.keyboard.press("Escape")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    expect(page.get_by_test_id("run-benchmark")).to_be_enabled()
    page.locator('[data-benchmark="difull"]').click()
    expect(page.get_by_text("has not been asked of tinyplaces yet")).to_be_visible()
    page.get_by_role("button", name="One image").click()
    expect(page).not_to_have_url(re.compile("set="))


def test_clusters_of_maps_are_linked_to_their_images(open_page: Open, server: Server) -> None:
    asked = {"method": "saliency", "examples": 12, "neighbours": 3, "clusters": 2, "projection": "pca"}
    server.run("relevance-clusters", params=asked, model="tinyplaces-resnet", probe="tinyplaces")
    page = open_page(EXPLAIN + "&set=relevance-clusters")
    table = page.get_by_test_id("score-table").first
    expect(table.locator("tbody tr")).to_have_count(3)  # of all, and of both clusters
    expect(table).to_contain_text("Silhouette")
    card = page.get_by_test_id("result-map-set")
    expect(card.locator("circle")).to_have_count(12)  # a point for every map
    expect(card.get_by_test_id("map-group")).to_have_count(2)
    image = card.get_by_test_id("map-group").last.get_by_role("button").first
    image.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("e=tinyplaces(:|%3A)"))
    expect(page).not_to_have_url(re.compile("set="))


def test_networks_that_learn_from_what_a_map_marks(open_page: Open, server: Server) -> None:
    asked = {"methods": ["saliency"], "examples": 24, "networks": 1, "epochs": 1}
    server.run("diffroar", params=asked, model="tinyplaces-resnet", probe="tinyplaces")
    page = open_page(EXPLAIN + "&set=diffroar")
    main = page.get_by_role("main").last
    expect(main).to_contain_text("Saliency")
    expect(main).to_contain_text(re.compile(r"chance", re.IGNORECASE))
    expect(page.get_by_test_id("run-benchmark")).to_be_disabled()


def test_labels_that_do_not_exclude_each_other_are_explained_together(open_page: Open, server: Server, sources: Path) -> None:
    folder = shutil.copytree(micro.model_folder("resnet"), sources / "several-labels")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.1.bias"] += 5  # so that it finds every label in every image
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    server.add("models", f"path:{folder}", "several-labels")
    page = open_page("/explain?m=several-labels&p=tinyplaces&with=saliency")
    page.get_by_test_id("all-present").click()
    expect(page).to_have_url(re.compile("for=[012],[012],[012]"))
    tile = page.get_by_test_id("tile-saliency")
    expect(tile.locator("canvas")).to_have_count(3, timeout=90_000)
    expect(tile).to_have_attribute("data-state", "done", timeout=90_000)


def test_a_hierarchy_of_regions_stands_among_the_maps(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=region-hierarchy")
    tile = page.get_by_test_id("tile-region-hierarchy")
    expect(tile).to_have_attribute("data-state", "done", timeout=90_000)
    expect(tile).to_contain_text("8 regions")
    slider = tile.get_by_role("slider", name="Number of regions")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(tile).to_contain_text("9 regions")
    expect(tile.get_by_role("list", name="Regions by value").locator("li")).to_have_count(6)  # five of them, and the unit
    page.reload()
    expect(page.get_by_test_id("tile-region-hierarchy")).to_have_attribute("data-state", "done", timeout=90_000)


def test_what_makes_an_image_like_another_one(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=similarity-saliency&e=tinyplaces:1")
    page.get_by_test_id("likeness").click()
    expect(page).to_have_url(re.compile("like=tinyplaces:2"))
    tile = page.get_by_test_id("tile-similarity-saliency")
    expect(tile).to_have_attribute("data-state", "done", timeout=120_000)
    expect(tile.locator("canvas").first).to_have_attribute("aria-label", re.compile("like tinyplaces"))
    page.get_by_role("option", name=re.compile("00004")).click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("e=tinyplaces:1&.*like=tinyplaces:4"))
