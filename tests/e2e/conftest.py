"""A real server with the built-in model dissected on 240 drawn images, and a real browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
PROBE = "builtin:tinyplaces#val:240"
expect.set_options(timeout=15_000)  # patience for a busy machine; nothing here asserts how long something took
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


class Server:
    """A ``microtome serve`` process and a small client for it."""

    def __init__(self, data: Path, sources: Path, *options: str) -> None:
        if not (ROOT / "backend/microtome/api/static/index.html").exists():
            pytest.skip("the frontend is not built: run `make test`, or `npm run build` in frontend/")
        environment = {
            **os.environ, "MICROTOME_DATA_DIR": str(data), "MICROTOME_SOURCE_ROOTS": f'["{sources}"]', "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "microtome.cli", "serve", "--port", "0", *options]
        self.log = data / "server.log"
        data.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=self.log.open("ab"), text=True, start_new_session=True
        )
        assert self.process.stdout
        match = re.search(r"http://\S+", self.process.stdout.readline())
        assert match, self.log.read_text()
        self.url = match[0].rstrip("/")
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    def finish(self, run: dict[str, Any], seconds: float = 240) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while run["state"] in ("queued", "running"):
            assert time.monotonic() < end, f"{run['method']} did not end in {seconds} s"
            time.sleep(0.2)
            run = self.http.get(f"/runs/{run['id']}").json()
        assert run["state"] == "done", run["error"]
        return run

    def add(self, kind: str, source: str, name: str | None = None) -> None:
        self.finish(self.post(f"/{kind}", {"source": source, **({"name": name} if name else {})}))

    def run(self, method: str, params: dict[str, Any] | None = None, **subjects: Any) -> dict[str, Any]:
        return self.finish(self.post("/runs", {"method": method, "subjects": subjects, "params": params or {}}))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("e2e") / "data", sources)
    try:
        running.add("models", "builtin:tinyplaces-resnet")
        running.add("probes", PROBE, "tinyplaces")
        for method in ("dissection", "unit-map", "predictions"):
            running.run(method, model="tinyplaces-resnet", probe="tinyplaces")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Opens a page in a fresh browser profile; a console error or an uncaught exception fails the test."""
    contexts, problems = [], []

    def noticed(message: Any) -> None:
        # The browser itself reports every refused request as an error; tests of bad input cause them on purpose.
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(message.text)

    def open_(path: str = "/", *, width: int = 1600, height: int = 1000, theme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", noticed)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not problems, problems
