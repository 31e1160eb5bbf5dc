"""Text of people in exported pages and figures: it neither leaves its place nor takes for ever, and what is made of it can be read."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import xml.dom.minidom
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from PIL import Image

from microtome.api.findings.cite import citation, citation_file
from microtome.api.findings.export import incoming
from microtome.api.findings.export.prose import to_html
from microtome.core.errors import InvalidInput
from microtome.results.printed import printed
from microtome.results.printed.page import Panel

N = 50_000  # characters of a body
ALLOWED = {"p", "code", "math", "mrow", "mi", "mo", "mn", "mtext", "mstyle", "msup", "mfrac", "mspace", "span"}


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.comments: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "tex",
    [r"\text{<!-- }", r"\text{<!--x-->}", r"\text{</math><p>}", r"\text{<script>x</script>}", r"\text{]]>}", r"\mathrm{<!--}",
     r"\text{<?php }", r"\text{&foo;}", r"\hspace{1em\" onclick=\"x}", "\x01", r"\text{<!DOCTYPE x>}"],
)  # fmt: skip
def test_a_formula_stays_in_its_place(tex: str) -> None:
    seen = Seen(to_html(f"Before ${tex}$ after"))
    assert seen.tags <= ALLOWED, seen.tags
    assert seen.comments == []
    assert seen.text.rstrip().endswith("after"), "nothing swallows what follows"


def test_a_formula_is_still_one() -> None:
    made = to_html(r"$a^2 + \frac{1}{2}$")
    assert "<msup><mi>a</mi><mn>2</mn></msup>" in made
    assert 'xmlns="http://www.w3.org/1998/Math/MathML"' in made


BOMBS = [
    ">" * N, "[" * N, "*a " * (N // 3), "*a **b " * (N // 7), "$a " * (N // 3), "~~a" * (N // 3), "![" * (N // 2), "<" * N,
    "$" + r"\text{" * (N // 6) + "$", "$" + "[" * (N - 2) + "$", "$" + r"\frac{" * (N // 6) + "$", "$" + "{" * (N - 2) + "$",
    "|" + "a|" * 4000 + "\n|" + "-|" * 4000 + "\n" + "x|\n" * 8000,
]  # fmt: skip
TRY = """
import json, sys
from microtome.api.findings.export.prose import to_html
for text in json.load(sys.stdin):
    print(len(to_html(text)), flush=True)
"""


def test_no_text_takes_for_ever_or_grows_without_bound() -> None:
    """As in tests/test_patterns.py: what does not come back is ended, and the test fails."""
    given = json.dumps([text[:N] for text in BOMBS])
    done = subprocess.run([sys.executable, "-c", TRY], input=given, capture_output=True, text=True, timeout=240, check=True)
    sizes = [int(line) for line in done.stdout.split()]
    assert len(sizes) == len(BOMBS)
    assert max(sizes) < 5_000_000


@pytest.mark.parametrize("caption", ["a\x01b", "\x1b[0m", "a\ufffeb", "<&>\"'", "a -- b", "$\\frac$", "\u202e abc"])
def test_figures_can_be_read_whatever_the_caption_holds(caption: str) -> None:
    xml.dom.minidom.parseString(printed([Panel(caption)], caption, "svg"))
    assert printed([Panel(caption)], caption, "pdf").startswith(b"%PDF")
    Image.open(io.BytesIO(printed([Panel(caption)], caption, "png"))).verify()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_crate_is_refused(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("finding.json", bytes(range(256)) * 40)
    data = bytearray(out.getvalue())
    data[48:120] = b"\xff" * 72
    with pytest.raises(InvalidInput):
        incoming.read(bytes(data))


@pytest.mark.parametrize("subjects", [{"model": ["a"]}, {"model": {"a": 1}}, {"probe": 7}, {"model": "x" * 65}, {"example": []}])
def test_what_is_looked_up_by_name_is_a_name(subjects: dict[str, Any]) -> None:
    made = {
        "key": "0" * 64, "title": "t", "method": "dissection", "version": "1", "part": "", "subjects": subjects, "params": {},
        "model_hash": "0" * 64, "probe_hash": None, "created": "", "seconds": 0, "builds_on": [], "seed": None, "software": {},
        "device": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="is a name"):
        incoming.Made.model_validate(made)


@pytest.mark.parametrize("title", ["😀 \\ \" '", "a\x85b\x9f", "#: - {x}", "\u2028\ufeff", "$&%_{}~^\\"])
def test_a_citation_file_is_yaml_whatever_the_title_is(title: str) -> None:
    finding = {
        "title": title, "shown": 1, "changed": "2026-11-28T00:00:00Z", "contributors": [{"name": "Ää 😀"}], "content_hash": "0" * 64,
        "url": "/findings/1", "number": 1, "id": "0" * 24,
    }  # fmt: skip
    read = yaml.safe_load(citation_file(finding, "https://lab.example"))
    assert (read["title"], read["authors"], read["version"]) == (title, [{"name": "Ää 😀"}], "1")
    bibtex = citation(finding, None)["bibtex"]
    assert bibtex.replace(r"\{", "").replace(r"\}", "").count("{") == bibtex.replace(r"\{", "").replace(r"\}", "").count("}")
