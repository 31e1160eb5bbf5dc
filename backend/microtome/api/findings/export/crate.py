"""A finding as an RO-Crate 1.1: text, figures, data, notebook, citation and provenance in one zip file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from microtome import __version__
from microtome.api.desk import Desk
from microtome.api.findings.cite import address, citation_file
from microtome.api.findings.export.figures import draw, numbers
from microtome.api.findings.export.notebook import notebook
from microtome.api.findings.export.page import page
from microtome.api.results import export_file
from microtome.core.errors import MicrotomeError

FORMAT = "microtome-finding-1"
LARGEST = 200_000_000  # bytes of arrays; what is larger is left out, and the crate says so
EPOCH = (1980, 1, 1, 0, 0, 0)
MEDIA = {
    "html": "text/html", "json": "application/json", "ipynb": "application/x-ipynb+json", "svg": "image/svg+xml", "pdf": "application/pdf",
    "csv": "text/csv", "npz": "application/zip", "cff": "application/yaml", "bib": "application/x-bibtex",
}  # fmt: skip


def document(finding: Mapping[str, Any]) -> bytes:
    """What is read again when a crate is imported: the finding with its numbers and provenance, without what is this server's own."""
    names = ("title", "claim", "body", "tolerance", "evidence", "provenance", "content_hash", "created", "changed", "number", "shown")
    said = {name: finding[name] for name in names}
    figures = [{"caption": f["caption"], "panels": f["panels"], "state": f["state"]} for f in finding["figures"]]
    people = [person["name"] for person in finding["contributors"]]
    about = {"format": FORMAT, "microtome": __version__, **said, "figures": figures, "contributors": people}
    return orjson.dumps(about, option=orjson.OPT_INDENT_2)


def crate(desk: Desk, finding: Mapping[str, Any]) -> bytes:
    """The zip file. The same finding gives the same bytes."""
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    url = desk.settings.public_url
    files["finding.json"] = document(finding)
    files["ro-crate-preview.html"] = page(desk, finding).encode()
    files["finding.ipynb"] = notebook(desk, finding).encode()
    files["CITATION.cff"] = citation_file(finding, url).encode()
    files["finding.bib"] = finding["citation"]["bibtex"].encode()
    for name, data in _figures(desk, finding, left_out):
        files[name] = data
    for name, data in _results(desk, finding, left_out):
        files[name] = data
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        metadata = json.dumps(_metadata(finding, files, left_out, url), indent=1, ensure_ascii=False).encode()
        for name, data in {"ro-crate-metadata.json": metadata, **files}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _figures(desk: Desk, finding: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[str, bytes]]:
    for number, figure in enumerate(finding["figures"], 1):
        if not figure["panels"]:
            continue
        try:
            for format in ("svg", "pdf"):
                yield f"figures/figure-{number}.{format}", draw(desk, finding, number, format)
            yield f"figures/figure-{number}.csv", numbers(desk, finding, number).encode()
        except MicrotomeError as error:
            left_out.append(f"figure {number}: {error}")


def _results(desk: Desk, finding: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[str, bytes]]:
    """Arrays and documents of every result, while there is room."""
    room = LARGEST
    for made in finding["provenance"]:
        for row in desk.engine.results.items(made["key"]):
            size = sum(ref["bytes"] for ref in row.arrays.values())
            if size > room:
                left_out.append(f"{row.name} of result {made['key']}: {size:,} bytes; the notebook computes it")
                continue
            room -= size
            data, _, _ = export_file(desk, made["key"], row.name, "npz")
            yield f"results/{made['key'][:12]}-{row.name}.npz", data


def _metadata(finding: Mapping[str, Any], files: Mapping[str, bytes], left_out: list[str], url: str | None) -> dict[str, Any]:
    people = [{"@id": f"#person-{person['id']}", "@type": "Person", "name": person["name"]} for person in finding["contributors"]]
    parts = [
        {"@id": name, "@type": "File", "name": name, "encodingFormat": MEDIA[name.rsplit(".", 1)[-1]], "contentSize": str(len(data)),
         "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]  # fmt: skip
    actions = [
        {"@id": f"#run-{made['key'][:12]}", "@type": "CreateAction", "name": f"{made['title']} {made['version']}",
         "endTime": made["created"], "instrument": {"@id": "#microtome"},
         "description": json.dumps({"params": made["params"], "subjects": made["subjects"]}, sort_keys=True),
         "identifier": f"sha256:{made['key']}", "object": [f"sha256:{h}" for h in (made["model_hash"], made["probe_hash"]) if h],
         "result": [{"@id": name} for name in files if name.startswith(f"results/{made['key'][:12]}-")]}
        for made in finding["provenance"]
    ]  # fmt: skip
    more = f" Not in this file: {'; '.join(left_out)}." if left_out else ""
    root = {
        "@id": "./", "@type": "Dataset", "name": finding["title"], "description": (finding["claim"] or finding["title"]) + more,
        "datePublished": finding["changed"], "author": [{"@id": person["@id"]} for person in people], "version": str(finding["shown"]),
        "identifier": f"sha256:{finding['content_hash']}", "hasPart": [{"@id": part["@id"]} for part in parts],
        "mentions": [{"@id": action["@id"]} for action in actions],
        "license": "Its authors have not said under which licence it may be used.",
        **({"url": address(finding, url)} if url else {}),
    }  # fmt: skip
    software = {"@id": "#microtome", "@type": "SoftwareApplication", "name": "Microtome", "softwareVersion": __version__}
    about = {
        "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }  # fmt: skip
    graph = [about, root, software, *people, *parts, *actions]
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}],
        "@graph": graph,
    }
