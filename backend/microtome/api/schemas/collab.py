"""Annotations, saved selections, shares."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Selection, Strict
from microtome.core.viewstate import ViewState

AnnotationKind = Literal["label", "note", "tag"]
#: Who sees it: its author, or everybody in the workspace.
Visibility = Literal["private", "workspace"]
#: ... or also whoever has the link, signed in or not.
ShareVisibility = Literal["private", "workspace", "link"]
Body = Field(min_length=1, max_length=10_000)


class NewAnnotation(Strict):
    kind: AnnotationKind
    model: str = Field(min_length=1, max_length=64)
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)
    body: str = Body
    visibility: Visibility = "workspace"


class ChangedBody(Strict):
    body: str = Body


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


class Revisions(Out):
    items: list[Revision]


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


class Share(Out):
    id: str
    url: str
    created: str
    author: Person
    visibility: ShareVisibility


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
