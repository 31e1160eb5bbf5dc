"""Explaining an image, sharing a view, bringing a model from a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect
from safetensors.torch import load_file, save_file

from tests import micro
from tests.e2e.conftest import PROBE, Server

BROWSE = "/browse?m=tinyplaces-resnet&p=tinyplaces"
EXPLAIN = "/explain?m=tinyplaces-resnet&p=tinyplaces"
Open = Callable[..., Page]


def test_an_image_with_two_methods(open_page: Open) -> None:
    page = open_page(EXPLAIN)
    for method in ("grad-cam", "integrated-gradients"):
        expect(page.get_by_test_id(f"tile-{method}")).to_have_attribute("data-state", "done", timeout=60_000)
        expect(page.get_by_test_id(f"tile-{method}").locator("canvas").first).to_be_visible()
    expect(page.get_by_test_id("tile-integrated-gradients")).to_contain_text(re.compile("gap|adds up", re.IGNORECASE))


def test_a_map_stands_with_its_evidence(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=grad-cam,saliency")
    for method in ("grad-cam", "saliency"):
        expect(page.get_by_test_id(f"tile-{method}")).to_have_attribute("data-state", "done", timeout=90_000)
    tile = page.get_by_test_id("tile-grad-cam")
    for score in ("deletion", "insertion"):
        expect(tile.locator(f'[data-score="{score}"]')).to_contain_text(re.compile(r"\d"))
    expect(tile).to_contain_text("randomisation")
    expect(tile.locator('[data-score="max-sensitivity"]')).to_have_count(0)
    tile.get_by_role("button", name="All scores").click()
    expect(tile.locator('[data-score="max-sensitivity"]')).to_contain_text("Random maps")
    curves = page.get_by_role("figure", name=re.compile("Deletion and insertion of Grad-CAM, Saliency"))
    expect(curves.locator("path")).to_have_count(8)  # a band and two lines each, and the casing of the selected one
    page.get_by_role("button", name="Save or read the curves").click()
    page.get_by_text("Show as table").click()
    expect(page.get_by_role("region", name=re.compile("Deletion and insertion of")).locator("tbody tr").first).to_contain_text("0")
    expect(page.get_by_text("rank correlation")).to_be_visible()


def test_the_units_behind_a_prediction_are_one_click_away(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=saliency")
    units = page.get_by_test_id("contributions")
    expect(units.locator("li").first).to_be_visible(timeout=90_000)
    listed = units.locator("li").count()
    units.get_by_role("button", name=re.compile("^Map of ")).first.click()
    expect(page).to_have_url(re.compile("unit="))
    expect(page.get_by_test_id("tile-saliency")).to_have_attribute("data-state", "done", timeout=90_000)
    expect(page.get_by_test_id("tile-saliency").locator("canvas").first).to_have_attribute("aria-label", re.compile(r"stage\d.* / \d+"))
    page.get_by_role("button", name="Back to classes").click()
    expect(page).not_to_have_url(re.compile("unit="))
    page.get_by_test_id("browse-contributions").click()
    expect(page).to_have_url(re.compile("/browse"))
    expect(page.get_by_test_id("unit-row").first).to_be_visible()
    expect(page.get_by_test_id("counts")).to_contain_text(re.compile(rf"^{listed} of "))


def test_what_speaks_for_one_class_rather_than_another(open_page: Open) -> None:
    page = open_page(EXPLAIN + "&with=saliency")
    expect(page.get_by_test_id("tile-saliency")).to_have_attribute("data-state", "done", timeout=90_000)
    page.get_by_test_id("difference").click()
    expect(page).to_have_url(re.compile("against="))
    tile = page.get_by_test_id("tile-saliency")
    expect(tile.locator("canvas").first).to_have_attribute("aria-label", re.compile(" - "), timeout=90_000)
    expect(tile).to_have_attribute("data-state", "done", timeout=90_000)


def test_an_uploaded_image_and_a_file_that_is_none(open_page: Open, tmp_path: Path) -> None:
    from PIL import Image

    from microtome.probes import open_probe

    Image.fromarray(open_probe(PROBE).image(7)).resize((200, 200)).save(tmp_path / "mine.png")
    (tmp_path / "fake.png").write_text("not an image")
    page = open_page(EXPLAIN)
    page.get_by_test_id("upload").set_input_files(tmp_path / "fake.png")
    expect(page.get_by_text("not an image that can be read")).to_be_visible()
    page.get_by_test_id("upload").set_input_files(tmp_path / "mine.png")
    expect(page).to_have_url(re.compile("upload"))
    expect(page.get_by_test_id("tile-grad-cam")).to_have_attribute("data-state", "done", timeout=60_000)


def rows(page: Page) -> Any:
    """What the first rows say, but for who looks at them just now."""
    return page.evaluate(
        """() => [...document.querySelectorAll("[data-testid=unit-row]")].slice(0, 5).map((row) => {
            const copy = row.cloneNode(true);
            copy.querySelectorAll("[data-testid=unit-flag]").forEach((flag) => flag.remove());
            return copy.textContent;
        })"""
    )


def test_a_shared_view_opens_the_same_and_says_what_changed(open_page: Open, server: Server, sources: Path) -> None:
    """With a copy of the built-in model in a folder, so that its weights can change between sharing and opening."""
    folder = shutil.copytree(micro.model_folder("resnet"), sources / "shared-model")
    server.add("models", f"path:{folder}", "shared-model")
    server.run("dissection", model="shared-model", probe="tinyplaces")
    server.run("unit-map", model="shared-model", probe="tinyplaces")
    page = open_page("/browse?m=shared-model&p=tinyplaces")
    row = page.get_by_test_id("unit-row").nth(1)
    expect(row).to_be_visible()
    address = row.get_attribute("data-address")
    row.click()
    shown = rows(page)
    page.get_by_test_id("share-button").click()
    link = page.get_by_test_id("share-link")
    expect(link).to_have_value(re.compile("/s/"))
    path = "/s/" + link.input_value().split("/s/")[1]

    fresh = open_page(path)
    expect(fresh.get_by_test_id("unit-row").nth(1)).to_have_attribute("data-address", address or "")
    assert rows(fresh) == shown
    expect(fresh.locator('[data-testid="unit-row"][aria-selected="true"]')).to_have_attribute("data-address", address or "")

    weights = load_file(folder / "model.safetensors")
    name = next(n for n, v in weights.items() if v.ndim == 4)
    weights[name][0, 0, 0, 0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    changed = open_page(path)
    expect(changed.get_by_test_id("share-banner")).to_contain_text("shared-model")
    expect(changed.get_by_test_id("share-banner")).to_contain_text(re.compile("weights|changed|differ", re.IGNORECASE))
    expect(changed.get_by_test_id("unit-row").nth(1)).to_have_attribute("data-address", address or "")
    assert rows(changed) == shown
    assert server.http.get("/atlas", params={"model": "shared-model", "probe": "tinyplaces"}).json()["state"] == "stale"


def test_a_model_from_a_folder_and_a_folder_that_is_none(open_page: Open, sources: Path) -> None:
    shutil.copytree(micro.model_folder("vit"), sources / "my-vit")
    page = open_page("/")
    page.get_by_test_id("add-model").click()
    page.get_by_test_id("source-input").fill(f"path:{sources}/nothing-here")
    page.get_by_test_id("add-submit").click()
    expect(page.get_by_test_id("source-error")).to_contain_text("no folder")
    page.get_by_test_id("source-input").fill("path:/etc")
    page.get_by_test_id("add-submit").click()
    expect(page.get_by_test_id("source-error")).to_contain_text("outside the folders")
    page.get_by_test_id("source-input").fill(f"path:{sources}/my-vit")
    page.get_by_test_id("add-submit").click()
    card = page.get_by_test_id("model-card").filter(has_text="my-vit")
    expect(card).to_be_visible(timeout=60_000)
    card.get_by_test_id("dissect").click()
    expect(card).to_contain_text("Current", timeout=120_000)


def test_a_saved_selection_comes_back(open_page: Open) -> None:
    page = open_page(BROWSE)
    expect(page.get_by_test_id("unit-row").first).to_be_visible()
    page.get_by_test_id("pane-concepts").locator("[data-concept]").first.click()
    expect(page.get_by_test_id("filter-chip")).to_be_visible()
    page.get_by_test_id("save-selection").first.click()
    page.get_by_test_id("selection-name").fill("my first")
    page.get_by_test_id("selection-submit").click()
    again = open_page(BROWSE)
    expect(again.get_by_test_id("unit-row").first).to_be_visible()
    again.get_by_label(re.compile("saved", re.IGNORECASE)).first.click()
    again.get_by_text("my first").click()
    expect(again.get_by_test_id("filter-chip")).to_be_visible()


def test_the_demo_opens_from_an_empty_folder(browser: Browser, tmp_path: Path) -> None:
    """The first page of a fresh installation: one click, and the built-in model is read and being dissected."""
    empty = Server(tmp_path / "data", tmp_path)
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    try:
        page = context.new_page()
        page.goto(empty.url)
        page.get_by_test_id("open-demo").click()
        expect(page.get_by_text(re.compile("images|layers|Dissecting")).first).to_be_visible(timeout=120_000)
        for _ in range(600):
            runs = {r["method"]: r for r in empty.http.get("/runs").json()["items"]}
            if runs.get("dissection", {}).get("progress") or runs.get("dissection", {}).get("state") == "done":
                break
            page.wait_for_timeout(200)
        assert runs["dissection"]["state"] in ("running", "done"), runs["dissection"]["error"]
    finally:
        context.close()
        empty.stop()
