"""Annotations, saved selections, shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Selection, Strict
from microtome.core.viewstate import ViewState

AnnotationKind = Literal["label", "note", "tag"]
#: Who sees it: its author, or everybody in the workspace.
Visibility = Literal["private", "workspace"]
#: ... or also whoever has the link, signed in or not.
#: ... or everybody, and it is listed for everybody.
ShareVisibility = Literal["private", "workspace", "link", "public"]
Body = Field(min_length=1, max_length=10_000)
Corner = Annotated[list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]], Field(min_length=2, max_length=2)]


Character = Annotated[int, Field(ge=0, le=10_000_000)]


class Anchor(Strict):
    """What a note is about: a region of an image, or a stretch of a text."""

    example: str = Field(max_length=80, pattern=r"^[^\x00:]{1,64}:[0-9]{1,7}$", description="probe:index")
    polygon: list[Corner] | None = Field(None, min_length=3, max_length=200, description="Corners, as shares of width and height.")
    span: list[Character] | None = Field(
        None, min_length=2, max_length=2, description="First character of the text, and the one behind the last."
    )

    @model_validator(mode="after")
    def _one(self) -> Anchor:
        if (self.polygon is None) == (self.span is None):
            raise ValueError("give a polygon for an image, or a span for a text")
        if self.span is not None and self.span[0] >= self.span[1]:
            raise ValueError("a span must hold a character: its end lies behind its beginning")
        return self


class NewAnnotation(Strict):
    kind: AnnotationKind
    model: str = Field(min_length=1, max_length=64)
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)
    body: str = Body
    visibility: Visibility = "workspace"
    anchor: Anchor | None = Field(None, description="Notes only.")


class ChangedBody(Strict):
    body: str = Body
    anchor: Anchor | None = Field(None, description="As it is if left out; null takes it away.")


class Restore(Strict):
    revision: int = Field(ge=1, le=2**31 - 1)


class Annotation(Out):
    id: str
    kind: AnnotationKind
    model: str
    model_hash: str
    layer: str
    unit: int
    body: str
    author: Person
    machine: bool
    visibility: Visibility
    anchor: Anchor | None
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Annotations(Out):
    items: list[Annotation]
    next: str | None


class Revision(Out):
    revision: int
    body: str
    deleted: bool
    author: Person
    at: str


class AnnotationRevision(Revision):
    anchor: Anchor | None


class Revisions(Out):
    items: list[AnnotationRevision]


class NewSelection(Strict):
    name: str = Field(min_length=1, max_length=100)
    model: str = Field(min_length=1, max_length=64)
    probe: str = Field(min_length=1, max_length=64)
    selection: Selection
    visibility: Visibility = "workspace"


class SavedSelection(Out):
    id: str
    name: str
    model: str
    probe: str
    selection: Selection
    author: Person
    created: str
    visibility: Visibility


class SavedSelections(Out):
    items: list[SavedSelection]


class NewShare(Strict):
    state: ViewState
    visibility: ShareVisibility = "link"
    title: str | None = Field(None, min_length=1, max_length=200, pattern=r"^[^\x00]+$", description="Shown in the list of public views.")


class PublicShare(Out):
    id: str
    url: str
    title: str
    created: str
    author: Person


class PublicShares(Out):
    items: list[PublicShare]


class Share(Out):
    id: str
    url: str
    created: str
    author: Person
    visibility: ShareVisibility | Literal["finding"] = Field(description="finding: it belongs to one, and is seen by who sees that.")
    title: str


class Frozen(Out):
    keys: list[str]
    model_hash: str | None
    probe_hash: str | None
    methods: dict[str, str]
    software: dict[str, str]


class Drift(Out):
    what: Literal["model", "probe", "method"]
    name: str
    then: str
    now: str


class SharedView(Share):
    state: ViewState
    frozen: Frozen
    drift: list[Drift]
    available: bool
