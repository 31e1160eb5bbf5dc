"""Print the OpenAPI document: ``python -m microtome.api.openapi > frontend/openapi.json``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from microtome.api.app import create_app
from microtome.core.settings import Settings


def document() -> str:
    """The document as it is committed: sorted by route, indented, with a final newline."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), database_url=None))
        return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
