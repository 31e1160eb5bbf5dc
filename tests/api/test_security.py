"""Who may do what: host, origin, token, sizes, and files that want to be something else."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select

from microtome.api.app import create_app
from microtome.api.who import address_of
from microtome.core.settings import Settings
from microtome.store import tables as t
from tests.api.team import BASE, PASSWORD, Browser, account, signed_in

API = "/api/v1"
NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": "x"}


def png(width: int = 8, height: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def png_bomb(side: int) -> bytes:
    """A valid header that declares side x side pixels, and next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", b"\0" * 10_000_000)
    return out.getvalue()


def test_foreign_hosts_are_refused(shared_client: Any) -> None:
    assert shared_client.get(f"{API}/health", headers={"Host": "evil.example"}).status_code == 403
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert shared_client.get(f"{API}/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),  # a program
        ({"Origin": "http://127.0.0.1:8000", "X-Microtome": "1"}, 201),
        ({"Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": "http://evil.example", "X-Microtome": "1"}, 403),
        ({"Origin": "null", "X-Microtome": "1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "X-Microtome": "1"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "X-Microtome": "1"}, 201),
    ],
)
def test_only_pages_of_this_server_may_write(shared_client: Any, headers: dict[str, str], status: int) -> None:
    answer = shared_client.post(f"{API}/annotations", json=NOTE, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.headers["content-type"] == "application/problem+json"


def test_headers(shared_client: Any) -> None:
    for path in (f"{API}/health", f"{API}/nothing", "/"):
        headers = shared_client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "referrer-policy" in headers


def test_a_token_is_needed_beyond_loopback(tmp_path: Path, make_engine: Any) -> None:
    settings = Settings(data_dir=tmp_path / "d", inline=True, host="0.0.0.0", allowed_hosts=["lab.example"])
    app = create_app(settings, engine=make_engine(settings))
    assert app.state.token
    client = TestClient(app, base_url="http://lab.example:8000")
    assert client.get(f"{API}/models").status_code == 401
    assert client.get(f"{API}/models", params={"token": "wrong"}).status_code == 401
    assert client.get(f"{API}/health").status_code == 200
    assert client.get(f"{API}/models", headers={"Authorization": f"Bearer {app.state.token}"}).status_code == 200
    assert client.get("/", params={"token": app.state.token}).status_code != 401
    assert client.get(f"{API}/models").status_code == 200  # by cookie


def test_uploads_are_judged_by_content(client: Any) -> None:
    good = client.post(f"{API}/uploads", files={"file": ("x.txt", png(40, 20))})
    assert good.status_code == 201
    body = good.json()
    assert (body["width"], body["height"]) == (40, 20)
    shown = client.get(f"{API}/uploads/{body['sha256']}/image", params={"size": 64})
    assert Image.open(io.BytesIO(shown.content)).size == (64, 32)
    run = client.post(f"{API}/runs", json={"method": "grad-cam", "subjects": {"model": "fake", "example": body["example"]}})
    assert run.json()["state"] == "done"


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("x.png", b"not an image", 415),
        ("x.png", b"", 415),
        ("x.png", zip_bomb(), 415),
        ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        ("x.png", png_bomb(10_000), 413),  # 100 megapixels
        ("x.png", png_bomb(60_000), 413),
        ("x.png", png(400, 400)[:120], 415),
        ("x.png", b"\x89PNG" + b"x" * 21 * 2**20, 413),
    ],
)
def test_bad_uploads(shared_client: Any, name: str, data: bytes, status: int) -> None:
    answer = shared_client.post(f"{API}/uploads", files={"file": (name, data, "image/png")})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_large_bodies_are_refused(shared_client: Any) -> None:
    big = b'{"name": "' + b"x" * (5 * 2**20) + b'"}'
    headers = {"Content-Type": "application/json"}
    assert shared_client.patch(f"{API}/session", content=big, headers=headers).status_code == 413
    chunks = shared_client.patch(f"{API}/session", content=iter([big[i : i + 65536] for i in range(0, len(big), 65536)]), headers=headers)
    assert chunks.status_code == 413


