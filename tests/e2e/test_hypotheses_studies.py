"""A prediction from a unit's page to its outcome, and a study taken by two people of different counterbalancing groups."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.test_scripts import prepared

Open = Callable[..., Page]
AT = {"model": "tinyplaces-resnet", "probe": "tinyplaces"}


def best_unit(server: Server) -> dict[str, Any]:
    query = AT | {"selection": {"detector": True}, "sort": "iou", "descending": True, "limit": 1, "cursor": None}
    return dict(server.post("/units/query", query)["items"][0])


def test_a_hypothesis_from_a_units_page_to_its_outcome(open_page: Open, server: Server) -> None:
    unit = best_unit(server)
    page, other = open_page(f"/unit/tinyplaces-resnet/{unit['layer']}/{unit['unit']}?probe=tinyplaces"), open_page("/hypotheses")
    page.get_by_test_id("make-hypothesis").click()
    form = page.get_by_test_id("hypothesis-form")
    expect(form.get_by_test_id("h-statement")).to_have_value(re.compile(rf"/ {unit['unit']} carries "))
    assert form.get_by_test_id("ht-units").input_value() == str(unit["unit"])
    drawn = form.get_by_test_id("hc-units").input_value()
    assert drawn != str(unit["unit"])
    form.locator("summary").click()
    form.get_by_label("Examples").fill("24")
    form.get_by_label("Draws").fill("4")
    form.get_by_test_id("h-threshold").fill("-0.5")
    form.get_by_test_id("h-save").click()
    said = re.compile(rf"/ {unit['unit']} carries ")  # other tests predict things too
    card = page.get_by_test_id("hypothesis").filter(has_text=said)
    expect(card).to_have_attribute("data-state", "draft")
    theirs = other.get_by_test_id("hypothesis").filter(has_text=said)
    expect(theirs).to_have_attribute("data-state", "draft")  # everybody hears of it
    card.get_by_test_id("start-hypothesis").click()
    ended = re.compile("supported|refuted|inconclusive")
    expect(card).to_have_attribute("data-state", ended, timeout=180_000)
    expect(theirs).to_have_attribute("data-state", ended)
    expect(page.get_by_test_id("bell")).to_have_attribute("data-unread", "1")
    # what stands on the card is what follows from the numbers of the two results
    told = next(h for h in server.http.get("/hypotheses").json()["items"] if said.search(h["statement"]))
    verdicts = {}
    for side in ("test", "control"):
        score = server.http.get(f"/results/{told[f'{side}_side']['key']}").json()["results"][0]["document"]["scores"][0]
        assert score["name"] == "all classes"
        verdicts[side] = "passes" if score["high"] < -0.5 else "fails" if score["low"] > -0.5 else "straddles"
        line = card.get_by_test_id(f"side-{side}")
        expect(line).to_have_attribute("data-verdict", verdicts[side])
        expect(line).to_contain_text("points")
    expected = (
        "refuted" if verdicts["test"] == "fails" else "supported" if list(verdicts.values()) == ["passes", "fails"] else "inconclusive"
    )
    expect(card).to_have_attribute("data-state", expected)
    expect(card.get_by_test_id("outcome")).to_have_text(expected.capitalize())
    assert told["control"]["subjects"]["units"]["indices"] == [int(drawn)]
    locked = server.http.patch(f"/hypotheses/{told['id']}", json={"threshold": 5}, headers={"If-Match": f'"{told["revision"]}"'})
    assert locked.status_code in (403, 409)
    page.get_by_label("Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="All cards as CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [r["state"] for r in rows if r["id"] == told["id"]] == [expected]


def take(page: Page, sure: str, *, reload_at: int) -> list[tuple[str, list[str]]]:
    """Answer all tasks by keys; returns the questions with their choices, in order."""
    page.get_by_test_id("take-part").click()
    page.get_by_test_id("begin").wait_for()
    page.keyboard.press("Enter")
    seen = []
    for number in range(5):
        expect(page.get_by_test_id("study-progress")).to_have_text(f"{number} of 5")
        expect(page.get_by_test_id("choice").first).to_be_enabled()
        if number == reload_at:
            page.reload()  # the same task is there again
            expect(page.get_by_test_id("study-progress")).to_have_text(f"{number} of 5")
            expect(page.get_by_test_id("choice").first).to_be_enabled()
        question = page.get_by_test_id("question").inner_text()
        choices = [text[1:].strip() for text in page.get_by_test_id("choice").all_inner_texts()]
        seen.append((question, choices))
        told = re.search(r"choose (.+)\.$", question)
        page.keyboard.press(str(choices.index(told[1]) + 1) if told else "1")
        page.get_by_test_id("sure").filter(has_text=sure).click()
        page.keyboard.press("Enter")
    expect(page.get_by_text("That was all")).to_be_visible()
    return seen


def test_two_people_take_a_study_in_different_orders(open_page: Open, server: Server) -> None:
    page, second = open_page("/studies?"), open_page("/studies")
    page.get_by_test_id("new-study").first.click()
    page.get_by_test_id("s-name").fill("Do regions help?")
    page.get_by_label("Model", exact=True).select_option("tinyplaces-resnet")
    page.get_by_label("Probe data").select_option("tinyplaces")
    page.get_by_test_id("s-tasks").fill("2")
    page.get_by_label("Instructions").fill("Look at the **bright** region.")
    page.get_by_test_id("s-save").click()
    page.get_by_test_id("prepare-study").click()
    page.get_by_test_id("open-study").click(timeout=180_000)
    expect(page.get_by_test_id("study-state")).to_have_text("open")
    row = second.get_by_test_id("studies").get_by_text("Do regions help?")
    expect(row).to_be_visible()
    row.click()
    first_seen = take(page, "4", reload_at=2)
    second_seen = take(second, "2", reload_at=1)
    assert first_seen != second_seen
    # everybody answers the same tasks, each under another condition than the next participant
    page.get_by_role("button", name="Back to the study").click()
    page.get_by_label("Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="All answers as CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [r["participant"] for r in rows] == ["0"] * 5 + ["1"] * 5
    under: list[dict[str, str]] = [
        {r["task"]: r["condition"] for r in rows if r["participant"] == who and r["attention"] == "False"} for who in ("0", "1")
    ]
    assert sorted(under[0]) == sorted(under[1]) == ["0", "1", "2", "3"]
    assert all(under[0][task] != under[1][task] for task in under[0])
    assert all(r["correct"] == str(r["choice"] == r["truth"]) for r in rows)
    assert {r["confidence"] for r in rows} == {"4", "2"}
    assert all(int(r["milliseconds"]) >= 0 for r in rows)
    # the results on the screen are those of the answers
    shares = []
    for name in ("with regions", "random images"):
        own = [r["correct"] == "True" for r in rows if r["condition"] == name and r["attention"] == "False"]
        assert len(own) == 4
        shares.append(f"{round(100 * sum(own) / 4)} %")
    lines = page.get_by_test_id("condition")
    for line, share in zip(lines.all(), shares, strict=True):
        expect(line.locator("td").nth(2)).to_have_text(share)
        expect(line.locator("td").nth(4)).to_have_text("25 %")  # chance
    page.get_by_test_id("close-study").click()
    expect(page.get_by_test_id("study-state")).to_have_text("closed")
    second.get_by_role("button", name="Back to the study").click()
    expect(second.get_by_test_id("condition")).to_have_count(2)
    study = server.http.get("/studies").json()["items"][0]
    assert server.http.post(f"/studies/{study['id']}/next").status_code == 409


def test_a_first_visit_is_one_person_however_late_the_session_is_answered(open_page: Open, server: Server) -> None:
    shown = [{"name": "with regions", "show": "regions"}, {"name": "random images", "show": "random"}]
    design = {"kind": "guess-label", **AT, "tasks": 2, "conditions": shown}
    study = prepared(server, server.post("/studies", {"name": "By a link", "design": design}))
    answer = httpx.get(f"{server.url}/api/v1/session")  # asked without a cookie, so one is made
    page = open_page("/sign-in")
    page.context.clear_cookies()  # nobody yet

    def late(route: Any) -> None:
        page.wait_for_timeout(1200)
        route.fulfill(status=200, body=answer.content, headers={name: answer.headers[name] for name in ("content-type", "set-cookie")})

    page.route("**/api/v1/session", late)
    with page.expect_response("**/api/v1/session"):
        page.goto(f"{server.url}/studies/{study['id']}/take")
    page.get_by_test_id("begin").click()
    expect(page.get_by_test_id("choice").first).to_be_enabled()  # the pictures are those of the one who joined
