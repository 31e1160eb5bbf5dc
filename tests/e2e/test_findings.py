"""A finding in the browser: frozen from a unit, put into words, computed again, disagreed about by two people, taken away."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server

Open = Callable[..., Page]
LAYER = "resnet.encoder.stages.3.layers.1"
UNIT = f"/unit/tinyplaces-resnet/{LAYER}/38?probe=tinyplaces"


@pytest.fixture(scope="module")
def finding(server: Server) -> dict[str, Any]:
    """A finding about one unit, written by the first browser profile."""
    atlas = server.http.get("/atlas", params={"model": "tinyplaces-resnet", "probe": "tinyplaces"}).raise_for_status().json()
    key = next(la["key"] for la in atlas["layers"] if la["name"] == LAYER)
    about = {"model": "tinyplaces-resnet", "probe": "tinyplaces", "screen": "unit", "selected": {"layer": LAYER, "unit": 38}}
    reference = {"item": "units", "row": 38, "column": "best_iou"}
    evidence = [{"group": "predictive", "test": "IoU with its concept", "key": key, "reference": reference}]
    figures = [{"state": about, "caption": "The *nine* strongest", "panels": [{"kind": "exemplars", "layer": LAYER, "unit": 38}]}]
    return server.post("/findings", {"title": "A unit sees cars", "claim": "It does.", "evidence": evidence, "figures": figures})


def state(page: Page) -> Any:
    return page.get_by_test_id("finding-state")


def test_from_a_unit_to_a_verified_finding(open_page: Open) -> None:
    page = open_page(UNIT)
    page.get_by_test_id("unit-to-finding").click()
    offers = page.get_by_test_id("offers")
    expect(offers.get_by_role("checkbox").first).to_be_checked()
    page.get_by_test_id("add-title").fill("Channel 38 responds to cars")
    page.get_by_test_id("add-now").click()
    page.get_by_role("button", name="Open it").click()
    expect(page.get_by_test_id("finding-title")).to_have_text("Channel 38 responds to cars")
    expect(state(page)).to_have_attribute("data-state", "fresh")
    expect(page.get_by_test_id("exemplars-0").locator("canvas")).to_have_count(9)
    row = page.get_by_test_id("evidence").locator("tbody tr").first
    expect(row).to_contain_text("Predictive")
    shown = row.locator("td").nth(2).inner_text().split()[0]

    page.get_by_test_id("edit-finding").click()
    page.get_by_test_id("edit-claim").fill("It **responds** to cars, <b>not</b> to $x^2$.")
    page.get_by_test_id("edit-body").fill("## Limits\n\n$$\\frac{a}{b}$$\n\n[link](javascript:alert(1))")
    page.keyboard.press("Control+Enter")
    claim = page.get_by_test_id("claim")
    expect(claim.locator("strong")).to_have_text("responds")
    expect(claim).to_contain_text("<b>not</b>")
    expect(claim.locator(".katex")).to_have_count(1)
    expect(page.get_by_test_id("prose").locator(".katex-display")).to_have_count(1)
    expect(page.get_by_test_id("prose").locator("a[href^=javascript]")).to_have_count(0)

    page.get_by_test_id("whole-view").click()
    frozen = page.frame_locator("iframe")
    expect(frozen.get_by_test_id("share-banner")).to_contain_text("Nothing has changed since")
    expect(frozen.get_by_test_id("exemplars").or_(frozen.get_by_test_id("unit-page-body")).first).to_be_visible()
    expect(frozen.get_by_role("navigation", name="Screens")).to_have_count(0)
    page.get_by_test_id("whole-view").click()

    page.get_by_test_id("check-again").click()
    expect(state(page)).to_have_attribute("data-state", "verified", timeout=180_000)
    expect(page.get_by_test_id("verification")).to_contain_text("equal bit for bit")
    page.get_by_test_id("cite").click()
    expect(page.get_by_test_id("bibtex")).to_contain_text("Channel 38 responds to cars")
    page.keyboard.press("Escape")
    row.get_by_role("button").click()
    expect(page).to_have_url(re.compile("/results/"))
    page.go_back()
    expect(page.get_by_test_id("evidence")).to_contain_text(shown)


def test_two_people_write_at_once(open_page: Open, finding: dict[str, Any]) -> None:
    ann, ben = open_page(finding["url"]), open_page(finding["url"])
    for page, title in ((ann, "Ann's title"), (ben, "Ben's title")):
        page.get_by_test_id("edit-finding").click()
        page.get_by_test_id("edit-title").fill(title)
    ann.get_by_test_id("save-finding").click()
    expect(ann.get_by_test_id("finding-title")).to_have_text("Ann's title")
    ben.get_by_test_id("save-finding").click()
    notice = ben.get_by_role("alert")
    expect(notice).to_contain_text("Ann's title")
    notice.get_by_role("button", name="Save mine after it").click()
    expect(ben.get_by_test_id("finding-title")).to_have_text("Ben's title")
    expect(ann.get_by_test_id("finding-title")).to_have_text("Ben's title")  # by an event, without a reload
    ann.get_by_test_id("finding-more").click()
    ann.get_by_role("button", name=re.compile("^History")).click()
    history = ann.get_by_test_id("history-dialog")
    expect(history.locator("del").first).to_have_text("Ann's")
    expect(history.locator("ins").first).to_have_text("Ben's")
    history.get_by_role("button", name="Look at it").first.click()
    expect(ann.get_by_role("status").filter(has_text="This is revision")).to_be_visible()
    ann.get_by_role("button", name="Show the newest").click()

    ben.get_by_test_id("ask").click()
    ben.get_by_test_id("comment-input").fill("Is it not the road?")
    ben.get_by_test_id("comment-send").click()
    expect(ann.get_by_test_id("comment")).to_contain_text("Is it not the road?")


def test_deleted_and_back(open_page: Open, finding: dict[str, Any]) -> None:
    page = open_page(finding["url"])
    title = page.get_by_test_id("finding-title").inner_text()
    page.get_by_test_id("finding-more").click()
    page.get_by_role("button", name="Delete", exact=True).first.click()
    page.get_by_role("button", name="Undo").click()
    listed = page.get_by_test_id("findings")
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()
    expect(listed.get_by_text(title, exact=True)).to_be_visible()


def test_it_is_taken_away_and_opens_without_a_network(open_page: Open, finding: dict[str, Any], tmp_path: Path) -> None:
    page = open_page(finding["url"])
    expect(page.get_by_test_id("evidence")).to_be_visible()
    shown = page.get_by_test_id("evidence").locator("tbody td").nth(2).inner_text().split()[0]
    page.get_by_test_id("export-finding").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Page that opens without a server").click()
    file = tmp_path / "finding.html"
    download.value.save_as(file)
    page.context.set_offline(True)
    alone = page.context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    expect(alone.locator("td[data-value]")).to_contain_text(shown)
    assert alone.locator("figure img").evaluate("i => i.complete && i.naturalWidth > 100")
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    page.context.set_offline(False)


def test_within_another_page(open_page: Open, server: Server, finding: dict[str, Any], tmp_path: Path) -> None:
    page = open_page(f"/embed/findings/{finding['id']}")
    expect(page.get_by_test_id("embed")).to_contain_text("IoU with its concept")
    expect(page.get_by_test_id("figure").locator("canvas").first).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    frame = f'<iframe src="{server.url}/embed/findings/{finding["id"]}"></iframe>'
    (tmp_path / "blog.html").write_text(f"<p>a page of somebody else</p>{frame}")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path))) as blog:
        Thread(target=blog.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{blog.server_port}/blog.html")
        expect(page.frame_locator("iframe").get_by_test_id("embed")).to_contain_text("IoU with its concept")
        blog.shutdown()
