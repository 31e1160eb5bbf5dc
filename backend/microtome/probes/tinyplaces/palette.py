"""Colour arithmetic, colour names, times of day and seasons. Colours are 8-bit sRGB triples."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from random import Random
from typing import NamedTuple

from .concepts import COLOURS

RGB = tuple[int, int, int]


def h(code: str) -> RGB:
    """``h("8d3f31")`` as an RGB triple."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def hs(codes: str) -> tuple[RGB, ...]:
    """Several space-separated hex codes as RGB triples."""
    return tuple(h(code) for code in codes.split())


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """Linear blend from ``a`` (t = 0) to ``b`` (t = 1)."""
    return int(a[0] + (b[0] - a[0]) * t), int(a[1] + (b[1] - a[1]) * t), int(a[2] + (b[2] - a[2]) * t)


def shade(c: RGB, f: float) -> RGB:
    """Darken for ``f < 1`` (multiply), lighten for ``f > 1`` (blend towards white by ``f - 1``)."""
    if f <= 1:
        return int(c[0] * f), int(c[1] * f), int(c[2] * f)
    return mix(c, (255, 255, 255), f - 1)


def _name(r: int, g: int, b: int) -> str:
    hue, sat, val = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    hue *= 360
    chroma = sat * val
    if val < 0.2:
        return "black"
    if chroma < 0.09 or sat < 0.12:
        return "white" if val > 0.8 else "grey" if val > 0.26 else "black"
    if hue < 14 or hue >= 345:
        return "pink" if sat < 0.45 and val > 0.7 else "brown" if val < 0.36 or sat < 0.34 else "red"
    if hue < 40:
        if sat < 0.24 and val > 0.86:
            return "white"
        return "orange" if sat > 0.45 and val > 0.72 else "yellow" if val > 0.82 and hue > 30 else "brown"
    if hue < 66:
        if sat < 0.24 and val > 0.84:
            return "white"
        return "yellow" if val > 0.6 else "brown" if hue < 52 else "green"
    if hue < 168:
        return "green"
    if hue < 252:
        return "blue"
    if hue < 300:
        return "purple"
    return "pink" if val > 0.6 else "purple"


@lru_cache(maxsize=1 << 16)
def colour_index(r: int, g: int, b: int) -> int:
    """Index into ``COLOURS`` of the name of a painted colour."""
    return COLOURS.index(_name(r, g, b))


class Light(NamedTuple):
    """A time of day: sky stops from the zenith to the horizon, how surfaces take the light, water stops."""

    name: str
    top: RGB
    mid: RGB
    low: RGB
    mul: tuple[float, float, float]  # reflectance multiplier of every surface
    amb: RGB  # colour surfaces are blended towards ...
    k: float  # ... and how far
    far: RGB  # water at the horizon
    near: RGB  # water at the bottom of the picture
    sun: str  # "high", "low", "moon" or "" (hidden)
    lamps: bool  # whether windows and lamps are lit
    haze: float  # extra aerial perspective


def _light(name: str, sky: str, mul: tuple[float, float, float], amb: str, k: float, sea: str, sun: str,
           lamps: bool = False, haze: float = 1.0) -> Light:  # fmt: skip
    top, mid, low = hs(sky)
    far, near = hs(sea)
    return Light(name, top, mid, low, mul, h(amb), k, far, near, sun, lamps, haze)


