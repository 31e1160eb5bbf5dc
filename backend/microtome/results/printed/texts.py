"""Results about texts on paper: contexts of units, lenses, scores of tokens, graphs, what a model wrote. Each fills one subfigure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from microtome.results.language import Generation, Graph, LensGrid, TokenMap
from microtome.results.printed.style import BAR, INK, MAGNITUDE, QUIET, SIGNED

#: More rows, columns or nodes than these are not legible on a page; the caption says that the data hold the rest.
ROWS, COLUMNS, NAMED = 14, 12, 30
#: Points of a letter of a context, and how wide it is, in inches, in a font whose letters are all of one width.
_LETTER = 5
_WIDE = 0.602 * _LETTER / 72


def visible(token: str, most: int = 10) -> str:
    """A token in one line, of at most so many characters; what a figure cannot show becomes a sign."""
    text = token.replace("\n", "↵").replace("\t", "→")
    return "".join(c if c.isprintable() else "·" for c in text)[:most]


@dataclass(frozen=True, slots=True)
class Context:
    """Some tokens of a text with a unit's activation at each; the one at ``at`` is the strongest."""

    tokens: list[str]
    values: list[float]
    at: int


def contexts(rows: list[Context], threshold: float | None, sub: Any) -> str:
    """A line each, aligned on the strongest token; filled by activation, underlined above the threshold."""
    ax = sub.add_subplot()
    # As many letters as fit beside each other, less what the layout keeps free around the axes.
    side = int(sub.bbox.width / sub.get_figure(root=True).dpi * 0.96 / _WIDE / 2)
    ax.set(xlim=(-side, side), ylim=(len(rows), 0))
    ax.axis("off")
    most = max((abs(v) for row in rows for v in row.values), default=0.0) or 1.0
    for line, row in enumerate(rows):
        names = [visible(t, 40) for t in row.tokens]
        starts = np.cumsum([0, *(len(n) for n in names)])
        middle = (starts[row.at] + starts[row.at + 1]) / 2
        for name, start, value in zip(names, starts, row.values, strict=False):
            left, right = start - middle, start - middle + len(name)
            if left < -side or right > side:
                continue
            strength = min(1.0, max(0.0, value / most))
            if strength > 0.06:
                ax.add_patch(Rectangle((left, line + 0.1), len(name), 0.8, color=MAGNITUDE(strength), linewidth=0))
            if threshold is not None and value > threshold:
                ax.plot([left, right], [line + 0.94] * 2, color=INK, linewidth=0.7)
            ax.text(left, line + 0.5, name, fontsize=_LETTER, family="monospace", va="center", color="white" if strength > 0.55 else INK)
    return ""


