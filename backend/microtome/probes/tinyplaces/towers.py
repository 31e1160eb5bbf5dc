"""Tall buildings: office towers, churches, lighthouses, windmills."""

from __future__ import annotations

import math

from .canvas import Canvas
from .concepts import tag
from .palette import h, hs, mix, shade

TOWER_WALL = tag("skyscraper", "wall", "concrete")
TOWER_BRICK = tag("skyscraper", "wall", "brick")
TOWER_GLASS = tag("skyscraper", "window", "glass")
TOWER_ROOF = tag("skyscraper", "roof", "metal")
CHURCH_WALL = tag("church", "wall", "plaster")
CHURCH_STONE = tag("church", "wall", "stone")
CHURCH_ROOF = tag("church", "roof", "tile")
CHURCH_SNOW = tag("church", "roof", "snow")
STEEPLE = tag("church", "steeple", "tile")
CHURCH_GLASS = tag("church", "window", "glass")
CHURCH_DOOR = tag("church", "door", "wood")
LIGHTHOUSE = tag("lighthouse", "wall", "stone")
LIGHT_LAMP = tag("lighthouse", "lamp", "glass")
LIGHT_ROOF = tag("lighthouse", "roof", "metal")
LIGHT_DOOR = tag("lighthouse", "door", "wood")
MILL_WALL = tag("windmill", "wall", "plaster")
MILL_ROOF = tag("windmill", "roof", "tile")
MILL_BLADE = tag("windmill", "blade", "cloth")
MILL_ARM = tag("windmill", "blade", "wood")
MILL_DOOR = tag("windmill", "door", "wood")
_WARM = hs("ffd37a ffc766 ffe09a f8e2b0 bfe0f0")


def skyscraper(c: Canvas, x: float, b: float, w: float, hgt: float, lit: float = 0.5) -> None:
    """Office tower with rows of windows; ``lit`` is the share of lit ones after dark."""
    r = c.rng
    brick = r.random() < 0.25
    wall = r.choice(hs("a96a52 8f5a48 b58468")) if brick else r.choice(hs("8d98a6 a7aeb4 6f7f92 b8b2a6 5f6c7a c4c0b6 7d8f9a"))
    t = TOWER_BRICK if brick else TOWER_WALL
    glass = r.choice(hs("4f6c86 5f83a0 3f566c 7a9cb4 527a86"))
    top = b - hgt
    kind = r.random()
    if kind < 0.3:
        c.rect(x + w * 0.25, top - hgt * 0.09, w * 0.5, hgt * 0.1, shade(wall, 0.92), t)
        c.rect(x + w * 0.48, top - hgt * 0.22, 0.5, hgt * 0.14, h("5a6068"), TOWER_ROOF)
    elif kind < 0.45:
        c.poly([(x, top + 0.5), (x + w * 0.5, top - w * 0.7), (x + w, top + 0.5)], shade(wall, 0.82), TOWER_ROOF)
    c.rect(x, top, w, hgt, wall, t)
    rows, cols = max(2, int(hgt / 3.2)), max(2, int(w / 2.6))
    rh, cw = (hgt - 1.5) / rows, (w - 1) / cols
    curtain = r.random() < 0.4
    night = c.light.lamps
    pane = shade(glass, 0.55) if night else mix(glass, c.light.mid, 0.3)
    for i in range(rows):
        c.rect(
            x + 0.7,
            top + 1 + i * rh,
            w - 1.4,
            rh * (0.78 if curtain else 0.58),
            pane if i % 3 else shade(pane, 1.08),
            TOWER_GLASS,
        )
    for j in range(cols + 1):
        c.rect(x + 0.5 + j * cw - 0.3, top, 0.34 if curtain else cw * 0.4, hgt, wall, t)
    c.rect(x + w * 0.84, top, w * 0.16, hgt, shade(wall, 0.8), t)
    if night and lit:
        for _ in range(int(rows * cols * lit)):
            i, j = r.randrange(rows), r.randrange(cols)
            c.rect(x + 0.8 + j * cw, top + 1 + i * rh, cw * 0.62, rh * 0.58, r.choice(_WARM), TOWER_GLASS, raw=True)
        c.glow(x + w / 2, top + hgt * 0.5, w * 1.3, h("ffc070"), 0.14 * lit)
    if c.snowy:
        c.rect(x - 0.2, top - 0.8, w + 0.4, 1, h("f0f4f8"), tag("skyscraper", "roof", "snow"))
    else:
        c.rect(x - 0.2, top - 0.4, w + 0.4, 0.8, shade(wall, 0.7), TOWER_ROOF)


