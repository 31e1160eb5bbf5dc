"""Whatever people or files bring is shown as text: markup is planted in every name and text, and nothing of it comes alive.

Two things are looked for on every screen: that no script of ours ran, and that no element of ours came to be (a page whose policy
forbids the script would still show the element).
"""

from __future__ import annotations

import json
import re
import shutil
import time
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
    concepts = [
        {"index": i, "name": name[:100], "category": ["object", "<b class=planted>"][i % 2]}
        for i, name in enumerate((IMAGE, SVG, LINK, FRAME))
    ]
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
        {"name": IMAGE, "question": "\n\n".join(EVERY), "schema": options, **about, "units": [at], "blind": False},
    )
    server.post(f"/label-sets/{made['id']}/ratings", {**at, "answer": options["options"][0]})
    places = plant_claims(server, about, at, explained["keys"][0])
    share = server.post("/shares", {"state": {"screen": "browse", **about}, "title": IMAGE, "visibility": "public"})
    return {
        "home": "/", "browse": f"/browse?m=planted-model&p=planted-probe&u={at['layer']}/{at['unit']}",
        "unit": f"/unit/{address}?probe=planted-probe",
        "explain": "/explain?m=planted-model&p=planted-probe&e=planted-probe:0&with=saliency",
        "runs": "/runs", "labels": "/labels", "label set": f"/labels/{made['id']}", "result": f"/results/{explained['keys'][0]}",
        "share": share["url"], "odd address": f"/{FILE}?m={FILE}&t={FILE}", **places,
    }  # fmt: skip


def plant_claims(server: Server, about: dict[str, str], at: dict[str, Any], map_key: str) -> dict[str, str]:
    """A finding, a hypothesis and studies that say nothing but markup."""
    prose = "\n\n".join(EVERY)
    layer = next(p["key"] for p in server.run("dissection", **about)["parts"] if p["part"] == at["layer"])
    reference = {"item": "units", "row": at["unit"], "column": "best_iou"}
    evidence = [{"group": "other", "test": text[:300], "key": layer, "reference": reference} for text in EVERY]
    view = {"screen": "unit", **about, "selected": at}
    panels = [{"kind": "exemplars", **at}, {"kind": "result", "key": map_key, "item": "map"}]
    figures = [{"state": view, "caption": text, "panels": panels} for text in EVERY]
    finding = server.post(
        "/findings", {"title": IMAGE, "claim": prose, "body": prose, "figures": figures, "evidence": evidence, "visibility": "public"}
    )
    changed = server.http.patch(f"/findings/{finding['id']}", json={"title": SVG}, headers={"If-Match": '"1"'})  # for the history
    assert changed.status_code == 200, changed.text
    server.post("/comments", {"subject": "finding", "subject_id": finding["id"], "body": prose})
    other = {"item": "units", "row": at["unit"] + 1, "column": "best_iou"}
    subjects = about | {"layers": [at["layer"]]}
    hypothesis = server.post(
        "/hypotheses",
        {
            "statement": IMAGE, "prediction": prose, "note": prose, "comparison": "above", "threshold": 0.5,
            "test": {"method": "dissection", "subjects": subjects}, "reference": reference | {"part": at["layer"]},
            "control": {"subjects": subjects, "reference": other | {"part": at["layer"]}},
        },
    )  # fmt: skip
    shows = [{"name": text[:60], "show": show} for text, show in zip((IMAGE, SVG), ("regions", "random"), strict=True)]
    design = {"kind": "forward-simulation", **about, "tasks": 2, "attention": 0, "choices": 3}
    maps = [{"name": IMAGE[:60], "method": "saliency"}, {"name": SVG[:60]}]
    study = server.post("/studies", {"name": IMAGE[:100], "instructions": prose, "design": design | {"conditions": maps}})
    guess = {"kind": "guess-label", **about, "tasks": 2, "conditions": shows}
    server.post("/studies", {"name": SVG[:100], "instructions": prose, "design": guess})
    study = prepared(server, study)
    return {
        "findings": "/findings", "finding": finding["url"], "embedded finding": f"/embed{finding['url']}",
        "exported finding": f"/api/v1/findings/{finding['id']}/export?format=html",
        "hypotheses": f"/hypotheses#{hypothesis['id']}", "studies": "/studies", "study": f"/studies/{study['id']}",
        "taking part": f"/studies/{study['id']}/take",
    }  # fmt: skip


def prepared(server: Server, study: dict[str, Any]) -> dict[str, Any]:
    """The study, open to whoever takes part."""
    path = f"/studies/{study['id']}"

    def act(what: str) -> dict[str, Any]:
        answer = server.http.post(f"{path}/{what}", headers={"If-Match": f'"{study["revision"]}"'})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    study = act("prepare")
    end = time.monotonic() + 240
    while study["preparation"]["step"] in ("measuring", "explaining"):
        assert time.monotonic() < end, "the study was not prepared in 240 s"
        time.sleep(0.3)
        study = server.http.get(path).json()
    assert study["preparation"]["step"] == "ready", study["preparation"]
    return act("open")


def nothing_came_alive(page: Page, where: str) -> None:
    assert page.evaluate("window.planted") is None, f"a script ran on {where}"
    found = page.evaluate(ALIVE)
    assert not found, f"on {where}: {found}"


#: What a screen of claims shows when it is there.
SHOWN = dict.fromkeys(("findings", "finding", "embedded finding", "exported finding"), SVG)
SHOWN |= dict.fromkeys(("hypotheses", "studies", "study", "taking part"), IMAGE)


def alone(open_page: Open, server: Server, path: str, folder: Path) -> Page:
    """The exported page from the file system, where no header of the server guards it."""
    file = folder / "finding.html"
    file.write_bytes(server.http.get(path.removeprefix("/api/v1")).raise_for_status().content)
    page = open_page("/")
    page.goto(file.as_uri())
    return page


def test_nothing_that_is_planted_comes_alive(open_page: Open, server: Server, sources: Path, tmp_path: Path) -> None:
    places = plant(server, sources)
    shown = ""
    for where, path in places.items():
        page = alone(open_page, server, path, tmp_path) if where == "exported finding" else open_page(path)
        page.wait_for_load_state("load")
        screen = page.locator("body" if where == "exported finding" else "main")
        expect(screen).to_be_visible()
        if where in SHOWN:
            expect(screen).to_contain_text(SHOWN[where])
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
    if where == "finding":
        for button in ("cite", "edit-finding"):
            page.get_by_test_id(button).click()
            page.wait_for_timeout(300)
            nothing_came_alive(page, f"{button} of the finding")
            if button == "cite":
                page.keyboard.press("Escape")
        page.get_by_role("button", name="Preview").click()
        page.wait_for_timeout(300)
        nothing_came_alive(page, "the preview of the editor")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_test_id("finding-more").click()
        page.get_by_role("button", name=re.compile("^History")).click()
        expect(page.get_by_test_id("history-dialog").locator("ins").first).to_be_visible()
        nothing_came_alive(page, "the history of the finding")
    if where == "taking part":
        page.get_by_test_id("begin").click()
        expect(page.get_by_test_id("choice").first).to_contain_text("<")  # classes of the planted model
    if where == "label set":
        for tab in page.locator("[data-tab]").all():
            tab.click()
            page.wait_for_timeout(300)
            nothing_came_alive(page, "a tab of the label set")
