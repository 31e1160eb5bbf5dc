"""Units that read, in a browser: the same screens as for units that see, and the screen that only language models have."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import micro
from tests.e2e.test_scripts import prepared

LAYER = "transformer.h.1.neurons"
PROMPT = "def __init__(self, name):\n        self.name ="


@pytest.fixture(scope="module")
def reader(server: Any) -> str:
    """The built-in language model, dissected on a few passages."""
    server.add("models", "builtin:pycode-gpt")
    server.add("probes", "builtin:pycode#val:40", "pycode")
    for method in ("dissection", "unit-map"):
        server.run(method, model="pycode-gpt", probe="pycode")
    return "m=pycode-gpt&p=pycode"


def test_browse_label_search_and_share_work_on_units_that_read(reader: str, open_page: Callable[..., Page], server: Any) -> None:
    page = open_page(f"/browse?{reader}")
    rows = page.get_by_test_id("unit-row")
    expect(rows.first.locator(".tk").first).to_be_visible()
    rows.nth(2).click()
    inspector = page.get_by_test_id("pane-inspector")
    expect(inspector.get_by_test_id("contexts").get_by_role("button").first).to_be_visible()
    expect(inspector.get_by_test_id("top-tokens")).to_be_visible()
    # a context opens to the whole text
    inspector.get_by_test_id("contexts").get_by_role("button").first.click()
    expect(inspector.locator("p.text")).to_be_visible()
    address = rows.nth(2).get_attribute("data-address")
    assert address
    # label
    page.keyboard.press("l")
    page.keyboard.type("reads the beginning")
    page.keyboard.press("Enter")
    expect(rows.nth(2).locator(".chip", has_text="reads the beginning")).to_be_visible()
    # search finds it by its label
    page.keyboard.press("Control+k")
    page.keyboard.type("reads the beginning")
    expect(page.get_by_role("option").filter(has_text="reads the beginning").first).to_be_visible()
    page.keyboard.press("Escape")
    # filter by a concept of tokens
    page.goto(f"{server.url}/browse?{reader}&g=lexical")
    expect(rows.first).to_be_visible()
    # share
    page.get_by_test_id("share-button").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_page_of_a_unit_that_reads(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/unit/pycode-gpt/{LAYER}/7?probe=pycode")
    body = page.get_by_test_id("unit-page-body")
    expect(body.get_by_test_id("contexts")).to_contain_text("Negative")
    expect(body.get_by_test_id("ranking")).to_be_visible()
    expect(body).to_contain_text("texts above threshold")
    expect(body.locator("canvas, img")).to_have_count(0)


def test_a_prompt_its_tokens_its_lens_and_the_units_it_drives(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}")
    expect(page.get_by_text("No text yet")).to_be_visible()
    page.get_by_test_id("prompt").fill(PROMPT)
    strip = page.get_by_test_id("token-strip")
    expect(strip.get_by_role("button").first).to_contain_text("def")
    lens = page.get_by_test_id("pane-lens")
    expect(lens.get_by_role("rowheader", name="h5", exact=True)).to_be_visible()
    expect(lens.get_by_role("rowheader")).to_have_count(7)
    assert "text=def" in page.url
    # the token that is looked at is the same everywhere, and in the address
    strip.get_by_role("button").nth(2).click()
    expect(strip.get_by_role("button").nth(2)).to_have_attribute("aria-pressed", "true")
    assert "at=2" in page.url
    # a unit that it drives opens in the Inspector and heats the text
    driven = page.get_by_test_id("driven-units").get_by_role("button").first
    expect(driven).to_be_visible()
    driven.click()
    expect(page.get_by_test_id("contexts")).to_be_visible()
    expect(strip.locator(".v").first).to_be_visible()
    assert "u=transformer.h" in page.url
    # a reload shows the same
    page.reload()
    expect(page.get_by_test_id("prompt")).to_have_value(PROMPT)
    expect(strip.get_by_role("button").nth(2)).to_have_attribute("aria-pressed", "true")


def test_the_model_writes_with_and_without_a_change_of_a_unit(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}&text=import%20os&u={LAYER}/7&temp=0")
    pane = page.get_by_test_id("pane-steering")
    page.get_by_test_id("steer-action").select_option("add")
    page.get_by_test_id("write").click()
    expect(pane.get_by_text("as it is", exact=True).last).to_be_visible()
    expect(pane.get_by_text("KL of the next token", exact=False)).to_be_visible()
    expect(pane.locator("p.text")).to_have_count(2)


def test_other_questions_are_put_to_the_prompt(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}&text=for%20name%20in%20names%3A")
    pane = page.get_by_test_id("pane-question")
    page.get_by_test_id("question").select_option("attention-heads")
    page.get_by_test_id("ask").click()
    expect(pane.locator("canvas").first).to_be_visible()
    pane.get_by_role("link", name="Open the result").click()
    expect(page.get_by_test_id("result-token-map").first).to_be_visible()


def test_a_long_text_says_what_to_cut_and_a_model_of_images_leads_to_one_that_reads(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}")
    page.get_by_test_id("prompt").fill("a b c d " * 120)
    expect(page.get_by_text("Shorten it by", exact=False).first).to_be_visible()
    page = open_page("/language?m=tinyplaces-resnet&p=tinyplaces")
    expect(page.get_by_text("does not read")).to_be_visible()
    page.get_by_role("button", name="Use pycode-gpt").click()
    expect(page.get_by_test_id("prompt")).to_be_visible()


def test_both_kinds_of_model_stand_side_by_side(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page("/")
    expect(page.locator("[data-model='tinyplaces-resnet']")).to_contain_text("classes")
    expect(page.locator("[data-model='pycode-gpt']")).to_contain_text("language model")
    expect(page.locator("[data-probe='pycode']")).to_contain_text("40 texts")


def test_the_flow_of_a_forward_pass_is_a_graph_that_answers_to_mouse_and_keys(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}&text=import%20os%0Afor%20name%20in%20os.listdir%28path%29%3A%0A%20%20%20%20print%28")
    pane = page.get_by_test_id("pane-question")
    page.get_by_test_id("question").select_option("information-flow")
    page.get_by_test_id("ask").click()
    graph = pane.get_by_role("group", name="came about")
    expect(graph).to_be_visible()
    nodes = graph.get_by_role("button")
    many = nodes.count()
    assert many > 10
    # A head that is pinned shows all that leads to it, its words, and opens as a unit.
    head = graph.locator("[aria-label*='.heads/']").first
    head.click()
    expect(head).to_have_attribute("aria-pressed", "true")
    pane.get_by_role("button", name="Select this unit").click()
    assert ".heads" in page.url
    # Arrow keys go from node to node; Escape lets go.
    head.focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") != head.get_attribute("aria-label")
    page.keyboard.press("Escape")
    expect(head).to_have_attribute("aria-pressed", "false")
    # A higher threshold leaves fewer nodes.
    pane.get_by_role("slider", name="Threshold of edges").focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert nodes.count() < many


def test_units_are_found_by_a_pattern_and_by_what_they_promote(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/browse?{reader}")
    expect(page.get_by_test_id("unit-row").first).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("def [a-z]")
    page.get_by_role("option", name="Units that respond to the pattern").click()
    pane = page.get_by_test_id("pane-question")
    expect(pane.get_by_role("heading", name="Units for /def [a-z]/")).to_be_visible(timeout=60_000)
    # The units of a table open beside it.
    pane.get_by_role("button", name="Look at unit").first.click()
    expect(page.get_by_test_id("pane-inspector").get_by_test_id("contexts")).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("self")
    page.get_by_role("option", name="Units that promote").click()
    expect(pane.get_by_role("heading", name="Neurons that promote 'self'").first).to_be_visible(timeout=60_000)


def test_a_study_shows_passages_of_units_that_read(reader: str, open_page: Callable[..., Page], server: Any) -> None:
    shown = [{"name": "with activation", "show": "regions"}, {"name": "random passages", "show": "random"}]
    design = {
        "kind": "guess-label", "model": "pycode-gpt", "probe": "pycode", "tasks": 2, "attention": 0, "exemplars": 2, "conditions": shown,
    }  # fmt: skip
    study = prepared(server, server.post("/studies", {"name": "Of passages", "design": design}))
    page = open_page(f"/studies/{study['id']}/take")
    page.get_by_test_id("begin").click()
    for number in (1, 2):
        expect(page.get_by_test_id("passage")).to_have_count(2)
        expect(page.get_by_test_id("choice").first).to_be_enabled()  # all passages are there
        page.keyboard.press("1")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("study-progress")).to_have_text(f"{number} of 2")
    expect(page.get_by_text("That was all")).to_be_visible()


def test_a_link_to_language_shows_what_was_answered(reader: str, open_page: Callable[..., Page], server: Any) -> None:
    prompt = "for name in names:"
    page = open_page(f"/language?{reader}&text=for%20name%20in%20names%3A")
    expect(page.get_by_test_id("pane-lens").get_by_role("rowheader")).to_have_count(7)
    page.get_by_test_id("share-button").click()
    expect(page.get_by_test_id("share-link")).to_have_value(re.compile("^http"))
    link = page.get_by_test_id("share-link").input_value()
    runs = []
    page.on("request", lambda r: runs.append(r.url) if r.method in ("POST", "PUT") and r.url.endswith("/runs") else None)
    page.goto(link)
    expect(page.get_by_test_id("pane-lens").get_by_role("rowheader")).to_have_count(7)
    expect(page.get_by_test_id("prompt")).to_have_value(prompt)
    assert not runs


PASTE = """(e, text) => {
  const given = new DataTransfer();
  given.setData("text/plain", text.repeat(1750000));
  const event = new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true });
  e.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_ten_megabytes_of_text_are_refused_in_words_and_what_stands_there_stays(reader: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"/language?{reader}&text=import%20os")
    box = page.get_by_test_id("prompt")
    expect(box).to_have_value("import os")
    assert box.evaluate(PASTE, "a = 1\n") is True
    message = page.get_by_test_id("prompt-too-long")
    expect(message).to_contain_text("The text has 10,500,000 characters and was not taken")
    expect(box).to_have_value("import os")
    # Typed beyond the limit, nothing is cut off and nothing is asked.
    box.fill("a = 1 " * 4000)
    expect(message).to_contain_text("4,000 more than a prompt may have")
    expect(page.get_by_test_id("token-strip")).to_have_count(0)
    box.fill("import sys")
    expect(message).to_have_count(0)
    expect(page.get_by_test_id("token-strip").get_by_role("button").first).to_contain_text("import")


def test_labels_and_concepts_are_found_by_meaning_with_an_encoder(
    reader: str, open_page: Callable[..., Page], server: Any, sources: Path
) -> None:  # fmt: skip
    page = open_page(f"/browse?{reader}")
    expect(page.get_by_test_id("unit-row").first).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("names")
    options = page.get_by_role("option")
    expect(options.filter(has_text="Units that promote")).to_be_visible()
    expect(options.filter(has_text="that mean")).to_have_count(0)  # no model here encodes texts
    folder = shutil.copytree(micro.text_folder("encoder"), sources / "sentences")
    server.add("models", f"path:{folder}", "sentences")
    page.reload()
    expect(page.get_by_test_id("unit-row").first).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("comma")
    expect(options.filter(has_text="detectors").first).to_be_visible()  # what is found first moves what stands below it
    options.filter(has_text="that mean").click()
    expect(options.first).to_contain_text("comma", timeout=60_000)
    expect(options.first).to_contain_text("likeness 1.00")
    options.first.click()
    expect(page.get_by_test_id("unit-row").first).to_contain_text("comma")
    server.http.delete("/models/sentences").raise_for_status()
