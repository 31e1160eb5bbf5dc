"""The picture that stands where a link to a finding is shown: 1200 x 630 pixels, title, claim and first panel."""

from __future__ import annotations

import importlib
import io
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from PIL import Image

from microtome.api.desk import Desk
from microtome.api.findings.export.figures import draw
from microtome.core.errors import MicrotomeError

WIDTH, HEIGHT = 1200, 630


def picture(desk: Desk, finding: Mapping[str, Any]) -> bytes:
    """PNG."""
    style, figures = importlib.import_module("microtome.results.printed.style"), importlib.import_module("matplotlib.figure")
    panel = _panel(desk, finding)
    with style.styled():
        figure = figures.Figure(figsize=(WIDTH / 200, HEIGHT / 200), dpi=200)
        figure.text(0.045, 0.9, f"Microtome finding {finding['number']}", fontsize=6, color=style.QUIET, va="top")
        title = textwrap.wrap(finding["title"], 32)[:4]
        figure.text(0.045, 0.83, "\n".join(title), fontsize=11.5, fontweight="bold", color=style.INK, va="top", linespacing=1.2)
        claim = textwrap.wrap(re.sub(r"[*_`#$]", "", finding["claim"]), 52)[:5]
        figure.text(0.045, 0.83 - 0.105 * len(title), "\n".join(claim), fontsize=7, color=style.QUIET, va="top", linespacing=1.45)
        names = ", ".join(person["name"] for person in finding["contributors"])
        figure.text(0.045, 0.08, textwrap.shorten(names, 70, placeholder=" …"), fontsize=6, color=style.QUIET, va="bottom")
        if panel is not None:
            ax = figure.add_axes((0.56, 0.1, 0.41, 0.8))
            ax.imshow(panel)
            ax.axis("off")
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": "Microtome"})
    return out.getvalue()


def _panel(desk: Desk, finding: Mapping[str, Any]) -> Image.Image | None:
    """The first panel of the first figure, without its title; None if there is none, or a result is not here."""
    first = next((f for f in finding["figures"] if f["panels"]), None)
    if first is None:
        return None
    alone = {**finding, "figures": [{**first, "caption": "", "panels": first["panels"][:1]}]}
    try:
        with Image.open(io.BytesIO(draw(desk, alone, 1, "png"))) as drawn:
            return drawn.convert("RGB").crop((0, round(drawn.height * 0.07), drawn.width, round(drawn.height * 0.88)))
    except MicrotomeError:
        return None
