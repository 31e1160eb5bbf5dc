"""Who is looking at what, and with whom private things are shared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Strict

PermitSubject = Literal["annotation", "selection", "share", "hypothesis", "finding"]
Named = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\x00]+$")]


class Place(Strict):
    screen: str = Field(max_length=20, pattern=r"^[a-z][a-z-]*$", description="As in the address: browse, unit, explain, label-set ...")
    model: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$")
    probe: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$")
    layer: str | None = Field(None, max_length=200, pattern=r"^[^\x00]*$")
    unit: int | None = Field(None, ge=0, le=2_000_000)
    subject: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$", description="Id of the label set, or key of the result.")


class Here(Strict):
    place: Place | None = Field(None, description="Where I am; what I said before if left out.")
    hidden: bool | None = Field(None, description="Whether others do not see me; as before if left out.")


class MyPresence(Out):
    hidden: bool
    place: Place | None


class NewPermits(Strict):
    subject: PermitSubject
    subject_id: Named
    people: list[Named] = Field(max_length=200, description="Everybody who sees it beside its author; nobody if empty.")


class Permits(Out):
    subject: PermitSubject
    subject_id: str
    visibility: str
    people: list[Person]
