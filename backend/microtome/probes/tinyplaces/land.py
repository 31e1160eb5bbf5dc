"""Ground, drifts, fields and what lies on them."""

from __future__ import annotations

import math

from .canvas import Canvas, Point
from .concepts import Tag, tag
from .palette import RGB, h, hs, mix, shade

GRASS = tag("", "", "grass")
SNOW = tag("", "", "snow")
SAND = tag("", "", "sand")
EARTH = tag("", "", "earth")
WATER = tag("", "", "water")
FLOWER = tag("flower")
BOULDER = tag("boulder", "", "stone")
BOULDER_SNOW = tag("boulder", "", "snow")
CROP = tag("", "", "crop")
HAY = tag("hay bale", "", "crop")


def ground(c: Canvas, y: float, wave: float = 1.6, tone: RGB | None = None, kind: Tag | None = None) -> RGB:
    """Foreground land from ``y`` to the bottom: grass, or snow when it lies. Returns its base colour."""
    r = c.rng
    if kind is None:
        kind = SNOW if c.snowy else GRASS
    base = tone or r.choice(c.season.grass)
    ph, f = r.uniform(0, 6), r.uniform(0.04, 0.09)
    pts: list[Point] = [(-1, 97)]
    pts += [(x, y + wave * math.sin(x * f + ph)) for x in range(-1, 100, 4)]
    pts.append((98, 97))
    far = mix(base, c.light.low, 0.14)
    c.gradient(pts, (far, base, shade(base, 0.72 if kind is not SNOW else 0.84)), kind)
    if kind is GRASS or kind is SNOW:
        for _ in range(26):
            t = r.random()
            yy = y + 3 + (94 - y) * t
            c.rect(r.uniform(-2, 96), yy, 0.6 + 2.4 * t, 0.34 + 0.3 * t, shade(base, r.choice((0.8, 0.86, 1.12))), kind)
    return base


def drift(c: Canvas, y: float, amp: float, rgb: RGB, lee: RGB, kind: Tag) -> None:
    """Snow drift or dune across the picture, lit crest and shaded lee side, filled to the bottom."""
    r = c.rng
    x0, wide, skew = r.uniform(-6, 102), r.uniform(18, 34), r.uniform(0.45, 0.8)

    def crest(x: float) -> float:
        t = (x - x0) / (wide * (1 if x < x0 else skew))
        return y - amp * math.exp(-t * t) + 0.9 * math.sin(x * 0.09 + x0)

    line = [(x, crest(x)) for x in range(-2, 101, 3)]
    c.gradient([(-2, 99), *line, (100, 99)], (shade(rgb, 1.22), rgb, shade(rgb, 0.9), shade(rgb, 0.82)), kind)
    apex, end = x0, x0 + wide * skew * 1.5
    right = [(x0 + (end - x0) * k / 8, crest(x0 + (end - x0) * k / 8)) for k in range(9)]
    foot = [
        (
            apex + (end - apex) * k / 8 - amp * 0.5 * math.sin(math.pi * k / 8),
            crest(apex) + (crest(end) + 1.5 - crest(apex)) * (k / 8) ** 0.6 + amp * 0.25 * math.sin(math.pi * k / 8),
        )
        for k in range(9)
    ]
    c.poly(right + foot[::-1], lee, kind)


def patchwork(c: Canvas, y: float, hgt: float, count: int) -> None:
    """Distant fields lying on a slope; hidden under snow."""
    r = c.rng
    if c.snowy:
        return
    c.haze = 0.2
    for _ in range(count):
        x, w, yy = r.uniform(-6, 90), r.uniform(8, 20), y + r.uniform(0, hgt)
        d, tone, skew = r.uniform(1.6, 3.4), r.choice(c.season.crop), r.uniform(-4, 4)
        c.poly(
            [(x, yy), (x + w, yy - r.uniform(-0.6, 0.9)), (x + w + skew, yy + d), (x + skew * 1.4, yy + d + 0.4)],
            tone,
            CROP,
        )
        for k in (0.3, 0.6):
            c.line([(x + skew * k + 0.5, yy + d * k), (x + w + skew * k - 0.5, yy + d * k)], 0.34, shade(tone, 0.88), CROP)
    c.haze = 0.0


def shadow(c: Canvas, x: float, y: float, w: float, base: RGB, kind: Tag) -> None:
    """Soft contact shadow painted as darker ground."""
    c.oval(x, y, w, max(0.5, w * 0.16), shade(base, 0.62), kind)


def flowers(c: Canvas, y0: float, y1: float, x0: float = 0, x1: float = 96, count: int = 18) -> None:
    """Scattered blossoms; nothing in snow."""
    if c.snowy:
        return
    r = c.rng
    tones = r.choice((hs("e8c84a f4e8a0"), hs("d8484a f0f0ea"), hs("b070c0 e0b0d8"), hs("f4f0ea f0d060"), hs("5a78c8 c0d0f0")))
    for _ in range(count):
        y = r.uniform(y0, y1)
        s = 0.35 + 0.5 * (y - 50) / 46
        c.oval(r.uniform(x0, x1), y, s, s * 0.8, r.choice(tones), FLOWER)


def boulder(c: Canvas, x: float, b: float, s: float, tone: RGB | None = None) -> None:
    """Rock, ``s`` half its width."""
    r = c.rng
    tone = tone or r.choice(hs("8a8782 7a7c80 948a7c"))
    top = b - s * r.uniform(0.8, 1.2)
    pts = [
        (x - s, b),
        (x - s * 0.85, b - s * 0.5),
        (x - s * 0.4, top),
        (x + s * 0.3, top + s * 0.1),
        (x + s * 0.85, b - s * 0.45),
        (x + s, b),
    ]
    c.poly(pts, tone, BOULDER)
    c.poly([pts[3], pts[4], pts[5], (x + s * 0.1, b), (x + s * 0.15, b - s * 0.5)], shade(tone, 0.72), BOULDER)
    if c.snowy:
        c.poly(
            [pts[1], pts[2], pts[3], (x + s * 0.1, top + s * 0.35), (x - s * 0.4, top + s * 0.3)],
            h("f0f4f8"),
            BOULDER_SNOW,
        )


def hay_bale(c: Canvas, x: float, b: float, s: float) -> None:
    """Round bale seen end on, ``s`` its radius."""
    tone = h("d6b45a")
    c.rect(x, b - s * 2, s * 1.3, s * 2, shade(tone, 0.74), HAY)
    c.oval(x + s * 1.3, b - s, s * 0.8, s, shade(tone, 0.74), HAY)
    c.oval(x, b - s, s * 0.85, s, tone, HAY)
    c.oval(x, b - s, s * 0.5, s * 0.6, shade(tone, 0.84), HAY)
    c.oval(x, b - s, s * 0.3, s * 0.36, tone, HAY)
    if c.snowy:
        c.half(x + s * 0.5, b - s * 1.5, s * 1.2, s * 0.6, h("f2f5f8"), tag("hay bale", "", "snow"))
