"""A selection: a predicate over units that every view emits and obeys (DESIGN section 9).

The predicate travels, never a list of a million ids. All clauses must hold; within a clause any value may.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[list[Name], Field(max_length=200)]


class Strict(BaseModel):
    """Base of everything that comes from outside: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Strict):
    """Closed interval; an absent end is open."""

    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self


class UnitRef(Strict):
    layer: Name
    unit: int = Field(ge=0, le=2_000_000)


Point2 = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=2, max_length=2)]


class Brush(Strict):
    """A region drawn on a view: a polygon on the unit map, or an interval on the IoU histogram.

    ``key`` is the key of the result it was drawn on, so that a brush means the same after a new map is computed.
    """

    view: Literal["map", "histogram", "units"]
    key: str | None = Field(None, max_length=64)
    polygon: list[Point2] | None = Field(None, min_length=3, max_length=2000)
    range: Range | None = None
    units: list[UnitRef] | None = Field(None, max_length=2000)

    @model_validator(mode="after")
    def _one(self) -> Brush:
        given = [self.polygon is not None, self.range is not None, self.units is not None]
        if sum(given) != 1:
            raise ValueError("give exactly one of polygon, range, units")
        if self.polygon is not None and self.key is None:
            raise ValueError("a polygon needs the key of the map it was drawn on")
        return self


class Selection(Strict):
    """Filters, brush and what is pinned. An empty selection holds all units."""

    layers: Names = Field(default_factory=list, description="Layers to keep; all if empty.")
    concepts: Names = Field(default_factory=list, description="Best concept is one of these; written category:name.")
    not_concepts: Names = Field(default_factory=list, description="Best concept is none of these.")
    categories: Names = Field(default_factory=list, description="Category of the best concept is one of these.")
    iou: Range | None = Field(None, description="IoU of the best concept.")
    density: Range | None = Field(None, description="Share of images above the threshold, 0 to 1.")
    detector: bool | None = Field(None, description="Only detectors, or only others.")
    labelled: bool | None = Field(None, description="Only units with a label, or only others.")
    text: str | None = Field(None, max_length=200, description="Words in labels, notes, tags, concepts or addresses.")
    brush: Brush | None = None
