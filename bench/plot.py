"""Small multiples of measured points on logarithmic axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260, 190, 52, 14, 30, 30
Panel = tuple[str, Sequence[float], Sequence[float]]


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten and their 2s and 5s that lie within, at most about six."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    coarse = [t for t in fine if math.log10(t) % 1 == 0]
    return fine if len(fine) <= 6 else coarse or fine[:6]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _panel(title: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    low, high = min(ys) / 1.3, max(ys) * 1.3

    def at(x: float, y: float) -> tuple[float, float]:
        u = (math.log(x) - math.log(xs[0])) / (math.log(xs[-1]) - math.log(xs[0]))
        v = (math.log(y) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + u * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - v * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="16" font-weight="600">{escape(title)}</text>']
    for tick in _ticks(low, high):
        _, y = at(xs[0], tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for x_value in (xs[0], xs[-1]):
        x, _ = at(x_value, low)
        anchor = "start" if x_value == xs[0] else "end"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{_number(x_value)}</text>')
    points = [at(x, y) for x, y in zip(xs, ys, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="#2457a6" stroke-width="1.5"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#2457a6"/>' for x, y in points]
    return "".join(parts)


def lines(panels: Sequence[Panel], columns: int) -> str:
    """One panel per (title, x, y), row by row."""
    rows = -(-len(panels) // columns)
    body = "".join(
        f'<g transform="translate({i % columns * WIDTH} {i // columns * HEIGHT})">{_panel(*panel)}</g>' for i, panel in enumerate(panels)
    )
    size = f'width="{columns * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {columns * WIDTH} {rows * HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="#333">'
        f'<rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n'
    )
