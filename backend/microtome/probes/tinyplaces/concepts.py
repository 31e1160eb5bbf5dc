"""The vocabulary of tinyplaces: categories, concepts and the tags that shapes carry.

A label map holds ``v = 0`` where no concept of its category is drawn and otherwise ``v`` for ``CONCEPTS[v - 1]``.
"""

from __future__ import annotations

from typing import NamedTuple

CATEGORIES: tuple[str, ...] = ("object", "part", "material", "colour", "scene")

CLASSES: tuple[str, ...] = (
    "beach",
    "harbour",
    "village",
    "forest",
    "farm",
    "mountain lake",
    "desert",
    "city by day",
    "city by night",
    "suburb",
    "snowfield",
    "river valley",
)

# fmt: off
_OBJECTS = (
    "sky", "cloud", "sun", "moon", "star", "mountain", "hill", "tree", "palm", "cactus", "bush", "flower", "boulder",
    "house", "skyscraper", "church", "barn", "lighthouse", "windmill", "boat", "car", "tractor", "bridge", "pier",
    "road", "fence", "parasol", "tent", "animal", "bird", "person", "balloon", "lamp post", "hay bale",
)
_PARTS = (
    "wall", "window", "door", "roof", "chimney", "awning", "steeple", "trunk", "crown", "wheel", "body", "headlight",
    "hull", "sail", "mast", "lamp", "pole", "blade", "arch", "deck", "canopy", "peak", "head", "leg", "envelope",
    "basket", "marking",
)
_MATERIALS = (
    "water", "sand", "grass", "foliage", "wood", "brick", "plaster", "stone", "snow", "asphalt", "glass", "metal",
    "cloth", "tile", "crop", "earth", "concrete",
)
# fmt: on
COLOURS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "white",
    "grey",
    "black",
)  # fmt: skip


class Concept(NamedTuple):
    """One nameable thing: ``name`` is unique within ``category``."""

    name: str
    category: str


CONCEPTS: tuple[Concept, ...] = tuple(
    Concept(name, category)
    for category, names in zip(CATEGORIES, (_OBJECTS, _PARTS, _MATERIALS, COLOURS, CLASSES), strict=True)
    for name in names
)

#: What makes a picture one of its class, by the class's painter: what it always draws and other painters draw seldom or never.
#: The two cities differ by their light alone, which lies everywhere.
DEFINED_BY: dict[str, tuple[str, ...]] = {
    "beach": ("material:sand", "material:water"),
    "harbour": ("object:boat", "object:house", "material:water"),
    "village": ("object:house", "object:church"),
    "forest": ("object:tree",),
    "farm": ("material:crop", "material:earth", "object:barn"),
    "mountain lake": ("object:mountain", "material:water"),
    "desert": ("material:sand",),
    "city by day": ("object:skyscraper",),
    "city by night": ("object:skyscraper",),
    "suburb": ("object:house", "object:road"),
    "snowfield": ("material:snow",),
    "river valley": ("object:hill", "material:water"),
}

_VALUE: dict[tuple[str, str], int] = {(c.category, c.name): v for v, c in enumerate(CONCEPTS, start=1)}


def value(category: str, name: str) -> int:
    """Label-map value of a concept; 0 for the empty name."""
    return _VALUE[category, name] if name else 0


class Tag(NamedTuple):
    """What a shape is, as label-map values (0 = nothing of that category)."""

    object: int
    part: int
    material: int


def tag(obj: str = "", part: str = "", material: str = "") -> Tag:
    """Tag from concept names; an unknown name raises ``KeyError`` at import rather than in a picture."""
    return Tag(value("object", obj), value("part", part), value("material", material))


COLOUR_VALUES: tuple[int, ...] = tuple(value("colour", name) for name in COLOURS)
SCENE_VALUES: tuple[int, ...] = tuple(value("scene", name) for name in CLASSES)
