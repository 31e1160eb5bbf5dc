"""What a finding can be taken away as: each format with its media type and file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson
from fastapi import Response

from microtome.api.desk import Desk
from microtome.api.findings.cite import citation_file
from microtome.api.findings.export import figures
from microtome.api.findings.export.crate import crate
from microtome.api.findings.export.notebook import notebook
from microtome.api.findings.export.page import page
from microtome.api.findings.export.preview import picture

Format = Literal["html", "ipynb", "crate", "json", "bibtex", "cff"]
FigureFormat = Literal["svg", "pdf", "png", "csv"]
#: Media type and ending.
FORMATS: dict[str, tuple[str, str]] = {
    "html": ("text/html; charset=utf-8", "html"), "ipynb": ("application/x-ipynb+json", "ipynb"), "crate": ("application/zip", "zip"),
    "json": ("application/json", "json"), "bibtex": ("application/x-bibtex; charset=utf-8", "bib"), "cff": ("application/yaml", "cff"),
    "svg": ("image/svg+xml", "svg"), "pdf": ("application/pdf", "pdf"), "png": ("image/png", "png"),
    "csv": ("text/csv; charset=utf-8", "csv"),
}  # fmt: skip
WRITERS: dict[str, Callable[[Desk, Mapping[str, Any]], bytes]] = {
    "html": lambda desk, finding: page(desk, finding).encode(),
    "ipynb": lambda desk, finding: notebook(desk, finding).encode(),
    "crate": crate,
    "json": lambda desk, finding: orjson.dumps(finding, option=orjson.OPT_INDENT_2),
    "bibtex": lambda desk, finding: str(finding["citation"]["bibtex"]).encode(),
    "cff": lambda desk, finding: citation_file(finding, desk.settings.public_url).encode(),
}


def answer(desk: Desk, finding: Mapping[str, Any], format: str) -> Response:
    return _file(WRITERS[format](desk, finding), format, _stem(finding))


def figure(desk: Desk, finding: Mapping[str, Any], number: int, format: str) -> Response:
    data = figures.numbers(desk, finding, number).encode() if format == "csv" else figures.draw(desk, finding, number, format)
    return _file(data, format, f"{_stem(finding)}-figure-{number}")


def preview(desk: Desk, finding: Mapping[str, Any]) -> Response:
    stamp = ("preview", finding["id"], finding["content_hash"], finding["status"]["state"])
    data = desk.browse.remember(stamp, lambda: picture(desk, finding), cap=64)
    return Response(data, media_type="image/png", headers={"Cache-Control": "no-cache"})


def _file(data: bytes, format: str, stem: str) -> Response:
    media, ending = FORMATS[format]
    headers = {"Content-Disposition": f'attachment; filename="{stem}.{ending}"', "Cache-Control": "no-cache"}
    if format == "svg":  # opened by itself it is a document: nothing in it may run
        headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
    return Response(data, media_type=media, headers=headers)


def _stem(finding: Mapping[str, Any]) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", finding["title"]).strip("-").lower()[:50].rstrip("-")
    return f"finding-{finding['number']}{f'-{words}' if words else ''}"