def lens_grid(result: LensGrid, sub: Any) -> str:
    items, values = result.arrays["items"], result.arrays.get("cells", result.arrays["values"][:, :, 0])
    rows, columns = min(ROWS, len(items)), min(COLUMNS, items.shape[1])
    ax = sub.add_subplot()
    shown = np.abs(values[:rows, :columns])
    drawn = ax.imshow(shown, aspect="auto", cmap=MAGNITUDE, interpolation="nearest")
    middle = float(np.nanmax(shown)) / 2 if np.isfinite(shown).any() else 0.0
    for row, column in np.ndindex(rows, columns):
        item = int(items[row, column, 0])
        if item >= 0:
            light = shown[row, column] > middle
            ax.text(column, row, visible(result.names[item]), ha="center", va="center", fontsize=5, color="white" if light else INK)
    ax.set_xticks(range(columns), [visible(n) for n in result.columns[:columns]], fontsize=6, rotation=90 if columns > 6 else 0)
    ax.set_yticks(range(rows), (result.rows or [str(i) for i in range(len(items))])[:rows], fontsize=6)
    bar = sub.colorbar(drawn, ax=ax, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(result.cell_quantity or result.quantity)
    whole = (rows, columns) == items.shape[:2]
    return "" if whole else f"{rows} x {columns} of {items.shape[0]} x {items.shape[1]} cells; the data hold all."


def token_map(result: TokenMap, sub: Any) -> str:
    ax = sub.add_subplot()
    names = [visible(t) for t in result.tokens]
    if "values" in result.arrays:
        values = result.arrays["values"][:ROWS]
        most = float(np.nanmax(np.abs(values))) if values.size and np.isfinite(values).any() else 1.0
        signed = result.signed and bool((values < 0).any())
        scale: dict[str, Any] = {"cmap": SIGNED if signed else MAGNITUDE, "vmin": -most if signed else 0, "vmax": most or 1}
        drawn = ax.imshow(values, aspect="auto", interpolation="nearest", **scale)
        ax.set_yticks(range(len(values)), [r[-24:] for r in result.rows[:ROWS]], fontsize=6)
        more = len(result.rows) - len(values)
        note = f"{more} more rows are in the data." if more else ""
    else:
        drawn = ax.imshow(result.arrays["pairs"][0], aspect="auto", cmap=MAGNITUDE, interpolation="nearest")
        if len(names) <= NAMED:
            ax.set_yticks(range(len(names)), names, fontsize=5)
        note = f"{result.rows[0]}; {len(result.rows) - 1} more are in the data." if len(result.rows) > 1 else result.rows[0]
    if len(names) <= NAMED:
        ax.set_xticks(range(len(names)), names, fontsize=5, rotation=90)
    bar = sub.colorbar(drawn, ax=ax, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(result.quantity)
    return note


def graph(result: Graph, sub: Any) -> str:
    """Nodes in their layers from below; the strongest edges."""
    ax = sub.add_subplot()
    weights = result.arrays["weight"]
    most = float(np.abs(weights).max(initial=0.0)) or 1.0
    strongest = np.argsort(-np.abs(weights), kind="stable")[:200]
    for edge in strongest:
        ends = [result.nodes[int(result.arrays[n][edge])] for n in ("source", "target")]
        colour = SIGNED(1.0 if weights[edge] > 0 else 0.0)
        wide = 0.3 + 2 * abs(weights[edge]) / most
        ax.plot([e.column for e in ends], [e.row for e in ends], color=colour, alpha=0.5, linewidth=wide)
    at = [n.column for n in result.nodes], [n.row for n in result.nodes]
    ax.scatter(*at, s=12, color="white", edgecolors=INK, linewidths=0.8, zorder=3)
    if len(result.nodes) <= NAMED:
        for node in result.nodes:
            ax.annotate(visible(node.name), (node.column, node.row), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=5)
    ax.set_yticks(range(len(result.rows)), result.rows, fontsize=6)
    if result.columns and len(result.columns) <= NAMED:
        ax.set_xticks(range(len(result.columns)), [visible(c) for c in result.columns], fontsize=5, rotation=90)
    else:
        ax.set_xticks([])
    for side in ("top", "right"):
        ax.spines[side].set_color(BAR)
    return f"The strongest {len(strongest)} of {len(weights)} edges." if len(strongest) < len(weights) else ""


def generation(result: Generation, sub: Any) -> str:
    ax = sub.add_subplot()
    ax.axis("off")
    lines: list[tuple[str, str]] = []
    for name, tokens in zip(result.conditions, result.tokens, strict=True):
        lines.append((name, QUIET))
        written = "".join(result.prompt) + "".join(tokens)
        for line in "".join(c if c.isprintable() or c == "\n" else "·" for c in written).split("\n"):
            lines += [(part, INK) for part in textwrap.wrap(line, 60, drop_whitespace=False) or [""]]
    for place, (line, colour) in enumerate(lines[:26]):
        ax.text(0, 1 - place / 26, line, va="top", fontsize=6, color=colour, family="monospace" if colour == INK else None)
    return f"{len(lines) - 26} more lines are in the data." if len(lines) > 26 else ""
