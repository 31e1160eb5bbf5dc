"""Findings to take away: the same numbers in every form, nothing that runs or asks for a network, and the way back as a claim."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from microtome.api.app import create_app
from tests.api.test_findings import IOU, VIEW, key_of, new, send

API = "/api/v1"
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)"> [a](javascript:alert(3)) $\\href{javascript:alert(4)}{x}$ "\'>'
REST = {"test": "IoU with sky", "group": "predictive"}


@pytest.fixture
def made(client: Any) -> Any:
    engine = client.app.state.desk.engine
    key = key_of(engine)
    map_ = engine.submit("grad-cam", {"model": "fake", "example": "fake-probe:1", "targets": [1]})
    heat = engine.runs.parts([map_.id])[map_.id][0][1]
    body = new(key, body="## Limits\n\nOnly $a^2 + b_1$ and **bold**.\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    body["figures"] += [{"caption": "A map", "panels": [{"kind": "result", "key": heat, "item": "map"}]}]
    return send(client, "POST", "/findings", 201, json=body)


class Page(HTMLParser):
    """What a page asks for, what it runs, and the numbers it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.values: list[float] = []
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action") and value is not None:
                self.asked.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "data-value":
                self.values.append(float(value or "nan"))


def get(client: Any, path: str, **query: Any) -> Any:
    answer = client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_page_opens_alone_and_shows_the_same_numbers(client: Any, made: Any) -> None:
    text = get(client, f"/findings/{made['id']}/export", format="html").text
    page = Page(text)
    assert page.values == [row["value"] for row in made["evidence"]]
    assert "script" not in page.tags
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.asked), "nothing is asked of a network"
    assert len(page.asked) == 3
    assert "<math" in text
    assert "<table>" in text
    assert made["content_hash"] in text
    assert "<h3>Limits</h3>" in text


def test_what_people_write_stays_text(client: Any, made: Any) -> None:
    engine = client.app.state.desk.engine
    body = new(key_of(engine), title=EVIL[:200], claim=EVIL, body=EVIL)
    body["figures"][0]["caption"] = EVIL
    body["evidence"][0]["test"] = EVIL[:300]
    evil = send(client, "POST", "/findings", 201, json=body)
    text = get(client, f"/findings/{evil['id']}/export", format="html").text
    page = Page(text)
    assert not page.tags & {"script", "iframe", "object", "form"}
    assert page.handlers == []
    assert not [a for a in page.asked if "javascript" in a.lower()]
    for format in ("svg", "pdf", "png"):
        assert get(client, f"/findings/{evil['id']}/figures/1", format=format).content
    svg = get(client, f"/findings/{evil['id']}/figures/1", format="svg").text
    assert not Page(svg).tags & {"script", "foreignobject"}
    bibtex = get(client, f"/findings/{evil['id']}/export", format="bibtex").text
    assert bibtex.count("{") - bibtex.count("\\{") == bibtex.count("}") - bibtex.count("\\}"), "braces in a title close nothing"
    cff = get(client, f"/findings/{evil['id']}/export", format="cff").text
    assert json.loads(re.search(r"^title: (.*)$", cff, re.MULTILINE)[1]) == evil["title"]  # type: ignore[index]


def test_figures_on_paper_and_their_numbers(client: Any, made: Any) -> None:
    path = f"/findings/{made['id']}/figures"
    assert get(client, f"{path}/1", format="pdf").content.startswith(b"%PDF-")
    with Image.open(io.BytesIO(get(client, f"{path}/3", format="png").content)) as png:
        assert png.width > 600
    first = get(client, f"{path}/2", format="svg").content
    assert first == get(client, f"{path}/2", format="svg").content, "the same figure has the same bytes"
    engine = client.app.state.desk.engine
    results = engine.results.load(made["evidence"][0]["key"])
    blocks = get(client, f"{path}/1", format="csv").text.split("\n\n")
    assert made["content_hash"][:12] in blocks[0]
    rows = list(csv.DictReader(blocks[1].splitlines()[1:]))
    gallery = results["exemplars"]
    top = [slot for slot, band in enumerate(gallery.bands) if band == "top"]
    assert [int(r["example"]) for r in rows] == gallery.arrays["example"][3][top].tolist()
    assert [float(r["activation"]) for r in rows] == gallery.arrays["activation"][3][top].tolist()
    maps = list(csv.DictReader(get(client, f"{path}/3", format="csv").text.split("\n\n")[1].splitlines()[1:]))
    assert len(maps) == 32 * 32
    send(client, "GET", f"/findings/{made['id']}/figures/9", 404)
    assert get(client, f"/findings/{made['id']}/preview").content.startswith(b"\x89PNG")


