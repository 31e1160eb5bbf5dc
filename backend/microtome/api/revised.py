"""What routes about things with revisions share: the precondition, the tag, the key of a retry."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Request, Response

Match = Annotated[str | None, Header(alias="If-Match", description='The revision that was read, as "3".')]


def tagged(response: Response, shape: dict[str, object]) -> dict[str, object]:
    """The shape, with its revision as the ETag."""
    response.headers["ETag"] = f'"{shape["revision"]}"'
    return shape


def idempotency_key(request: Request) -> str | None:
    return request.headers.get("idempotency-key")
