"""Towers, bridges, roads and street furniture."""

from __future__ import annotations

import math

from .canvas import Canvas
from .concepts import tag
from .houses import WALLS
from .palette import RGB, h, hs, mix, shade

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
POLE = tag("lamp post", "pole", "metal")
LAMP = tag("lamp post", "lamp", "glass")
FENCE = tag("fence", "", "wood")
BRIDGE = tag("bridge", "deck", "stone")
ARCH = tag("bridge", "arch", "stone")
BRIDGE_STEEL = tag("bridge", "arch", "metal")
PIER = tag("pier", "deck", "wood")
PIER_POLE = tag("pier", "pole", "wood")
ROAD = tag("road", "", "asphalt")
MARKING = tag("road", "marking", "asphalt")
TRACK = tag("road", "", "earth")
PAVEMENT = tag("", "", "concrete")

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
        c.rect(x + 0.7, top + 1 + i * rh, w - 1.4, rh * (0.78 if curtain else 0.58), pane if i % 3 else shade(pane, 1.08), TOWER_GLASS)
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
        c.poly([(x - half(t0), b - hgt * t0), (x - half(t1), b - hgt * t1), (x + half(t1), b - hgt * t1), (x + half(t0), b - hgt * t0)], bands, LIGHTHOUSE)
        c.poly([(x + half(t0) * 0.3, b - hgt * t0), (x + half(t1) * 0.3, b - hgt * t1), (x + half(t1), b - hgt * t1), (x + half(t0), b - hgt * t0)], shade(bands, 0.76), LIGHTHOUSE)
    for t0, t1 in ((0, 0.14), (0.31, 0.48), (0.65, 0.8), (0.97, 1.0)):
        c.poly([(x + half(t0) * 0.3, b - hgt * t0), (x + half(t1) * 0.3, b - hgt * t1), (x + half(t1), b - hgt * t1), (x + half(t0), b - hgt * t0)], shade(white, 0.82), LIGHTHOUSE)
    c.rect(x - w * 0.28, b - hgt * 0.1, w * 0.56, hgt * 0.1, h("5a3a2c"), LIGHT_DOOR)
    c.rect(x - half(1) * 1.3, b - hgt - 0.5, half(1) * 2.6, 0.8, h("3a3f46"), LIGHT_ROOF)
    on = c.light.lamps or c.light.name in ("fog", "storm", "dusk")
    lw, lh = half(1) * 0.72, hgt * 0.12
    c.rect(x - lw, b - hgt - 0.5 - lh, lw * 2, lh, h("ffeaa8") if on else h("6a8496"), LIGHT_LAMP, raw=on)
    c.poly([(x - lw * 1.35, b - hgt - 0.4 - lh), (x, b - hgt - lh * 1.9), (x + lw * 1.35, b - hgt - 0.4 - lh)], shade(bands, 0.8), LIGHT_ROOF)
    if on:
        c.glow(x, b - hgt - lh / 2, hgt * 0.55, h("ffe2a0"), 0.6)


