"""Team mode: nobody gets in without an account, roles decide what is offered, and a link that was used or withdrawn opens nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server

Open = Callable[..., Page]
PASSWORD = "a long walk by the sea"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Iterator[Server]:
    """A server with one admin and nothing else."""
    data = tmp_path_factory.mktemp("team") / "data"
    command = [sys.executable, "-m", "microtome.cli", "admin", "create-admin", "--email", "ada@example.org", "--name", "Ada Long"]
    subprocess.run([*command, "--password-stdin", "--data", str(data)], input=PASSWORD, text=True, check=True, timeout=120)
    running = Server(data, sources, "--mode", "team")
    yield running
    running.stop()


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_test_id("sign-in").click()


def join(page: Page, name: str, email: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_test_id("accept").click()
    expect(page.get_by_test_id("person")).to_be_visible()


def test_people_sign_in_invite_and_are_shown_out(open_page: Open, server: Server) -> None:
    ada = open_page("/labels")
    sign_in(ada, "ada@example.org", "not her password")
    expect(ada.get_by_test_id("sign-in-error")).to_contain_text("wrong")
    sign_in(ada, "ada@example.org")
    expect(ada).to_have_url(re.compile("/labels$"))  # where she wanted to go
    expect(ada.get_by_test_id("new-label-set-button")).to_be_visible()
    for elsewhere in ("https://example.org/", "//example.org", "/%5Cexample.org", "http://"):
        ada.goto(f"{server.url}/sign-in?next={elsewhere}")
        sign_in(ada, "ada@example.org")
        expect(ada.get_by_test_id("person")).to_be_visible()
        assert ada.url.startswith(server.url)
    ada.goto(server.url + "/team")
    ada.get_by_label("Role", exact=True).select_option("viewer")
    ada.get_by_test_id("invite").click()
    link = ada.get_by_test_id("once").input_value()

    ben = open_page(link.removeprefix(server.url))
    expect(ben.get_by_role("heading")).to_contain_text("Join")
    join(ben, "Ben Short", "ben@example.org")
    # A viewer is offered nothing that the server would refuse, and is refused by name all the same.
    expect(ben.get_by_test_id("add-model")).to_have_count(0)
    ben.goto(server.url + "/labels")
    expect(ben.get_by_text("An editor of this workspace can make a label set")).to_be_visible()
    refused = ben.evaluate(
        """async () => {
            const session = await (await fetch("/api/v1/session")).json();
            const headers = {"Content-Type": "application/json", "X-Microtome": "1", "X-CSRF-Token": session.csrf};
            const body = JSON.stringify({source: "builtin:tinyplaces-resnet"});
            const with_token = await fetch("/api/v1/models", {method: "POST", headers, body});
            delete headers["X-CSRF-Token"];
            const without = await fetch("/api/v1/session", {method: "PATCH", headers, body: JSON.stringify({name: "Eve"})});
            return [with_token.status, (await with_token.json()).detail, without.status];
        }"""
    )
    assert refused[0] == 403
    assert "editor" in refused[1]
    assert refused[2] == 403  # a write without the token of the session

    # The link works once.
    late = open_page(link.removeprefix(server.url))
    expect(late.get_by_role("heading", name="This link opens nothing")).to_be_visible()

    # Ada makes him an annotator, sees it in the audit log, and shows him out.
    ada.goto(server.url + "/team")
    ada.get_by_label("Role of Ben Short").select_option("annotator")
    expect(ada.get_by_text("Ben Short is annotator now.").first).to_be_visible()
    ada.get_by_role("button", name="Audit log").click()
    expect(ada.get_by_test_id("audit")).to_contain_text("Ben Short")
    ada.get_by_role("button", name="People").click()
    ada.get_by_label("More about Ben Short").click()
    ada.once("dialog", lambda dialog: dialog.accept())
    ada.get_by_role("button", name="Delete the account").click()
    expect(ada.get_by_test_id("members").locator("tbody tr")).to_have_count(1)
    ben.goto(server.url + "/")
    expect(ben.get_by_test_id("sign-in")).to_be_visible()

    ada.get_by_test_id("person").click()
    ada.get_by_test_id("sign-out").click()
    expect(ada).to_have_url(re.compile("/sign-in$"))
    ada.go_back()
    expect(ada.get_by_test_id("sign-in")).to_be_visible()


def test_an_account_changes_its_password_and_makes_a_token(open_page: Open, server: Server) -> None:
    page, other = open_page("/account"), open_page("/")
    sign_in(page, "ada@example.org")
    sign_in(other, "ada@example.org")
    expect(other.get_by_test_id("person")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ada Long")
    page.get_by_label("What it is for").fill("notebook")
    page.get_by_role("button", name="Make a token").click()
    token = page.get_by_test_id("once").input_value()
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.http.get("/members", headers=bearer).json()["items"][0]["person"]["name"] == "Ada Long"
    assert server.http.post("/selections", headers=bearer, json={}).status_code == 403  # it may only read
    page.get_by_label("Revoke notebook").click()
    expect(page.get_by_text("The token is revoked.").first).to_be_visible()
    assert server.http.get("/members", headers=bearer).status_code == 401
    page.get_by_label("Present password", exact=True).fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill(PASSWORD + ", again")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("Your password is changed.").first).to_be_visible()
    other.reload()
    expect(other.get_by_test_id("sign-in")).to_be_visible()
    sign_in(other, "ada@example.org")
    expect(other.get_by_test_id("sign-in-error")).to_be_visible()
    sign_in(other, "ada@example.org", PASSWORD + ", again")
    expect(other.get_by_test_id("person")).to_be_visible()
