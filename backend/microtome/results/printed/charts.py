"""Numbers as charts: scorecards, curves, matrices, scatters, distributions, tables, hierarchies. Each fills one subfigure."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtome.results.kinds import Curves, Distribution, Matrix, Scatter, Scorecard, Tree, UnitTable
from microtome.results.printed.style import BAR, CATEGORICAL, CHANCE, GRID, INK, MAGNITUDE, QUIET

#: More rows, lines or units than these are not legible on a page; the caption says that the data hold the rest.
ROWS, LINES, UNITS = 28, 8, 12


def scorecard(result: Scorecard, sub: Any) -> str:
    """Every number as a dot with its interval, over the band of chance."""
    scores = [s for s in result.scores if s.value is not None]
    shown = scores[:ROWS]
    ax = sub.add_subplot()
    for place, s in enumerate(shown):
        assert s.value is not None
        if s.chance_low is not None and s.chance_high is not None:
            ax.barh(place, s.chance_high - s.chance_low, left=s.chance_low, height=0.8, color=CHANCE, linewidth=0)
        elif s.chance is not None:
            ax.plot([s.chance, s.chance], [place - 0.35, place + 0.35], color=INK, linewidth=1.2)
        if s.low is not None and s.high is not None:
            ax.plot([s.low, s.high], [place, place], color=INK, linewidth=0.9)
        inside = s.chance_low is not None and s.chance_high is not None and s.chance_low <= s.value <= s.chance_high
        ax.plot([s.value], [place], "o", markersize=4, color=INK, markerfacecolor="white" if inside else INK, markeredgewidth=0.9)
    ax.axvline(0, color=BAR, linewidth=0.6)
    ax.set_yticks(range(len(shown)), [(f"{s.group}: " if s.group else "") + s.name for s in shown])
    ax.invert_yaxis()
    ax.set_xlabel(", ".join(dict.fromkeys(s.unit for s in shown if s.unit)))
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    return f"{len(scores) - len(shown)} more numbers are in the data." if len(scores) > len(shown) else ""


def curves(result: Curves, sub: Any) -> str:
    ax = sub.add_subplot()
    x = result.arrays["x"]
    for place, name in enumerate(result.series[:LINES]):
        colour = CATEGORICAL[place % len(CATEGORICAL)]
        if "low" in result.arrays and "high" in result.arrays:
            ax.fill_between(x, result.arrays["low"][place], result.arrays["high"][place], color=CHANCE, linewidth=0)
        ax.plot(x, result.arrays["y"][place], color=colour, linewidth=1.4, label=name)
    ax.set_xlabel(result.x_axis)
    ax.set_ylabel(result.y_axis)
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    if len(result.series) > 1:
        ax.legend(frameon=False, fontsize=7)
    return f"{len(result.series) - LINES} more series are in the data." if len(result.series) > LINES else ""


def matrix(result: Matrix, sub: Any) -> str:
    ax = sub.add_subplot()
    values = result.arrays["values"]
    drawn = ax.imshow(values, aspect="auto", cmap=MAGNITUDE, interpolation="nearest")
    bar = sub.colorbar(drawn, ax=ax, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(result.quantity)
    for axis, names, title in (("x", result.columns, result.column_axis), ("y", result.rows, result.row_axis)):
        if 0 < len(names) <= 40:
            getattr(ax, f"set_{axis}ticks")(range(len(names)), [n.split(":", 1)[-1][:24] for n in names], fontsize=6)
        getattr(ax, f"set_{axis}label")(title)
    if 8 < len(result.columns) <= 40:
        ax.tick_params(axis="x", rotation=90)
    return ""


def scatter(result: Scatter, sub: Any) -> str:
    ax = sub.add_subplot()
    points, layer = result.arrays["points"], result.arrays["layer"]
    for place, name in enumerate(result.layers):
        own = points[layer == place]
        # thousands of dots as vectors make a file that nothing opens
        ax.scatter(own[:, 0], own[:, 1], s=4, linewidths=0, alpha=0.7, label=name, rasterized=len(points) > 2000)
    ax.set_aspect("equal", "datalim")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(result.projection)
    if 1 < len(result.layers) <= 12:
        ax.legend(frameon=False, fontsize=6, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return ""


def distribution(result: Distribution, sub: Any) -> str:
    """Counts on a root scale, as in the workbench."""
    if "counts" not in result.arrays:
        return text(sub, "This result has quantiles only; its data hold them.")
    ax = sub.add_subplot()
    edges, counts = result.arrays["edges"], result.arrays["counts"]
    for row in range(min(len(counts), LINES)):
        name = result.rows[row] if result.rows else str(row)
        ax.stairs(np.sqrt(counts[row]), edges[row], linewidth=1, label=name)
    ax.set_xlabel(result.quantity)
    ax.set_ylabel("positions, √ scale")
    ax.grid(axis="y")
    if len(counts) > 1:
        ax.legend(frameon=False, fontsize=6)
    return f"{len(counts) - LINES} more rows are in the data." if len(counts) > LINES else ""


def unit_table(result: UnitTable, sub: Any) -> str:
    heads = [c for c in result.columns if c.type in ("number", "text")][:6]
    rows = [["unit", *(c.title for c in heads)]]
    columns = [result.column(c.name)[:UNITS] for c in heads]
    rows += [[str(unit), *(_cell(column[place]) for column in columns)] for place, unit in enumerate(result.units[:UNITS])]
    _grid(sub, rows)
    return f"The first {len(rows) - 1} of {len(result.units)} units; the data hold all." if len(result.units) > UNITS else ""


def tree(result: Tree, sub: Any) -> str:
    parent, value = result.arrays["parent"], result.arrays["value"]
    depth = np.zeros(len(parent), int)
    for node in range(1, len(parent)):
        depth[node] = depth[parent[node]] + 1
    names = result.names or [f"node {i}" for i in range(len(parent))]
    shown = range(min(ROWS, len(parent)))
    _grid(sub, [["part", result.quantity], *(["    " * depth[i] + names[i], f"{value[i]:.4g}"] for i in shown)])
    return f"{len(parent) - ROWS} more nodes are in the data." if len(parent) > ROWS else ""


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "–" if value is None or value != value else f"{value:.4g}"


def _grid(sub: Any, rows: list[list[str]]) -> None:
    """A table of text: hairlines only."""
    ax = sub.add_subplot()
    ax.axis("off")
    drawn = ax.table(cellText=rows, loc="upper left", cellLoc="left", edges="horizontal")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7)
    for (row, _), cell in drawn.get_celld().items():
        cell.set_edgecolor(GRID)
        cell.set_text_props(color=QUIET if row == 0 else INK)


def text(sub: Any, words: str) -> str:
    ax = sub.add_subplot()
    ax.axis("off")
    ax.text(0, 1, words, va="top", color=QUIET)
    return ""
