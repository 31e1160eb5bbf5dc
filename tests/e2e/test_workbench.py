"""The whole way of a user through Browse: open, filter, brush, open a unit, move the threshold, label it, see it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server

BROWSE = "/browse?m=tinyplaces-resnet&p=tinyplaces"
Open = Callable[..., Page]


def counts(page: Page, accept: Callable[[list[int]], bool] = bool) -> list[int]:
    """The numbers in the count on the selection bar, once the server has counted and ``accept`` likes them."""
    for _ in range(200):
        shown = page.get_by_test_id("counts")
        text = shown.inner_text() if shown.count() else ""
        numbers = [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", text)]
        if accept(numbers):
            return numbers
        page.wait_for_timeout(50)
    raise AssertionError(f"the counts stayed at {numbers}")


def first_row(page: Page) -> str:
    row = page.get_by_test_id("unit-row").first
    expect(row).to_be_visible()
    return row.get_attribute("data-address") or ""


def test_home_shows_the_dissected_model_and_leads_to_browse(open_page: Open) -> None:
    page = open_page("/")
    card = page.get_by_test_id("model-card").filter(has_text="tinyplaces-resnet")
    expect(card).to_contain_text("Current")
    expect(page.locator("[data-testid=probe-card][data-probe=tinyplaces]")).to_contain_text("240 images")


def test_filter_brush_undo(open_page: Open) -> None:
    page = open_page(BROWSE)
    first_row(page)
    total = counts(page)[-1]
    assert total == 992
    concept = page.get_by_test_id("pane-concepts").locator("[data-concept]").first
    name = (concept.get_attribute("data-concept") or "").split(":")[1]
    concept.click()
    expect(page.get_by_test_id("filter-chip")).to_contain_text(name)
    expect(page.get_by_test_id("unit-row").first).to_contain_text(name)
    counts(page, lambda n: len(n) == 2 and 0 < n[0] < n[1] == total)
    assert "c=" in page.url
    canvas = page.get_by_test_id("map-canvas")
    page.get_by_test_id("undo").click()
    expect(page.get_by_test_id("filter-chip")).to_have_count(0)
    page.get_by_test_id("tool-box").click()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] * 0.15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.75, steps=8)
    page.mouse.up()
    expect(page.get_by_test_id("brush-chip")).to_contain_text(re.compile(r"\d units? brushed"))  # the server has counted
    expect(page.get_by_test_id("tab-brushed")).to_have_attribute("aria-pressed", "true")
    brushed = counts(page, lambda n: len(n) == 3 and 0 < n[0] < total)[0]
    page.reload()
    expect(page.get_by_test_id("brush-chip")).to_contain_text(f"{brushed:,}")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("brush-chip")).to_have_count(0)


def test_a_unit_its_threshold_and_its_page(open_page: Open) -> None:
    page = open_page(BROWSE)
    address = first_row(page)
    page.get_by_test_id("unit-row").first.click()
    inspector = page.get_by_test_id("pane-inspector")
    expect(inspector.get_by_test_id("exemplars").locator("canvas").first).to_be_visible()
    slider, shown = page.get_by_test_id("threshold-slider"), page.get_by_test_id("threshold-value")
    expect(shown).to_have_text("q = 0.995")
    table = page.get_by_test_id("concept-table")
    expect(table).to_contain_text(re.compile(r"0\.\d\d"))
    before, picture = table.inner_text(), inspector.get_by_test_id("exemplars").locator("canvas").first.screenshot()
    passes = page.request.get(page.url.split("/browse")[0] + "/api/v1/runs?limit=1").json()
    slider.focus()
    for _ in range(4):  # 0.9925, 0.99, 0.985, 0.98
        slider.press("ArrowLeft")
    expect(shown).to_have_text("q = 0.98")
    expect(table).not_to_have_text(before)
    assert inspector.get_by_test_id("exemplars").locator("canvas").first.screenshot() != picture
    after = page.request.get(page.url.split("/browse")[0] + "/api/v1/runs?limit=1").json()
    assert after["items"][0]["id"] == passes["items"][0]["id"], "moving the threshold must not start a run"
    page.get_by_test_id("unit-page").click()
    expect(page.get_by_test_id("unit-page-body")).to_be_visible()
    assert f"/unit/tinyplaces-resnet/{address}" in page.url


def test_keyboard_moves_through_units_and_help_lists_the_keys(open_page: Open) -> None:
    page = open_page(BROWSE)
    first_row(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator('[data-testid="unit-row"][aria-selected="true"]')).to_have_attribute(
        "data-address", page.get_by_test_id("unit-row").nth(1).get_attribute("data-address") or ""
    )
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("undo", ignore_case=True)


def test_a_label_written_in_one_browser_shows_in_the_other(open_page: Open) -> None:
    one, other = open_page(BROWSE), open_page(BROWSE)
    for page in (one, other):
        first_row(page)
        page.get_by_test_id("unit-row").nth(2).click()
        expect(page.get_by_test_id("pane-inspector").get_by_test_id("unit-label")).to_be_enabled()
    one.get_by_test_id("unit-label").click()
    one.get_by_test_id("label-input").fill("lit windows")
    one.get_by_test_id("label-save").click()
    expect(one.get_by_test_id("unit-label")).to_have_text("lit windows")
    expect(other.get_by_test_id("unit-label")).to_have_text("lit windows")
    other.get_by_test_id("add-note").click()
    other.get_by_test_id("note-input").fill("Also fires on lamps <b>bold</b>.")
    other.get_by_test_id("note-save").click()
    expect(one.get_by_test_id("notes")).to_contain_text("Also fires on lamps <b>bold</b>.")


def test_two_people_changing_one_label_are_asked_and_history_keeps_both(open_page: Open) -> None:
    one, other = open_page(BROWSE), open_page(BROWSE)
    for page in (one, other):
        first_row(page)
        page.get_by_test_id("unit-row").nth(4).click()
    expect(one.get_by_test_id("unit-label")).to_be_enabled()
    one.get_by_test_id("unit-label").click()
    one.get_by_test_id("label-input").fill("first")
    one.get_by_test_id("label-save").click()
    expect(other.get_by_test_id("unit-label")).to_have_text("first")
    for page in (one, other):
        page.get_by_test_id("unit-label").click()
    one.get_by_test_id("label-input").fill("from one")
    other.get_by_test_id("label-input").fill("from the other")
    one.get_by_test_id("label-save").click()
    expect(one.get_by_test_id("unit-label")).to_have_text("from one")
    other.get_by_test_id("label-save").click()
    dialog = other.get_by_test_id("conflict-dialog")
    expect(dialog.get_by_test_id("conflict-mine")).to_have_text("from the other")
    expect(dialog.get_by_test_id("conflict-theirs")).to_have_text("from one")
    other.get_by_test_id("merge-input").fill("from both")
    other.get_by_test_id("keep-merged").click()
    expect(one.get_by_test_id("unit-label")).to_have_text("from both")
    one.get_by_label("More about the label").click()
    one.get_by_test_id("label-history").click()
    for text in ("first", "from one", "from both"):
        expect(one.get_by_test_id("history-dialog")).to_contain_text(text)


def test_ablation_of_one_unit(open_page: Open) -> None:
    page = open_page(BROWSE + "&l=resnet.encoder.stages.3.layers.1")
    first_row(page)
    page.get_by_test_id("unit-row").nth(4).click()  # the first are switched off by tests of other files on the same server
    page.get_by_test_id("ablate").click()
    expect(page.get_by_test_id("ablation")).to_contain_text(re.compile(r"[+−0]\d*\.\d"), timeout=120_000)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768), (390, 844)])
def test_narrow_windows_do_not_scroll_sideways(open_page: Open, server: Server, width: int, height: int) -> None:
    for path in ("/", BROWSE, "/explain?m=tinyplaces-resnet&p=tinyplaces", "/runs"):
        page = open_page(path, width=width, height=height)
        page.wait_for_timeout(800)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
