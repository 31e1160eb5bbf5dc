"""A figure of one or several panels with its caption, as SVG, PDF or PNG."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from microtome.results.base import Result
from microtome.results.kinds import Curves, Distribution, ImageMap, MapSet, Matrix, Scatter, Scorecard, Tree, UnitTable
from microtome.results.language import Generation, Graph, LensGrid, TokenMap
from microtome.results.printed import charts, texts
from microtome.results.printed import images as pictures
from microtome.results.printed.style import QUIET, styled

Format = Literal["svg", "pdf", "png"]
MEDIA: dict[Format, str] = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}
#: Characters that XML cannot hold; matplotlib writes texts into comments as they are.
NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
WIDTH, HEIGHT = 3.5, 3.1  # inches of one panel
CHARTS: dict[type[Result], Any] = {
    Scorecard: charts.scorecard, Curves: charts.curves, Matrix: charts.matrix, Scatter: charts.scatter,
    Distribution: charts.distribution, UnitTable: charts.unit_table, Tree: charts.tree, LensGrid: texts.lens_grid,
    TokenMap: texts.token_map, Graph: texts.graph, Generation: texts.generation,
}  # fmt: skip


def nothing(_: int) -> None:
    """No image can be had."""
    return None


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel shows: a result, or the exemplars of a unit.

    Attributes:
        picture: the image that an ImageMap lies over.
        images: images of the probe set.
        exemplars: their numbers, native maps (float32 [n, h, w]) and threshold. contexts: those of a unit that reads, instead.
    """

    title: str
    result: Result | None = None
    picture: pictures.Picture | None = None
    images: pictures.Images = nothing
    exemplars: list[int] = field(default_factory=list)
    contexts: list[texts.Context] = field(default_factory=list)
    maps: npt.NDArray[np.float32] | None = None
    threshold: float | None = None


def printed(panels: Sequence[Panel], caption: str, format: Format, *, author: str = "Microtome") -> bytes:
    """The figure. The same content gives the same bytes (no dates, no random ids).

    Args:
        caption: plain text under the panels; with the hashes that say what they were made from.
    """
    columns = min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    width = max(WIDTH * columns, 5.0)
    with styled():
        figure = Figure(figsize=(width, HEIGHT * rows), layout="constrained")
        subs = np.atleast_1d(figure.subfigures(rows, columns, squeeze=False)).ravel()
        notes = [_draw(panel, sub) for panel, sub in zip(panels, subs, strict=False)]
        lines = [line for part in [*caption.split("\n"), *notes] if part for line in textwrap.wrap(part, int(width * 18))]
        foot = 0.14 * len(lines) + 0.12
        figure.set_size_inches(width, HEIGHT * rows + foot)
        share = foot / (HEIGHT * rows + foot)
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))  # type: ignore[union-attr, call-arg]
        figure.text(0.02, 0.01, "\n".join(lines), va="bottom", fontsize=7, color=QUIET, linespacing=1.35)
        _settle(figure)
        out = io.BytesIO()
        dateless: dict[str, Any] = {"svg": {"Date": None, "Creator": author}, "pdf": {"CreationDate": None, "Creator": author}, "png": {}}
        figure.savefig(out, format=format, dpi=200, metadata=dateless[format])
    data = out.getvalue()
    return NO_XML.sub(b"", data) if format == "svg" else data


def _settle(figure: Figure) -> None:
    """Lay out, and hold the places found to a hundred-thousandth of the figure: the solver's last digits depend on memory addresses."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        left, bottom, width, height = (round(v, 5) for v in ax.get_position().bounds)
        ax.set_position((left, bottom, width, height))
    for sub in (figure, *figure.subfigs):
        for text in sub.texts:
            x, y = text.get_position()
            text.set_position((round(x, 5), round(y, 5)))


def _draw(panel: Panel, sub: Any) -> str:
    sub.suptitle("\n".join(textwrap.wrap(panel.title, 44)[:2]), fontsize=8.5, x=0.03, ha="left", fontweight="bold")
    result = panel.result
    if panel.contexts:
        return texts.contexts(panel.contexts, panel.threshold, sub)
    if result is None:
        return pictures.exemplars(panel.exemplars, panel.maps, panel.threshold, panel.images, sub)
    if isinstance(result, ImageMap):
        return pictures.image_map(result, sub, panel.picture)
    if isinstance(result, MapSet):
        return pictures.map_set(result, panel.images, sub)
    draw = CHARTS.get(type(result))
    if draw is None:
        return charts.text(sub, f"A {result.kind} is not drawn on paper; the data hold it.")
    return str(draw(result, sub))
