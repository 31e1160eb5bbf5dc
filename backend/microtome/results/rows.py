"""Results about texts as plain rows, for tables that people take away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from microtome.results.base import Result
from microtome.results.language import Generation, Graph, LensGrid, TokenMap

Row = list[Any]


def rows_of(result: Result) -> tuple[Row, Iterator[Row]] | None:
    """Header and rows of a lens, scores of tokens, a graph or generated text; None for any other kind."""
    if isinstance(result, LensGrid):
        return [result.row_axis, result.column_axis, "place", "item", result.quantity], _lens(result)
    if isinstance(result, TokenMap):
        if "pairs" in result.arrays:
            return [result.row_axis, "from", "from token", "to", "to token", result.quantity], _pairs(result)
        return [result.row_axis, "place", "token", result.quantity], _scores(result)
    if isinstance(result, Graph):
        return ["source", "target", result.quantity], _edges(result)
    if isinstance(result, Generation):
        return ["condition", "place", "token", "log probability", result.score_quantity or "score"], _written(result)
    return None


def _lens(grid: LensGrid) -> Iterator[Row]:
    items, values = grid.arrays["items"], grid.arrays["values"]
    for row, column, place in np.ndindex(*items.shape):
        item = int(items[row, column, place])
        if item >= 0:
            name = grid.rows[row] if grid.rows else str(row)
            yield [name, grid.columns[column], place + 1, grid.names[item], float(values[row, column, place])]


def _scores(found: TokenMap) -> Iterator[Row]:
    for row, name in enumerate(found.rows):
        for place, token in enumerate(found.tokens):
            yield [name, place, token, float(found.arrays["values"][row, place])]


def _pairs(found: TokenMap) -> Iterator[Row]:
    for row, one, other in np.argwhere(found.arrays["pairs"] != 0).tolist():
        yield [found.rows[row], one, found.tokens[one], other, found.tokens[other], float(found.arrays["pairs"][row, one, other])]


def _edges(graph: Graph) -> Iterator[Row]:
    for source, target, weight in zip(*(graph.arrays[n].tolist() for n in ("source", "target", "weight")), strict=True):
        yield [graph.nodes[source].name, graph.nodes[target].name, weight]


def _written(found: Generation) -> Iterator[Row]:
    scores = found.arrays.get("scores")
    for row, (name, tokens) in enumerate(zip(found.conditions, found.tokens, strict=True)):
        for place, token in enumerate(tokens):
            score = "" if scores is None else float(scores[row, place])
            yield [name, place, token, float(found.arrays["logprobs"][row, place]), score]
