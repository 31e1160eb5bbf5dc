"""Sky, weather and distant land: everything that lies behind the horizon."""

from __future__ import annotations

import math

from .canvas import Canvas, Point
from .concepts import tag
from .palette import RGB, h, hs, mix, shade

SKY = tag("sky")
CLOUD = tag("cloud")
SUN = tag("sun")
MOON = tag("moon")
STAR = tag("star")
BIRD = tag("bird")
ROCK = tag("mountain", "", "stone")
PEAK = tag("mountain", "peak", "snow")
HILL_GREEN = tag("hill", "", "foliage")
HILL_GRASS = tag("hill", "", "grass")
HILL_SNOW = tag("hill", "", "snow")
HILL_SAND = tag("hill", "", "sand")
ENVELOPE = tag("balloon", "envelope", "cloth")
BASKET = tag("balloon", "basket", "wood")
BUTTE = tag("mountain", "", "earth")

_ROCKS = hs("5d6b7e 67707c 566676 7a7068 6f7684")


def sky(c: Canvas, horizon: float, birds: float = 0.25, balloons: float = 0.04) -> None:
    """Gradient sky with sun or moon, stars, clouds, birds and a rare balloon; fills the whole canvas."""
    r, light = c.rng, c.light
    c.band(0, horizon + 6, (light.top, light.mid, light.low), SKY, raw=True)
    if horizon < 90:
        c.draw.rectangle((0, round((horizon + 6) * 3), 288, 288), fill=c.ink(light.low, SKY, True))
    if light.lamps:
        for _ in range(r.randint(12, 30)):
            size = r.choice((0.2, 0.3, 0.45))
            c.oval(r.uniform(0, 96), r.uniform(0, horizon * 0.8), size, size, mix(light.top, (255, 250, 235), r.uniform(0.5, 0.95)),
                   STAR, raw=True)  # fmt: skip
    x = r.uniform(8, 88)
    if light.sun == "moon" and r.random() < 0.6:
        y, size = r.uniform(7, horizon * 0.5), r.uniform(3, 4.4)
        c.glow(x, y, size * 6, h("d8dcff"), 0.3)
        c.oval(x, y, size, size, h("f4ecd2"), MOON, raw=True)
        if r.random() < 0.5:
            c.oval(x + size * 0.55, y - size * 0.2, size * 0.88, size * 0.88, mix(light.top, light.mid, y / horizon), SKY, raw=True)
        else:
            c.oval(x - size * 0.3, y - size * 0.1, size * 0.25, size * 0.2, h("ddd3b8"), MOON, raw=True)
            c.oval(x + size * 0.3, y + size * 0.35, size * 0.2, size * 0.17, h("ddd3b8"), MOON, raw=True)
    elif light.sun == "high" and r.random() < 0.7:
        y, size = r.uniform(8, max(12, horizon * 0.4)), r.uniform(3.6, 5.4)
        c.glow(x, y, size * 6.5, h("fff0cd"), 0.5)
        c.oval(x, y, size, size, h("fff6cf"), SUN, raw=True)
    elif light.sun == "low" and r.random() < 0.85:
        y, size = horizon - r.uniform(3, 17), r.uniform(4.4, 6.6)
        c.glow(x, y, size * 7, mix(h("ffdf9a"), light.low, 0.3), 0.55)
        c.oval(x, y, size, size, h("fff0c0") if light.name != "dusk" else h("ffdc94"), SUN, raw=True)
    _clouds(c, horizon)
    if r.random() < birds and not light.lamps:
        bx, by = r.uniform(12, 80), r.uniform(8, horizon * 0.6)
        for _ in range(r.randint(2, 5)):
            _bird(c, bx + r.uniform(-10, 10), by + r.uniform(-5, 5), r.uniform(1.2, 2.2))
    if r.random() < balloons:
        balloon(c, r.uniform(14, 82), r.uniform(12, max(16, horizon * 0.55)), r.uniform(4.5, 7.5))


def _clouds(c: Canvas, horizon: float) -> None:
    r, light = c.rng, c.light
    covered = light.name in ("overcast", "storm")
    bright = mix(mix((255, 255, 255), light.low, 0.3), light.amb, light.k * 1.6) if not light.lamps else mix(light.mid, light.low, 0.3)
    under = mix(bright, light.mid, 0.45)
    for _ in range(6 if covered else r.choice((0, 1, 2, 2, 3))):
        cx, cy, w = r.uniform(0, 96), r.uniform(8, max(11, horizon * 0.62)), r.uniform(6, 13)
        flat = r.random() < 0.3  # a wisp instead of a heap
        puffs = []
        for j in range(6):
            t = j / 5 - 0.5
            rad = (1.25 - abs(t) * 1.7) * w * r.uniform(0.2, 0.36) * (0.6 if flat else 1) + 0.8
            puffs.append((cx + t * w * 2 + r.uniform(-0.8, 0.8), cy - rad * 0.62, rad))
        for x, y, rad in puffs:
            c.oval(x, y + 0.9, rad * 1.35, rad * 0.86, under, CLOUD, raw=True)
        c.oval(cx, cy + 0.2, w * 1.15, 0.9, under, CLOUD, raw=True)
        for x, y, rad in puffs:
            c.oval(x, y, rad * 1.25, rad * 0.78, bright, CLOUD, raw=True)
        for x, y, rad in puffs[1:5]:
            c.oval(x - rad * 0.2, y - rad * 0.18, rad * 0.7, rad * 0.44, mix(bright, (255, 255, 255), 0.35 if not light.lamps else 0.06), CLOUD, raw=True)