def church(c: Canvas, x: float, b: float, s: float) -> None:
    """Nave and steeple; ``s`` is the height of the tower without its spire."""
    r = c.rng
    stone = r.random() < 0.35
    wall = h("a8a298") if stone else r.choice(hs("f0eadc e8dcc0 efe6d8"))
    t = CHURCH_STONE if stone else CHURCH_WALL
    roof = r.choice(hs("8d3f31 5b5f69 47525c 4f6f66"))
    w, nave, flip = s * 0.34, s * 0.8, r.choice((-1, 1))
    nx0, nx1 = (x + w / 2, x + w / 2 + nave) if flip > 0 else (x - w / 2 - nave, x - w / 2)
    c.rect(nx0, b - s * 0.46, nave, s * 0.46, wall, t)
    pts = [(nx0 - 0.6, b - s * 0.44), (nx0 + 0.6, b - s * 0.76), (nx1 - 0.6, b - s * 0.76), (nx1 + 0.6, b - s * 0.44)]
    c.poly(pts, roof, CHURCH_ROOF)
    if c.snowy:
        c.poly([(nx0, b - s * 0.55), pts[1], pts[2], (nx1, b - s * 0.53)], h("f2f6fa"), CHURCH_SNOW)
    for k in range(3):
        wx = nx0 + nave * (k + 0.5) / 3
        _arched(c, wx, b - s * 0.16, s * 0.09, s * 0.2)
    c.rect(x - w / 2, b - s, w, s, wall, t)
    c.rect(x + w * 0.22, b - s, w * 0.28, s, shade(wall, 0.82), t)
    c.poly([(x - w * 0.62, b - s + 0.4), (x, b - s * 1.62), (x + w * 0.62, b - s + 0.4)], roof, STEEPLE)
    c.poly([(x, b - s * 1.62), (x + w * 0.62, b - s + 0.4), (x + w * 0.1, b - s + 0.4)], shade(roof, 0.76), STEEPLE)
    c.rect(x - 0.17, b - s * 1.62 - 2, 0.4, 2.2, h("d8b048"), STEEPLE)
    c.rect(x - 0.7, b - s * 1.62 - 1.4, 1.4, 0.4, h("d8b048"), STEEPLE)
    _arched(c, x, b - s * 0.66, s * 0.1, s * 0.2)
    c.rect(x - w * 0.2, b - s * 0.24, w * 0.4, s * 0.24, h("6a4a30"), CHURCH_DOOR)


def _arched(c: Canvas, x: float, b: float, w: float, hgt: float) -> None:
    raw = c.light.lamps
    tone = h("ffcf7a") if raw else h("46586a")
    c.rect(x - w / 2, b - hgt, w, hgt, tone, CHURCH_GLASS, raw)
    c.oval(x, b - hgt, w / 2, w / 2, tone, CHURCH_GLASS, raw)
    if raw:
        c.glow(x, b - hgt / 2, w * 3, h("ffb85a"), 0.25)


