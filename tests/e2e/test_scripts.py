"""Whatever people or files bring is shown as text: markup is planted in every name and text, and nothing of it comes alive.

Two things are looked for on every screen: that no script of ours ran, and that no element of ours came to be (a page whose policy
forbids the script would still show the element).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests import micro
from tests.e2e.conftest import Server

Open = Callable[..., Page]
IMAGE = '<img src=x class=planted onerror="window.planted=1">'
SVG = "<svg class=planted onload=window.planted=1><a class=planted>"
LINK = "[click](javascript:window.planted=1) <a class=planted href=javascript:window.planted=1>x</a>"
FRAME = "</textarea></title></style><iframe class=planted srcdoc='<script>parent.planted=1</script>'></iframe>"
FILE = "<img src=x class=planted onerror=window.planted=1>"  # no slash: the name of a folder
EVERY = (IMAGE, SVG, LINK, FRAME, "{{constructor.constructor('window.planted=1')()}}", '"><script>window.planted=1</script>')
ALIVE = """() => [...document.querySelectorAll('.planted, script:not([src]), iframe, [onerror], [onload], a[href^="javascript:"]')]
    .map((element) => element.outerHTML.slice(0, 200))"""


def model_folder(sources: Path) -> Path:
    """A model with such classes in a folder of such a name."""
    folder = Path(shutil.copytree(micro.model_folder("resnet"), sources / f"model {FILE}"))
    about = json.loads((folder / "config.json").read_text())
    names = [IMAGE, SVG, FRAME]
    about |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def probe_folder(sources: Path) -> Path:
    """Images with such concepts, under such names, one of which is reported as no image."""
    folder = micro.write_probe(sources / f"probe {FILE}")
    concepts = [{"index": i, "name": name[:100], "category": ["object", "<b class=planted>"][i % 2]} for i, name in enumerate((IMAGE, SVG, LINK, FRAME))]
    (folder / "concepts.json").write_text(json.dumps({"concepts": concepts, "ignore": [9]}))
    for kind in ("val", "val_labels"):
        (folder / kind / "000.png").rename(folder / kind / f"{FILE}.png")
    (folder / "val" / f"{FILE}.gif").write_bytes(b"no image")
    return folder


def plant(server: Server, sources: Path) -> dict[str, str]:
    """Everything that can be written or named; returns addresses of what was made."""
    server.add("models", f"path:{model_folder(sources)}", "planted-model")
    server.add("probes", f"path:{probe_folder(sources)}#val", "planted-probe")
    about = {"model": "planted-model", "probe": "planted-probe"}
    for method in ("dissection", "unit-map", "predictions"):
        server.run(method, **about)
    explained = server.run("saliency", model="planted-model", example="planted-probe:0")
    server.http.patch("/session", json={"name": IMAGE[:60]}).raise_for_status()
    row = server.http.post("/units/query", json=about | {"limit": 1}).json()["items"][0]
    at = {"layer": row["layer"], "unit": row["unit"]}
    address = f"planted-model/{at['layer']}/{at['unit']}"
    for text in EVERY:
        for kind in ("label", "note", "tag"):
            server.post("/annotations", {"kind": kind, "model": "planted-model", **at, "body": text})
        server.post("/comments", {"subject": "unit", "subject_id": address, "body": text})
        server.post("/comments", {"subject": "result", "subject_id": explained["keys"][0], "body": text})
        server.post("/selections", {"name": text[:100], **about, "selection": {}})
    options = {"type": "choice", "options": [text[:100] for text in EVERY]}
    made = server.post(
        "/label-sets",
        {"name": IMAGE, "question": "\n\n".join(EVERY), "schema": options, "model": "planted-model", "probe": "planted-probe", "units": [at], "blind": False},
    )  # fmt: skip
    server.post(f"/label-sets/{made['id']}/ratings", {**at, "answer": options["options"][0]})
    share = server.post("/shares", {"state": {"screen": "browse", **about}, "title": IMAGE, "visibility": "public"})
    return {
        "home": "/", "browse": f"/browse?m=planted-model&p=planted-probe&u={at['layer']}/{at['unit']}",
        "unit": f"/unit/{address}?probe=planted-probe", "explain": "/explain?m=planted-model&p=planted-probe&e=planted-probe:0&with=saliency",
        "runs": "/runs", "labels": "/labels", "label set": f"/labels/{made['id']}", "result": f"/results/{explained['keys'][0]}",
        "share": share["url"], "odd address": f"/{FILE}?m={FILE}&t={FILE}",
    }  # fmt: skip


def nothing_came_alive(page: Page, where: str) -> None:
    assert page.evaluate("window.planted") is None, f"a script ran on {where}"
    found = page.evaluate(ALIVE)
    assert not found, f"on {where}: {found}"


def test_nothing_that_is_planted_comes_alive(open_page: Open, server: Server, sources: Path) -> None:
    places = plant(server, sources)
    shown = ""
    for where, path in places.items():
        page = open_page(path)
        page.wait_for_load_state("load")
        expect(page.locator("main")).to_be_visible()
        page.wait_for_timeout(1500)  # whatever is read after the first paint
        opened(page, where)
        nothing_came_alive(page, where)
        shown += page.locator("body").inner_text()
        page.context.close()
    # It is on the screens, as it was written: a test that shows nothing proves nothing.
    for text in (IMAGE, SVG, "javascript:window.planted"):
        assert text in shown, text


def opened(page: Page, where: str) -> None:
    """What opens over a screen: lists, dialogs, tips."""
    if where == "browse":
        page.get_by_label("Saved selections").first.click()
        nothing_came_alive(page, "saved selections")
        page.keyboard.press("Escape")
        page.get_by_test_id("unit-row").first.hover()
        canvas: Any = page.get_by_test_id("map-canvas").bounding_box()
        if canvas:
            page.mouse.move(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
        page.keyboard.press("Control+k")
        page.keyboard.type("<img")
        page.wait_for_timeout(600)
    if where == "label set":
        for tab in page.locator("[data-tab]").all():
            tab.click()
            page.wait_for_timeout(300)
            nothing_came_alive(page, "a tab of the label set")
