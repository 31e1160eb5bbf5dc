"""Findings over HTTP: what they say is read from results, stays, is checked again, and is seen by whom it is for."""

from __future__ import annotations

from typing import Any

import pytest

from tests import fakes
from tests.api.team import Browser, signed_in

API = "/api/v1"
IOU = {"item": "units", "row": 3, "column": "best_iou"}
VIEW = {"model": "fake", "probe": "fake-probe", "screen": "unit", "selected": {"layer": "stage1", "unit": 3}}


def key_of(engine: Any, method: str = "dissection", part: str = "stage1") -> str:
    run = engine.submit(method, {"model": "fake", "probe": "fake-probe"})
    return str(dict((p, k) for p, k, _ in engine.runs.parts([run.id])[run.id])[part])


def new(key: str, **more: Any) -> dict[str, Any]:
    figure = {"state": VIEW, "caption": "The *best* nine.", "panels": [{"kind": "exemplars", "layer": "stage1", "unit": 3}]}
    chart = {"caption": "", "panels": [{"kind": "result", "key": key, "item": "iou"}]}
    evidence = [{"group": "predictive", "test": "IoU with the best concept", "key": key, "reference": IOU}]
    return {"title": "Unit 3 sees skies", "claim": "It does.", "figures": [figure, chart], "evidence": evidence, **more}


@pytest.fixture
def engine_of(client: Any) -> Any:
    return client.app.state.desk.engine


