"""The built frontend, with index.html for every address that is the frontend's own."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from microtome.core.errors import NotFound

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
        if (about := described(app, path)) is not None:
            return HTMLResponse(_with_meta(index.read_text(), about, str(request.base_url)), headers={"Cache-Control": "no-cache"})
        return FileResponse(index, headers={"Cache-Control": "no-cache"})


def described(app: FastAPI, path: str) -> Mapping[str, str] | None:
    """Title, text and picture of a finding that everybody may read, for pages that show a link to it."""
    match = re.fullmatch(r"(?:embed/)?findings/([0-9a-f]{24})(?:/\d{1,9})?", path)
    if match is None:
        return None
    desk = app.state.desk
    try:
        row = desk.findings.get(None, match[1])
    except NotFound:
        return None
    picture = f"api/v1/findings/{row.id}/preview"
    return {"title": row.title, "description": row.claim[:300], "image": picture, "url": f"findings/{row.id}"}


def _with_meta(page: str, about: Mapping[str, str], base: str) -> str:
    def tag(name: str, content: str) -> str:
        return f'<meta property="og:{name}" content="{html.escape(content, quote=True)}">'

    tags = [tag("type", "article"), tag("site_name", "Microtome"), tag("title", about["title"]), tag("description", about["description"])]
    tags += [tag(name, base + about[name]) for name in ("image", "url")]
    tags += [tag("image:width", "1200"), tag("image:height", "630"), '<meta name="twitter:card" content="summary_large_image">']
    return page.replace("</head>", "".join(tags) + "</head>", 1)