def _bird(c: Canvas, x: float, y: float, s: float) -> None:
    ink = mix(h("2a2d36"), c.light.mid, 0.25)
    c.line([(x - s, y - s * 0.45), (x - s * 0.4, y - s * 0.6), (x, y), (x + s * 0.4, y - s * 0.6), (x + s, y - s * 0.4)], 0.5, ink, BIRD, raw=True)


def balloon(c: Canvas, x: float, y: float, s: float) -> None:
    """Hot-air balloon; ``s`` is the radius of its envelope."""
    r = c.rng
    a, b = r.choice((hs("c8453a f3e6c8"), hs("2f6fa0 f0d070"), hs("e0a030 b8402f"), hs("6a4f9a f0c8d0"), hs("3f8a6a f4efdc")))
    for pts in ([(x - s * 0.5, y + s * 0.8), (x - s * 0.2, y + s * 1.7)], [(x + s * 0.5, y + s * 0.8), (x + s * 0.2, y + s * 1.7)]):
        c.line(pts, 0.3, h("5a4a3a"), BASKET)
    c.poly([(x - s * 0.86, y + s * 0.45), (x - s * 0.22, y + s * 1.28), (x + s * 0.22, y + s * 1.28), (x + s * 0.86, y + s * 0.45)], a, ENVELOPE)
    c.oval(x, y, s, s * 1.02, a, ENVELOPE)
    c.oval(x, y, s * 0.66, s * 1.02, b, ENVELOPE)
    c.poly([(x - s * 0.58, y + s * 0.45), (x - s * 0.16, y + s * 1.28), (x + s * 0.16, y + s * 1.28), (x + s * 0.58, y + s * 0.45)], b, ENVELOPE)
    c.oval(x, y, s * 0.26, s * 1.02, a, ENVELOPE)
    c.poly([(x - s * 0.22, y + s * 0.6), (x - s * 0.06, y + s * 1.28), (x + s * 0.06, y + s * 1.28), (x + s * 0.22, y + s * 0.6)], a, ENVELOPE)
    c.rect(x - s * 0.22, y + s * 1.6, s * 0.44, s * 0.34, h("7a5232"), BASKET)


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
            zig = [(x1 + (x0 - x1) * j / 7, y1 + (y0 - y1) * j / 7 + (-hgt * 0.09 if j % 2 else hgt * 0.06 * r.random())) for j in range(1, 7)]
            c.poly([*left[k0:], (px, top - 0.3), *reversed(right[k0:]), *zig], h("f5f8fc"), PEAK)
            shaded = [p for p in zig if p[0] > spine[1][0] + 0.6]
            c.poly([(px, top - 0.3), *reversed(right[k0:]), *shaded, spine[1], spine[0]], h("bfcce0"), PEAK)
    c.haze = 0.0


def ridge(c: Canvas, base: float, amp: float, rgb: RGB, shape_tag: tuple, rough: float = 0.4, trees: bool = False) -> None:
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
        c.poly([(x - w * 1.25, base + 1), (x - w * 0.8, base - hgt * 0.4), (x - w * 0.72, top + 1), (x - w * 0.6, top),
                (x + w * 0.55, top + r.uniform(-0.6, 0.6)), (x + w * 0.7, top + 1.4), (x + w * 0.8, base - hgt * 0.38), (x + w * 1.3, base + 1)],
               tone, BUTTE)  # fmt: skip
        c.poly([(x + w * 0.1, top), (x + w * 0.55, top), (x + w * 0.7, top + 1.4), (x + w * 0.8, base - hgt * 0.38), (x + w * 1.3, base + 1),
                (x + w * 0.3, base + 1), (x + w * 0.2, base - hgt * 0.4)], shade(tone, 0.8), BUTTE)  # fmt: skip
        for k in (0.25, 0.45):
            c.rect(x - w * 0.72, top + hgt * k, w * 1.45, 0.6, shade(tone, 0.86), BUTTE)
        if c.snowy:
            c.poly([(x - w * 0.7, top + 1.3), (x - w * 0.6, top - 0.3), (x + w * 0.55, top - 0.3), (x + w * 0.68, top + 1.3)], h("f2f5f8"), PEAK)
    c.haze = 0.0
