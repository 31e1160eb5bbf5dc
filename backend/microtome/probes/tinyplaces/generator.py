"""From (split, index) to a finished picture with its label maps."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from . import scenes_green, scenes_lake, scenes_open, scenes_sea, scenes_town
from .canvas import SIZE, Canvas, Glow
from .concepts import CLASSES, SCENE_VALUES
from .concepts import value as concept_value
from .palette import pick_light, pick_season

SPLITS: dict[str, int] = {"train": 0, "val": 1, "test": 2}
VERSION = "1"

_PAINTERS = {
    "beach": scenes_sea.beach,
    "harbour": scenes_sea.harbour,
    "village": scenes_green.village,
    "forest": scenes_green.forest,
    "farm": scenes_green.farm,
    "mountain lake": scenes_lake.mountain_lake,
    "desert": scenes_open.desert,
    "city by day": scenes_town.city,
    "city by night": scenes_town.city,
    "suburb": scenes_town.suburb,
    "snowfield": scenes_open.snowfield,
    "river valley": scenes_lake.river_valley,
}
_DARK = {"city by day": False, "city by night": True}


class Scene(NamedTuple):
    """One labelled picture.

    ``image`` uint8[96, 96, 3] sRGB; ``labels`` uint8[5, 96, 96], one map per entry of ``CATEGORIES``, 0 = nothing,
    v = ``CONCEPTS[v - 1]``; ``label`` index into ``CLASSES``.
    """

    image: np.ndarray
    labels: np.ndarray
    label: int


def _noise(seed: int, blur: tuple[int, int]) -> np.ndarray:
    """Tileable noise float32[192, 192] with unit spread, box-blurred by (rows, columns)."""
    field = np.random.default_rng(seed).standard_normal((192, 192)).astype(np.float32)
    for axis, n in enumerate(blur):
        field = np.sum([np.roll(field, k - n // 2, axis) for k in range(n)], axis=0)
    return np.tile(field / field.std(), (2, 2))


# Surface texture comes from three fields: fine grain, leafy blotches and flat streaks.
_FINE, _BLOTCH, _STREAK = _noise(11, (1, 1)), _noise(12, (3, 3)), _noise(13, (1, 7))
_TEXTURE: dict[str, tuple[float, float, float]] = {
    "water": (0.0, 0.0, 4.6), "sand": (3.2, 2.0, 2.4), "grass": (2.4, 3.6, 2.0), "foliage": (2.0, 6.0, 0.0),
    "wood": (1.2, 0.0, 1.6), "brick": (3.0, 1.6, 0.0), "plaster": (1.0, 2.0, 0.0), "stone": (2.6, 4.4, 0.0),
    "snow": (0.8, 1.8, 1.2), "asphalt": (3.0, 1.0, 1.6), "tile": (2.4, 0.0, 2.4), "crop": (3.4, 4.0, 0.0),
    "earth": (3.0, 4.0, 1.2), "concrete": (1.6, 1.4, 0.8),
}  # fmt: skip
_AMPLITUDE = np.zeros((256, 3), np.float32)
for _name, _amount in _TEXTURE.items():
    _AMPLITUDE[concept_value("material", _name)] = _amount

_YY, _XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
_RADIUS = np.hypot(_XX - 47.5, _YY - 46.5) / 67.0
_VIGNETTE = (1 - 0.22 * np.clip((_RADIUS - 0.5) / 0.55, 0, 1) ** 1.6)[..., None]


def _flakes(seed: int, count: int, streak: int) -> np.ndarray:
    """Falling snow (streak = 1) or rain (streak > 1): opacity float32[192, 192], tileable."""
    rng = np.random.default_rng(seed)
    field = np.zeros((192, 192), np.float32)
    for y, x, a in zip(rng.integers(0, 192, count), rng.integers(0, 192, count), rng.uniform(0.35, 0.95, count), strict=True):
        for k in range(streak):
            field[(y + k) % 192, (x - k // 3) % 192] = max(field[(y + k) % 192, (x - k // 3) % 192], a)
        if streak == 1 and a > 0.75:
            for dy, dx in ((0, 1), (1, 0), (1, 1)):
                field[(y + dy) % 192, (x + dx) % 192] = a * (0.5 if dy * dx == 0 else 0.25)
    return np.tile(field, (2, 2))


_SNOWFALL, _RAIN = _flakes(21, 640, 1), _flakes(22, 300, 6) * 0.3


def _add_glows(rgb: np.ndarray, glows: list[Glow]) -> None:
    """Screen-blend soft discs of light into float32[96, 96, 3], in place."""
    for x, y, radius, colour, strength in glows:
        x0, x1 = max(0, int(x - radius)), min(SIZE, int(x + radius) + 2)
        y0, y1 = max(0, int(y - radius)), min(SIZE, int(y + radius) + 2)
        if x0 >= x1 or y0 >= y1:
            continue
        d2 = (np.arange(x0, x1) + 0.5 - x)[None, :] ** 2 + (np.arange(y0, y1) + 0.5 - y)[:, None] ** 2
        fall = np.maximum(0, 1 - np.sqrt(d2) / radius) ** 1.8 * (1.25 * strength)
        patch = rgb[y0:y1, x0:x1]
        patch += (255 - patch) * (fall[..., None] * (np.array(colour, np.float32) / 255)).astype(np.float32)


def _crop(field: np.ndarray, rng: Random) -> np.ndarray:
    y, x = rng.randrange(192), rng.randrange(192)
    return field[y : y + SIZE, x : x + SIZE]


def _develop(rgb: np.ndarray, material: np.ndarray, canvas: Canvas, rng: Random) -> np.ndarray:
    """Texture, bloom, weather, exposure, vignette and film grain: float32 picture to uint8."""
    level = 0.55 if canvas.light.lamps else 1.0
    amount = _AMPLITUDE[material]
    texture = amount[..., 0] * _crop(_FINE, rng) + amount[..., 1] * _crop(_BLOTCH, rng) + amount[..., 2] * _crop(_STREAK, rng)
    rgb = rgb + (level * texture)[..., None]
    _add_glows(rgb, canvas.glows)
    if canvas.snowy and rng.random() < 0.45:
        rgb += (_crop(_SNOWFALL, rng) * rng.uniform(0.5, 1))[..., None] * (238 - rgb)
    elif canvas.light.name in ("overcast", "storm") and rng.random() < 0.4:
        rgb += _crop(_RAIN, rng)[..., None] * (225 - rgb)
    exposure = rng.uniform(0.92, 1.09)
    gain = np.array([exposure * rng.uniform(0.965, 1.035) for _ in range(3)], np.float32)
    mean = rgb.mean(axis=(0, 1))
    rgb = (rgb - mean) * rng.uniform(0.9, 1.1) + mean
    grey = rgb.mean(axis=2, keepdims=True)
    rgb = grey + (rgb - grey) * rng.uniform(0.8, 1.16)
    rgb = rgb * (gain * _VIGNETTE) + (_crop(_FINE, rng) * rng.uniform(1.2, 2.6))[..., None]
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def render(split: str, index: int) -> Scene:
    """Picture ``index`` (>= 0) of a split: a pure function of its arguments and ``VERSION``."""
    label = index % len(CLASSES)
    name = CLASSES[label]
    rng = Random(f"tinyplaces/{VERSION}/{SPLITS[split]}/{index}")
    light = pick_light(rng, _DARK.get(name))
    canvas = Canvas(light, pick_season(rng, snowy=name == "snowfield"), rng)
    _PAINTERS[name](canvas)
    rgb, ids, table = canvas.resolve()
    labels = np.empty((5, SIZE, SIZE), np.uint8)
    labels[:4] = table[:, ids]
    labels[4] = SCENE_VALUES[label]
    return Scene(_develop(rgb, labels[2], canvas, rng), labels, label)
