"""Shapes that several resources share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from microtome.core.selection import Strict

JSON = dict[str, Any]


class Out(BaseModel):
    """Base of everything that goes out. No field has a default, so that OpenAPI marks each as present."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """RFC 9457 problem document; ``detail`` says what happened and what to do."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(examples=["/problems/invalid-input"])
    title: str
    status: int
    detail: str
    field: str | None = None
    current: JSON | None = None


class Health(Out):
    status: Literal["ok"]
    version: str


class Person(Out):
    id: str
    name: str
    initials: str


class NewName(Strict):
    name: str = Field(min_length=1, max_length=60, description="Name that others see beside your labels and notes.")


class Worker(Out):
    id: str
    device: str
    state: Literal["starting", "idle", "busy", "lost"]
    seen: str


class Limits(Out):
    upload_bytes: int
    image_pixels: int


class System(Out):
    version: str
    database: Literal["sqlite", "postgresql"]
    storage_bytes: int
    cache_bytes: int
    cache_limit_bytes: int
    free_bytes: int
    workers: list[Worker]
    queued: int
    running: int
    limits: Limits
    source_roots: list[str]


class Hit(Out):
    type: Literal["unit", "concept", "note", "finding", "model", "probe", "method"]
    title: str
    detail: str
    layer: str | None
    unit: int | None
    slug: str | None


class Hits(Out):
    items: list[Hit]