LIGHTS: dict[str, Light] = {
    light.name: light
    for light in (
        _light("noon", "3f8fd8 8cc3ec d8edf7", (1.0, 1.0, 1.0), "ffffff", 0.0, "7cbcd2 2b7fae", "high"),
        _light("clear", "2f7cc0 6fb0dc c6e4ee", (1.0, 0.99, 0.96), "fff4d8", 0.05, "6fb3b8 2b7d94", "high"),
        _light("morning", "7fb0dc c6dae6 fde0c2", (1.02, 0.97, 0.92), "ffdcae", 0.10, "b4cbc9 4d8ba8", "low"),
        _light("golden", "6f9cc4 e3c7a0 ffd489", (1.05, 0.9, 0.72), "ff9f43", 0.11, "e8c796 5f88a0", "low"),
        _light("overcast", "8b98a5 b3bdc5 dadee0", (0.88, 0.91, 0.95), "8f9aa3", 0.16, "a3b0b6 566f7d", ""),
        _light("storm", "56636f 7f8c96 bcc4c4", (0.8, 0.85, 0.9), "70808a", 0.16, "8d9a9a 41545f", ""),
        _light("fog", "b9c3c8 cfd6d8 e6e8e6", (0.92, 0.94, 0.95), "dfe4e4", 0.2, "c8d0d1 8fa2a8", "", haze=1.9),
        _light("dusk", "3b3f78 b4647a f8b877", (0.86, 0.68, 0.7), "9a4f66", 0.18, "d9906c 3a3f6e", "low"),
        _light("rose", "6a6fae d79ab2 fbd3b6", (0.96, 0.82, 0.86), "c07a94", 0.12, "e0aea6 66709c", "low"),
        _light("evening", "1a2550 4a5488 c58f90", (0.66, 0.65, 0.8), "2d3a74", 0.17, "8a7c98 232f5c", "moon", True),
        _light("night", "0d1433 1e2b57 46588a", (0.54, 0.58, 0.74), "1e2a5c", 0.2, "3a4a7a 141c3e", "moon", True),
        _light("lateglow", "2c2a5c 84507c f29a68", (0.76, 0.63, 0.7), "4c3868", 0.17, "b87a78 2e2c58", "", True),
    )
}

_DAY = ("noon", "clear", "morning", "golden", "overcast", "storm", "fog", "rose", "dusk")
_DAY_WEIGHTS = (15, 13, 11, 10, 12, 6, 7, 7, 8)
_DARK = ("evening", "night", "lateglow")
_DARK_WEIGHTS = (5, 5, 4)
DARK_SHARE = 0.26  # of the pictures of every class but the two cities, so that darkness is no class mark


def pick_light(rng: Random, dark: bool | None) -> Light:
    """A time of day; ``dark`` forces lamps on (True) or off (False), None draws."""
    if dark is None:
        dark = rng.random() < DARK_SHARE
    names, weights = (_DARK, _DARK_WEIGHTS) if dark else (_DAY, _DAY_WEIGHTS)
    return LIGHTS[rng.choices(names, weights)[0]]


class Season(NamedTuple):
    """What grows and what has fallen: grass and leaf palettes, whether snow lies."""

    name: str
    grass: tuple[RGB, ...]
    leaf: tuple[RGB, ...]
    needle: tuple[RGB, ...]
    crop: tuple[RGB, ...]
    snow: bool


_NEEDLE = hs("2f5d46 37634a 2a5240 3d6b4a 2c5a52")
SPRING = Season("spring", hs("7fae55 8fb85a 6fa152 9bbf6a"), hs("86b552 9cc163 75a84b e8b4c4 f0cbd2"), _NEEDLE,
                hs("9bb653 7fa348 c9c04e 8a6a4a"), False)  # fmt: skip
SUMMER = Season("summer", hs("6f9a4c 7d9f52 5f8d4a 8aa05a a6a055"), hs("5c8a42 6b9447 4f7d3f 7a9a48 3f7247"), _NEEDLE,
                hs("d9b95a c9a84a e2c66c 8aa24a b9b052"), False)  # fmt: skip
AUTUMN = Season("autumn", hs("9a9a50 a8924c 8a8f4e b09a5a"), hs("c9762f b0562c d99a3c 96703a a8443a 7f8a44"), _NEEDLE,
                hs("a8834a 8a6844 c29a50 74583c"), False)  # fmt: skip
WINTER = Season("winter", hs("eef3f7 e6edf3 f4f6f8"), hs("a9b0b0 8d8a86 b9bcbc"), hs("3a5f58 456b64 34564e"),
                hs("d9e0e4 e4e8ea c9ced0"), True)  # fmt: skip
BARE = Season("bare", hs("a39a6e 94906a 8d8b62 b0a67c"), hs("8a7a66 7a6c5c 9a8a72"), hs("3a5a48 41604c"),
              hs("8f7a5c 7a6650 a08c68"), False)  # fmt: skip


def pick_season(rng: Random, snowy: bool = False) -> Season:
    """A season; ``snowy`` keeps the snow on the ground."""
    if snowy:
        return WINTER
    return rng.choices((SPRING, SUMMER, AUTUMN, WINTER, BARE), (24, 30, 20, 20, 6))[0]
