"""``microtome serve`` and ``microtome demo``: the server."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn

from microtome.api.app import create_app
from microtome.api.security import LOOPBACK
from microtome.cli.accounts import open_accounts
from microtome.core.errors import InvalidInput, Unavailable
from microtome.core.settings import Settings, settings
from microtome.engine import Engine
from microtome.engine.cluster.address import NOT_INSTALLED, check_address

EXECUTORS = ("local", "ray")
MODES = ("single-user", "team")
#: Model and probe set of the demo, with what is asked about them: units that see, then units that read.
DEMO = (
    ("builtin:tinyplaces-resnet", "builtin:tinyplaces", ("dissection", "unit-map", "predictions")),
    ("builtin:pycode-gpt", "builtin:pycode", ("dissection", "unit-map")),
)
log = structlog.get_logger("microtome.demo")

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; any but loopback asks for a one-time token.")]
Port = Annotated[int | None, typer.Option("--port", help="Port; PORT or 8000 if left out.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder for the database and everything computed.")]


Mode = Annotated[str | None, typer.Option("--mode", help="single-user: this machine, no sign-in. team: everybody signs in (docs/team.md).")]
Where = Annotated[str | None, typer.Option("--executor", help="local: this machine. ray: a cluster; needs pip install 'microtome[ray]'.")]
Address = Annotated[
    str | None,
    typer.Option("--ray-address", help="local (start Ray here), auto (find it here), host:6379, or ray://host:10001."),
]


def configured(
    host: str | None,
    port: int | None,
    data: Path | None,
    executor: str | None = None,
    ray_address: str | None = None,
    mode: str | None = None,
) -> Settings:
    """Settings with the command line's changes; the environment carries them to worker processes.

    Raises:
        InvalidInput, Unavailable: there is no such executor, or Ray is not installed.
    """
    if host is not None:
        os.environ["MICROTOME_HOST"] = host
    if port is not None:
        os.environ["MICROTOME_PORT"] = str(port)
    elif "MICROTOME_PORT" not in os.environ and os.environ.get("PORT", "").isdigit():
        os.environ["MICROTOME_PORT"] = os.environ["PORT"]
    if data is not None:
        os.environ["MICROTOME_DATA_DIR"] = str(data.absolute())
    if executor is not None:
        if executor not in EXECUTORS:
            raise InvalidInput(f"There is no executor '{executor[:40]}'. Choose one of {', '.join(EXECUTORS)}.", field="executor")
        os.environ["MICROTOME_EXECUTOR"] = executor
    if mode is not None:
        if mode not in MODES:
            raise InvalidInput(f"There is no mode '{mode[:40]}'. Choose one of {', '.join(MODES)}.", field="mode")
        os.environ["MICROTOME_MODE"] = mode
    if ray_address is not None:
        os.environ["MICROTOME_RAY_ADDRESS"] = ray_address
    settings.cache_clear()
    values = settings()
    if values.executor == "ray":
        check_address(values.ray_address)
        if find_spec("ray") is None:
            raise Unavailable(NOT_INSTALLED)
    return values


def _listen(values: Settings) -> socket.socket:
    """The bound socket, so that a taken port is said before anything is started."""
    family = socket.AF_INET6 if ":" in values.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((values.host, values.port))
        listener.listen(2048)  # now, so that a client may connect as soon as the address is printed
    except OSError as error:
        listener.close()
        raise Unavailable(f"Port {values.port} of {values.host} cannot be used: {error.strerror}. Choose another with --port.") from None
    return listener


def _serve(values: Settings, engine: Engine, *, open_browser: bool) -> None:
    listener = _listen(values)
    app = create_app(values, engine=engine)
    host = f"[{values.host}]" if ":" in values.host else values.host
    address = f"http://{host}:{listener.getsockname()[1]}/"
    if app.state.token:
        address += f"?token={app.state.token}"
    print(f"Microtome is at {address}", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    # a stream of events never ends by itself, so shutting down must not wait for it
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False, proxy_headers=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve(
    host: Host = None, port: Port = None, data: Data = None, executor: Where = None, ray_address: Address = None, mode: Mode = None
) -> None:
    """Start the workbench."""
    values = configured(host, port, data, executor, ray_address, mode)
    if values.team:
        check_team(values)
    _serve(values, Engine(values), open_browser=False)


def check_team(values: Settings) -> None:
    """
    Raises:
        Unavailable: nobody could let people in, or passwords would travel in the clear.
    """
    if not open_accounts(values).have_admin():
        raise Unavailable(
            f"There is no admin yet in {values.data_dir}. Run `microtome admin create-admin --data {values.data_dir}` first, "
            "then start again."
        )
    if values.host not in LOOPBACK and not values.secure:
        log.warning("passwords travel in the clear; put a proxy with https in front and set MICROTOME_PUBLIC_URL", host=values.host)


def demo(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Start the workbench with the built-in models; they are dissected on this machine unless that was done before."""
    values = configured(host, port, data)
    engine = Engine(values)
    threading.Thread(target=prepare_demo, args=(engine,), name="demo", daemon=True).start()
    has_display = sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    _serve(values, engine, open_browser=has_display and not no_browser)


def prepare_demo(engine: Engine) -> None:
    """Add the built-in models and probe sets and queue their dissections and maps; what is stored is not repeated."""
    try:
        for source, data, methods in DEMO:
            model, probe = engine.ensure_source("model", source), engine.ensure_source("probe", data)
            for method in methods:
                engine.submit(method, {"model": model, "probe": probe}, {})
    except Exception as error:  # the server stays up and shows what there is; the run table has the reason
        log.error("the demo could not be prepared", reason=str(error))
