"""Addresses of things people point at: ``model/layer/index`` and the slugs in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass

from microtome.core.errors import InvalidInput

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
LAYER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")


@dataclass(frozen=True, slots=True)
class UnitAddress:
    """One coordinate of a layer, written ``model/layer/index``."""

    model: str
    layer: str
    index: int

    def __str__(self) -> str:
        return f"{self.model}/{self.layer}/{self.index}"

    @classmethod
    def parse(cls, text: str) -> UnitAddress:
        parts = text.split("/")
        if len(parts) != 3 or not SLUG.fullmatch(parts[0]) or not LAYER.fullmatch(parts[1]) or not re.fullmatch(r"\d{1,9}", parts[2]):
            raise InvalidInput(
                f"'{text[:200]}' is not a unit address. Write model/layer/index, for example tinyplaces-resnet/stage4.1/42.",
                field="unit",
            )
        return cls(parts[0], parts[1], int(parts[2]))


def slug_of(name: str, taken: Container[str] = ()) -> str:
    """A slug for ``name`` (``hf:org/My Net`` gives ``my-net``), made unique among ``taken`` with a number."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9._-]+", "-", ascii_name.rstrip("/").split("/")[-1]).strip("-._")[:60].strip("-._")
    base = base or "unnamed"
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


def check_slug(text: str, field: str) -> str:
    if not SLUG.fullmatch(text):
        raise InvalidInput(
            f"'{text[:100]}' cannot be a name. Use up to 64 lower-case letters, digits, dots, dashes and underscores, "
            "beginning and ending with a letter or digit.",
            field=field,
        )
    return text
