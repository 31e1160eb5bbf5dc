"""``import:NAME``: examples that are known by name only, since the results made from them came without the images.

What is known is written once by the import and lies in the data folder. A picture is a plain tile with the example's name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from PIL import Image, ImageDraw, ImageFont

from microtome.core.address import check_slug
from microtome.core.errors import NotFound
from microtome.core.settings import settings
from microtome.probes.base import Concept, ImageArray, ImageSet

_BACK, _INK = (226, 228, 232), (92, 96, 106)
_SIZE = (224, 224)


def _folder() -> Path:
    return settings().data_dir / "imported"


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False, suffix=".part") as handle:
        handle.write(orjson.dumps(document))
    os.replace(handle.name, path)


def write_imported(
    name: str, hash: str, examples: int, classes: Sequence[str], concepts: Sequence[str], size: tuple[int, int] | None,
    names: Sequence[str | None], labels: Sequence[int | None],
) -> None:  # fmt: skip
    """Keep what is known of the examples.

    Args:
        concepts: ``category:name`` each. names, labels: one per example, or empty when none are known.
    """
    check_slug(name, "name")
    known = _folder() / f"{hash}.names.json"
    _write(known, {"names": list(names), "labels": list(labels)})
    head = {"hash": hash, "examples": examples, "classes": list(classes), "concepts": list(concepts), "size": size}
    _write(_folder() / f"{name}.json", head | {"bytes": known.stat().st_size})


class ImportedProbe(ImageSet):
    """See the module's docstring.

    Raises:
        NotFound: nothing was imported under this name.
    """

    kind = "imported"

    def __init__(self, source: str, name: str) -> None:
        check_slug(name, "source")
        try:
            head = orjson.loads((_folder() / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            raise NotFound(
                f"No probe set was imported as '{name}'. Import its folder again: microtome import FOLDER.", field="source"
            ) from None
        self.source, self.hash, self._count = source, head["hash"], int(head["examples"])
        self.classes = tuple(head["classes"])
        pairs = [text.split(":", 1) for text in head["concepts"]]
        self.concepts = tuple(Concept(name, category, i) for i, (category, name) in enumerate(pairs))
        self.size = tuple(head["size"]) if head["size"] else None
        self.reports, self.bytes = (), int(head["bytes"])

    @cached_property
    def _known(self) -> dict[str, list[Any]]:
        return dict(orjson.loads((_folder() / f"{self.hash}.names.json").read_bytes()))

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        names = self._known["names"]
        return (names[index] if names else None) or f"example {index}"

    def label(self, index: int) -> int | None:
        labels = self._known["labels"]
        return labels[index] if labels else None

    def image(self, index: int) -> ImageArray:
        """A tile that says which example it stands for."""
        height, width = self.size or _SIZE
        tile = Image.new("RGB", (width, height), _BACK)
        edge = max(9, min(height, width) // 12)
        font = ImageFont.load_default(edge)
        per_line = max(4, int(width / (edge * 0.62)))
        name = self.name(index)
        lines = [name[i : i + per_line] for i in range(0, len(name), per_line)][-6:]  # the end of a path says most
        text = "\n".join(["image not imported"[:per_line], *lines])
        ImageDraw.Draw(tile).multiline_text((width / 2, height / 2), text, _INK, font, anchor="mm", align="center")
        return np.asarray(tile)
