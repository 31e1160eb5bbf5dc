"""axe finds nothing serious on any screen, light and dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.test_scripts import prepared

SCREENS = {
    "home": "/",
    "browse": "/browse?m=tinyplaces-resnet&p=tinyplaces&u=resnet.encoder.stages.3.layers.1/3",
    "unit": "/unit/tinyplaces-resnet/resnet.encoder.stages.3.layers.1/3?probe=tinyplaces",
    "explain": "/explain?m=tinyplaces-resnet&p=tinyplaces",
    "set": "/explain?m=tinyplaces-resnet&p=tinyplaces&set=gridpg",
    "runs": "/runs",
    "labels": "/labels",
    "findings": "/findings",
    "new finding": "/findings/new",
    "hypotheses": "/hypotheses",
    "studies": "/studies",
}


@pytest.fixture(scope="module")
def addresses(server: Server) -> dict[str, str]:
    """Every screen, with those whose address is known only once there is a result and a share."""
    subjects = {"model": "tinyplaces-resnet", "probe": "tinyplaces"}
    # The same question as in test_explain_regions_sets.py: whichever comes first computes it.
    server.run("gridpg", params={"methods": ["saliency", "grad-cam"], "images": 2}, **subjects)
    key = server.run("predictions", **subjects)["keys"][0]
    share = server.post("/shares", {"state": {"screen": "browse", **subjects}})
    layer = server.run("dissection", **subjects)["keys"][-1]
    evidence = [{"group": "other", "test": "IoU", "key": layer, "reference": {"item": "units", "row": 3, "column": "best_iou"}}]
    figures = [{"caption": "x", "panels": [{"kind": "result", "key": layer, "item": "units"}]}]
    finding = server.post("/findings", {"title": "A unit", "claim": "It is one.", "evidence": evidence, "figures": figures})
    side = {"subjects": subjects | {"units": {"layer": "resnet.encoder.stages.3.layers.1", "indices": [3]}}, "params": {"draws": 2}}
    other = {"subjects": subjects | {"units": {"layer": "resnet.encoder.stages.3.layers.1", "indices": [4]}}, "params": {"draws": 2}}
    score = {"item": "effect", "name": "all classes", "group": "total"}
    said = {"statement": "It matters.", "prediction": "Less accurate without it.", "comparison": "below", "threshold": -1}
    server.post("/hypotheses", said | {"test": {"method": "ablate-units", **side}, "control": other, "reference": score})
    shown = [{"name": "with regions", "show": "regions"}, {"name": "random images", "show": "random"}]
    design = {"kind": "guess-label", **subjects, "tasks": 2, "conditions": shown}
    study = prepared(server, server.post("/studies", {"name": "Do marked regions help?", "instructions": "Look.", "design": design}))
    return {
        **SCREENS,
        "study": f"/studies/{study['id']}",
        "taking part": f"/studies/{study['id']}/take",
        "finding": finding["url"],
        "embedded": f"/embed{finding['url']}",
        "result": f"/results/{key}",
        "layer": f"/results/{layer}",
        "shared": f"/s/{share['id']}",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", [*SCREENS, "result", "layer", "shared", "finding", "embedded", "study", "taking part"])
def test_no_serious_violation(open_page: Callable[..., Page], addresses: dict[str, str], screen: str, theme: str) -> None:
    page = open_page(addresses[screen], theme=theme)
    expect(page.locator("main")).to_be_visible()
    if screen == "taking part":
        page.get_by_test_id("begin").click()
        expect(page.get_by_test_id("choice").first).to_be_enabled()
    page.wait_for_timeout(2500)
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    told = [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}" for v in serious]
    assert not serious, "\n".join(told)
