"""The map of two hundred thousand units in a real browser: it fills by chunks, a point is found under the pointer, a lasso selects."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.synthetic import MODEL, PROBE, load
from playwright.sync_api import Browser, expect

from microtome.core.settings import Settings
from tests.e2e.conftest import Server

UNITS, LIMIT = 200_000, 2_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data: Path = tmp_path_factory.mktemp("large-map") / "data"
    load(Settings(data_dir=data), UNITS, 2, 24)
    running = Server(data, data)
    yield running
    running.stop()


def pixels(page: Any) -> int:
    """Pixels of the map's canvas that are not empty."""
    return int(
        page.get_by_test_id("map-canvas").evaluate(
            "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; }"
        )
    )


def test_a_crowd_is_drawn_hovered_and_brushed(large: Server, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(30_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(f"{large.url}/browse?model={MODEL}&probe={PROBE}")
    canvas = page.get_by_test_id("map-canvas")
    expect(canvas).to_be_visible()
    expect(page.get_by_test_id("map-loading")).to_have_count(0, timeout=30_000)
    expect(page.get_by_test_id("pane-map").locator("[data-sentence]")).to_have_attribute("data-sentence", re.compile("200,000 units"))
    chunks = [a for a in answers if "/units/map/" in a.url]
    assert len(chunks) == 2
    for answer in answers:
        kind = answer.headers.get("content-type") or ""
        if "/api/" in answer.url and answer.status == 200 and not kind.startswith(("image/", "text/event-stream")):
            assert int(answer.headers["content-length"]) <= LIMIT, answer.url
    full = pixels(page)
    assert full > 20_000  # a cloud, not a few dots

    # the unit under the pointer is the one that the server's own places say is there
    head = large.http.get("/units/map", params={"model": MODEL, "probe": PROBE}).json()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.45)
    tip = page.locator(".tip")
    expect(tip).to_be_visible()
    named = re.search(r"(\S+) / (\d+)", tip.inner_text())
    assert named
    layer, unit = named[1], int(named[2])
    assert layer in head["layers"]
    row = large.http.get(f"/units/{MODEL}/{layer}/{unit}", params={"probe": PROBE}).json()["row"]
    assert row["concept"].split(":")[1] in tip.inner_text()
    assert f"{row['iou']:.3f}" in tip.inner_text()

    # a box: what it brushed is what lies in it
    page.get_by_test_id("tool-box").click()
    start = (box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 200, start[1] + 120, steps=5)
    with page.expect_response(lambda r: r.url.endswith("/units/aggregate") and r.json()["counts"]["brushed"] > 0) as told:
        page.mouse.up()
    found = told.value.json()
    assert 1000 < found["counts"]["brushed"] < UNITS
    expect(page.get_by_test_id("tab-brushed")).to_contain_text(f"{found['counts']['brushed']:,}")
    brushed = np.unpackbits(np.frombuffer(base64.b64decode(found["members"]["brushed"]), np.uint8), bitorder="little")[:UNITS] > 0
    assert brushed.sum() == found["counts"]["brushed"]
    arrays = large.http.get(f"/results/{head['key']}").json()["results"][0]["arrays"]
    points = np.frombuffer(large.http.get(f"/blobs/{arrays['points']['sha256']}").content, np.float32).reshape(-1, 2)
    low, high = points[brushed].min(axis=0), points[brushed].max(axis=0)
    np.testing.assert_array_equal(((points >= low) & (points <= high)).all(axis=1), brushed)  # a box, and all that is in it
    wide = (high - low) / (points.max(axis=0) - points.min(axis=0))
    assert wide == pytest.approx([200 / (box["width"] - 60), 120 / (box["height"] - 78)], rel=0.05)  # as large as what was drawn

    # zooming in spreads the cloud; fitting brings it back
    page.keyboard.press("Escape")
    page.get_by_test_id("tool-pan").click()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(400)
    assert pixels(page) != full
    assert not problems, problems
    context.close()
