"""What a study asks, of whom nothing is known yet: the kind of task, the conditions that are compared, and how many tasks there are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from microtome.core.selection import Strict
from microtome.core.stored import Parameters

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Slug = Annotated[str, Field(min_length=1, max_length=64)]
Tasks = Annotated[int, Field(ge=2, le=60, description="Tasks of each participant; a multiple of the number of conditions.")]
Target = Literal["predicted", "true"]


class ExemplarCondition(Strict):
    """How a unit's exemplars are shown: with the active region, whole, or random images instead, by which nobody can tell."""

    name: Name
    show: Literal["regions", "images", "random"]


class MapCondition(Strict):
    """Which map stands beside an image; none for the control."""

    name: Name
    method: str | None = Field(None, min_length=1, max_length=60, description="Attribution method; none is shown if left out.")
    params: Parameters = Field(default_factory=dict)
    target: Target = Field("predicted", description="The class that is explained; only for forward simulation.")


class Common(Strict):
    """What all kinds share."""

    tasks: Tasks = 12
    seed: int = Field(0, ge=0, le=2**31 - 1)
    attention: int = Field(1, ge=0, le=5, description="Checks that say themselves what to choose; they count for no condition.")
    confidence: bool = Field(True, description="Ask how sure one is, from 1 to 5.")

    @model_validator(mode="after")
    def _balanced(self) -> Common:
        conditions = self.conditions  # type: ignore[attr-defined]
        names = [c.name.strip().casefold() for c in conditions]
        if len(set(names)) < len(names):
            raise ValueError("two conditions have the same name")
        told = [c.model_dump(exclude={"name"}) for c in conditions]
        if any(told.count(one) > 1 for one in told):
            raise ValueError("two conditions show the same")
        if self.tasks % len(conditions):
            raise ValueError(
                f"{self.tasks} tasks cannot be shared evenly between {len(conditions)} conditions: make it a multiple of {len(conditions)}"
            )
        return self


class GuessLabel(Common):
    """Which concept does this unit respond to? Told from its exemplars."""

    kind: Literal["guess-label"]
    model: Slug
    probe: Slug
    layers: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(None, min_length=1, max_length=100)
    conditions: list[ExemplarCondition] = Field(min_length=2, max_length=3)
    choices: int = Field(4, ge=2, le=8)
    exemplars: int = Field(6, ge=1, le=12)


class ForwardSimulation(Common):
    """What will the model say of this image? Told from the image, and its explanation."""

    kind: Literal["forward-simulation"]
    model: Slug
    probe: Slug
    conditions: list[MapCondition] = Field(min_length=2, max_length=6)
    choices: int = Field(4, ge=2, le=8)
    wrong: float = Field(0.5, ge=0, le=1, description="Share of images on which the model is wrong, as far as there are any.")


class BetterModel(Common):
    """Which of two models is the better one? Told from their maps of the same image."""

    kind: Literal["better-model"]
    pairs: list[Annotated[list[Slug], Field(min_length=2, max_length=2)]] = Field(min_length=1, max_length=10)
    probe: Slug
    conditions: list[MapCondition] = Field(min_length=2, max_length=6)

    @model_validator(mode="after")
    def _pairs(self) -> BetterModel:
        for one, other in self.pairs:
            if one == other:
                raise ValueError(f"a pair needs two models; {one} is there twice")
        if self.tasks % len(self.pairs):
            raise ValueError(f"{self.tasks} tasks cannot be shared evenly between {len(self.pairs)} pairs")
        if any(c.target != "predicted" for c in self.conditions):
            raise ValueError("each model's own prediction is explained: leave out the target")
        return self


Design = Annotated[GuessLabel | ForwardSimulation | BetterModel, Field(discriminator="kind")]
AnyDesign = GuessLabel | ForwardSimulation | BetterModel
_DESIGN: TypeAdapter[AnyDesign] = TypeAdapter(Design)


def read_design(stored: Any) -> AnyDesign:
    """The design that a study keeps."""
    return _DESIGN.validate_python(stored)


def maps_of(design: AnyDesign) -> list[tuple[int, MapCondition]]:
    """Conditions that show maps, with their numbers."""
    return [(i, c) for i, c in enumerate(design.conditions) if isinstance(c, MapCondition) and c.method is not None]
