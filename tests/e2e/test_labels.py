"""Labelling together: two people answer blind, differ, see each other's answers afterwards, and one of them settles it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server

Open = Callable[..., Page]
QUESTION = "What do these images have in common?"


def answer(page: Page, *keys: str) -> None:
    """Give one answer after the other by key, each when the next unit is there."""
    for key in keys:
        before = page.get_by_test_id("turn").text_content()
        page.keyboard.press(key)
        expect(page.get_by_test_id("turn")).not_to_have_text(before or "")


def test_two_people_label_blind_and_settle_what_they_differ_about(open_page: Open, tmp_path: Path) -> None:
    first, second = open_page("/labels"), open_page("/labels")
    first.get_by_test_id("new-label-set-button").click()
    first.get_by_test_id("label-set-name").fill("What the last stage looks for")
    first.locator("button[data-kind=choice]").click()
    first.get_by_test_id("label-set-options").fill("tree, water\nsky")
    first.get_by_test_id("make-label-set").click()
    expect(first).to_have_url(re.compile(r"/labels/\w+"))
    expect(first.get_by_text(QUESTION)).to_be_visible()
    answer(first, "1", "2", "3")
    # The second one hears of the set without reloading, sees how many have answered, and not what.
    second.get_by_test_id("label-sets").get_by_text("What the last stage looks for").click()
    second.locator("[data-tab=answers]").click()
    table = second.get_by_test_id("label-units")
    expect(table.locator("tbody tr").first).to_contain_text("1 hidden until you answer")
    expect(table).not_to_contain_text("tree")
    second.locator("[data-tab=work]").click()
    second.get_by_label("Order").select_option("listed")
    expect(second.get_by_test_id("turn")).to_contain_text("/ 0")
    answer(second, "1", "1", "3")
    second.get_by_test_id("undo-answer").click()
    expect(second.get_by_test_id("turn")).to_contain_text("/ 2")
    answer(second, "3")
    second.locator("[data-tab=answers]").click()
    rows = table.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("tree")
    expect(rows.nth(1)).to_contain_text("water")
    expect(rows.nth(1)).to_contain_text("100")  # per cent of the pairs differ
    rows.nth(1).get_by_role("button", name="Settle").click()
    dialog = second.get_by_test_id("settle")
    dialog.get_by_role("button", name="Take this").last.click()
    dialog.get_by_label("Reason").fill("There is a lake in all of them.")
    dialog.get_by_role("button", name=re.compile("Settle as water")).click()
    expect(rows.nth(1)).to_contain_text(re.compile("water$"))
    # Two of three pairs agree; the first one's screen follows by itself.
    first.locator("[data-tab=progress]").click()
    percent = first.get_by_test_id("agreement").locator("tr", has_text="Percent agreement")
    expect(percent).to_contain_text("67")
    expect(first.get_by_test_id("label-people").locator("tbody tr")).to_have_count(2)
    first.get_by_label("More about What the last stage looks for").click()
    first.get_by_role("button", name="Close it").click()
    expect(first.get_by_text("closed", exact=True)).to_be_visible()
    # Everything as a file, and back as a set of its own with the same answers.
    first.get_by_label("Export").click()
    with first.expect_download() as download:
        first.get_by_role("button", name="JSON, with all revisions").click()
    download.value.save_as(tmp_path / "labels.json")
    first.get_by_role("button", name="Labels", exact=True).click()
    first.get_by_test_id("import-labels").set_input_files(tmp_path / "labels.json")
    expect(first).to_have_url(re.compile(r"/labels/\w+"))
    first.locator("[data-tab=answers]").click()
    back = first.get_by_test_id("label-units").locator("tbody tr")
    expect(back.nth(1)).to_contain_text("water")
    expect(back.nth(2)).to_contain_text("sky")
    spoilt = tmp_path / "spoilt.csv"
    spoilt.write_text("this is,no label set\n1,2\n")
    first.get_by_role("button", name="Labels", exact=True).click()
    first.get_by_test_id("import-labels").set_input_files(spoilt)
    expect(first.get_by_role("alert")).to_contain_text("no row of kind")


def test_a_question_beside_a_unit_reaches_whom_it_names(open_page: Open, server: Server) -> None:
    asks, answers = open_page("/unit/tinyplaces-resnet/resnet.encoder.stages.3.layers.1/7"), open_page("/")
    expect(answers.get_by_test_id("person")).to_be_visible()
    name = answers.evaluate("async () => (await (await fetch('/api/v1/session')).json()).person.name")
    asks.get_by_test_id("ask").click()
    asks.get_by_test_id("comment-input").press_sequentially(f"What is this, @{name[:5]}")
    asks.get_by_role("button", name=f"@{name}", exact=True).click()
    asks.get_by_test_id("comment-send").click()
    expect(asks.get_by_test_id("comment")).to_contain_text(f"What is this, @{name}")
    bell = answers.get_by_test_id("bell")  # without reloading
    expect(bell).to_have_attribute("data-unread", "1")
    bell.get_by_role("button").first.click()
    answers.get_by_role("button", name=re.compile("mentions you")).click()
    expect(answers).to_have_url(re.compile("/unit/tinyplaces-resnet/"))
    answers.get_by_test_id("comment").get_by_role("button", name="Reply").click()
    answers.get_by_test_id("comment-input").fill("Snow, I think.")
    answers.get_by_test_id("comment-send").click()
    expect(asks.get_by_test_id("comment")).to_have_count(2)
    expect(asks.get_by_test_id("bell")).to_have_attribute("data-unread", "1")
    expect(answers.get_by_test_id("comment")).to_have_count(2)  # else the last one is the question
    answers.get_by_test_id("comment").last.get_by_role("button", name="Delete").click()
    expect(asks.get_by_test_id("comment")).to_have_count(1)
    answers.get_by_role("button", name="Undo").click()
    expect(asks.get_by_test_id("comment").last).to_contain_text("Snow")


def test_every_kind_of_answer_can_be_given(open_page: Open) -> None:
    page = open_page("/labels")
    for kind in ("text", "scale", "yes-no", "region"):
        page.get_by_test_id("new-label-set-button").click()
        page.get_by_test_id("label-set-name").fill(f"By {kind}")
        page.locator(f"button[data-kind={kind}]").click()
        page.get_by_test_id("make-label-set").click()
        field = page.get_by_test_id("answer")
        expect(field).to_have_attribute("data-kind", kind)
        before = page.get_by_test_id("turn").text_content() or ""
        if kind == "text":
            field.get_by_role("textbox").fill("a bright line on dark ground")
            page.get_by_test_id("send-answer").click()
        elif kind == "scale":
            field.get_by_role("button", name="4", exact=True).click()
        elif kind == "yes-no":
            page.keyboard.press("y")
        else:
            expect(page.get_by_test_id("send-answer")).to_be_disabled()
            drawn = page.get_by_test_id("region-field")
            expect(drawn.locator("img")).to_be_visible()
            box = drawn.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 40, box["y"] + 30)
            page.mouse.down()
            page.mouse.move(box["x"] + 160, box["y"] + 140, steps=5)
            page.mouse.up()
            page.get_by_test_id("send-answer").click()
        expect(page.get_by_test_id("turn")).not_to_have_text(before)
        page.get_by_role("button", name="Labels", exact=True).click()
    expect(page.get_by_test_id("label-sets").locator("li")).to_have_count(6)


def test_a_label_is_voted_on(open_page: Open) -> None:
    address = "/unit/tinyplaces-resnet/resnet.encoder.stages.3.layers.1/9"
    author, other = open_page(address), open_page(address)
    author.get_by_test_id("unit-label").click()
    author.get_by_test_id("label-input").fill("fence posts")
    author.get_by_test_id("label-save").click()
    expect(other.get_by_test_id("unit-label")).to_have_text("fence posts")
    agree = other.get_by_role("button", name="Agree, 0 so far", exact=True)
    agree.click()
    expect(other.get_by_role("button", name="Agree, 1 so far", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(author.get_by_role("button", name="Agree, 1 so far", exact=True)).to_have_attribute("aria-pressed", "false")
    other.get_by_role("button", name="Disagree, 0 so far", exact=True).click()  # one vote a person
    expect(author.get_by_role("button", name="Disagree, 1 so far", exact=True)).to_be_visible()
    expect(author.get_by_role("button", name="Agree, 0 so far", exact=True)).to_be_visible()
