"""Puts the built frontend into the wheel: builds it with npm when it is not there yet. An editable install needs none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontendHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "editable" or self.target_name != "wheel" or (root / "backend/microtome/api/static/index.html").exists():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("Building the wheel needs the built frontend or Node 20+ with npm. Run `make build`.")
        subprocess.run([npm, "ci"], cwd=root / "frontend", check=True)
        subprocess.run([npm, "run", "build"], cwd=root / "frontend", check=True)