def lighthouse(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Banded tower with a lamp room."""
    r = c.rng
    w, bands = hgt * 0.14, r.choice(hs("b9413a 2f4f7f 3a4046 b9413a"))
    white = h("f3efe6")

    def half(t: float) -> float:
        return w * (1 - 0.38 * t)

    c.poly([(x - w, b), (x - half(1), b - hgt), (x + half(1), b - hgt), (x + w, b)], white, LIGHTHOUSE)
    for t0 in (0.14, 0.48, 0.8):
        t1 = t0 + 0.17
        c.poly(
            [
                (x - half(t0), b - hgt * t0),
                (x - half(t1), b - hgt * t1),
                (x + half(t1), b - hgt * t1),
                (x + half(t0), b - hgt * t0),
            ],
            bands,
            LIGHTHOUSE,
        )
        c.poly(
            [
                (x + half(t0) * 0.3, b - hgt * t0),
                (x + half(t1) * 0.3, b - hgt * t1),
                (x + half(t1), b - hgt * t1),
                (x + half(t0), b - hgt * t0),
            ],
            shade(bands, 0.76),
            LIGHTHOUSE,
        )
    for t0, t1 in ((0, 0.14), (0.31, 0.48), (0.65, 0.8), (0.97, 1.0)):
        c.poly(
            [
                (x + half(t0) * 0.3, b - hgt * t0),
                (x + half(t1) * 0.3, b - hgt * t1),
                (x + half(t1), b - hgt * t1),
                (x + half(t0), b - hgt * t0),
            ],
            shade(white, 0.82),
            LIGHTHOUSE,
        )
    c.rect(x - w * 0.28, b - hgt * 0.1, w * 0.56, hgt * 0.1, h("5a3a2c"), LIGHT_DOOR)
    c.rect(x - half(1) * 1.3, b - hgt - 0.5, half(1) * 2.6, 0.8, h("3a3f46"), LIGHT_ROOF)
    on = c.light.lamps or c.light.name in ("fog", "storm", "dusk")
    lw, lh = half(1) * 0.72, hgt * 0.12
    c.rect(x - lw, b - hgt - 0.5 - lh, lw * 2, lh, h("ffeaa8") if on else h("6a8496"), LIGHT_LAMP, raw=on)
    c.poly(
        [(x - lw * 1.35, b - hgt - 0.4 - lh), (x, b - hgt - lh * 1.9), (x + lw * 1.35, b - hgt - 0.4 - lh)],
        shade(bands, 0.8),
        LIGHT_ROOF,
    )
    if on:
        c.glow(x, b - hgt - lh / 2, hgt * 0.55, h("ffe2a0"), 0.6)


def windmill(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Tower mill with four sails."""
    r = c.rng
    wall = r.choice(hs("ece4d2 b58a62 d8cdb6 9a5a48"))
    w = hgt * 0.2
    c.poly([(x - w, b), (x - w * 0.6, b - hgt * 0.76), (x + w * 0.6, b - hgt * 0.76), (x + w, b)], wall, MILL_WALL)
    c.poly(
        [(x + w * 0.4, b), (x + w * 0.25, b - hgt * 0.76), (x + w * 0.6, b - hgt * 0.76), (x + w, b)],
        shade(wall, 0.8),
        MILL_WALL,
    )
    c.half(x, b - hgt * 0.75, w * 0.72, hgt * 0.2, r.choice(hs("6d4a3c 5b5f69 8d3f31")), MILL_ROOF)
    c.rect(x - w * 0.22, b - hgt * 0.2, w * 0.44, hgt * 0.2, h("5f3f2c"), MILL_DOOR)
    c.rect(
        x - w * 0.18,
        b - hgt * 0.5,
        w * 0.36,
        hgt * 0.09,
        h("ffd37a") if c.light.lamps else h("4b5a66"),
        tag("windmill", "window", "glass"),
        c.light.lamps,
    )
    cx, cy, a0 = x, b - hgt * 0.76, r.uniform(0, math.pi / 2)
    for k in range(4):
        a = a0 + k * math.pi / 2
        dx, dy = math.cos(a), math.sin(a)
        n = hgt * 0.46
        q = hgt * 0.1
        c.poly(
            [
                (cx + dx * n * 0.2, cy + dy * n * 0.2),
                (cx + dx * n, cy + dy * n),
                (cx + dx * n - dy * q, cy + dy * n + dx * q),
                (cx + dx * n * 0.2 - dy * q, cy + dy * n * 0.2 + dx * q),
            ],
            h("f4efe2"),
            MILL_BLADE,
        )
        c.line([(cx, cy), (cx + dx * n, cy + dy * n)], 0.6, h("5a4432"), MILL_ARM)
    c.oval(cx, cy, 0.8, 0.8, h("4a3628"), MILL_ARM)