def test_the_web_process_has_no_torch() -> None:
    code = (
        "import sys, microtome.api.app, microtome.api.desk, microtome.client\n"
        "from microtome.core.settings import Settings\n"
        "import tempfile, pathlib\n"
        "app = microtome.api.app.create_app(Settings(data_dir=pathlib.Path(tempfile.mkdtemp())))\n"
        "heavy = {'torch', 'transformers', 'captum', 'numba', 'pacmap'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_static_files_stay_inside(tmp_path: Path, make_engine: Any) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<html>app</html>")
    (static / "assets" / "a-123.js").write_text("1")
    (tmp_path / "secret.txt").write_text("hidden treasure")
    settings = Settings(data_dir=tmp_path / "d", inline=True, static_dir=static)
    client = TestClient(create_app(settings, engine=make_engine(settings)), base_url="http://localhost")
    assert client.get("/").text == client.get("/browse/x?y=1").text == "<html>app</html>"
    assert "immutable" in client.get("/assets/a-123.js").headers["cache-control"]
    assert client.get("/assets/missing.js").status_code == 404
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/%2e%2e/%2e%2e/secret.txt"):
        assert "treasure" not in client.get(path).text


def team(settings: Settings, make_engine: Any, **more: Any) -> Any:
    values = settings.model_copy(update={"mode": "team"} | more)
    return create_app(values, engine=make_engine(values))


