"""What a person sees, as data: the URL, undo and share links all hold this and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from microtome.core.selection import Selection, Strict, UnitRef
from microtome.core.stored import Parameters

Corner = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]


class ExplainState(Strict):
    example: str | None = Field(None, max_length=200, description="probe:INDEX or upload:HASH")
    methods: list[str] = Field(default_factory=list, max_length=12)
    targets: list[Annotated[int, Field(ge=0, le=100_000)]] = Field(
        default_factory=list, max_length=16, description="Class indices of the model."
    )
    against: int | None = Field(None, ge=0, le=100_000, description="Class whose logit is taken off that of every target.")
    unit: UnitRef | None = Field(None, description="A unit whose activation is explained instead of classes.")
    like: str | None = Field(None, max_length=200, description="Another image, likeness to which is explained: probe:INDEX or upload:HASH.")
    compare: list[str] = Field(default_factory=list, max_length=2, description="Two methods, the second's map taken off the first's.")
    polygon: list[Corner] | None = Field(
        None, min_length=3, max_length=200, description="A region of the image, brushed on a map: x and y as shares of width and height."
    )
    benchmark: str | None = Field(None, max_length=100, description="A method over the whole probe set, shown in the place of one image.")
    opacity: float = Field(0.8, ge=0, le=1)
    clip: float = Field(99.5, ge=50, le=100, description="Percentile of |value| at which the colour saturates.")
    scale: Literal["shared", "own"] = "shared"
    params: dict[str, Parameters] = Field(default_factory=dict, max_length=12)
    subset: Literal["all", "correct", "wrong"] = "all"
    true_class: int | None = Field(None, ge=0, le=100_000)


class LanguageState(Strict):
    prompt: str | None = Field(None, max_length=20_000)
    position: int | None = Field(None, ge=0, le=100_000, description="Token of the prompt that is looked at; the last one if left out.")
    lens: Literal["final", "plain"] = Field("final", description="How a layer is read out.")
    action: Literal["none", "set", "scale", "ablate", "add"] = Field("none", description="What is done to the selected unit.")
    strength: float = Field(4.0, ge=-1e4, le=1e4, description="The value, the factor, or the length of the direction that is added.")
    seed: int = Field(0, ge=0, le=2**31 - 1)
    temperature: float = Field(0.7, ge=0, le=2)


class ViewState(Strict):
    """State of the workbench. ``version`` lets an old link be read for ever."""

    version: Literal[1] = 1
    screen: Literal["home", "browse", "unit", "explain", "language", "runs"] = "browse"
    model: str | None = Field(None, max_length=64)
    probe: str | None = Field(None, max_length=64)
    selection: Selection = Field(default_factory=Selection)
    selected: UnitRef | None = None
    pinned: list[UnitRef] = Field(default_factory=list, max_length=50)
    quantile: float = Field(0.995, gt=0, lt=1)
    sort: Literal["iou", "unit", "density", "mean", "max", "concept", "notes"] = "iou"
    descending: bool = True
    table: Literal["brushed", "filter", "all"] = "filter"
    colour: Literal["category", "layer", "iou", "density"] = "category"
    band: str = Field("top", max_length=20)
    explain: ExplainState = Field(default_factory=ExplainState)
    language: LanguageState = Field(default_factory=LanguageState)
