"""A server in team mode, and the people who sign in to it."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from microtome.collab.people import Role

API = "/api/v1"
BASE = "http://127.0.0.1:8000"
PASSWORD = "four plain words here"


class Browser(TestClient):
    """Like the frontend: sends what a page of the server sends, and the token of the session with it."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False, **options)
        self.headers.update({"Origin": BASE, "X-Microtome": "1"})

    def api(self, method: str, path: str, **options: Any) -> Any:
        return self.request(method, API + path, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = self.api(method, path, **options)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    def sign_in(self, email: str, password: str = PASSWORD) -> Any:
        return self.began(self.api("POST", "/session", json={"email": email, "password": password}))

    def began(self, answer: Any) -> Any:
        """Take the token of a session that this answer began."""
        if answer.is_success and answer.json().get("csrf"):
            self.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return answer


def account(app: Any, role: Role, name: str | None = None, workspace: str = "main") -> str:
    """An account with ``PASSWORD``; returns its address."""
    name = name or role
    app.state.desk.accounts.create(name.title(), f"{name}@lab.example", PASSWORD, role, workspace)
    return f"{name}@lab.example"


def signed_in(app: Any, role: Role, name: str | None = None, workspace: str = "main") -> Browser:
    """The browser of a new person."""
    browser = Browser(app)
    assert browser.sign_in(account(app, role, name, workspace)).status_code == 200
    return browser
