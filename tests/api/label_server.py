"""A server process that runs no methods, for tests that kill it: ``python -m tests.api.label_server FOLDER PORT``.

A write that was under way when its server died is done again by a retry after two seconds instead of thirty, so that a test
does not wait; what keeps it from being done twice is the mark on its revision.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from microtome.api import idempotency
from microtome.api.app import create_app
from microtome.core.settings import Settings
from microtome.engine import Engine


def main(folder: str, port: str) -> None:
    idempotency.WAIT_SECONDS = 2.0
    settings = Settings(data_dir=Path(folder), source_roots=[Path(folder)])
    app = create_app(settings, engine=Engine(settings, executor="none"))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="critical")


if __name__ == "__main__":
    main(*sys.argv[1:])
