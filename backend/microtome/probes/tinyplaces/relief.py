"""Distant land: mountains, hills and mesas."""

from __future__ import annotations

import math

from .canvas import Canvas, Point
from .concepts import Tag, tag
from .palette import RGB, h, hs, shade

ROCK = tag("mountain", "", "stone")
PEAK = tag("mountain", "peak", "snow")
HILL_GREEN = tag("hill", "", "foliage")
HILL_GRASS = tag("hill", "", "grass")
HILL_SNOW = tag("hill", "", "snow")
HILL_SAND = tag("hill", "", "sand")
BUTTE = tag("mountain", "", "earth")
_ROCKS = hs("5d6b7e 67707c 566676 7a7068 6f7684")


def mountains(c: Canvas, base: float, count: int, low: float, high: float, caps: float = 0.7) -> None:
    """Jagged mountains standing on ``base``; ``caps`` is the chance of a snow-capped peak."""
    r = c.rng
    rock = r.choice(_ROCKS)
    xs = [96 * (i + r.uniform(0.2, 0.8)) / count for i in range(count)]
    r.shuffle(xs)
    snow = r.random() < (0.95 if c.snowy else caps)
    for i, px in enumerate(xs):
        hgt = r.uniform(low, high)
        c.haze = 0.42 - 0.24 * i / max(1, count - 1)
        top, n = base - hgt, 9
        sides: list[list[Point]] = []
        for d in (-1, 1):
            w, bow = r.uniform(24, 46), r.uniform(0.8, 1.35)
            side = [(px + d * w, base + 1)]
            for k in range(1, n):
                f = k / n
                side.append((px + d * w * (1 - f) ** bow + r.uniform(-1.3, 1.3), base - hgt * (f + 0.035 * r.uniform(-1, 1))))
            sides.append(side)
        left, right = sides
        tone = shade(rock, r.uniform(0.9, 1.12))
        c.poly([*left, (px, top), *reversed(right)], tone, ROCK)
        lean = r.uniform(-6, 5)
        spine = [(px + lean * k / 6 + (1.8 if k % 2 else -1.2) * k / 3, top + hgt * k / 6) for k in range(1, 7)]
        c.poly([(px, top), *reversed(right), *reversed(spine)], shade(tone, 0.76), ROCK)
        for k in (2, 3):  # a lit and a shaded rib give the faces some relief
            sx, sy = spine[k]
            c.poly([(sx, sy), (sx - hgt * 0.16, base + 1), (sx - hgt * 0.3, base + 1)], shade(tone, 0.86), ROCK)
            c.poly([(sx + 1, sy), (sx + hgt * 0.2, base + 1), (sx + hgt * 0.36, base + 1)], shade(tone, 0.88), ROCK)
        if snow:
            k0 = r.randint(5, 6) if not c.snowy else r.randint(3, 4)
            (x0, y0), (x1, y1) = left[k0], right[k0]
            zig = [
                (x1 + (x0 - x1) * j / 7, y1 + (y0 - y1) * j / 7 + (-hgt * 0.09 if j % 2 else hgt * 0.06 * r.random())) for j in range(1, 7)
            ]
            c.poly([*left[k0:], (px, top - 0.3), *reversed(right[k0:]), *zig], h("f5f8fc"), PEAK)
            shaded = [p for p in zig if p[0] > spine[1][0] + 0.6]
            c.poly([(px, top - 0.3), *reversed(right[k0:]), *shaded, spine[1], spine[0]], h("bfcce0"), PEAK)
    c.haze = 0.0


def ridge(c: Canvas, base: float, amp: float, rgb: RGB, shape_tag: Tag, rough: float = 0.4, trees: bool = False) -> None:
    """Rolling horizon line, filled to the bottom of the picture."""
    r = c.rng
    ph, f1, f2 = r.uniform(0, 9), r.uniform(0.04, 0.08), r.uniform(0.11, 0.2)
    pts: list[Point] = [(-2, 98)]
    step = 2.0 if trees else 3.2
    x = -2.0
    while x < 99:
        y = base - amp * (0.5 + 0.34 * math.sin(x * f1 + ph) + 0.2 * math.sin(x * f2 + ph * 2))
        if trees:  # a serrated line reads as a distant wood
            pts.append((x, y + r.uniform(0, 0.6)))
            pts.append((x + step / 2, y - r.uniform(1.2, 3.0)))
        else:
            pts.append((x, y - r.random() * rough))
        x += step
    pts.append((99, 98))
    c.poly(pts, rgb, shape_tag)


def hills(c: Canvas, base: float, amp: float, layers: int = 2, wooded: float = 0.35) -> None:
    """Receding hills that end at ``base``; snow-covered in winter."""
    r = c.rng
    for i in range(layers):
        near = (i + 1) / layers
        c.haze = 0.62 - 0.34 * near
        wood = r.random() < wooded
        y = base + 2 - (layers - 1 - i) * amp * 0.75
        if wood:
            ridge(c, y, amp, r.choice(c.season.needle), HILL_GREEN, trees=True)
        elif c.snowy:
            ridge(c, y, amp, h("e4ecf2"), HILL_SNOW)
        else:
            ridge(c, y, amp, shade(r.choice(c.season.grass), 0.92), HILL_GRASS)
    c.haze = 0.0


def buttes(c: Canvas, base: float, rgb: RGB, count: int) -> None:
    """Flat-topped desert mountains with strata."""
    r = c.rng
    for i in range(count):
        c.haze = 0.4 - 0.22 * i / max(1, count)
        x, w, hgt = r.uniform(0, 96), r.uniform(9, 22), r.uniform(9, 24)
        top = base - hgt
        tone = shade(rgb, r.uniform(0.85, 1.08))
        c.poly(
            [
                (x - w * 1.25, base + 1),
                (x - w * 0.8, base - hgt * 0.4),
                (x - w * 0.72, top + 1),
                (x - w * 0.6, top),
                (x + w * 0.55, top + r.uniform(-0.6, 0.6)),
                (x + w * 0.7, top + 1.4),
                (x + w * 0.8, base - hgt * 0.38),
                (x + w * 1.3, base + 1),
            ],
            tone,
            BUTTE,
        )
        c.poly(
            [
                (x + w * 0.1, top),
                (x + w * 0.55, top),
                (x + w * 0.7, top + 1.4),
                (x + w * 0.8, base - hgt * 0.38),
                (x + w * 1.3, base + 1),
                (x + w * 0.3, base + 1),
                (x + w * 0.2, base - hgt * 0.4),
            ],
            shade(tone, 0.8),
            BUTTE,
        )
        for k in (0.25, 0.45):
            c.rect(x - w * 0.72, top + hgt * k, w * 1.45, 0.6, shade(tone, 0.86), BUTTE)
        if c.snowy:
            c.poly(
                [
                    (x - w * 0.7, top + 1.3),
                    (x - w * 0.6, top - 0.3),
                    (x + w * 0.55, top - 0.3),
                    (x + w * 0.68, top + 1.3),
                ],
                h("f2f5f8"),
                PEAK,
            )
    c.haze = 0.0
