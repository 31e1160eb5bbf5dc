"""Two people at once: where each of them is, a note that one shows the other and nobody else, a region that a note is about."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server
from tests.e2e.test_team import PASSWORD, join, sign_in

Open = Callable[..., Page]
BROWSE = "/browse?m=tinyplaces-resnet&p=tinyplaces"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Iterator[Server]:
    """A server in team mode with a dissected model; its client is signed in as the admin Ada."""
    data = tmp_path_factory.mktemp("live") / "data"
    command = [sys.executable, "-m", "microtome.cli", "admin", "create-admin", "--email", "ada@example.org", "--name", "Ada Long"]
    subprocess.run([*command, "--password-stdin", "--data", str(data)], input=PASSWORD, text=True, check=True, timeout=120)
    running = Server(data, sources, "--mode", "team")
    try:
        session = running.post("/session", {"email": "ada@example.org", "password": PASSWORD})
        running.http.headers["X-CSRF-Token"] = session["csrf"]
        running.add("models", "builtin:tinyplaces-resnet")
        running.add("probes", "builtin:tinyplaces#val:60", "tinyplaces")
        for method in ("dissection", "unit-map"):
            running.run(method, model="tinyplaces-resnet", probe="tinyplaces")
        yield running
    finally:
        running.stop()


def members(server: Server) -> dict[str, str]:
    return {m["person"]["name"]: m["person"]["id"] for m in server.http.get("/members").json()["items"]}


def person(open_page: Open, server: Server, name: str, path: str, **options: Any) -> Page:
    """The browser of a new annotator, at a screen."""
    email = f"{name.split()[0].lower()}@example.org"
    if name in members(server):
        page = open_page(path, **options)
        sign_in(page, email)
    else:
        link = server.post("/invitations", {"role": "annotator"})["url"]
        page = open_page(link.removeprefix(server.url), **options)
        join(page, name, email)
        page.goto(server.url + path)
    expect(page.get_by_test_id("person")).to_be_visible()
    return page


def row(page: Page, address: str) -> Any:
    return page.locator(f'[data-testid=unit-row][data-address="{address}"]')


def test_everybody_sees_where_the_others_are(open_page: Open, server: Server) -> None:
    ben = person(open_page, server, "Ben Short", BROWSE)
    expect(ben.get_by_test_id("unit-row").first).to_be_visible()
    address = ben.get_by_test_id("unit-row").nth(2).get_attribute("data-address") or ""
    ada = open_page(f"{BROWSE}&u={address}")
    sign_in(ada, "ada@example.org")
    avatar = ben.get_by_test_id("avatar")
    unit = address.rsplit("/", 1)[1]
    expect(avatar).to_have_attribute("title", re.compile(rf"Ada Long is on \S+ / {unit}$"))
    expect(ben.get_by_test_id("map-flag")).to_have_count(1)
    expect(ben.get_by_test_id("map-flag")).to_contain_text("AL")
    expect(row(ben, address).get_by_test_id("unit-flag")).to_contain_text("AL")
    # Ada moves on; the flag follows, and a click leads there.
    second = ada.get_by_test_id("unit-row").nth(4).get_attribute("data-address") or ""
    row(ada, second).click()
    expect(row(ben, second).get_by_test_id("unit-flag")).to_contain_text("AL")
    expect(row(ben, address).get_by_test_id("unit-flag")).to_have_count(0)
    avatar.click()
    expect(ben).to_have_url(re.compile(re.escape(f"u={second}")))
    ada.goto(server.url + "/labels")
    expect(avatar).to_have_attribute("title", "Ada Long is in Labels")
    expect(ben.get_by_test_id("map-flag")).to_have_count(0)
    # She does not want to be seen; she sees him all the same.
    ada.get_by_test_id("person").click()
    expect(ada.get_by_test_id("colleague")).to_contain_text("Ben Short")
    ada.get_by_test_id("seen").uncheck()
    expect(avatar).to_have_count(0)
    ada.get_by_test_id("seen").check()
    expect(avatar).to_have_count(1)


def test_a_note_is_shown_to_one_colleague_and_to_nobody_else(open_page: Open, server: Server) -> None:
    unit = server.http.post("/units/query", json={"model": "tinyplaces-resnet", "probe": "tinyplaces", "limit": 1}).json()["items"][0]
    path = f"/unit/tinyplaces-resnet/{unit['layer']}/{unit['unit']}?probe=tinyplaces"
    ben = person(open_page, server, "Ben Short", path)
    cyd = person(open_page, server, "Cyd Wide", path)
    ada = open_page(path)
    sign_in(ada, "ada@example.org")
    ada.get_by_test_id("add-note").click()
    ada.get_by_test_id("note-input").fill("Only a hunch: it may be a watermark.")
    ada.get_by_label("Only for me").check()
    ada.get_by_test_id("note-save").click()
    note = ada.get_by_test_id("notes").locator("article")
    expect(note).to_contain_text("watermark")
    expect(ben.get_by_test_id("notes").locator("article")).to_have_count(0)
    note.get_by_test_id("note-permits").click()
    ada.get_by_test_id("people-picker").get_by_text("Ben Short").click()
    ada.get_by_test_id("permit-save").click()
    expect(ben.get_by_test_id("notes").locator("article")).to_contain_text("watermark")  # without reloading
    expect(ben.get_by_test_id("bell")).to_have_attribute("data-unread", "1")
    ben.get_by_test_id("bell").get_by_role("button").first.click()
    expect(ben.get_by_text("Ada Long shares something with you")).to_be_visible()
    cyd.reload()
    expect(cyd.get_by_test_id("add-note")).to_be_visible()
    expect(cyd.get_by_test_id("notes").locator("article")).to_have_count(0)
    # She takes it back.
    note.get_by_test_id("note-permits").click()
    ada.get_by_test_id("people-picker").get_by_text("Ben Short").click()
    ada.get_by_test_id("permit-save").click()
    expect(ben.get_by_test_id("notes").locator("article")).to_have_count(0)

    # A view for people who are named, and one for everybody.
    ada.goto(server.url + BROWSE)
    ada.get_by_test_id("share-button").click()
    ada.get_by_test_id("share-visibility").select_option("private")
    ada.get_by_test_id("people-picker").get_by_text("Ben Short").click()
    link = ada.get_by_test_id("share-link").input_value()
    expect(ben.get_by_test_id("bell")).to_have_attribute("data-unread", "2")
    ben.goto(link)
    expect(ben).to_have_url(re.compile("share="))
    cyd.goto(link)
    expect(cyd.get_by_text("There is no such share link").first).to_be_visible()
    ada.get_by_test_id("share-visibility").select_option("public")
    expect(ada.get_by_test_id("share-link")).not_to_have_value(link)
    ada.get_by_test_id("share-title").fill("What stage 3 looks for")
    ada.get_by_test_id("share-title").blur()
    stranger = open_page("/")
    expect(stranger.get_by_test_id("public-shares")).to_contain_text("What stage 3 looks for")
    stranger.get_by_text("What stage 3 looks for").click()
    expect(stranger.get_by_test_id("unit-row").first).to_be_visible()


def test_a_note_about_a_region(open_page: Open, server: Server) -> None:
    unit = server.http.post("/units/query", json={"model": "tinyplaces-resnet", "probe": "tinyplaces", "limit": 3}).json()["items"][2]
    address = f"{unit['layer']}/{unit['unit']}"
    ada = open_page(f"{BROWSE}&u={address}")
    sign_in(ada, "ada@example.org")
    ada.get_by_test_id("add-note").click()
    ada.get_by_test_id("note-input").fill("This corner alone.")
    ada.get_by_test_id("mark-region").click()
    field = ada.get_by_test_id("region-field")
    expect(field.locator("img")).not_to_have_js_property("naturalWidth", 0)
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    assert box
    ada.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    ada.mouse.down()
    ada.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=4)
    ada.mouse.up()
    ada.get_by_test_id("note-save").click()
    expect(ada.get_by_test_id("pin")).to_have_count(1)
    kept = server.http.get("/annotations", params={"model": "tinyplaces-resnet", "layer": unit["layer"], "unit": unit["unit"]}).json()[
        "items"
    ]
    assert len(kept) == 1
    corners = kept[0]["anchor"]["polygon"]
    assert kept[0]["anchor"]["example"].startswith("tinyplaces:")
    assert [round(x, 1) for x in (*corners[0], *corners[2])] == [0.2, 0.2, 0.6, 0.5]
    ben = person(open_page, server, "Ben Short", f"{BROWSE}&u={address}")
    ben.get_by_test_id("pin").click()
    expect(ben.get_by_test_id("pin")).to_have_attribute("aria-pressed", "true")
    expect(ben.locator("article.pointed")).to_contain_text("This corner alone.")
    # the text changes, the region stays
    ada.get_by_test_id("notes").get_by_role("button", name="Edit").click()
    ada.get_by_test_id("note-input").fill("This corner, and only in summer.")
    ada.get_by_test_id("note-save").click()
    expect(ben.locator("article.pointed")).to_contain_text("only in summer")
    expect(ben.get_by_test_id("pin")).to_have_count(1)


def test_who_reads_a_finding_and_a_link_that_is_revoked(open_page: Open, server: Server) -> None:
    atlas = server.http.get("/atlas", params={"model": "tinyplaces-resnet", "probe": "tinyplaces"}).raise_for_status().json()
    layer = next(la for la in atlas["layers"] if la["computed"])
    reference = {"item": "units", "row": 0, "column": "best_iou"}
    view = {"model": "tinyplaces-resnet", "probe": "tinyplaces", "screen": "unit", "selected": {"layer": layer["name"], "unit": 0}}
    figure = {"state": view, "caption": "", "panels": [{"kind": "exemplars", "layer": layer["name"], "unit": 0}]}
    evidence = [{"group": "predictive", "test": "overlap", "key": layer["key"], "reference": reference}]
    made = server.post("/findings", {"title": "A hunch", "visibility": "private", "evidence": evidence, "figures": [figure]})
    ben = person(open_page, server, "Ben Short", "/runs")
    ben.goto(server.url + made["url"])
    expect(ben.get_by_text("There is no finding").first).to_be_visible()
    ada = open_page(made["url"])
    ada.get_by_role("main").get_by_role("button", name="Sign in").click()
    sign_in(ada, "ada@example.org")
    ada.get_by_test_id("finding-more").click()
    ada.get_by_role("button", name="Share with people").click()
    ada.get_by_test_id("people-picker").get_by_text("Ben Short").click()
    ada.get_by_test_id("permit-save").click()
    ben.reload()
    expect(ben.get_by_test_id("finding-title")).to_have_text("A hunch")
    expect(ben.get_by_test_id("edit-finding")).to_have_count(0)

    stranger = open_page(made["url"])
    expect(stranger.get_by_text("There is no finding").first).to_be_visible()
    ada.get_by_test_id("edit-finding").click()
    ada.get_by_test_id("edit-visibility").select_option("link")
    ada.get_by_test_id("save-finding").click()
    expect(ada.get_by_test_id("finding-title")).to_be_visible()
    stranger.reload()
    expect(stranger.get_by_test_id("finding-title")).to_have_text("A hunch")
    expect(stranger.get_by_test_id("figure").locator("canvas").first).to_be_visible()
    expect(stranger.get_by_test_id("evidence")).to_contain_text("overlap")
    expect(stranger.get_by_test_id("discussion")).to_have_count(0)

    # A link to a view is taken back while somebody has it.
    ada.goto(server.url + BROWSE)
    ada.get_by_test_id("share-button").click()
    expect(ada.get_by_test_id("share-link")).to_have_attribute("data-ready", "true")
    link = ada.get_by_test_id("share-link").input_value()
    stranger.goto(link)
    expect(stranger.get_by_test_id("unit-row").first).to_be_visible()
    ada.get_by_test_id("share-revoke").click()
    expect(ada.get_by_test_id("share-dialog")).to_have_count(0)
    stranger.goto(link)
    expect(stranger.get_by_text("was revoked").first).to_be_visible()
