"""The built frontend, with index.html for every address that is the frontend's own."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.exceptions import HTTPException

NOT_BUILT = (
    "Microtome's server is running, but its frontend is not built.\n"
    "Run `make build` in the repository (it needs Node 20 or newer), then reload this page.\n"
    "The HTTP interface is at /api/v1; its description at /api/v1/openapi.json.\n"
)


def install(app: FastAPI, folder: Path) -> None:
    """Serve ``folder`` below ``/``; the API's own addresses never fall back to the frontend."""
    root = folder.resolve()

    @app.get("/{path:path}", include_in_schema=False)
    def frontend(path: str, request: Request) -> Response:
        if path == "api" or path.startswith("api/"):
            raise HTTPException(404)
        index = root / "index.html"
        if not index.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        target = (root / path).resolve() if "\0" not in path else root
        if path and target.is_file() and target.is_relative_to(root):
            # Vite names built files by their content, so these never change
            caching = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
            return FileResponse(target, headers={"Cache-Control": caching})
        if "." in path.rsplit("/", 1)[-1] and path.startswith("assets/"):
            raise HTTPException(404)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})
