"""Result kinds about texts: lenses, scores of tokens, graphs of a forward pass, and what a model writes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microtome.results.base import FLOAT, INT, Result


class LensGrid(Result):
    """The strongest few items of every cell of a grid: tokens of a lens by layer and position, tokens of units.

    ``items`` int32 [rows, columns, k] places in ``names`` (-1 where there is no more), strongest first; ``values`` float32
    [rows, columns, k] what each is worth; ``counts`` int64 of the same shape, what a value rests on; ``cells`` float32 [rows, columns]
    what the colour of a cell says.
    """

    kind: Literal["lens-grid"] = "lens-grid"
    ARRAYS: ClassVar = {"items": (3, INT), "values": (3, FLOAT), "counts": (3, INT), "cells": (2, FLOAT)}
    OPTIONAL: ClassVar = frozenset({"counts", "cells"})
    rows: list[str] = Field(description="Name of every row; empty where rows are numbered from 0, as units are.")
    columns: list[str]
    row_axis: str
    column_axis: str
    names: list[str] = Field(description="What items stand for.")
    quantity: str = Field(description="What a value is, with its unit.")
    cell_quantity: str = Field("", description="What a value of ``cells`` is, with its unit.")
    layer: str = ""
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _places(self) -> LensGrid:
        items = self.arrays["items"]
        if self.arrays["values"].shape != items.shape or items.shape[1] != len(self.columns):
            raise ValueError("lens-grid: values must have the shape of items, whose second axis is that of columns")
        if items.size and not -1 <= items.min() <= items.max() < len(self.names):
            raise ValueError(f"lens-grid.items must lie in -1 to {len(self.names) - 1}")
        return self


class TokenMap(Result):
    """Scores of the tokens of a text, or of pairs of them.

    ``values`` float32 [rows, tokens]: one row for each target, head or step; ``pairs`` float32 [rows, tokens, tokens]: from the token of
    the second axis to that of the third (an attention pattern: of the query, over the keys). One of both is there.
    """

    kind: Literal["token-map"] = "token-map"
    ARRAYS: ClassVar = {"values": (2, FLOAT), "pairs": (3, FLOAT)}
    OPTIONAL: ClassVar = frozenset(ARRAYS)
    tokens: list[str] = Field(description="What every token looks like.")
    rows: list[str]
    row_axis: str = Field(description="What a row is: 'target', 'head'.")
    quantity: str = Field(description="What a value is, with its unit.")
    signed: bool = True
    completeness: list[dict[str, float]] = Field(
        default_factory=list, description="Per row: total of the values, expected total, gap. Empty if it has none."
    )
    score: list[float] = Field(default_factory=list, description="The number explained, of each row.")
    facts: dict[str, str | int | float | bool | list[float] | list[str] | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sizes(self) -> TokenMap:
        if not self.arrays:
            raise ValueError("token-map needs values or pairs")
        for name, array in self.arrays.items():
            if array.shape != (len(self.rows), *[len(self.tokens)] * (array.ndim - 1)):
                raise ValueError(f"token-map.{name} must be {len(self.rows)} rows of {len(self.tokens)} tokens")
        return self


class Graph(Result):
    """Nodes in layers, and weighted edges between them.

    ``source`` and ``target`` int32 [edges] are places in ``nodes``, ``weight`` float32 [edges], signed.
    """

    kind: Literal["graph"] = "graph"
    ARRAYS: ClassVar = {"source": (1, INT), "target": (1, INT), "weight": (1, FLOAT)}

    class Node(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str = Field(max_length=200)
        kind: str = Field(max_length=40, description="head, neuron, residual, embedding, output ...")
        row: int = Field(description="Layer that it is drawn in, from below.")
        column: int = Field(description="Position in the text, or place in its layer.")
        value: float | None = None
        words: list[str] = Field(default_factory=list, max_length=20, description="Tokens that it writes, strongest first.")
        unit: str = Field("", max_length=220, description="layer/index, where it is a unit that has a page.")

    nodes: list[Node]
    rows: list[str] = Field(description="Names of the layers, from below.")
    columns: list[str] = Field(default_factory=list, description="Names of the positions; empty where columns are only places.")
    quantity: str = Field(description="What a weight is, with its unit.")
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ends(self) -> Graph:
        ends = [self.arrays["source"], self.arrays["target"]]
        if len({len(a) for a in self.arrays.values()}) > 1:
            raise ValueError("graph: source, target and weight must have one entry per edge")
        if any(len(e) and not 0 <= e.min() <= e.max() < len(self.nodes) for e in ends):
            raise ValueError(f"graph: edges must run between nodes 0 to {len(self.nodes) - 1}")
        return self


class Generation(Result):
    """What a language model writes after a prompt, under one condition or several.

    ``logprobs`` float32 [conditions, tokens], natural logarithms, NaN behind the end; ``scores`` of the same shape, a reading of each token
    (an activation).
    """

    kind: Literal["generation"] = "generation"
    ARRAYS: ClassVar = {"logprobs": (2, FLOAT), "scores": (2, FLOAT)}
    OPTIONAL: ClassVar = frozenset({"scores"})
    prompt: list[str] = Field(description="Tokens of the prompt.")
    conditions: list[str] = Field(description="'as it is', 'steered +8'.")
    tokens: list[list[str]] = Field(description="Tokens written under each condition.")
    score_quantity: str = ""
    facts: dict[str, str | int | float | bool | list[float] | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sizes(self) -> Generation:
        most = max((len(t) for t in self.tokens), default=0)
        if len(self.tokens) != len(self.conditions):
            raise ValueError("generation: there must be tokens for every condition")
        if any(array.shape != (len(self.conditions), most) for array in self.arrays.values()):
            raise ValueError(f"generation: arrays must be [{len(self.conditions)}, {most}]")
        return self
