"""axe finds nothing serious on any screen, light and dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCREENS = {
    "home": "/",
    "browse": "/browse?m=tinyplaces-resnet&p=tinyplaces&u=resnet.encoder.stages.3.layers.1/3",
    "unit": "/unit/tinyplaces-resnet/resnet.encoder.stages.3.layers.1/3?probe=tinyplaces",
    "explain": "/explain?m=tinyplaces-resnet&p=tinyplaces",
    "runs": "/runs",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_serious_violation(open_page: Callable[..., Page], screen: str, theme: str) -> None:
    page = open_page(SCREENS[screen], theme=theme)
    page.wait_for_timeout(2500)
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    told = [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}" for v in serious]
    assert not serious, "\n".join(told)
