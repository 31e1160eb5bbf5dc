"""One of every kind of thing that people write, for tests that go through all routes. Whoever adds a kind adds it here."""

from __future__ import annotations

from typing import Any

from tests.api.team import Browser
from tests.api.test_hypotheses import NEW as HYPOTHESIS
from tests.api.test_studies import GUESS

ABOUT = {"model": "fake", "probe": "fake-probe"}
AT = {"layer": "stage1", "unit": 3}
NOTE = {"kind": "note", "model": "fake", **AT, "body": "x"}
#: What can be private, by the first part of its address: how it is made.
PRIVATE: dict[str, dict[str, Any]] = {
    "annotations": NOTE, "selections": {"name": "s", **ABOUT, "selection": {}}, "shares": {"state": ABOUT},
    "hypotheses": HYPOTHESIS, "findings": {"title": "t"},
}  # fmt: skip


def private(who: Browser) -> dict[str, str]:
    """One of each kind that can be private, and is."""
    return {kind: who.ok("POST", f"/{kind}", json=body | {"visibility": "private"})["id"] for kind, body in PRIVATE.items()}


def planted(editor: Browser) -> dict[str, str]:
    """One of every kind, for everybody in the workspace, by the first part of its address."""
    of = editor.ok("POST", "/label-sets", json={"name": "s", **ABOUT, "units": [AT], "schema": {"type": "choice", "options": ["a", "b"]}})[
        "id"
    ]
    rated = editor.ok("POST", f"/label-sets/{of}/ratings/bulk", json={"items": [AT | {"answer": "a"}]})
    return {
        **{kind: editor.ok("POST", f"/{kind}", json=body | {"visibility": "workspace"})["id"] for kind, body in PRIVATE.items()},
        "label-sets": of, "label-batches": rated["id"], "ratings": rated["items"][0]["id"],
        "decisions": editor.ok("POST", f"/label-sets/{of}/decisions", json=AT | {"answer": "a", "reason": "r"})["id"],
        "comments": editor.ok("POST", "/comments", json={"subject": "unit", "subject_id": "fake/stage1/3", "body": "x"})["id"],
        "studies": editor.ok("POST", "/studies", json={"name": "x", "design": GUESS})["id"],
    }  # fmt: skip
