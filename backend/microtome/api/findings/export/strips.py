"""The strip of a number in an exported page: value, interval and chance on the scale of its unit, as a small SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 170, 20


def scale(rows: Sequence[Mapping[str, Any]], unit: str) -> tuple[float, float]:
    """From the least to the most that any row of this unit shows, zero included."""
    names = ("value", "low", "high", "chance", "chance_low", "chance_high")
    ends = [0.0, *(row[name] for row in rows if row["unit"] == unit for name in names if row[name] is not None)]
    return min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1


def strip(row: Mapping[str, Any], ends: tuple[float, float]) -> str:
    low, high = ends

    def x(value: float) -> float:
        return round(4 + (value - low) / (high - low) * (WIDTH - 8), 2)

    parts = [f'<line x1="4" x2="{WIDTH - 4}" y1="10" y2="10" stroke="#E3E6EA"/>']
    if row["chance_low"] is not None and row["chance_high"] is not None:
        left = x(row["chance_low"])
        parts.insert(0, f'<rect x="{left}" y="2" width="{max(1.5, x(row["chance_high"]) - left):.2f}" height="16" fill="#E3E5E9"/>')
    if row["chance"] is not None:
        at = x(row["chance"])
        parts.append(f'<line x1="{at}" x2="{at}" y1="3" y2="17" stroke="#16191D" stroke-width="1.5"/>')
    if row["low"] is not None and row["high"] is not None:
        parts.append(f'<line x1="{x(row["low"])}" x2="{x(row["high"])}" y1="10" y2="10" stroke="#16191D" stroke-width="1.2"/>')
    fill = "#FFFFFF" if by_chance(row) else "#16191D"
    parts.append(f'<circle cx="{x(row["value"])}" cy="10" r="3.8" fill="{fill}" stroke="#16191D" stroke-width="1.3"/>')
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>'


def by_chance(row: Mapping[str, Any]) -> bool:
    """True if the value lies where chance alone would put it."""
    return row["chance_low"] is not None and row["chance_high"] is not None and row["chance_low"] <= row["value"] <= row["chance_high"]


def number(row: Mapping[str, Any], value: float | None) -> str:
    """As the workbench writes it: a true minus, a sign where it is a change, never more digits than are known."""
    if value is None:
        return "–"
    if "point" in row["unit"]:
        text = f"{value:+.1f}" if round(value, 1) else "0.0"
    elif value != 0 and (abs(value) < 0.001 or abs(value) >= 1000):
        text = f"{value:.3g}"
    else:
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return text.replace("-", "−")


def between(row: Mapping[str, Any], low: float | None, high: float | None, alone: float | None = None) -> str:
    if low is not None and high is not None:
        return f"{number(row, low)} to {number(row, high)}"
    return number(row, alone)
