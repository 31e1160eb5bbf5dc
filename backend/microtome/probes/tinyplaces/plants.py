"""Trees and other things that grow."""

from __future__ import annotations

import math

from .canvas import Canvas
from .concepts import tag
from .land import FLOWER
from .palette import h, hs, mix, shade

TRUNK = tag("tree", "trunk", "wood")
CROWN = tag("tree", "crown", "foliage")
CROWN_SNOW = tag("tree", "crown", "snow")
PALM_TRUNK = tag("palm", "trunk", "wood")
PALM_CROWN = tag("palm", "crown", "foliage")
CACTUS = tag("cactus", "", "foliage")
BUSH = tag("bush", "", "foliage")
BUSH_SNOW = tag("bush", "", "snow")
_BARK = hs("6a4a33 6b4c36 5c4434 7a5a42")


def conifer(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Spruce standing at ``(x, b)``; snow-laden in winter."""
    r = c.rng
    green = r.choice(c.season.needle)
    wide = r.uniform(0.85, 1.15)
    c.rect(x - hgt * 0.035, b - hgt * 0.16, hgt * 0.07, hgt * 0.17, r.choice(_BARK), TRUNK)
    laden = c.snowy and r.random() < 0.8
    for k in range(4):
        y0, w = b - hgt * (0.11 + k * 0.2), hgt * (0.28 - k * 0.053) * wide
        t = y0 - hgt * 0.34
        tone = shade(green, 1 + 0.035 * k)
        c.poly(
            [
                (x - w, y0 + 0.3),
                (x - w * 0.45, y0 - hgt * 0.03),
                (x, t),
                (x + w * 0.5, y0 - hgt * 0.02),
                (x + w, y0 + 0.3),
                (x, y0 + hgt * 0.015),
            ],
            tone,
            CROWN,
        )
        c.poly([(x + w * 0.08, y0), (x, t), (x + w, y0 + 0.3)], shade(tone, 0.78), CROWN)
        if laden:
            c.poly(
                [(x - w * 0.98, y0 + 0.2), (x, t), (x + w * 0.3, t + hgt * 0.13), (x - w * 0.1, y0 - hgt * 0.1)],
                h("f1f6fa"),
                CROWN_SNOW,
            )


def broad(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Deciduous tree; bare and white-dusted in winter."""
    r = c.rng
    if c.snowy or (c.season.name == "bare" and r.random() < 0.8):
        _bare(c, x, b, hgt)
        return
    green = r.choice(c.season.leaf)
    bark = r.choice(_BARK)
    c.poly(
        [(x - hgt * 0.05, b), (x - hgt * 0.025, b - hgt * 0.5), (x + hgt * 0.03, b - hgt * 0.5), (x + hgt * 0.055, b)],
        bark,
        TRUNK,
    )
    tall = r.uniform(0.85, 1.25)
    cy = b - hgt * 0.68
    blobs = []
    for k in range(8):
        a, rad = k * 2.4 + x, hgt * 0.22 * math.sqrt((k + 0.6) / 8)
        blobs.append((x + math.cos(a) * rad * 1.15, cy + math.sin(a) * rad * tall, hgt * r.uniform(0.13, 0.17)))
    for px, py, rad in blobs:
        c.oval(px + hgt * 0.015, py + hgt * 0.03, rad, rad, shade(green, 0.74), CROWN)
    for px, py, rad in blobs:
        c.oval(px - hgt * 0.02, py - hgt * 0.02, rad * 0.84, rad * 0.8, shade(green, 1 if py > cy else 1.1), CROWN)
    for px, py, rad in blobs[:5]:
        if py < cy:
            c.oval(
                px - hgt * 0.05,
                py - hgt * 0.055,
                rad * 0.42,
                rad * 0.34,
                shade(mix(green, h("fff2b0"), 0.12), 1.16),
                CROWN,
            )


def _bare(c: Canvas, x: float, b: float, hgt: float) -> None:
    r = c.rng
    bark = shade(r.choice(_BARK), 0.9)
    c.poly(
        [(x - hgt * 0.035, b), (x - hgt * 0.012, b - hgt * 0.6), (x + hgt * 0.014, b - hgt * 0.6), (x + hgt * 0.04, b)],
        bark,
        TRUNK,
    )
    for k in range(8):
        a = -math.pi * (0.14 + 0.72 * k / 7)
        y0 = b - hgt * (0.34 + 0.04 * (k % 4))
        ex, ey = x + math.cos(a) * hgt * 0.34, y0 + math.sin(a) * hgt * r.uniform(0.4, 0.58)
        mx, my = x + (ex - x) * 0.5, y0 + (ey - y0) * 0.56
        c.line([(x, y0), (mx, my), (ex, ey)], 0.45, bark, CROWN)
        c.line([(mx, my), (mx + math.cos(a - 0.6) * hgt * 0.16, my + math.sin(a - 0.6) * hgt * 0.18)], 0.3, bark, CROWN)
        if c.snowy:
            c.line([(mx, my - 0.5), (ex, ey - 0.5)], 0.4, h("f0f4f8"), CROWN_SNOW)


def poplar(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Slender upright tree."""
    if c.snowy:
        conifer(c, x, b, hgt)
        return
    r = c.rng
    green = r.choice(c.season.leaf[:4])
    c.rect(x - 0.4, b - hgt * 0.2, 0.8, hgt * 0.2, r.choice(_BARK), TRUNK)
    c.oval(x, b - hgt * 0.55, hgt * 0.13, hgt * 0.45, shade(green, 0.8), CROWN)
    c.oval(x - hgt * 0.03, b - hgt * 0.57, hgt * 0.085, hgt * 0.4, green, CROWN)


def any_tree(c: Canvas, x: float, b: float, hgt: float, conifers: float = 0.4) -> None:
    """A tree of a random kind."""
    if c.rng.random() < conifers:
        conifer(c, x, b, hgt * 1.05)
    else:
        broad(c, x, b, hgt)


def palm(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Palm with a bent trunk."""
    r = c.rng
    bend, bark = r.uniform(-0.14, 0.14) * hgt, h("8a6a48")
    tx, ty = x + bend, b - hgt
    mx, my = x + bend * 0.3, b - hgt * 0.5
    w = max(0.5, hgt * 0.026)
    c.poly(
        [(x - w * 1.4, b), (mx - w, my), (tx - w * 0.7, ty), (tx + w * 0.7, ty), (mx + w, my), (x + w * 1.4, b)],
        bark,
        PALM_TRUNK,
    )
    for k in range(1, 7):
        y = b - hgt * k / 7
        c.rect(x + bend * (k / 7) ** 1.7 - w, y, w * 2, 0.34, shade(bark, 0.72), PALM_TRUNK)
    greens = hs("3f7442 5f9150 4c7d45")
    for k in range(8):
        a = -math.pi * (-0.04 + k * 0.155)
        ex, ey = tx + math.cos(a) * hgt * 0.4, ty + math.sin(a) * hgt * 0.24 + hgt * 0.14
        qx, qy = (tx + ex) / 2, min(ty, ey) - hgt * 0.08
        c.poly(
            [(tx, ty - 0.4), (qx, qy - hgt * 0.03), (ex, ey), (qx, qy + hgt * 0.045), (tx, ty + 0.5)],
            greens[k % 3],
            PALM_CROWN,
        )
    if c.snowy:
        c.oval(tx, ty - hgt * 0.05, hgt * 0.12, hgt * 0.025, h("eef3f7"), tag("palm", "crown", "snow"))
    c.oval(tx - 0.6, ty + 0.6, 0.7, 0.7, h("6a4a2c"), PALM_CROWN)


def cactus(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Saguaro with one or two arms."""
    r = c.rng
    green, w = r.choice(hs("5a8a50 4b7a4c 6a9458 507f5a")), hgt * 0.085

    def limb(px: float, top: float, bottom: float, half: float) -> None:
        c.oval(px, top, half, half, green, CACTUS)
        c.rect(px - half, top, half * 2, bottom - top, green, CACTUS)
        c.rect(px + half * 0.2, top, half * 0.7, bottom - top, shade(green, 0.76), CACTUS)

    for side in r.choice(((-1,), (1,), (-1, 1), (-1, 1))):
        ay, up = b - hgt * r.uniform(0.3, 0.5), hgt * r.uniform(0.2, 0.36)
        ax = x + side * w * 2.7
        c.rect(min(x, ax), ay - w * 0.75, abs(ax - x), w * 1.5, shade(green, 0.85), CACTUS)
        limb(ax, ay - up, ay + w * 0.7, w * 0.75)
    limb(x, b - hgt, b, w)
    if r.random() < 0.3:
        c.oval(x, b - hgt - w, w * 0.7, w * 0.6, h("e07a8a"), FLOWER)


def bush(c: Canvas, x: float, b: float, s: float) -> None:
    """Rounded shrub, sometimes in flower."""
    r = c.rng
    green = r.choice(c.season.leaf) if not c.snowy else h("6a7a68")
    for dx, k in ((-0.6, 0.7), (0.6, 0.75), (0, 1.0)):
        c.half(x + dx * s, b, s * 0.75 * k, s * 0.95 * k, shade(green, 0.74), BUSH)
        c.half(x + dx * s - s * 0.12, b - s * 0.14, s * 0.56 * k, s * 0.66 * k, green, BUSH)
    if c.snowy:
        c.half(x - s * 0.1, b - s * 0.45, s * 0.6, s * 0.45, h("eff4f8"), BUSH_SNOW)
    elif r.random() < 0.4:
        tone = r.choice(hs("f2d0da e8e2f0 f0d060 d85a6a f6f0e6"))
        for _ in range(5):
            c.oval(x + r.uniform(-0.9, 0.9) * s, b - r.uniform(0.15, 0.7) * s, 0.42, 0.42, tone, FLOWER)