def test_cookies_behind_https(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    app = team(settings, make_engine, public_url="https://lab.example.org", behind_proxy=True)
    email = account(app, "viewer")
    browser = TestClient(app, base_url="https://lab.example.org", headers={"Origin": "https://lab.example.org", "X-Microtome": "1"})
    answer = browser.post(f"{API}/session", json={"email": email, "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-microtome_session=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["cache-control"] == "no-store"
    assert browser.get(f"{API}/models").status_code == 200


def test_only_our_own_proxy_says_who_it_is(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    for behind, statuses in ((False, {403, 429}), (True, {403})):
        app = team(settings.model_copy(update={"data_dir": settings.data_dir / str(behind)}), make_engine, behind_proxy=behind)
        browser = Browser(app)
        seen = set()
        for i in range(22):  # another account and, so it says, another address each time
            body = {"email": f"p{i}@lab.example", "password": "wrong"}
            answer = browser.api("POST", "/session", json=body, headers={"X-Forwarded-For": f"1.1.1.1, 10.0.0.{i}"})
            seen.add(answer.status_code)
        assert seen == statuses


def test_of_several_lines_our_own_proxy_wrote_the_last() -> None:
    lines = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2, 3.3.3.3")]
    proxied = Settings(behind_proxy=True)
    assert address_of(proxied, {"headers": lines, "client": ("9.9.9.9", 1)}) == "3.3.3.3"
    assert address_of(proxied, {"headers": lines[::-1], "client": ("9.9.9.9", 1)}) == "1.1.1.1"
    assert address_of(proxied, {"headers": [], "client": ("9.9.9.9", 1)}) == "9.9.9.9"
    assert address_of(Settings(), {"headers": lines, "client": ("9.9.9.9", 1)}) == "9.9.9.9"


def test_too_many_requests(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    app = team(settings, make_engine, reads_per_minute=5, writes_per_minute=20)
    browser = signed_in(app, "annotator")
    answers = [browser.api("GET", "/annotations") for _ in range(7)]
    assert [a.status_code for a in answers][-1] == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["type"] == "/problems/too-many-requests"
    for _ in range(25):  # a key whose request was refused can be used again
        refused = browser.api("PATCH", "/annotations/nothing", json={"body": "x"}, headers={"Idempotency-Key": "k", "If-Match": '"1"'})
    assert refused.status_code in (404, 429)


def test_answers_with_secrets_are_not_remembered(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    app = team(settings, make_engine)
    browser, key = signed_in(app, "admin"), {"Idempotency-Key": "again"}
    first, second = (browser.ok("POST", "/tokens", json={"name": "x", "scope": "read"}, headers=key) for _ in range(2))
    assert first["token"] != second["token"]
    with app.state.desk.store.read() as connection:
        assert connection.execute(select(t.idempotency)).all() == []


def test_an_idempotency_key_is_its_persons(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    app = team(settings, make_engine)
    app.state.desk.engine.add_source("add-model", "builtin:fake")
    ada, ben = signed_in(app, "annotator", "ada"), signed_in(app, "annotator", "ben")
    key = {"Idempotency-Key": "the same"}
    made = [who.ok("POST", "/annotations", json=NOTE | {"visibility": "private"}, headers=key)["id"] for who in (ada, ada, ben)]
    assert made[0] == made[1] != made[2]
    assert Browser(app).api("POST", "/annotations", json=NOTE | {"visibility": "private"}, headers=key).status_code == 401


def test_answers_to_nobody_and_of_nothing_are_not_remembered(settings: Settings, make_engine: Any, cheap_passwords: None) -> None:
    app = team(settings, make_engine)
    ada = signed_in(app, "annotator", "ada")
    key = {"Idempotency-Key": "the same"}
    answers = [
        Browser(app).api("POST", "/annotations", json={"x": "y" * 1000}, headers=key),
        Browser(app).api("PUT", "/health", headers=key),
        ada.api("PUT", "/health", headers=key),
        ada.api("POST", "/nothing", json={}, headers=key),
        ada.api("POST", "/annotations", json=NOTE, headers=key),
    ]
    assert [a.status_code for a in answers] == [401, 405, 405, 405, 404]
    with app.state.desk.store.read() as connection:
        assert connection.execute(select(t.idempotency)).all() == []
    app.state.desk.engine.add_source("add-model", "builtin:fake")
    assert ada.api("POST", "/annotations", json=NOTE, headers=key).status_code == 201  # there is such a model now


def test_logs_hold_no_secrets(settings: Settings, make_engine: Any, cheap_passwords: None, capfd: Any, monkeypatch: Any) -> None:
    app = team(settings, make_engine)
    browser = signed_in(app, "admin")
    token = browser.ok("POST", "/tokens", json={"name": "x", "scope": "admin"})["token"]
    secrets = [token, browser.cookies["microtome_session"], browser.headers["X-CSRF-Token"], PASSWORD]
    monkeypatch.setattr(app.state.desk.engine.sources, "all", lambda *_: 1 / 0)  # something fails inside
    failed = browser.api("GET", "/models")
    program = TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)
    assert failed.status_code == program.get(f"{API}/models").status_code == 500
    browser.sign_in("admin@lab.example", PASSWORD + "x")
    said = "".join(capfd.readouterr()) + failed.text
    assert "ZeroDivisionError" in said
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "=HYPERLINK(1)"])
def test_what_people_write_cannot_become_a_page(client: Any, text: str) -> None:
    made = client.post(f"{API}/annotations", json=NOTE | {"kind": "label", "body": text})
    assert made.headers["content-type"] == "application/json"  # with nosniff: never a page
    assert made.headers["x-content-type-options"] == "nosniff"
    assert made.json()["body"] == text  # kept as it was written; who shows it escapes it
    out = client.post(f"{API}/units/export", json={"model": "fake", "probe": "fake-probe"})
    assert out.headers["content-type"].startswith("text/csv")
    assert "attachment" in out.headers["content-disposition"]
    assert ",=HYPERLINK" not in out.text
    assert "'unsafe-inline'" not in out.headers["content-security-policy"].split("style-src")[0]


@pytest.mark.parametrize("source", ["http://169.254.169.254/latest", "https://evil.example/x", "file:///etc/passwd", "path:http://evil"])
def test_sources_are_no_addresses(shared_client: Any, source: str) -> None:
    answer = shared_client.post(f"{API}/models", json={"source": source})
    assert answer.status_code in (403, 404, 422), answer.text


def test_the_tests_that_the_checklist_names_exist() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (root / "docs/asvs.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert f"def {test or 'test_'}" in (root / file).read_text(), (file, test)
