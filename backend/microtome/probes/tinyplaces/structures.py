"""Roads, bridges, jetties, fences and lamp posts."""

from __future__ import annotations

import math

from .canvas import Canvas
from .concepts import tag
from .palette import RGB, h, hs, mix, shade

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
        c.draw.pieslice(
            ((mid - span * 0.4) * 3, (water - height) * 3, (mid + span * 0.4) * 3, (water + height) * 3),
            180,
            360,
            fill=c.ink(shade(mix(c.light.far, c.light.near, 0.6), 0.8), tag("", "", "water"), True),
        )
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
            (ax, ay), (bx, _) = left[k], right[k]
            (dx, dy), (ex, _) = left[k + 1], right[k + 1]
            m0, m1, q0, q1 = (ax + bx) / 2, (dx + ex) / 2, (bx - ax) * 0.03 + 0.1, (ex - dx) * 0.03 + 0.1
            c.poly([(m0 - q0, ay), (m0 + q0, ay), (m1 + q1, dy), (m1 - q1, dy)], h("efe9d6"), MARKING)
