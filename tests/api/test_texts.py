"""Models that read through the API, with a real worker in this process: tokens, dissection, snippets, prompts, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from microtome.api.app import create_app
from microtome.core.settings import Settings
from microtome.engine import Engine
from tests import micro

LAYER = "transformer.h.1.neurons"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("texts")
    rows = [{"text": t, "label": "code" if i % 2 else "prose"} for i, t in enumerate(micro.TEXTS)]
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    (folder / "bad.csv").write_bytes(b"text,label\nabc\xff,x\n")
    micro.write_probe(folder / "images", 4)
    app_settings = Settings(data_dir=folder / "data", inline=True, source_roots=[folder, micro.ROOT])
    engine = Engine(app_settings, executor="inline")
    for source, name in (
        (micro.text_folder("gpt2"), "reader"),
        (micro.text_folder("distilbert"), "judge"),
        (micro.model_folder("resnet"), "seer"),
    ):
        engine.add_source("add-model", f"path:{source}", name)
    engine.add_source("add-probe", f"path:{folder / 'texts.jsonl'}", "texts")
    engine.add_source("add-probe", "builtin:pycode#test:6", "pycode")
    engine.add_source("add-probe", f"path:{folder / 'images'}#val", "pictures")
    engine.submit("dissection", {"model": "reader", "probe": "pycode"}, {"exemplars": 3})
    with TestClient(create_app(app_settings, engine=engine), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as opened:
        yield opened
    engine.store.close()


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(
    client: TestClient, subjects: dict[str, Any], method: str = "logit-lens", params: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = client.post("/api/v1/runs", json={"method": method, "subjects": subjects, "params": params or {}})
    assert 400 <= answer.status_code < 500, answer.text
    return dict(answer.json())


def test_models_and_probe_sets_say_what_they_take(client: TestClient) -> None:
    models = {m["slug"]: m for m in get(client, "/models")["items"]}
    assert (models["reader"]["modality"], models["reader"]["task"], models["reader"]["classes"]) == ("text", "causal", 0)
    assert (models["judge"]["task"], models["judge"]["classes"]) == ("classify", 2)
    assert (models["seer"]["modality"], models["seer"]["task"]) == ("image", None)
    probes = {p["slug"]: p for p in get(client, "/probes")["items"]}
    assert (probes["texts"]["modality"], probes["texts"]["kind"], sorted(probes["texts"]["classes"])) == (
        "text",
        "texts",
        ["code", "prose"],
    )
    assert probes["pycode"]["concepts"] == 70
    assert {"lexical", "syntactic", "scope", "position", "content"} == set(probes["pycode"]["categories"])


def test_an_example_is_its_text_and_its_tokens_are_its_characters(client: TestClient) -> None:
    example = get(client, "/probes/texts/examples/7")
    assert example["text"] == micro.TEXTS[7]
    assert example["image"] is None
    found = get(client, "/probes/texts/examples/7/tokens", model="reader")
    assert "".join(t["text"] for t in found["tokens"]) == micro.TEXTS[7]
    assert found["left_out"] == 0
    assert client.get("/api/v1/probes/texts/examples/7/image").status_code == 422
    assert client.get("/api/v1/probes/pictures/examples/0/tokens", params={"model": "reader"}).status_code == 422


def test_a_prompt_in_tokens_while_it_is_typed(client: TestClient) -> None:
    answer = client.post("/api/v1/models/tokens", json={"model": "reader", "text": "def f(x):\n    return x"})
    assert answer.status_code == 200
    assert "".join(t["text"] for t in answer.json()["tokens"]) == "def f(x):\n    return x"
    assert client.post("/api/v1/models/tokens", json={"model": "reader", "text": ""}).json()["tokens"] == []
    assert client.post("/api/v1/models/tokens", json={"model": "reader", "text": "x" * 20_001}).status_code == 422
    assert client.post("/api/v1/models/tokens", json={"model": "seer", "text": "x"}).status_code == 422
    long = client.post("/api/v1/models/tokens", json={"model": "reader", "text": "x y " * 100}).json()
    assert long["left_out"] > 0


def test_units_that_read_are_browsed_like_all_others(client: TestClient) -> None:
    atlas = get(client, "/atlas", model="reader", probe="pycode")
    assert {layer["kind"] for layer in atlas["layers"] if layer["computed"]} == {"neurons", "heads", "residual"}
    page = client.post("/api/v1/units/query", json={"model": "reader", "probe": "pycode", "limit": 5}).json()
    assert len(page["items"]) == 5
    unit = get(client, f"/units/reader/{LAYER}/3", probe="pycode")
    assert unit["tokens"]["largest"][0]["value"] >= unit["tokens"]["largest"][-1]["value"]
    assert unit["ranking"][0]["ap"] > unit["ranking"][0]["chance"]
    assert unit["exemplars"]["bands"][-1]["band"] == "negative"


def test_snippets_are_the_exemplars_in_their_text(client: TestClient) -> None:
    found = get(client, f"/units/reader/{LAYER}/3/snippets", probe="pycode", count=2, context=4)
    assert {i["band"] for i in found["items"]} == {"top", "q0.999", "q0.99", "q0.95", "random", "lowest", "negative"}
    for item in found["items"]:
        whole = get(client, f"/probes/pycode/examples/{item['example']}/tokens", model="reader")["tokens"]
        assert item["tokens"] == [t["text"] for t in whole[item["first"] : item["first"] + len(item["tokens"])]]
        np.testing.assert_allclose(item["values"][item["at"]], item["activation"], rtol=1e-6)
    top = [i for i in found["items"] if i["band"] == "top"]
    assert all(max(i["values"]) == i["values"][i["at"]] for i in top)
    negative = [i for i in found["items"] if i["band"] == "negative"]
    assert all(min(i["values"]) == i["values"][i["at"]] for i in negative)
    assert client.get(f"/api/v1/units/reader/{LAYER}/3/snippets", params={"probe": "pycode", "band": "middle"}).status_code == 404


def test_search_finds_units_by_the_token_that_drives_them(client: TestClient) -> None:
    unit = get(client, f"/units/reader/{LAYER}/3", probe="pycode")
    token = next(t["text"] for t in unit["tokens"]["largest"][:3] if t["text"].strip().isalnum())
    hits = get(client, "/search", q=token.strip().lower(), model="reader", probe="pycode")["items"]
    found = [h for h in hits if h["type"] == "unit"]
    assert found
    assert all("strongest on" in h["detail"] for h in found)


def test_what_does_not_fit_is_refused_by_name(client: TestClient) -> None:
    assert refused(client, {"model": "seer", "prompt": "x"})["field"] == "subjects.model"
    assert refused(client, {"model": "reader", "example": "pictures:0"}, "grad-cam")["field"] == "subjects.model"
    assert refused(client, {"model": "reader", "probe": "pictures"}, "dissection")["field"] == "subjects.probe"
    assert refused(client, {"model": "reader"})["field"] == "subjects.prompt"
    assert refused(client, {"model": "reader", "prompt": ""})["field"].endswith("prompt")
    assert refused(client, {"model": "reader", "prompt": "x" * 20_001})["field"].endswith("prompt")
    body = b'{"method":"logit-lens","subjects":{"model":"reader","prompt":"\\ud800"}}'
    broken = client.post("/api/v1/runs", content=body, headers={"content-type": "application/json"})
    assert 400 <= broken.status_code < 500


def test_a_text_of_ten_megabytes_is_refused_before_it_is_read(client: TestClient) -> None:
    body = json.dumps({"method": "logit-lens", "subjects": {"model": "reader", "prompt": "x " * 5_000_000}})
    answer = client.post("/api/v1/runs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (413, 422)


def test_a_prompt_that_is_too_long_for_the_model_fails_with_what_to_do(client: TestClient) -> None:
    asked = {"method": "logit-lens", "subjects": {"model": "reader", "prompt": "a b c " * 60}, "params": {}}
    run = client.post("/api/v1/runs", json=asked).json()
    run = get(client, f"/runs/{run['id']}")
    assert run["state"] == "failed"
    assert "Shorten it by" in run["error"]["detail"]


def test_files_that_are_no_text_are_named(client: TestClient) -> None:
    folder = client.app.state.desk.settings.source_roots[0]  # type: ignore[attr-defined]
    answer = client.post("/api/v1/probes", json={"source": f"path:{folder}/bad.csv"})
    assert answer.status_code == 422
    assert "UTF-8 at byte" in answer.json()["detail"]


def test_activations_of_a_prompt_and_the_units_it_drives(client: TestClient) -> None:
    prompt = "def add(a, b):"
    subjects = {"model": "reader", "prompt": prompt, "units": {"layer": LAYER, "indices": [3, 5]}}
    run = client.post("/api/v1/runs", json={"method": "token-activations", "subjects": subjects, "params": {}}).json()
    found = get(client, f"/results/{run['keys'][0]}")["results"][0]
    assert found["document"]["rows"] == [f"{LAYER}/3", f"{LAYER}/5"]
    assert "".join(found["document"]["tokens"]) == prompt
    subjects = {"model": "reader", "probe": "pycode", "prompt": prompt}
    run = client.post("/api/v1/runs", json={"method": "prompt-units", "subjects": subjects, "params": {"layer": "h1.mlp"}}).json()
    document = get(client, f"/results/{run['keys'][0]}")["results"][0]["document"]
    assert document["facts"]["layers"] == 1
    assert all(name.startswith(f"{LAYER}/") for name in document["names"])
    failed = client.post("/api/v1/runs", json={"method": "prompt-units", "subjects": subjects, "params": {"layer": "h0.attention"}}).json()
    assert "was not dissected" in failed["error"]["detail"]
    run = client.post("/api/v1/runs", json={"method": "prompt-units", "subjects": subjects, "params": {"count": 3}}).json()
    grid = get(client, f"/results/{run['keys'][0]}")["results"][0]
    assert grid["document"]["rows"] == found["document"]["tokens"]
    csv = client.get(f"/api/v1/results/{run['keys'][0]}/units/export", params={"format": "csv"})
    assert csv.status_code == 200, csv.text
    assert len(csv.text.splitlines()) == 1 + 3 * len(found["document"]["tokens"])


def test_a_note_is_about_a_stretch_of_a_text(client: TestClient) -> None:
    note = {"kind": "note", "model": "reader", "layer": LAYER, "unit": 3, "body": "opens here"}
    made = client.post("/api/v1/annotations", json=note | {"anchor": {"example": "pycode:2", "span": [4, 9]}})
    assert made.status_code == 201, made.text
    assert made.json()["anchor"]["span"] == [4, 9]
    for anchor, field in (
        ({"example": "pycode:2", "polygon": [[0, 0], [1, 0], [1, 1]]}, "anchor.span"),
        ({"example": "pictures:0", "span": [0, 2]}, "anchor.polygon"),
        ({"example": "pycode:2", "span": [5, 5]}, "anchor"),
        ({"example": "pycode:2"}, "anchor"),
        ({"example": "pycode:99", "span": [0, 2]}, "anchor.example"),
    ):
        answer = client.post("/api/v1/annotations", json=note | {"anchor": anchor})
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == field


def test_a_link_to_language_shows_the_answers_it_froze_and_reads_no_other_text(client: TestClient) -> None:
    prompt = "def add(left, right):"
    subjects = {"model": "reader", "prompt": prompt}
    keys = []
    for method, more in (("logit-lens", {}), ("token-activations", {"units": {"layer": LAYER, "indices": [1]}})):
        run = client.post("/api/v1/runs", json={"method": method, "subjects": subjects | more, "params": {}}).json()
        assert run["state"] == "done", run
        keys += run["keys"]
    other = client.post("/api/v1/runs", json={"method": "logit-lens", "subjects": subjects | {"prompt": "import os"}, "params": {}}).json()
    state = {"screen": "language", "model": "reader", "probe": "pycode", "language": {"prompt": prompt}}
    share = client.post("/api/v1/shares", json={"state": state}).json()["id"]
    frozen = get(client, f"/shares/{share}")["frozen"]["keys"]
    assert set(keys) <= set(frozen)
    assert not set(other["keys"]) & set(frozen)


def test_a_finding_shows_contexts_of_a_unit_that_reads_on_screen_and_on_paper(client: TestClient) -> None:
    state = {"screen": "browse", "model": "reader", "probe": "pycode"}
    figure = {"state": state, "caption": "What it reads.", "panels": [{"kind": "exemplars", "layer": LAYER, "unit": 5}]}
    made = client.post("/api/v1/findings", json={"title": "It reads", "claim": "Unit 5 reads something.", "figures": [figure]})
    assert made.status_code == 201, made.text
    finding = made.json()
    share = finding["figures"][0]["share"]
    shown = get(client, f"/units/reader/{LAYER}/5/snippets", probe="pycode", share=share, count=9, context=14, band="top")["items"]
    strongest = shown[0]["tokens"][shown[0]["at"]]
    svg = client.get(f"/api/v1/findings/{finding['id']}/figures/1", params={"format": "svg"}).text
    assert "Top exemplars of h1.mlp / 5" in svg
    # matplotlib writes what it draws as text into comments
    drawn = [part.split("-->")[0].strip() for part in svg.split("<!--")[1:]]
    assert strongest.strip() in [d.strip() for d in drawn]
    assert len(drawn) > 20


def test_a_study_of_units_that_read_shows_passages(client: TestClient) -> None:
    """The same stretch of text with activations and without; random ones; nothing that says which unit it is."""

    def post(path: str, body: Any = None, **headers: str) -> Any:
        answer = client.post(f"/api/v1{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    shown = [{"name": show, "show": show} for show in ("regions", "images", "random")]
    design = {
        "kind": "guess-label", "model": "reader", "probe": "pycode", "tasks": 3, "choices": 2, "exemplars": 2, "attention": 0,
        "confidence": False, "conditions": shown,
    }  # fmt: skip
    path = f"/studies/{post('/studies', {'name': 'Readers', 'instructions': '', 'design': design})['id']}"
    assert post(f"{path}/prepare", **{"If-Match": '"1"'})["preparation"]["step"] == "ready"
    post(f"{path}/open", **{"If-Match": '"1"'})
    kinds = []
    for place in range(3):
        task = post(f"{path}/next")["task"]
        assert (task["place"], task["reads"], task["question"]) == (place, True, "Which of these do the passages have in common?")
        numbers = [p["number"] for p in task["pictures"]]
        assert numbers
        assert not any(p["caption"] for p in task["pictures"])
        found = [client.get(f"/api/v1{path}/tasks/{place}/passages/{n}") for n in numbers]
        for answer in found:
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-control"] == "no-store"
            assert not any(word in answer.content for word in (b"transformer", b"neurons", b"reader", b"unit"))
        first = found[0].json()
        assert 1 <= len(first["tokens"]) <= 49
        if first["values"] is not None:
            assert len(first["values"]) == len(first["tokens"])
            assert max(abs(v) for v in first["values"]) <= 1
            assert max(first["values"]) > first["threshold"]  # the strongest token is in it
        kinds.append(first["values"] is not None)
        assert client.get(f"/api/v1{path}/tasks/{place}/passages/{len(numbers)}").status_code == 404
        assert "passages" in client.get(f"/api/v1{path}/tasks/{place}/pictures/0").json()["detail"]
        assert client.get(f"/api/v1{path}/tasks/{place + 1}/passages/0").status_code == 404
        post(f"{path}/answers", {"place": place, "choice": 0})
    assert sorted(kinds) == [False, False, True]


def test_what_a_model_that_reads_answers_is_not_explained_in_studies(client: TestClient) -> None:
    maps = [{"name": "with", "method": "text-gradient"}, {"name": "without"}]
    design = {
        "kind": "forward-simulation",
        "model": "judge",
        "probe": "texts",
        "tasks": 2,
        "attention": 0,
        "choices": 2,
        "conditions": maps,
    }
    answer = client.post("/api/v1/studies", json={"name": "Judges", "instructions": "", "design": design})
    assert answer.status_code == 422
    assert "judge is for texts" in answer.json()["detail"]