def test_a_crate_holds_everything(client: Any, made: Any) -> None:
    data = get(client, f"/findings/{made['id']}/export", format="crate").content
    archive = zipfile.ZipFile(io.BytesIO(data))
    names = set(archive.namelist())
    assert {
        "ro-crate-metadata.json",
        "ro-crate-preview.html",
        "finding.ipynb",
        "finding.json",
        "CITATION.cff",
        "figures/figure-1.svg",
    } <= names
    graph = {entry["@id"]: entry for entry in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}
    assert graph["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    parts = {part["@id"] for part in graph["./"]["hasPart"]}
    assert parts == names - {"ro-crate-metadata.json"}
    for part in parts:
        assert int(graph[part]["contentSize"]) == len(archive.read(part))
    everything = json.dumps(list(graph.values()))
    for reference in re.findall(r'"@id": "([^"]+)"', everything):
        assert reference in graph or reference.startswith("https://"), reference
    assert data == get(client, f"/findings/{made['id']}/export", format="crate").content


@pytest.fixture
def elsewhere(tmp_path: Any, make_engine: Any) -> Any:
    """Another installation, with the same model and probe set under other names, and nothing computed."""
    from microtome.core.settings import Settings

    settings = Settings(data_dir=tmp_path / "elsewhere", inline=True)
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake", "theirs")
    engine.add_source("add-probe", "builtin:fake-probe", "pictures")
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as there:
        yield there


def bring(there: Any, data: bytes, status: int) -> Any:
    return send(there, "POST", "/findings/import", status, files={"file": ("finding.zip", data, "application/zip")})


def test_it_holds_on_another_machine(client: Any, made: Any, elsewhere: Any) -> None:
    data = get(client, f"/findings/{made['id']}/export", format="crate").content
    come = bring(elsewhere, data, 201)
    assert come["evidence"] == made["evidence"]
    assert come["origin"]["content_hash"] == made["content_hash"]
    assert come["origin"]["panels_left_out"] == 1, "exemplars come back with the dissection"
    assert come["status"]["state"] == "fresh"
    assert come["model"] == "theirs"
    key = made["evidence"][0]["key"]
    assert send(elsewhere, "GET", f"/results/{key}", 404)["title"], "arrays of others are not taken over"
    send(elsewhere, "PATCH", f"/findings/{come['id']}", 200, json={"title": "Theirs"}, headers={"If-Match": '"1"'})
    check = send(elsewhere, "POST", f"/findings/{come['id']}/check", 202)
    assert {r["mode"] for r in check["outcome"]["results"]} == {"anew"}
    assert check["outcome"]["state"] == "agrees", "also the map of an image of a probe set that has another name here"
    assert check["outcome"]["numbers"][0]["now"] == pytest.approx(made["evidence"][0]["value"])
    assert check["outcome"]["numbers"][0]["agrees"]
    again = send(elsewhere, "GET", f"/findings/{come['id']}", 200)
    assert all(figure["available"] for figure in again["figures"]), "they are here now, under the very same keys"


def test_what_was_tampered_with_is_refused(client: Any, made: Any, elsewhere: Any) -> None:
    data = get(client, f"/findings/{made['id']}/export", format="crate").content
    said = json.loads(zipfile.ZipFile(io.BytesIO(data)).read("finding.json"))

    def zipped(document: Any, name: str = "finding.json") -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, document if isinstance(document, bytes) else json.dumps(document))
        return out.getvalue()

    assert bring(elsewhere, zipped(said), 201)["id"]
    better = json.loads(json.dumps(said))
    better["evidence"][0]["value"] = 0.99
    assert "changed after it was exported" in bring(elsewhere, zipped(better), 422)["detail"]
    for change in ({"title": "x" * 300}, {"unknown": 1}, {"evidence": [{}]}, {"format": "other"}):
        assert bring(elsewhere, zipped(said | change), 422)["field"] == "file"
    nowhere = json.loads(json.dumps(said))
    nowhere["provenance"] = []
    assert "does not say how" in bring(elsewhere, zipped(nowhere), 422)["detail"]
    assert "has no finding.json" in bring(elsewhere, zipped(said, "../../finding.json"), 422)["detail"]
    assert "larger" in bring(elsewhere, zipped(b" " * 6_000_000), 422)["detail"], "a bomb is not unpacked"
    assert bring(elsewhere, b"PK\x03\x04 not really", 422)["field"] == "file"
    assert bring(elsewhere, b"", 422)["field"] == "file"
    assert bring(elsewhere, data[: len(data) // 2], 422)["field"] == "file"


def test_who_may_not_read_it_takes_nothing_away(team_app: Any) -> None:
    from tests.api.team import Browser, signed_in

    ann, nobody = signed_in(team_app, "annotator", "ann"), Browser(team_app)
    key = key_of(team_app.state.desk.engine)
    evidence = [{**REST, "key": key, "reference": IOU}]
    made = ann.ok("POST", "/findings", json={"title": "t", "evidence": evidence, "figures": [{"state": VIEW}]})
    for path in ("export?format=json", "export?format=crate", "figures/1", "preview", "checks", "history"):
        assert nobody.api("GET", f"/findings/{made['id']}/{path}").status_code == 404, path
    ann.ok("PATCH", f"/findings/{made['id']}", json={"visibility": "link"}, headers={"If-Match": '"1"'})
    for path in ("export?format=json", "export?format=crate", "preview", "checks", "history"):
        assert nobody.api("GET", f"/findings/{made['id']}/{path}").status_code == 200, path
    crate = nobody.api("GET", f"/findings/{made['id']}/export?format=crate").content
    assert ann.api("POST", "/findings/import", files={"file": ("f.zip", crate)}).status_code == 403, "editors bring findings in"
