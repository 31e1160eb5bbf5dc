"""Who may do what: host, origin, token, sizes, and files that want to be something else."""

from __future__ import annotations

import io
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

from microtome.api.app import create_app
from microtome.core.settings import Settings

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
