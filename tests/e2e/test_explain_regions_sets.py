"""Explain beyond single maps: regions and their units, differences of maps, many classes, questions about the whole set."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

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
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    expect(page.get_by_test_id("run-benchmark")).to_be_enabled()
    page.locator('[data-benchmark="difull"]').click()
    expect(page.get_by_text("has not been asked of tinyplaces yet")).to_be_visible()
    page.get_by_role("button", name="One image").click()
    expect(page).not_to_have_url(re.compile("set="))
