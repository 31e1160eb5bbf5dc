"""The example of the documentation is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from microtome.api.browse import atlas as atlases
from tests.ingest.conftest import imported

PAGE = Path(__file__).parents[2] / "docs" / "bulk-import.md"


def test_the_documented_example_imports(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    desk, names = lab(), {}  # type: ignore[var-annotated]
    for count, block in enumerate(blocks):
        exec(block, names)
        imported(desk, tmp_path / "export")
        found = atlases.find(desk, "my-net", "street-views")
        columns = desk.browse.columns(found.keys)
        assert columns.iou.tolist() == pytest.approx([0.21, 0.12])
        assert columns.has(columns.layers[0], "peaks", "values") == bool(count)
