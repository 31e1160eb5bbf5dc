"""Signing in at an OpenID provider that runs beside the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from microtome.api.app import create_app
from tests.api.provider import CLIENT, SECRET, Provider, serving_provider
from tests.api.team import API, BASE, Browser, account, signed_in


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving_provider(f"{BASE}{API}/session/oidc/callback") as running:
        yield running


@pytest.fixture
def make_app(settings: Any, make_engine: Any, cheap_passwords: None, provider: Provider) -> Any:
    def make(**more: Any) -> Any:
        chosen = {"mode": "team", "oidc_issuer": provider.url, "oidc_client_id": CLIENT, "oidc_client_secret": SecretStr(SECRET)}
        values = settings.model_copy(update=chosen | more)
        return create_app(values, engine=make_engine(values))

    return make


def there(browser: Browser, then: str = "/") -> str:
    """To the provider; returns the address that it sends the browser back to."""
    gone = browser.api("GET", "/session/oidc", params={"next": then})
    assert gone.status_code == 302, gone.text
    back = httpx.get(gone.headers["location"])
    assert back.status_code == 302, back.text
    return str(back.headers["location"]).removeprefix(BASE)


def back(browser: Browser, address: str) -> str:
    """Home again; returns where the browser is sent."""
    answer = browser.get(address)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def test_by_domain(make_app: Any, provider: Provider) -> None:
    app = make_app(oidc_domains=["lab.example"], oidc_role="viewer", oidc_name="Lab login")
    browser = Browser(app)
    assert browser.ok("GET", "/session")["providers"] == [{"id": "oidc", "name": "Lab login", "url": "/api/v1/session/oidc"}]
    assert back(browser, there(browser, "/browse/fake?x=1")) == "/browse/fake?x=1"
    me = browser.ok("GET", "/session")
    assert (me["person"]["name"], me["email"], me["role"]) == ("Ada Lovelace", "ada@lab.example", "viewer")
    provider.person |= {"email": "ada@elsewhere.example", "name": "A. L."}  # known by issuer and subject, whatever else changes
    again = Browser(app)
    assert back(again, there(again)) == "/"
    assert again.ok("GET", "/session")["person"]["id"] == me["person"]["id"]
    assert Browser(app).sign_in("ada@lab.example", "").status_code in (403, 422)  # there is no password to guess


def test_by_invitation(make_app: Any, provider: Provider) -> None:
    app = make_app()
    browser = Browser(app)
    assert back(browser, there(browser)) == "/sign-in?error=no-account"
    assert browser.ok("GET", "/session")["person"] is None
    admin = signed_in(app, "admin")
    admin.ok("POST", "/invitations", json={"role": "editor", "email": "ada@lab.example"})
    assert back(browser, there(browser)) == "/"
    assert browser.ok("GET", "/session")["role"] == "editor"
    assert admin.ok("GET", "/invitations")["items"] == []


def test_somebody_who_took_the_address_first_is_put_out(make_app: Any, provider: Provider) -> None:
    app = make_app()
    squatter = signed_in(app, "viewer", "ada")
    browser = Browser(app)
    assert back(browser, there(browser)) == "/"
    assert squatter.api("GET", "/models").status_code == 401
    assert Browser(app).sign_in("ada@lab.example").status_code == 403


def test_an_address_that_the_provider_gave_to_somebody_else(make_app: Any, provider: Provider) -> None:
    app = make_app(oidc_domains=["lab.example"])
    ada, eve = Browser(app), Browser(app)
    assert back(ada, there(ada)) == "/"
    provider.person |= {"sub": "another", "name": "Eve"}
    assert back(eve, there(eve)) == "/sign-in?error=no-account"
    assert eve.ok("GET", "/session")["person"] is None
    assert ada.ok("GET", "/session")["person"]["name"] == "Ada Lovelace"  # and nothing of hers has ended


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        ({"email_verified": False}, "unverified"),
        ({"email_verified": "true"}, "unverified"),
        ({"email": None}, "unverified"),
        ({"email": "eve@lab.example.evil.example"}, "no-account"),
        ({"email": "eve@evil.example@lab.example"}, "unverified"),
        ({"sub": None}, "failed"),
        ({"aud": "another"}, "failed"),
        ({"aud": [CLIENT, "another"]}, "failed"),
        ({"azp": "another"}, "failed"),
        ({"iss": "http://evil.example"}, "failed"),
        ({"nonce": "another"}, "failed"),
        ({"exp": 1}, "failed"),
    ],
    ids=lambda value: str(value),
)
def test_tokens_that_are_not_good_enough(make_app: Any, provider: Provider, person: dict[str, Any], reason: str) -> None:
    app = make_app(oidc_domains=["lab.example"])
    provider.claims = person
    browser = Browser(app)
    assert back(browser, there(browser)) == f"/sign-in?error={reason}"
    assert browser.ok("GET", "/session")["person"] is None


def test_a_forged_signature(make_app: Any, provider: Provider) -> None:
    provider.sign_with = RSAKey.generate_key(2048, {"kid": "one"})
    browser = Browser(make_app(oidc_domains=["lab.example"]))
    assert back(browser, there(browser)) == "/sign-in?error=failed"


def test_what_one_browser_began_no_other_finishes(make_app: Any, provider: Provider) -> None:
    app = make_app(oidc_domains=["lab.example"])
    one, two, three = Browser(app), Browser(app), Browser(app)
    address = there(one)
    assert back(two, address) == "/sign-in?error=expired"  # no cookie
    there(three)
    assert back(three, address) == "/sign-in?error=expired"  # another's state
    assert back(one, address) == "/"
    assert back(one, address) == "/sign-in?error=expired"  # the cookie is gone, and so is the code
    code = parse_qs(urlsplit(address).query)["code"][0]
    again = there(one)
    state = parse_qs(urlsplit(again).query)["state"][0]
    assert back(one, f"{API}/session/oidc/callback?code={code}&state={state}") == "/sign-in?error=failed"
    there(one)
    assert back(one, f"{API}/session/oidc/callback?error=access_denied&state=x") == "/sign-in?error=expired"


@pytest.mark.parametrize(
    "then", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nSet-Cookie: x=1"]
)
def test_nobody_is_sent_elsewhere(make_app: Any, provider: Provider, then: str) -> None:
    browser = Browser(make_app(oidc_domains=["lab.example"]))
    assert back(browser, there(browser, then)) == "/"


def test_a_provider_that_is_away(make_app: Any) -> None:
    app = make_app(oidc_issuer="http://127.0.0.1:9")
    answer = Browser(app).api("GET", "/session/oidc")
    assert (answer.status_code, "cannot be reached" in answer.json()["detail"]) == (503, True)
    account(app, "viewer")
    assert Browser(app).sign_in("viewer@lab.example").status_code == 200


def test_none_is_set_up(make_app: Any) -> None:
    assert Browser(make_app(oidc_issuer=None)).api("GET", "/session/oidc").status_code == 404