def windmill(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Tower mill with four sails."""
    r = c.rng
    wall = r.choice(hs("ece4d2 b58a62 d8cdb6 9a5a48"))
    w = hgt * 0.2
    c.poly([(x - w, b), (x - w * 0.6, b - hgt * 0.76), (x + w * 0.6, b - hgt * 0.76), (x + w, b)], wall, MILL_WALL)
    c.poly([(x + w * 0.4, b), (x + w * 0.25, b - hgt * 0.76), (x + w * 0.6, b - hgt * 0.76), (x + w, b)], shade(wall, 0.8), MILL_WALL)
    c.half(x, b - hgt * 0.75, w * 0.72, hgt * 0.2, r.choice(hs("6d4a3c 5b5f69 8d3f31")), MILL_ROOF)
    c.rect(x - w * 0.22, b - hgt * 0.2, w * 0.44, hgt * 0.2, h("5f3f2c"), MILL_DOOR)
    c.rect(x - w * 0.18, b - hgt * 0.5, w * 0.36, hgt * 0.09, h("ffd37a") if c.light.lamps else h("4b5a66"), tag("windmill", "window", "glass"), c.light.lamps)
    cx, cy, a0 = x, b - hgt * 0.76, r.uniform(0, math.pi / 2)
    for k in range(4):
        a = a0 + k * math.pi / 2
        dx, dy = math.cos(a), math.sin(a)
        n = hgt * 0.46
        q = hgt * 0.1
        c.poly([(cx + dx * n * 0.2, cy + dy * n * 0.2), (cx + dx * n, cy + dy * n), (cx + dx * n - dy * q, cy + dy * n + dx * q), (cx + dx * n * 0.2 - dy * q, cy + dy * n * 0.2 + dx * q)],
               h("f4efe2"), MILL_BLADE)  # fmt: skip
        c.line([(cx, cy), (cx + dx * n, cy + dy * n)], 0.6, h("5a4432"), MILL_ARM)
    c.oval(cx, cy, 0.8, 0.8, h("4a3628"), MILL_ARM)


def lamp_post(c: Canvas, x: float, b: float, hgt: float) -> None:
    """Street lamp, lit when lamps are."""
    arm = c.rng.choice((-1, 1)) * hgt * 0.14
    c.rect(x - 0.3, b - hgt, 0.65, hgt, h("3a3f46"), POLE)
    c.line([(x, b - hgt), (x + arm, b - hgt - 0.5)], 0.5, h("3a3f46"), POLE)
    on = c.light.lamps
    c.oval(x + arm, b - hgt + 0.3, 1.1, 0.95, h("ffeab0") if on else h("e8e6da"), LAMP, raw=on)
    if on:
        c.glow(x + arm, b - hgt + 0.5, 8.5, h("ffcf80"), 0.6)
        c.glow(x + arm * 0.5, b, 9, h("ffc070"), 0.2)


def fence(c: Canvas, y: float, x0: float, x1: float, tone: RGB | None = None, hgt: float = 4.6) -> None:
    """Picket or rail fence along the viewer."""
    tone = tone or c.rng.choice(hs("efeade 8a6a4a a89274 efeade"))
    for k in (0.32, 0.68):
        c.rect(x0, y - hgt * k - 0.3, x1 - x0, 0.62, shade(tone, 0.9), FENCE)
    x = x0
    while x < x1:
        c.poly([(x, y), (x, y - hgt * 0.86), (x + 0.55, y - hgt), (x + 1.1, y - hgt * 0.86), (x + 1.1, y)], tone, FENCE)
        x += 3.2


def arched_bridge(c: Canvas, x0: float, x1: float, deck: float, water: float, arches: int) -> None:
    """Stone bridge from ``x0`` to ``x1`` with its deck at ``deck`` and arches down to ``water``."""
    tone = c.rng.choice(hs("a39a8c 8f8a84 b0a08a 94695a"))
    n = 24
    rise = (x1 - x0) * 0.05
    upper = [(x0 + (x1 - x0) * i / n, deck - rise * math.sin(math.pi * i / n)) for i in range(n + 1)]
    span = (x1 - x0) / arches
    lower = []
    for i in range(n, -1, -1):
        x = x0 + (x1 - x0) * i / n
        lower.append((x, water))
    c.poly(upper + lower, tone, ARCH)
    for k in range(arches):
        mid = x0 + span * (k + 0.5)
        height = min(water - deck - 1.4, span * 0.52)
        c.draw.pieslice(((mid - span * 0.4) * 3, (water - height) * 3, (mid + span * 0.4) * 3, (water + height) * 3), 180, 360,
                        fill=c.ink(shade(mix(c.light.far, c.light.near, 0.6), 0.8), tag("", "", "water"), True))  # fmt: skip
    c.line([(x, y) for x, y in upper], 1.3, shade(tone, 1.14), BRIDGE)
    c.line([(x, y + 1) for x, y in upper], 0.5, shade(tone, 0.7), BRIDGE)


def steel_bridge(c: Canvas, x0: float, x1: float, deck: float, water: float) -> None:
    """Suspension bridge: two towers, cables and hangers."""
    tone = c.rng.choice(hs("b0503f 6f7f8a 5a6a62 a8b0b4"))
    t0, t1, up = x0 + (x1 - x0) * 0.25, x0 + (x1 - x0) * 0.75, (x1 - x0) * 0.2
    n = 14
    cable = [(t0 + (t1 - t0) * i / n, deck - up + up * 0.86 * math.sin(math.pi * i / n)) for i in range(n + 1)]
    for x, y in cable[1:-1]:
        c.rect(x, y, 0.34, deck - y, shade(tone, 1.1), BRIDGE_STEEL)
    c.line([(x0, deck), (t0, deck - up), *cable, (t1, deck - up), (x1, deck)], 0.6, tone, BRIDGE_STEEL)
    for t in (t0, t1):
        c.rect(t - 0.8, deck - up - 1, 1.6, water - deck + up + 1, tone, BRIDGE_STEEL)
    c.rect(x0 - 1, deck - 0.3, x1 - x0 + 2, 1.4, shade(tone, 0.8), tag("bridge", "deck", "metal"))


def pier(c: Canvas, x: float, y: float, length: float, w: float) -> None:
    """Wooden jetty running away from the viewer, near end at ``(x, y)``."""
    tone = h("9a7a58") if not c.snowy else h("d8dde0")
    top = y - length
    skew = c.rng.uniform(-0.25, 0.25) * length
    for k in (0.1, 0.55, 0.95):
        px, py = x + skew * k, y - length * k
        for side in (-1, 1):
            c.rect(px + side * w * (1 - 0.55 * k) - 0.4, py - 0.4, 0.8, 3.4 * (1.2 - k), h("5f4836"), PIER_POLE)
    c.poly([(x - w, y), (x + skew - w * 0.42, top), (x + skew + w * 0.42, top), (x + w, y)], tone, PIER)
    for k in range(1, 9):
        t = (k / 9) ** 1.3
        px, half = x + skew * t, w * (1 - 0.58 * t)
        c.rect(px - half, y - length * t, half * 2, 0.36, shade(tone, 0.74), PIER)


def street(c: Canvas, y: float, hgt: float, kerb: float = 3.0) -> None:
    """Road along the viewer, with a pavement above it; snow-swept in winter."""
    r = c.rng
    tone = r.choice(hs("5a5e65 666a70 50545c"))
    if kerb:
        c.rect(-1, y - kerb, 98, kerb + 0.5, h("b9b4aa") if not c.snowy else h("e2e8ec"), PAVEMENT)
        c.rect(-1, y - 0.5, 98, 0.7, h("8f8b84"), PAVEMENT)
    c.band(y, min(97, y + hgt), (shade(tone, 1.08), tone, shade(tone, 0.82)), ROAD)
    x = r.uniform(-6, 4)
    while x < 96:
        c.rect(x, y + hgt * 0.5, 7, 0.9, h("efe9d6"), MARKING)
        x += 13


def lane(c: Canvas, y0: float, x0: float, y1: float, x1: float, w0: float, w1: float, paved: bool) -> None:
    """Road or track running away from the viewer, from ``(x1, y1)`` near to ``(x0, y0)`` far."""
    r = c.rng
    if paved:
        tone, t = h("666a70"), ROAD
    else:
        tone, t = r.choice(hs("b59a72 a88a66 c4ab86")) if not c.snowy else h("c9cdd2"), TRACK
    bend = r.uniform(-9, 9)
    left, right = [], []
    for k in range(9):
        u = (k / 8) ** 1.5
        x = x0 + (x1 - x0) * u + bend * math.sin(math.pi * u)
        half = w0 + (w1 - w0) * u
        left.append((x - half, y0 + (y1 - y0) * u))
        right.append((x + half, y0 + (y1 - y0) * u))
    c.poly(left + right[::-1], tone, t)
    if paved:
        for k in range(0, 8, 2):
            (ax, ay), (bx, by) = left[k], right[k]
            (dx, dy), (ex, _) = left[k + 1], right[k + 1]
            m0, m1, q0, q1 = (ax + bx) / 2, (dx + ex) / 2, (bx - ax) * 0.03 + 0.1, (ex - dx) * 0.03 + 0.1
            c.poly([(m0 - q0, ay), (m0 + q0, ay), (m1 + q1, dy), (m1 - q1, dy)], h("efe9d6"), MARKING)


WALL_PAINTS = tuple(rgb for rgb, material in WALLS if material == "plaster")
