"""Signing in at an OpenID provider with a real browser: by domain, refused without an invitation, and out again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.provider import CLIENT, SECRET, Provider, serving_provider
from tests.e2e.conftest import Server

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving_provider("set when the server has an address") as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sources: Path, provider: Provider) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("oidc") / "data"
    command = [sys.executable, "-m", "microtome.cli", "admin", "create-admin", "--email", "root@lab.example", "--name", "Root"]
    subprocess.run([*command, "--password-stdin", "--data", str(data)], input="a long walk by the sea", text=True, check=True, timeout=120)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MICROTOME_OIDC_ISSUER", provider.url)
        environment.setenv("MICROTOME_OIDC_CLIENT_ID", CLIENT)
        environment.setenv("MICROTOME_OIDC_CLIENT_SECRET", SECRET)
        environment.setenv("MICROTOME_OIDC_NAME", "the lab's login")
        environment.setenv("MICROTOME_OIDC_DOMAINS", '["lab.example"]')
        running = Server(data, sources, "--mode", "team")
    provider.redirect = f"{running.url}/api/v1/session/oidc/callback"
    yield running
    running.stop()


def test_in_by_the_provider_and_out_again(open_page: Open, provider: Provider) -> None:
    provider.person |= {"sub": "42", "email": "ada@lab.example", "name": "Ada Lovelace"}
    page = open_page("/labels")
    page.get_by_role("link", name=re.compile("the lab's login")).click()
    expect(page).to_have_url(re.compile("/labels$"))  # where she wanted to go
    expect(page.get_by_test_id("person")).to_be_visible()
    page.get_by_test_id("person").click()
    expect(page.get_by_text("Ada Lovelace").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()


def test_who_is_not_invited_is_told_so(open_page: Open, provider: Provider) -> None:
    provider.person |= {"sub": "43", "email": "eve@elsewhere.example", "name": "Eve"}
    page = open_page("/")
    page.get_by_role("link", name=re.compile("the lab's login")).click()
    expect(page.get_by_test_id("sign-in-error")).to_contain_text("nobody has invited you")
    expect(page.get_by_test_id("person")).to_have_count(0)