def send(client: Any, method: str, path: str, status: int, **options: Any) -> Any:
    answer = client.request(method, API + path, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_numbers_are_those_of_the_results(client: Any, engine_of: Any) -> None:
    key = key_of(engine_of)
    made = send(client, "POST", "/findings", 201, json=new(key))
    table = engine_of.results.load(key)["units"]
    [row] = made["evidence"]
    assert row["value"] == pytest.approx(table.column("best_iou")[3])
    assert row["chance"] == pytest.approx(table.column("best_chance")[3])
    assert row["n"] == 24
    assert made["number"] == 1
    assert made["model"] == "fake"
    assert made["status"] == {"state": "fresh", "drift": [], "check": None}
    [first, second] = made["figures"]
    assert first["state"]["selected"] == {"layer": "stage1", "unit": 3}
    assert first["available"]
    assert second["state"]["model"] == "fake", "a figure without a view has that of its result"
    assert {p["key"] for p in made["provenance"]} == {key}
    assert made["provenance"][0]["method"] == "dissection"
    assert len(made["provenance"][0]["model_hash"]) == 64
    listed = send(client, "GET", "/findings", 200)["items"]
    assert [(f["number"], f["state"], f["evidence"], f["figures"]) for f in listed] == [(1, "fresh", 1, 2)]
    assert send(client, "GET", "/findings?model=other", 200)["items"] == []
    [hit] = [h for h in send(client, "GET", "/search?q=sees+skies", 200)["items"] if h["type"] == "finding"]
    assert (hit["title"], hit["slug"]) == ("Unit 3 sees skies", made["id"])
    view = send(client, "GET", f"/shares/{first['share']}", 200)
    assert view["visibility"] == "finding"
    problem = send(client, "DELETE", f"/shares/{first['share']}", 409)
    assert "finding" in problem["detail"]


def test_what_does_not_fit_is_refused_by_name(client: Any, engine_of: Any) -> None:
    key = key_of(engine_of)
    wrong = new(key)
    wrong["evidence"][0]["reference"] = {**IOU, "column": "best_love"}
    assert send(client, "POST", "/findings", 422, json=wrong)["field"] == "evidence.0.reference.column"
    wrong["evidence"][0]["reference"] = {**IOU, "row": 600}
    assert send(client, "POST", "/findings", 422, json=wrong)["field"] == "evidence.0.reference.row"
    wrong = new(key)
    wrong["figures"][1]["panels"][0]["key"] = "0" * 64
    assert send(client, "POST", "/findings", 404, json=wrong)["field"].startswith("figures.1")
    wrong = new(key)
    wrong["figures"][0]["panels"][0]["unit"] = 77
    assert "there is no 77" in send(client, "POST", "/findings", 422, json=wrong)["detail"]
    wrong["figures"][0]["panels"][0] |= {"unit": 1, "layer": "stage9"}
    assert "stage9" in send(client, "POST", "/findings", 422, json=wrong)["detail"]
    send(client, "POST", "/findings", 422, json=new(key, value=3))
    send(client, "POST", "/findings", 422, json=new(key, title="  "))
    nothing = new(key, figures=[{"caption": "no view, no panel"}])
    send(client, "POST", "/findings", 422, json=nothing)
    assert send(client, "GET", "/findings", 200)["items"] == []


def test_versions_conflicts_and_the_way_back(client: Any, engine_of: Any) -> None:
    made = send(client, "POST", "/findings", 201, json=new(key_of(engine_of)), headers={"Idempotency-Key": "one"})
    again = send(client, "POST", "/findings", 201, json=new(key_of(engine_of)), headers={"Idempotency-Key": "one"})
    assert again["id"] == made["id"]
    path = f"/findings/{made['id']}"
    send(client, "PATCH", path, 428, json={"title": "x"})
    kept = [{"share": f["share"], "caption": f["caption"], "panels": f["panels"]} for f in made["figures"]][:1]
    changed = send(client, "PATCH", path, 200, json={"title": "Better", "figures": kept, "visibility": "link"}, headers={"If-Match": '"1"'})
    assert (changed["revision"], changed["title"], changed["claim"], len(changed["figures"])) == (2, "Better", "It does.", 1)
    assert changed["figures"][0]["share"] == made["figures"][0]["share"]
    assert changed["content_hash"] != made["content_hash"]
    stale = send(client, "PATCH", path, 412, json={"title": "Worse"}, headers={"If-Match": '"1"'})
    assert stale["current"]["title"] == "Better"
    old = send(client, "GET", f"{path}?revision=1", 200)
    assert (old["title"], old["shown"], old["revision"], old["content_hash"]) == ("Unit 3 sees skies", 1, 2, made["content_hash"])
    assert old["visibility"] == "workspace"
    back = send(client, "POST", f"{path}/restore", 200, json={"revision": 1}, headers={"If-Match": '"2"'})
    assert (back["title"], back["revision"], back["content_hash"]) == ("Unit 3 sees skies", 3, made["content_hash"])
    assert back["visibility"] == "link", "who may read it does not come back with old words"
    gone = send(client, "DELETE", path, 200, headers={"If-Match": '"3"'})
    assert gone["status"]["state"] == "deleted"
    assert send(client, "GET", "/findings", 200)["items"] == []
    assert [f["id"] for f in send(client, "GET", "/findings?deleted=true", 200)["items"]] == [made["id"]]
    send(client, "PATCH", path, 409, json={"title": "x"}, headers={"If-Match": '"4"'})
    send(client, "POST", f"{path}/restore", 200, json={"revision": 3}, headers={"If-Match": '"4"'})
    history = send(client, "GET", f"{path}/history", 200)["items"]
    assert [(h["revision"], h["deleted"]) for h in history] == [(1, False), (2, False), (3, False), (4, True), (5, False)]


def test_a_figure_of_a_share_outlives_the_link(client: Any, engine_of: Any) -> None:
    key = key_of(engine_of)
    link = send(client, "POST", "/shares", 201, json={"state": VIEW})
    made = send(client, "POST", "/findings", 201, json=new(key, figures=[{"share": link["id"], "caption": "as it was"}]))
    assert client.delete(f"{API}/shares/{link['id']}").status_code == 204
    again = send(client, "GET", f"/findings/{made['id']}", 200)
    assert again["figures"][0]["available"]
    assert send(client, "GET", f"/shares/{again['figures'][0]['share']}", 200)["state"]["selected"] == VIEW["selected"]


def test_it_is_checked_and_says_what_has_changed(client: Any, engine_of: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_text("one")
    engine_of.add_source("add-model", f"path:{file}", "mine")
    run = engine_of.submit("dissection", {"model": "mine", "probe": "fake-probe"})
    key = engine_of.runs.parts([run.id])[run.id][0][1]
    body = {"title": "t", "evidence": [{"group": "causal", "test": "x", "key": key, "reference": IOU}], "tolerance": 0.02}
    made = send(client, "POST", "/findings", 201, json=body)
    path = f"/findings/{made['id']}"
    check = send(client, "POST", f"{path}/check", 202)
    assert check["outcome"]["state"] == "unchanged"
    assert check["outcome"]["results"][0]["identical"]
    same = {"then": made["evidence"][0]["value"], "now": made["evidence"][0]["value"]}
    assert check["outcome"]["numbers"] == [{"place": 0, **same, "low": None, "high": None, "agrees": True, "why": ""}]
    assert send(client, "GET", path, 200)["status"]["state"] == "verified"
    atlas = send(client, "GET", "/atlas?model=mine&probe=fake-probe", 200)
    assert atlas["layers"][0]["key"] == key, "Browse draws from results, never from comparisons"

    honest, factor = fakes.layer_results, 1.01

    def other(*args: Any) -> Any:
        results = honest(*args)
        place = [c.name for c in results["units"].columns if c.type == "number"].index("best_iou")
        results["units"].arrays["numbers"][place] *= factor
        return results

    monkeypatch.setattr(fakes, "layer_results", other)
    check = send(client, "POST", f"{path}/check", 202)
    assert check["outcome"]["state"] == "agrees", "one per cent is within two"
    assert check["outcome"]["numbers"][0]["now"] == pytest.approx(1.01 * made["evidence"][0]["value"])
    factor = 1.05
    check = send(client, "POST", f"{path}/check", 202)
    assert check["outcome"]["state"] == "differs"
    assert check["outcome"]["numbers"][0]["agrees"] is False
    assert send(client, "GET", path, 200)["status"]["state"] == "differs"

    factor = 1.0
    send(client, "POST", f"{path}/check", 202)
    file.write_text("two")
    status = send(client, "GET", path, 200)["status"]
    assert status["state"] == "changed"
    assert [(d["what"], d["name"]) for d in status["drift"]] == [("model", "mine")]
    check = send(client, "POST", f"{path}/check", 202)
    assert check["outcome"]["results"][0]["mode"] == "anew"
    assert check["outcome"]["state"] == "agrees", "these fakes give the same for any weights"
    assert send(client, "GET", path, 200)["status"]["state"] == "verified", "computed again with what is there now"
    file.write_text("three")
    assert send(client, "GET", path, 200)["status"]["state"] == "changed"
    file.unlink()
    check = send(client, "POST", f"{path}/check", 202)
    assert check["outcome"]["state"] == "failed"
    assert check["outcome"]["results"][0]["why"]
    assert len(send(client, "GET", f"{path}/checks", 200)["items"]) == 6
    send(client, "POST", "/findings", 201, json={"title": "only words"})
    [words, _] = send(client, "GET", "/findings", 200)["items"]
    send(client, "POST", f"/findings/{words['id']}/check", 409)


def test_what_it_rests_on_is_kept(client: Any, engine_of: Any) -> None:
    from microtome.store.eviction import evict

    key = key_of(engine_of)
    made = send(client, "POST", "/findings", 201, json={"title": "t", "evidence": new(key)["evidence"]})
    evict(engine_of.store, 0)
    engine_of.remove_source("model", "fake", drop=True)
    assert engine_of.results.stored([key]) == {key}
    told = send(client, "GET", f"/findings/{made['id']}", 200)
    assert told["evidence"] == made["evidence"]
    assert told["status"]["state"] == "changed"
    assert told["status"]["drift"][0]["now"] == "removed"


def test_who_reads_what(team_app: Any) -> None:
    ann, ben, eve = (signed_in(team_app, "annotator", name) for name in ("ann", "ben", "eve"))
    key = key_of(team_app.state.desk.engine)
    nobody = Browser(team_app)
    body = new(key, visibility="private")
    made = ann.ok("POST", "/findings", json=body)
    path, share = f"/findings/{made['id']}", made["figures"][0]["share"]
    for reader in (ben, eve, nobody):
        assert reader.api("GET", path).status_code == 404
        assert reader.api("GET", f"/shares/{share}").status_code == 404
        assert reader.ok("GET", "/findings")["items"] == []
    assert [h["type"] for h in ben.ok("GET", "/search?q=sees+skies")["items"]] == []
    assert ben.api("PATCH", path, json={"title": "mine now"}, headers={"If-Match": '"1"'}).status_code == 404
    assert ben.api("POST", f"{path}/check").status_code == 404

    made = ann.ok("PATCH", path, json={"visibility": "workspace"}, headers={"If-Match": '"1"'})
    assert ben.ok("GET", path)["title"] == "Unit 3 sees skies"
    assert ben.ok("GET", f"/shares/{share}")["state"]["selected"]
    assert nobody.api("GET", path).status_code == 404
    assert ben.api("PATCH", path, json={"title": "mine now"}, headers={"If-Match": '"2"'}).status_code == 403
    assert ben.ok("POST", "/comments", json={"subject": "finding", "subject_id": made["id"], "body": "Is it? @Ann"})["id"]
    assert ann.ok("GET", "/notifications")["items"][0]["subject"] == "finding"

    ann.ok("PATCH", path, json={"visibility": "link"}, headers={"If-Match": '"2"'})
    assert nobody.ok("GET", path)["evidence"] == made["evidence"]
    assert nobody.ok("GET", "/findings")["items"] == []
    assert nobody.api("POST", f"{path}/check").status_code == 401
    behind = {"X-Share": share}
    assert nobody.api("GET", f"/results/{key}", headers=behind).status_code == 200
    other = key_of(team_app.state.desk.engine, "predictions", "")
    assert nobody.api("GET", f"/results/{other}", headers=behind).status_code == 401
    finding = {"X-Share": made["id"]}
    assert nobody.api("GET", f"/results/{key}", headers=finding).status_code == 200
    assert nobody.api("GET", f"/results/{other}", headers=finding).status_code == 401
    assert nobody.api("GET", f"/units/fake/stage1/3?probe=fake-probe&share={share}", headers=finding).status_code == 200
    assert nobody.api("GET", "/probes/fake-probe/examples/1/image", headers=finding).status_code == 200
    assert nobody.api("GET", "/atlas?model=fake&probe=fake-probe", headers=finding).status_code == 401

    ann.ok("PATCH", path, json={"visibility": "public"}, headers={"If-Match": '"3"'})
    assert [f["id"] for f in nobody.ok("GET", "/findings")["items"]] == [made["id"]]
    ann.ok("PATCH", path, json={"visibility": "private"}, headers={"If-Match": '"4"'})
    assert nobody.api("GET", f"/results/{key}", headers=finding).status_code == 401
    assert nobody.api("GET", f"/results/{key}", headers=behind).status_code == 401, "a link ends with the visibility of its finding"
    assert nobody.api("GET", path).status_code == 404


def test_a_link_to_it_is_shown_with_title_and_picture(settings: Any, ready: Any, tmp_path: Any) -> None:
    from fastapi.testclient import TestClient

    from microtome.api.app import create_app

    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("<html><head></head><body>app</body></html>")
    key = key_of(ready)
    app = create_app(settings.model_copy(update={"static_dir": tmp_path / "static"}), engine=ready)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        body = new(key, title='Skies "><script>alert(1)</script>', visibility="link")
        made = send(client, "POST", "/findings", 201, json=body)
        page = client.get(f"/findings/{made['id']}")
        assert f'content="http://127.0.0.1:8000/api/v1/findings/{made["id"]}/preview"' in page.text
        assert "&quot;&gt;&lt;script&gt;" in page.text
        assert "<script>alert" not in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        framed = client.get(f"/embed/findings/{made['id']}")
        assert "frame-ancestors *" in framed.headers["content-security-policy"]
        assert "x-frame-options" not in framed.headers
        frozen = client.get(made["figures"][0]["url"])
        assert "frame-ancestors 'self'" in frozen.headers["content-security-policy"]
        assert frozen.headers["x-frame-options"] == "SAMEORIGIN"
        send(client, "PATCH", f"/findings/{made['id']}", 200, json={"visibility": "private"}, headers={"If-Match": '"1"'})
        assert "og:title" not in client.get(f"/findings/{made['id']}").text
