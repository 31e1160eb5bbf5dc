"""Sharing with named people, public views, notes about regions, quotas: who sees what, and what is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from microtome.api.app import create_app
from microtome.store import tables as t
from tests.api.team import Browser, signed_in
from tests.api.test_hypotheses import NEW as HYPOTHESIS

NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": "x"}
ABOUT = {"model": "fake", "probe": "fake-probe"}
REGION = {"example": "fake-probe:3", "polygon": [[0.1, 0.2], [0.5, 0.2], [0.5, 0.75]], "span": None}


def me(browser: Browser) -> str:
    return str(browser.ok("GET", "/session")["person"]["id"])


def private_things(who: Browser) -> dict[str, str]:
    """One of each kind that can be private."""
    private = {"visibility": "private"}
    return {
        "annotation": who.ok("POST", "/annotations", json=NOTE | private)["id"],
        "selection": who.ok("POST", "/selections", json={"name": "s", **ABOUT, "selection": {}} | private)["id"],
        "share": who.ok("POST", "/shares", json={"state": ABOUT} | private)["id"],
        "finding": who.ok("POST", "/findings", json={"title": "t"} | private)["id"],
        "hypothesis": who.ok("POST", "/hypotheses", json=HYPOTHESIS | private)["id"],
    }


def many(kind: str) -> str:
    return "hypotheses" if kind == "hypothesis" else f"{kind}s"


def sees(who: Browser, kind: str, id: str) -> bool:
    """Whether it is there for this person, by every way that leads to it."""
    if kind == "share":
        return bool(who.api("GET", f"/shares/{id}").status_code == 200)
    listed = id in {item["id"] for item in who.ok("GET", f"/{many(kind)}")["items"]}
    if kind == "annotation":
        ways = [who.api("GET", f"/annotations/{id}/history"), who.api("GET", "/comments", params={"subject": kind, "subject_id": id})]
        assert {answer.status_code for answer in ways} == {200 if listed else 404}
    return listed


def test_a_private_thing_is_seen_by_whom_its_author_names(team_app: Any) -> None:
    ada, ben, eve = (signed_in(team_app, role, name) for role, name in (("annotator", "ada"), ("annotator", "ben"), ("editor", "eve")))
    admin = signed_in(team_app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = signed_in(team_app, "admin", "zoe", room)
    events = team_app.state.desk.engine.events
    for kind, id in private_things(ada).items():
        at = {"subject": kind, "subject_id": id}
        assert [sees(who, kind, id) for who in (ada, ben, eve, admin, zoe)] == [True, False, False, False, False]
        for who in (ben, eve, admin, zoe):  # who may not see it cannot ask who may, and cannot let anybody
            assert who.api("GET", "/permits", params=at).status_code == 404
            assert who.api("PUT", "/permits", json=at | {"people": [me(who)]}).status_code == 404
        start = events.newest()
        told = ada.ok("PUT", "/permits", json=at | {"people": [me(ben), me(ada)]})
        assert [p["name"] for p in told["people"]] == ["Ben"]
        assert [sees(who, kind, id) for who in (ada, ben, eve, zoe)] == [True, True, False, False]
        heard = {(row.person_id, row.data["seen"]) for row in events.after(start) if row.type == "permit"}
        assert heard == {(me(ada), True), (me(ben), True)}
        bell = ben.ok("GET", "/notifications")["items"][0]
        assert (bell["kind"], bell["actor"]["name"]) == ("shared", "Ada")
        assert ben.ok("GET", "/permits", params=at)["people"] == told["people"]
        # to see is not to let others see, unless one is an editor; and only an editor among them may change it
        assert ben.api("PUT", "/permits", json=at | {"people": []}).status_code == 403
        assert remove(ben, kind, id) == 403
        ada.ok("PUT", "/permits", json=at | {"people": [me(eve)]})
        assert [sees(who, kind, id) for who in (ada, ben, eve)] == [True, False, True]
        assert ben.ok("GET", "/notifications")["items"][0]["id"] == bell["id"]
        eve.ok("PUT", "/permits", json=at | {"people": [me(ben), me(eve)]})
        # somebody of another workspace is nobody here
        refused = ada.api("PUT", "/permits", json=at | {"people": [me(zoe)]})
        assert (refused.status_code, refused.json()["field"]) == (422, "people")
        assert remove(ada, kind, id) // 100 == 2
        assert ada.api("PUT", "/permits", json=at | {"people": []}).status_code == 404
    lines = [x["subject"] for x in admin.ok("GET", "/audit")["items"] if x["action"] == "permit"]
    assert len(lines) == 15
    assert any(line.endswith("+Eve, -Ben") for line in lines)


def remove(who: Browser, kind: str, id: str) -> int:
    return int(who.api("DELETE", f"/{many(kind)}/{id}", headers={"If-Match": '"1"'}).status_code)


def test_events_about_a_private_note_reach_who_sees_it(team_app: Any) -> None:
    ada, ben = signed_in(team_app, "annotator", "ada"), signed_in(team_app, "annotator", "ben")
    events = team_app.state.desk.engine.events
    id = private_things(ada)["annotation"]
    ada.ok("PUT", "/permits", json={"subject": "annotation", "subject_id": id, "people": [me(ben)]})
    start = events.newest()
    ada.ok("PATCH", f"/annotations/{id}", json={"body": "y"}, headers={"If-Match": '"1"'})
    ben.ok("POST", "/comments", json={"subject": "annotation", "subject_id": id, "body": "I think so too"})
    for kind in ("annotation", "comment"):
        assert {row.person_id for row in events.after(start) if row.type == kind} == {me(ada), me(ben)}, kind
    # what is counted follows too
    for who, notes in ((ada, 1), (ben, 1), (signed_in(team_app, "admin"), 0)):
        assert len(who.ok("GET", "/annotations", params={"model": "fake"})["items"]) == notes


def test_counts_follow_a_permit_at_once(settings: Any, make_engine: Any, cheap_passwords: None) -> None:
    """What Browse keeps of labels is kept for those who see the same; a permit that comes or goes changes who that is."""
    settings = settings.model_copy(update={"mode": "team"})
    engine = make_engine(settings)
    for kind, source in (("add-model", "builtin:fake"), ("add-probe", "builtin:fake-probe")):
        engine.add_source(kind, source)
    engine.submit("unit-map", ABOUT)
    app = create_app(settings, engine=engine)
    ada, ben = signed_in(app, "annotator", "ada"), signed_in(app, "annotator", "ben")
    label = NOTE | {"kind": "label", "visibility": "private"}
    first, second = (
        ada.ok("POST", "/annotations", json=label | {"body": word, "unit": n})["id"] for n, word in enumerate(("zebra", "zebu"))
    )

    def found(who: Browser, word: str) -> int:
        return int(who.ok("POST", "/units/query", json=ABOUT | {"selection": {"text": word}})["counts"]["in_filter"])

    for shown in ((), (first,), (second,), (first, second), ()):
        for id in (first, second):
            people = [me(ben)] if id in shown else []
            ada.ok("PUT", "/permits", json={"subject": "annotation", "subject_id": id, "people": people})
        assert [found(ben, "zebra"), found(ben, "zebu")] == [int(first in shown), int(second in shown)]
        assert [found(ada, "zebra"), found(ada, "zebu")] == [1, 1]


def test_what_everybody_sees_cannot_be_shared_further(team_app: Any) -> None:
    ada, ben = signed_in(team_app, "annotator", "ada"), signed_in(team_app, "annotator", "ben")
    id = ada.ok("POST", "/annotations", json=NOTE)["id"]
    refused = ada.api("PUT", "/permits", json={"subject": "annotation", "subject_id": id, "people": [me(ben)]})
    assert refused.status_code == 409
    assert "not private" in refused.json()["detail"]


def test_public_views_are_listed_for_everybody(team_app: Any) -> None:
    ada, stranger = signed_in(team_app, "annotator", "ada"), Browser(team_app)
    for visibility in ("private", "workspace", "link"):
        ada.ok("POST", "/shares", json={"state": ABOUT, "visibility": visibility, "title": visibility})
    named = ada.ok("POST", "/shares", json={"state": ABOUT, "visibility": "public", "title": "What stage 1 looks for"})
    plain = ada.ok("POST", "/shares", json={"state": ABOUT | {"screen": "browse"}, "visibility": "public"})
    listed = stranger.ok("GET", "/shares", params={"visibility": "public"})["items"]
    assert [(x["id"], x["title"], x["author"]["name"]) for x in listed] == [
        (plain["id"], "fake × fake-probe, browse", "Ada"), (named["id"], "What stage 1 looks for", "Ada"),
    ]  # fmt: skip
    assert stranger.ok("GET", f"/shares/{named['id']}")["title"] == "What stage 1 looks for"
    assert stranger.api("GET", "/methods", headers={"X-Share": named["id"]}).status_code == 200
    assert stranger.api("GET", "/shares").status_code == stranger.api("GET", "/shares", params={"visibility": "link"}).status_code == 422
    ada.api("DELETE", f"/shares/{named['id']}")
    assert [x["id"] for x in stranger.ok("GET", "/shares", params={"visibility": "public"})["items"]] == [plain["id"]]


def test_notes_are_about_regions(client: Any) -> None:
    api = "/api/v1/annotations"
    made = client.post(api, json=NOTE | {"anchor": REGION}).json()
    assert made["anchor"] == REGION

    def change(body: dict[str, Any], revision: int) -> Any:
        return client.patch(f"{api}/{made['id']}", json=body, headers={"If-Match": f'"{revision}"'}).json()

    assert change({"body": "y"}, 1)["anchor"] == REGION  # left out: as it is
    moved = REGION | {"example": "fake-probe:4"}
    assert change({"body": "y", "anchor": moved}, 2)["anchor"] == moved
    assert change({"body": "y", "anchor": None}, 3)["anchor"] is None
    back = client.post(f"{api}/{made['id']}/restore", json={"revision": 3}, headers={"If-Match": '"4"'}).json()
    assert back["anchor"] == moved
    history = client.get(f"{api}/{made['id']}/history").json()["items"]
    assert [x["anchor"] for x in history] == [REGION, REGION, moved, None, moved]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"example": "fake-probe:999999"}, "anchor.example"), ({"example": "nothing:0"}, "anchor.example"),
        ({"example": "fake-probe"}, "anchor.example"), ({"example": "fake-probe:-1"}, "anchor.example"),
        ({"polygon": [[0, 0], [1, 1]]}, "anchor.polygon"), ({"polygon": [[0, 0], [1, 1], [0, 1.01]]}, "anchor.polygon.2.1"),
        ({"polygon": [[0, 0], [1, 1], [0]]}, "anchor.polygon.2"), ({"polygon": [[0, 0, 0]] * 3}, "anchor.polygon.0"),
        ({"polygon": [[0.5, 0.5]] * 201}, "anchor.polygon"), ({"polygon": [["nan", 0]] * 3}, "anchor.polygon.0.0"),
        ({"more": 1}, "anchor.more"),
    ],
)  # fmt: skip
def test_odd_regions_are_refused(shared_client: Any, change: dict[str, Any], field: str) -> None:
    answer = shared_client.post("/api/v1/annotations", json=NOTE | {"anchor": REGION | change})
    assert answer.status_code in (404, 422)
    assert answer.json()["field"] == field


def test_only_notes_have_regions(shared_client: Any) -> None:
    answer = shared_client.post("/api/v1/annotations", json=NOTE | {"kind": "label", "anchor": REGION})
    assert (answer.status_code, answer.json()["field"]) == (422, "anchor")


def picture(shade: int, side: int = 40) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(shade).integers(0, 255, (side, side, 3)).astype(np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def test_runs_in_a_day(settings: Any, make_engine: Any, cheap_passwords: None) -> None:
    settings = settings.model_copy(update={"mode": "team", "runs_per_day": 2})
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    app = create_app(settings, engine=engine)
    ada, ben = signed_in(app, "editor", "ada"), signed_in(app, "editor", "ben")

    def run(who: Browser, **more: Any) -> Any:
        return who.api("POST", "/runs", json={"method": "predictions", "subjects": ABOUT} | more)

    assert ada.ok("GET", "/session/usage")["runs"] == {"used": 0, "limit": 2, "frees": None}
    assert run(ada).status_code == 200
    assert run(ada, method="dissection").is_success
    refused = run(ada, method="unit-map")
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert "2 runs in the last 24 hours" in refused.json()["detail"]
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    used = ada.ok("GET", "/session/usage")["runs"]
    assert (used["used"], used["limit"]) == (2, 2)
    assert used["frees"][:19] in refused.json()["detail"]
    assert run(ada).status_code == 200, "what is computed already is free"
    assert ada.api("POST", "/models", json={"source": "builtin:fake"}).status_code == 429
    made = ada.ok("POST", "/hypotheses", json=HYPOTHESIS)["id"]
    assert ada.api("POST", f"/hypotheses/{made}/start", headers={"If-Match": '"1"'}).status_code == 429
    assert run(ben, method="unit-map").is_success, "somebody else has their own"
    with engine.store.write() as connection:  # a day later
        connection.execute(update(t.run).where(t.run.c.person_id == me(ada)).values(created="2020-01-01T00:00:00.000000Z"))
    assert ada.ok("GET", "/session/usage")["runs"] == {"used": 0, "limit": 2, "frees": None}
    assert run(ada, method="activation-statistics").status_code not in (429, 500)


def test_bytes_of_uploads(settings: Any, make_engine: Any, cheap_passwords: None) -> None:
    one, two, three = (picture(n) for n in range(3))
    limit = len(one) + len(two)
    settings = settings.model_copy(update={"mode": "team", "upload_bytes_per_person": limit})
    app = create_app(settings, engine=make_engine(settings))
    ada, ben = signed_in(app, "annotator", "ada"), signed_in(app, "annotator", "ben")

    def send(who: Browser, data: bytes) -> Any:
        return who.api("POST", "/uploads", files={"file": ("x.png", data)})

    assert [send(ada, data).status_code for data in (one, one, two)] == [201, 201, 201]
    refused = send(ada, three)
    assert (refused.status_code, refused.json()["field"]) == (413, "file")
    assert f"{limit:,} of {limit:,} bytes" in refused.json()["detail"]
    assert ada.ok("GET", "/session/usage")["upload_bytes"] == {"used": limit, "limit": limit, "frees": None}
    assert send(ada, one).status_code == 201, "what is there already uses nothing"
    assert send(ben, three).status_code == 201
    with app.state.desk.store.read() as connection:
        assert len(connection.execute(select(t.upload)).all()) == 3


def test_single_user_mode_has_no_quotas(settings: Any, make_engine: Any) -> None:
    from microtome.collab.quotas import Quotas

    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    quotas = Quotas(engine.store, settings.model_copy(update={"runs_per_day": 1, "upload_bytes_per_person": 1}))
    quotas.take_run("x")
    quotas.take_upload("x", 10**9)
    assert quotas.usage("x")["runs"]["limit"] is None
