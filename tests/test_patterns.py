"""Regular expressions that what people send is matched with: none of them takes for ever on any text (denial of service).

All patterns of the code are found in its source, those of schemas and of ``re`` alike, and tried with long texts that nearly match. A
pattern that backtracks without bound does not come back: then the process that tries it is ended, and the test fails.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1] / "backend" / "microtome"
FUNCTIONS = {"compile", "match", "fullmatch", "search", "findall", "finditer", "sub", "split"}
SECONDS = 120  # for all together, which take some seconds: only what never ends is ended
TRY = r"""
import json, re, sys
for pattern, flags in json.load(sys.stdin):
    compiled = re.compile(pattern, flags)
    letters = sorted({c for c in pattern if c.isalnum() or c in " -_./:@\\\"'<>()[]{}=,;&#"} | set("a0 \n./-:"))
    seeds = [*letters, *(a + b for a in letters[:6] for b in letters[:6]), "ab" * 3, "a.", "0-", "<a", "](", "https://a.", "a@a."]
    for seed in seeds:
        for end in ("", "!", "\0", "\n"):
            text = (seed * 1000)[:1000] + end
            compiled.fullmatch(text)
            compiled.search(text)
    print(pattern[:100], flush=True)
"""


def text_of(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def patterns() -> list[tuple[str, int]]:
    """Every literal pattern in the source, with its flags."""
    found: set[tuple[str, int]] = set()
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name: Any = node.func
            by_re = (
                isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "re" and name.attr in FUNCTIONS
            )
            given = [text_of(node.args[0])] if by_re and node.args else []
            given += [text_of(word.value) for word in node.keywords if word.arg in ("pattern", "regex")]
            flags = sum(
                int(getattr(re, part.attr))
                for argument in [*node.args[1:], *(word.value for word in node.keywords)]
                for part in ast.walk(argument)
                if by_re
                and isinstance(part, ast.Attribute)
                and isinstance(part.value, ast.Name)
                and part.value.id == "re"
                and part.attr.isupper()
            )
            found |= {(pattern, flags) for pattern in given if pattern is not None}
    return sorted(found)


def tried(given: list[tuple[str, int]], seconds: float) -> int:
    """How many of them came back."""
    command = [sys.executable, "-c", TRY]
    try:
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=seconds, check=True)
    except subprocess.TimeoutExpired as ended:
        return len((ended.stdout or b"").splitlines())
    return len(done.stdout.splitlines())


def test_no_pattern_takes_for_ever() -> None:
    given = patterns()
    assert len(given) > 30
    count = tried(given, SECONDS)
    assert count == len(given), f"this pattern did not come back: {given[count][0]}"


def test_a_pattern_that_does_is_found() -> None:
    assert tried([("^a$", 0), ("^(a+)+$", 0), ("^b$", 0)], 8) == 1


def test_what_people_search_for_is_no_pattern(client: Any) -> None:
    evil = "(a+)+$" + "a" * 60 + "!"
    about = {"model": "fake", "probe": "fake-probe"}
    counts = client.post("/api/v1/units/query", json=about | {"selection": {"text": evil}}).json()["counts"]
    assert counts["in_filter"] == 0
    client.post("/api/v1/annotations", json={"kind": "label", "model": "fake", "layer": "stage1", "unit": 1, "body": "a.c (x+)+$"})
    for text, found in (("a.c (x+)+$", 1), ("abc", 0), ("(x+)+", 1), (".*", 0)):
        counts = client.post("/api/v1/units/query", json=about | {"selection": {"text": text}}).json()["counts"]
        assert counts["in_filter"] == found, text
