"""Sky and weather: sun, moon, stars, clouds, birds, balloons."""

from __future__ import annotations

from .canvas import Canvas
from .concepts import tag
from .palette import h, hs, mix

SKY = tag("sky")
CLOUD = tag("cloud")
SUN = tag("sun")
MOON = tag("moon")
STAR = tag("star")
BIRD = tag("bird")
ENVELOPE = tag("balloon", "envelope", "cloth")
BASKET = tag("balloon", "basket", "wood")


def sky(c: Canvas, horizon: float, birds: float = 0.25, balloons: float = 0.04) -> None:
    """Gradient sky with sun or moon, stars, clouds, birds and a rare balloon; fills the whole canvas."""
    r, light = c.rng, c.light
    c.band(0, horizon + 6, (light.top, light.mid, light.low), SKY, raw=True)
    if horizon < 90:
        c.draw.rectangle((0, round((horizon + 6) * 3), 288, 288), fill=c.ink(light.low, SKY, True))
    if light.lamps:
        for _ in range(r.randint(12, 30)):
            size = r.choice((0.2, 0.3, 0.45))
            c.oval(
                r.uniform(0, 96),
                r.uniform(0, horizon * 0.8),
                size,
                size,
                mix(light.top, (255, 250, 235), r.uniform(0.5, 0.95)),
                STAR,
                raw=True,
            )
    x = r.uniform(8, 88)
    if light.sun == "moon" and r.random() < 0.6:
        y, size = r.uniform(7, horizon * 0.5), r.uniform(3, 4.4)
        c.glow(x, y, size * 6, h("d8dcff"), 0.3)
        c.oval(x, y, size, size, h("f4ecd2"), MOON, raw=True)
        if r.random() < 0.5:
            c.oval(
                x + size * 0.55,
                y - size * 0.2,
                size * 0.88,
                size * 0.88,
                mix(light.top, light.mid, y / horizon),
                SKY,
                raw=True,
            )
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
            c.oval(
                x - rad * 0.2,
                y - rad * 0.18,
                rad * 0.7,
                rad * 0.44,
                mix(bright, (255, 255, 255), 0.35 if not light.lamps else 0.06),
                CLOUD,
                raw=True,
            )


def _bird(c: Canvas, x: float, y: float, s: float) -> None:
    ink = mix(h("2a2d36"), c.light.mid, 0.25)
    c.line(
        [(x - s, y - s * 0.45), (x - s * 0.4, y - s * 0.6), (x, y), (x + s * 0.4, y - s * 0.6), (x + s, y - s * 0.4)],
        0.5,
        ink,
        BIRD,
        raw=True,
    )


def balloon(c: Canvas, x: float, y: float, s: float) -> None:
    """Hot-air balloon; ``s`` is the radius of its envelope."""
    r = c.rng
    a, b = r.choice((hs("c8453a f3e6c8"), hs("2f6fa0 f0d070"), hs("e0a030 b8402f"), hs("6a4f9a f0c8d0"), hs("3f8a6a f4efdc")))
    for pts in (
        [(x - s * 0.5, y + s * 0.8), (x - s * 0.2, y + s * 1.7)],
        [(x + s * 0.5, y + s * 0.8), (x + s * 0.2, y + s * 1.7)],
    ):
        c.line(pts, 0.3, h("5a4a3a"), BASKET)
    c.poly(
        [
            (x - s * 0.86, y + s * 0.45),
            (x - s * 0.22, y + s * 1.28),
            (x + s * 0.22, y + s * 1.28),
            (x + s * 0.86, y + s * 0.45),
        ],
        a,
        ENVELOPE,
    )
    c.oval(x, y, s, s * 1.02, a, ENVELOPE)
    c.oval(x, y, s * 0.66, s * 1.02, b, ENVELOPE)
    c.poly(
        [
            (x - s * 0.58, y + s * 0.45),
            (x - s * 0.16, y + s * 1.28),
            (x + s * 0.16, y + s * 1.28),
            (x + s * 0.58, y + s * 0.45),
        ],
        b,
        ENVELOPE,
    )
    c.oval(x, y, s * 0.26, s * 1.02, a, ENVELOPE)
    c.poly(
        [
            (x - s * 0.22, y + s * 0.6),
            (x - s * 0.06, y + s * 1.28),
            (x + s * 0.06, y + s * 1.28),
            (x + s * 0.22, y + s * 0.6),
        ],
        a,
        ENVELOPE,
    )
    c.rect(x - s * 0.22, y + s * 1.6, s * 0.44, s * 0.34, h("7a5232"), BASKET)
