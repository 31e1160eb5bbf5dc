"""The plotly figure of every chart kind: built once, here, for the browser, notebooks and exports alike.

Colours are the tokens of the light theme; the browser swaps them by name when it is dark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microtome.results.base import Result
from microtome.results.kinds import Curves, Distribution, Matrix, Scatter, Scorecard

INK, QUIET, GRID, CHANCE, BAR = "#16191D", "#646B75", "#E3E6EA", "rgba(70,78,90,.13)", "#868F9A"
CATEGORICAL = ("#087E8B", "#EF6C1A", "#446A12", "#B0146A", "#4596E6", "#4A2A14", "#938F82", "#55106B", "#2B3A3A", "#B0655A")
SEQUENTIAL = ("#F1F6F4", "#DCEDE8", "#BFE0D8", "#94CCC4", "#62B2AF", "#35949A", "#1C7584", "#15566B", "#16374F")
#: A figure that a page can hold; larger ones are for tables.
MAX_CELLS, MAX_POINTS, MAX_ROWS = 250_000, 20_000, 24


def _axis(title: str = "", **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "gridcolor": GRID, "zerolinecolor": BAR, "linecolor": GRID, "ticks": "", **more}


def _layout(result: Result, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": result.title, "font": {"size": 13, "color": INK}, "x": 0, "xanchor": "left"},
        "font": {"family": "Inter Variable, Inter, system-ui, sans-serif", "size": 11, "color": QUIET},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "colorway": list(CATEGORICAL),
        "margin": {"l": 56, "r": 16, "t": 36, "b": 44}, "showlegend": False, "hoverlabel": {"bgcolor": "#FFFFFF"}, **more,
    }  # fmt: skip


def _matrix(result: Matrix) -> dict[str, Any] | None:
    values = result.arrays["values"]
    if values.size > MAX_CELLS:
        return None
    rows = result.rows or [str(i) for i in range(values.shape[0])]
    columns = [c.split(":", 1)[-1] for c in result.columns] or [str(i) for i in range(values.shape[1])]
    scale = [[i / (len(SEQUENTIAL) - 1), c] for i, c in enumerate(SEQUENTIAL)]
    trace = {
        "type": "heatmap", "z": values.tolist(), "x": columns, "y": rows, "colorscale": scale,
        "colorbar": {"title": {"text": result.quantity}, "thickness": 10, "outlinewidth": 0},
    }  # fmt: skip
    axes = {"xaxis": _axis(result.column_axis), "yaxis": _axis(result.row_axis, autorange="reversed", type="category")}
    return {"data": [trace], "layout": _layout(result, **axes)}


def _scatter(result: Scatter) -> dict[str, Any] | None:
    points = result.arrays["points"]
    if len(points) > MAX_POINTS:
        return None
    traces = []
    for index, layer in enumerate(result.layers):
        own = result.arrays["layer"] == index
        traces.append({
            "type": "scatter", "mode": "markers", "name": layer, "x": points[own, 0].tolist(), "y": points[own, 1].tolist(),
            "text": [f"{layer} / {u}" for u in result.arrays["unit"][own]], "marker": {"size": 4, "opacity": 0.7},
        })  # fmt: skip
    blank = {"showticklabels": False, "showgrid": False, "zeroline": False}
    axes = {"xaxis": _axis(result.projection, **blank), "yaxis": _axis("", scaleanchor="x", **blank)}
    return {"data": traces, "layout": _layout(result, **axes, showlegend=len(traces) > 1)}


def _curves(result: Curves) -> dict[str, Any]:
    x, traces = result.arrays["x"].tolist(), []
    for index, name in enumerate(result.series):
        if "low" in result.arrays:
            low, high = result.arrays["low"][index].tolist(), result.arrays["high"][index].tolist()
            traces.append({
                "type": "scatter", "x": x + x[::-1], "y": high + low[::-1], "fill": "toself", "fillcolor": CHANCE,
                "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
            })  # fmt: skip
        traces.append({"type": "scatter", "mode": "lines", "name": name, "x": x, "y": result.arrays["y"][index].tolist()})
    axes = {"xaxis": _axis(result.x_axis), "yaxis": _axis(result.y_axis)}
    return {"data": traces, "layout": _layout(result, **axes, showlegend=len(result.series) > 1)}


def _distribution(result: Distribution) -> dict[str, Any] | None:
    """The first rows as lines, counts on a root scale as everywhere in the workbench; None without a histogram (imported)."""
    if "counts" not in result.arrays:
        return None
    edges, counts = result.arrays["edges"], result.arrays["counts"]
    names = result.rows or [str(row) for row in range(min(len(counts), MAX_ROWS))]
    traces = [
        {
            "type": "scatter", "mode": "lines", "line": {"shape": "hvh", "width": 1.2}, "name": names[row],
            "x": ((edges[row, 1:] + edges[row, :-1]) / 2).tolist(), "y": np.sqrt(counts[row]).tolist(),
        }
        for row in range(min(len(counts), MAX_ROWS))
    ]  # fmt: skip
    axes = {"xaxis": _axis(result.quantity), "yaxis": _axis("positions, √ scale", rangemode="tozero")}
    return {"data": traces, "layout": _layout(result, **axes)}


def _scorecard(result: Scorecard) -> dict[str, Any] | None:
    scores = [s for s in result.scores if s.value is not None]
    if not scores or len(scores) > 200:
        return None
    names = [s.name for s in scores]
    whiskers = [(s.high - s.value, s.value - s.low) if s.high is not None and s.low is not None else (0, 0) for s in scores]  # type: ignore[operator]
    shapes = [
        {
            "type": "rect", "xref": "x", "yref": "y", "x0": s.chance_low, "x1": s.chance_high, "y0": i - 0.42, "y1": i + 0.42,
            "fillcolor": CHANCE, "line": {"width": 0}, "layer": "below",
        }
        for i, s in enumerate(scores)
        if s.chance_low is not None and s.chance_high is not None
    ]  # fmt: skip
    bar = {
        "type": "bar", "orientation": "h", "x": [s.value for s in scores], "y": names, "marker": {"color": BAR},
        "error_x": {
            "type": "data", "symmetric": False, "array": [w[0] for w in whiskers], "arrayminus": [w[1] for w in whiskers],
            "color": INK, "thickness": 1, "width": 0, "visible": any(any(w) for w in whiskers),
        },
    }  # fmt: skip
    axes = {"xaxis": _axis(scores[0].unit), "yaxis": _axis("", autorange="reversed", type="category", automargin=True)}
    return {"data": [bar], "layout": _layout(result, **axes, shapes=shapes, height=max(160, 90 + 20 * len(scores)))}


_BUILDERS: dict[type[Result], Callable[[Any], dict[str, Any] | None]] = {
    Matrix: _matrix, Scatter: _scatter, Curves: _curves, Distribution: _distribution, Scorecard: _scorecard,
}  # fmt: skip


def figure(result: Result) -> dict[str, Any] | None:
    """The figure as a plain plotly document, or None for kinds that are no chart and for results too large for one."""
    build = _BUILDERS.get(type(result))
    return build(result) if build else None


def html(result: Result) -> str | None:
    """A page that shows the figure without a server or network; None where there is no figure."""
    drawn = figure(result)
    if drawn is None:
        return None
    import plotly.graph_objects as go

    return str(go.Figure(drawn).to_html(include_plotlyjs=True, full_html=True))
