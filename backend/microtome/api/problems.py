"""Every error of the API as an RFC 9457 problem document. A stack trace goes to the log, never to the client."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException

from microtome.core.disk import disk_full, is_disk_full
from microtome.core.errors import MicrotomeError, StaleVersion
from microtome.core.settings import settings

log = structlog.get_logger("microtome.api")
MEDIA = "application/problem+json"

_ADVICE = {
    404: "There is nothing at {path}. The routes are listed in /api/v1/openapi.json.",
    405: "{method} is not possible at {path}. The routes are listed in /api/v1/openapi.json.",
    400: "The request could not be read. Check that the body is what its Content-Type says.",
}


def document(status: int, code: str, title: str, detail: str, field: str | None = None, **more: Any) -> dict[str, Any]:
    """The one shape of an error."""
    body: dict[str, Any] = {"type": f"/problems/{code}", "title": title, "status": status, "detail": detail}
    if field:
        body["field"] = field
    return body | more


def problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body, default=str), status_code=body["status"], media_type=MEDIA, headers=headers)


def from_error(error: MicrotomeError) -> dict[str, Any]:
    more = {"current": error.current} if isinstance(error, StaleVersion) else {}
    return document(error.status, error.code, error.title, error.detail, error.field, **more)


def from_validation(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The first thing that is wrong, by its dotted name, with the value and what to do."""
    first = errors[0] if errors else {"loc": (), "msg": "is not valid", "type": ""}
    place, *rest = [str(part) for part in first["loc"]] or [""]
    field = ".".join(rest) or place
    kind = first.get("type", "")
    if kind == "extra_forbidden":
        detail = f"'{field}' is not a known field. Remove it, or correct its name."
    elif kind == "missing":
        where = "body" if place == "body" else place
        detail = f"'{field}' is missing. Give it in the {where}."
    elif kind == "json_invalid":
        detail, field = "The body is not valid JSON. Send an object with Content-Type: application/json.", "body"
    else:
        given = repr(first.get("input"))[:100]
        detail = f"'{field}': {first['msg']}; got {given}. Correct it and try again."
    more = len(errors) - 1
    if more > 0:
        detail += f" ({more} more of the same kind.)" if more == 1 else f" ({more} more inputs are not valid.)"
    return document(422, "invalid-input", "The input is not valid", detail, field[:200])


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(MicrotomeError)
    def ours(request: Request, error: MicrotomeError) -> Response:
        return problem_response(from_error(error), error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(from_validation([dict(e) for e in error.errors()]))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        advice = _ADVICE.get(error.status_code, str(error.detail))
        detail = advice.format(path=request.url.path[:200], method=request.method)
        code = phrase.lower().replace(" ", "-")
        headers = dict(error.headers) if error.headers else None
        return problem_response(document(error.status_code, code, phrase, detail), headers)

    @app.exception_handler(OperationalError)
    def database(request: Request, error: OperationalError) -> Response:
        log.error("database", path=request.url.path, error=str(error.orig)[:300])
        if is_disk_full(error):
            return problem_response(from_error(disk_full(error, settings().data_dir)))
        detail = "The database did not answer in time. Nothing was written; try again."
        return problem_response(document(503, "unavailable", "This cannot be done at the moment", detail))

    @app.exception_handler(DataError)
    def unstorable(request: Request, error: DataError) -> Response:
        detail = "A text or number of the request cannot be stored (a null character, or too large a number). Correct it."
        return problem_response(document(422, "invalid-input", "The input is not valid", detail))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        # as plain text: a renderer that shows local variables would write cookies and tokens into the log
        trace = "".join(traceback.format_exception(error, limit=-12))
        log.error("unexpected", path=request.url.path, trace=trace)
        if is_disk_full(error):
            return problem_response(from_error(disk_full(error, settings().data_dir)))
        detail = "Something failed inside Microtome; the log of the server says what. Nothing was changed."
        return problem_response(document(500, "internal", "Something failed inside Microtome", detail))
