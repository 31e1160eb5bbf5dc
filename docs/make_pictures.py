"""Takes the pictures of README and docs from a running demo: ``make docs``, or give the address of a server that runs.

python docs/make_pictures.py [http://127.0.0.1:8000 [NAME ...]]
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
SUBJECTS = "m=tinyplaces-resnet&p=tinyplaces"
METHODS = ("grad-cam", "integrated-gradients", "fullgrad", "smoothgrad", "lrp", "occlusion")
SIX = f"e=tinyplaces:1&with={','.join(METHODS)}"
ABOUT = {"model": "tinyplaces-resnet", "probe": "tinyplaces"}
ASPHALT = {"layer": "resnet.encoder.stages.2.layers.1", "concept": "material:asphalt"}  # units whose absence is felt
UNIT = "u=resnet.encoder.stages.3.layers.1/38"  # a car detector of the built-in model
READER = "m=pycode-gpt&p=pycode"
READS = "u=transformer.h.3.neurons/23"  # a detector of dunder names of the built-in model
PROMPT = "text=def%20__init__(self%2C%20name%2C%20size%3DNone)%3A%0A%20%20%20%20%20%20%20%20self.name%20%3D"
LOOP = "text=import%20os%0Afor%20name%20in%20os.listdir%28path%29%3A%0A%20%20%20%20print%28"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def wait_for_demo(address: str) -> None:
    """Until dissections and maps of the built-in models are there, and the predictions of the one that has classes."""
    with httpx.Client(base_url=f"{address}/api/v1", timeout=60) as http:
        for _ in range(1800):
            try:
                runs = http.get("/runs", params={"limit": 40}).json()["items"]
                done = {(r["subjects"].get("model"), r["method"]) for r in runs if r["state"] == "done"}
                seen = {("tinyplaces-resnet", method) for method in ("dissection", "unit-map", "predictions")}
                if seen | {("pycode-gpt", method) for method in ("dissection", "unit-map")} <= done:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(1)
    sys.exit("the demo did not finish in half an hour")


def browse(page: Page) -> None:
    page.get_by_test_id("unit-row").first.wait_for()
    page.wait_for_timeout(3500)


def brushed(page: Page) -> None:
    browse(page)
    page.get_by_test_id("tool-lasso").click()
    box = page.get_by_test_id("map-canvas").bounding_box()
    assert box
    points = [(0.79, 0.66), (0.86, 0.6), (0.96, 0.62), (0.985, 0.72), (0.92, 0.79), (0.8, 0.79), (0.79, 0.66)]
    page.mouse.move(box["x"] + points[0][0] * box["width"], box["y"] + points[0][1] * box["height"])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_timeout(1500)
    page.mouse.move(5, 500)


def explain(page: Page) -> None:
    for method in METHODS:
        tile = page.get_by_test_id(f"tile-{method}")
        page.wait_for_function("e => e.dataset.state === 'done'", arg=tile.element_handle(), timeout=120_000)
    page.wait_for_timeout(1200)


def language(page: Page) -> None:
    """A prompt with its lens, and the text going on with a unit changed."""
    page.get_by_test_id("pane-lens").get_by_role("rowheader", name="h5", exact=True).wait_for()
    page.get_by_test_id("write").click()
    page.get_by_test_id("pane-steering").locator("p.text").nth(1).wait_for(timeout=120_000)
    page.wait_for_timeout(3000)


def flow(page: Page) -> None:
    """The graph of a forward pass, with a head pinned that copies a name."""
    page.get_by_test_id("question").select_option("information-flow")
    page.get_by_test_id("ask").click()
    pane = page.get_by_test_id("pane-question")
    head = pane.locator("[aria-label^='h4.heads/3']").first
    head.wait_for(timeout=120_000)
    pane.evaluate("pane => pane.scrollIntoView()")
    head.click()
    page.mouse.move(5, 500)
    page.wait_for_timeout(1500)


def words(page: Page) -> None:
    for _ in range(240):
        tiles = page.locator("[data-testid^='text-tile-']")
        if tiles.count() and all(t.get_attribute("data-state") == "done" for t in tiles.all()):
            break
        page.wait_for_timeout(500)
    page.wait_for_timeout(1200)


def scoreboard(page: Page) -> None:
    page.wait_for_timeout(2500)
    if page.get_by_test_id("score-table").count() == 0:
        page.get_by_label("Examples", exact=True).fill("8")
        page.get_by_label("Examples", exact=True).press("Tab")
        page.get_by_test_id("run-benchmark").click()
    page.get_by_test_id("score-table").first.wait_for(timeout=900_000)
    page.wait_for_timeout(1500)


def label(page: Page) -> None:
    """A label set as it is while somebody answers; made once."""
    page.get_by_test_id("new-label-set-button").wait_for()
    page.wait_for_timeout(2500)
    name = "What the last stage looks for"
    there = page.get_by_test_id("label-sets").get_by_text(name).first
    if there.count():
        there.click()
    else:
        page.get_by_test_id("new-label-set-button").click()
        page.get_by_test_id("label-set-name").fill(name)
        page.locator("button[data-kind=choice]").click()
        page.get_by_test_id("label-set-options").fill("car, road, roof, window, tree, water, sky, snow, nothing in particular")
        page.get_by_test_id("make-label-set").click()
    page.get_by_test_id("exemplars").locator("canvas").first.wait_for()
    for key in "523":
        page.keyboard.press(key)
        page.wait_for_timeout(1500)
    page.wait_for_timeout(1500)


def claims(address: str) -> str:
    """A prediction that is tested, and a verified finding of what came out; made once. Returns the address of the finding."""
    title = "Asphalt units of stage3.1 carry the suburb"
    with httpx.Client(base_url=f"{address}/api/v1", timeout=120) as http:

        def post(path: str, body: Any, **headers: str) -> Any:
            answer = http.post(path, json=body, headers=headers)
            answer.raise_for_status()
            return answer.json()

        def wait(path: str, states: tuple[str, ...], state: Any) -> Any:
            while (found := http.get(path).json()) and state(found) in states:
                time.sleep(1)
            return found

        there = [f["url"] for f in http.get("/findings").json()["items"] if f["title"] == title]
        if there:
            return str(there[0])
        http.patch("/session", json={"name": "Ada Okafor"}).raise_for_status()
        query = ABOUT | {"selection": {"layers": [ASPHALT["layer"]]}, "sort": "iou", "descending": True, "limit": 200, "cursor": None}
        units = post("/units/query", query)["items"]
        own = sorted(u["unit"] for u in units if u["concept"] == ASPHALT["concept"])
        best = next(u for u in units if u["concept"] == ASPHALT["concept"])
        others = sorted(random.Random(0).sample([u["unit"] for u in units if u["unit"] not in own], len(own)))
        suburb = {"item": "effect", "name": "suburb", "group": "class"}

        def off(indices: list[int]) -> dict[str, Any]:
            return {"subjects": ABOUT | {"units": {"layer": ASPHALT["layer"], "indices": indices}}, "params": {}}

        def predict(statement: str, prediction: str, test: list[int], control: list[int], threshold: float) -> Any:
            sides = {"test": {"method": "ablate-units", **off(test)}, "control": off(control)}
            said = {"statement": statement, "prediction": prediction, "comparison": "below", "threshold": threshold, "interval": True}
            card = post("/hypotheses", said | sides | {"reference": suburb})
            post(f"/hypotheses/{card['id']}/start", {}, **{"If-Match": f'"{card["revision"]}"'})
            return wait(f"/hypotheses/{card['id']}", ("waiting",), lambda h: h["state"])

        alone = f"Unit stage3.1 / {best['unit']} alone carries the suburb."
        predict(alone, "Switching it off lowers accuracy on suburb by more than 5 points.", [best["unit"]], [others[0]], -5)
        card = predict(
            f"{title}.", f"Switching all {len(own)} off lowers accuracy on suburb by more than 10 points; as many other units do not.",
            own, others, -10,
        )  # fmt: skip
        test, control = card["test_side"], card["control_side"]
        atlas = http.get("/atlas", params=ABOUT).json()
        dissected = next(la["key"] for la in atlas["layers"] if la["name"] == ASPHALT["layer"])
        now, before = test["measured"]["value"], control["measured"]["value"]
        view = {"screen": "unit", **ABOUT, "selected": {"layer": ASPHALT["layer"], "unit": best["unit"]}}
        panels = [
            {"kind": "exemplars", "layer": ASPHALT["layer"], "unit": best["unit"]},
            {"kind": "result", "key": test["key"], "item": "effect"},
        ]
        caption = (
            f"Left: the nine images that drive unit stage3.1 / {best['unit']} hardest, its regions outlined. "
            f"Right: what switching all {len(own)} units off changes, by class."
        )
        rows = [
            ("predictive", f"IoU of unit {best['unit']} with asphalt", dissected,
             {"item": "units", "row": best["unit"], "column": "best_iou"}),
            ("causal", f"Accuracy on suburb, {len(own)} asphalt units off", test["key"], suburb),
            ("causal", "Accuracy on all classes", test["key"], {"item": "effect", "name": "all classes", "group": "total"}),
            ("control", f"Accuracy on suburb, {len(own)} other units off", control["key"], suburb),
        ]  # fmt: skip
        finding = post(
            "/findings",
            {
                "title": title,
                "claim": f"Setting the {len(own)} units of stage3.1 whose best concept is **asphalt** to zero changes accuracy on suburb "
                f"by **{now:.0f} points**; as many other units of the layer change it by {before:.0f}.".replace("-", "\N{MINUS SIGN}"),
                "body": "## Limits\n\nDrawn scenes, twenty of each class. The units were chosen by their best concept before anything was "
                "switched off; switching off many at once takes the next layer out of what it has seen.",
                "figures": [{"state": view, "caption": caption, "panels": panels}],
                "evidence": [{"group": g, "test": t, "key": k, "reference": r} for g, t, k, r in rows],
            },
        )
        post(f"/findings/{finding['id']}/check", {})
        wait(f"/findings/{finding['id']}", ("checking",), lambda f: f["status"]["state"])
        return str(finding["url"])


def settle(page: Page) -> None:
    page.wait_for_timeout(2500)


def shoot(address: str, only: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    finding = claims(address) if not only or {"finding", "hypotheses"} & set(only) else "/"
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        for name, path, act, theme, size in (
            ("home", "/", settle, "light", (1600, 1000)),
            ("browse", f"/browse?{SUBJECTS}&{UNIT}", browse, "light", (1600, 1000)),
            ("browse-brushed", f"/browse?{SUBJECTS}&{UNIT}", brushed, "light", (1600, 1000)),
            ("browse-dark", f"/browse?{SUBJECTS}&{UNIT}", browse, "dark", (1600, 1000)),
            ("browse-1024", f"/browse?{SUBJECTS}", settle, "light", (1024, 768)),
            ("explain", f"/explain?{SUBJECTS}&{SIX}", explain, "light", (1600, 1000)),
            ("explain-dark", f"/explain?{SUBJECTS}&{SIX}", explain, "dark", (1600, 1000)),
            ("explain-set", f"/explain?{SUBJECTS}&set=method-scoreboard", scoreboard, "light", (1600, 1000)),
            ("browse-text", f"/browse?{READER}&{READS}", browse, "light", (1600, 1000)),
            ("language", f"/language?{READER}&{READS}&{PROMPT}&do=add&by=8&temp=0.7", language, "light", (1600, 1000)),
            ("language-flow", f"/language?{READER}&{LOOP}", flow, "light", (1600, 1000)),
            ("explain-text", f"/explain?{READER}&{PROMPT}", words, "light", (1600, 1000)),
            ("labels", "/labels", label, "light", (1600, 1000)),
            ("finding", finding, settle, "light", (1600, 1240)),
            ("hypotheses", "/hypotheses", settle, "light", (1200, 780)),
            ("runs", "/runs", settle, "light", (1600, 1000)),
        ):
            if only and name not in only:
                continue
            context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(address + path)
            act(page)
            page.screenshot(path=FOLDER / f"{name}.png")
            context.close()
        chromium.close()


def main() -> None:
    if len(sys.argv) > 1:
        wait_for_demo(sys.argv[1].rstrip("/"))
        shoot(sys.argv[1].rstrip("/"), sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "microtome.cli", "demo", "--no-browser", "--port", "0"]
        environment = {**os.environ, "MICROTOME_DATA_DIR": data}
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            match = re.search(r"http://[^\s/]+", server.stdout.readline())
            assert match, "the demo did not start"
            wait_for_demo(match[0])
            shoot(match[0], [])
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
