"""Scenes by fresh water: mountain lake, river valley."""

from __future__ import annotations

import math

from . import houses, land, movers, plants, relief, sky, structures, towers
from .canvas import Canvas, Point
from .palette import h, hs, mix, shade
from .props import QUAY, WATER, Items, far_town, paint, scatter, water


def mountain_lake(c: Canvas) -> None:
    """Peaks mirrored in a still lake between conifers."""
    r = c.rng
    hz = r.uniform(46, 58)
    sky.sky(c, hz, birds=0.25)
    relief.mountains(c, hz, r.choice((2, 3, 3)), 24, hz - 8, 0.6)
    if r.random() < 0.75:
        relief.hills(c, hz, 5, 1, 0.7)
    c.haze = 0.16
    c.rect(-1, hz - 0.4, 98, 2.2, shade(r.choice(c.season.grass), 0.86), land.SNOW if c.snowy else land.GRASS)
    c.haze = 0.0
    if r.random() < 0.12:
        land.patchwork(c, hz - 3, 2, 4)
    for _ in range(r.choice((0, 6, 10))):
        plants.conifer(c, r.uniform(0, 96), hz + 1, r.uniform(4, 8))
    p = r.random()
    if p < 0.26:
        x = r.uniform(10, 70)
        houses.house(c, x, hz + 1.4, r.uniform(9, 13), r.uniform(5, 7), houses.Style(wall=(h("9b6f4a"), "wood"), gable=None))
    elif p < 0.36:
        towers.church(c, r.uniform(24, 72), hz + 1.4, 9)
    elif p < 0.46:
        towers.lighthouse(c, r.uniform(12, 84), hz + 1.4, r.uniform(12, 15))
    elif p < 0.54:
        far_town(c, hz + 0.5, False, r.uniform(10, 40), r.uniform(50, 80))
    water(c, hz + 1)
    c.mirror(hz + 1, 44, 0.5, WATER, 0.5)
    if r.random() < 0.1:
        structures.arched_bridge(c, -4, r.uniform(30, 50), hz - 1, hz + 4, 3)
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        b = r.uniform(hz + 6, 80)
        movers.boat(c, r.uniform(8, 78), b, 5 + (b - hz) * 0.26, r.choice(("row", "sail", "sail")))
    if r.random() < 0.3:
        structures.pier(c, r.uniform(16, 80), 97, r.uniform(14, 24), r.uniform(5, 8))
    items: Items = []
    near = r.uniform(80, 92)
    if r.random() < 0.8:
        _shore(c, near)
        land.flowers(c, near + 4, 96, count=12 if r.random() < 0.35 else 0)
        scatter(
            c,
            items,
            near + 4,
            96,
            {
                "boulder": 0.5,
                "bush": 0.25,
                "tent": 0.2,
                "deer": 0.12,
                "person": 0.25,
                "parasol": 0.15,
                "bale": 0.06,
                "cow": 0.1,
                "fence": 0.1,
                "lamp": 0.06,
            },
        )
    for _ in range(r.randint(1, 4)):
        x = r.choice((r.uniform(-3, 16), r.uniform(80, 99)))
        items.append((r.uniform(90, 99), lambda x=x: plants.any_tree(c, x, r.uniform(92, 99), r.uniform(28, 50), 0.8)))
    paint(items)


def _shore(c: Canvas, y: float) -> None:
    """Uneven near bank."""
    r = c.rng
    stony = r.random() < 0.36 and not c.snowy
    sandy = stony and r.random() < 0.5
    tone = h("d8c494") if sandy else r.choice(hs("a09684 8f8a80")) if stony else r.choice(c.season.grass)
    kind = land.SAND if sandy else QUAY if stony else land.SNOW if c.snowy else land.GRASS
    land.ground(c, y, r.uniform(1, 3), tone, kind)


def river_valley(c: Canvas) -> None:
    """A river winds from the hills to the viewer through meadows."""
    r = c.rng
    hz = r.uniform(34, 48)
    sky.sky(c, hz, birds=0.3, balloons=0.12)
    if r.random() < 0.45:
        relief.mountains(c, hz, r.choice((2, 3)), 14, 26, 0.5)
    relief.hills(c, hz + 2, 9, 2, 0.45)
    arid = r.random() < 0.14
    base = land.ground(c, hz + 2, 1.0, r.choice(hs("d0a878 c89a6a")) if arid else None, land.SAND if arid else None)
    kind = land.SAND if arid else land.SNOW if c.snowy else land.GRASS
    if r.random() < 0.42 and not arid:
        land.patchwork(c, hz + 1, 10, 7)
    for side in (0, 1):  # valley sides
        y = hz + r.uniform(4, 14)
        w = r.uniform(20, 40)
        tone = shade(base, r.uniform(0.84, 1.06))
        x0 = 0 if side == 0 else 96
        d = 1 if side == 0 else -1
        c.poly([(x0, y - r.uniform(6, 14)), (x0 + d * w * 0.5, y - 2), (x0 + d * w, y + 8), (x0, y + 30)], tone, kind)
    end = r.uniform(30, 66)
    top = r.uniform(38, 58)
    sway, turns, ph = r.uniform(9, 18), r.uniform(1.2, 2.0), r.uniform(0, 6)
    width = r.uniform(15, 26)

    def at(t: float) -> tuple[float, float, float]:
        u = t**1.8
        x = top + (end - top) * u + sway * math.sin(ph + t * turns * math.pi * 2) * (0.25 + 0.75 * t) * (1.1 - 0.35 * t)
        return x, hz + 3 + (97 - hz - 3) * u, 0.7 + width * u

    def ribbon(extra: float, drop: float) -> list[Point]:
        pts = [at(k / 22) for k in range(23)]
        return [(x - w - extra * (0.3 + w / width), y + drop) for x, y, w in pts] + [
            (x + w + extra * (0.3 + w / width), y + drop) for x, y, w in reversed(pts)
        ]

    bank_tone, bank_kind = (h("c8b48a"), land.SAND) if r.random() < 0.4 else (shade(base, 0.66), kind if not arid else land.EARTH)
    c.poly(ribbon(1.8, -0.3), bank_tone, bank_kind)
    c.gradient(ribbon(0, 0), (c.light.far, mix(c.light.far, c.light.near, 0.5), c.light.near), WATER, raw=True)
    for _ in range(14):
        x, y, w = at(r.uniform(0.2, 0.99))
        c.rect(
            x + r.uniform(-0.8, 0.4) * w,
            y,
            w * r.uniform(0.2, 0.5),
            0.4,
            mix(c.light.far, c.light.low, 0.35),
            WATER,
            raw=True,
        )
    items: Items = []
    bridge_t = r.uniform(0.45, 0.72)
    p = r.random()
    bx, by, bw = at(bridge_t)
    if p < 0.4:
        items.append(
            (
                by + 2.4,
                lambda: structures.arched_bridge(c, bx - bw * 1.7 - 3, bx + bw * 1.7 + 3, by - 3.4, by + 2.4, 2 if bw > 8 else 1),
            )
        )
    elif p < 0.46:
        items.append((by + 2.4, lambda: structures.steel_bridge(c, bx - bw * 1.9 - 6, bx + bw * 1.9 + 6, by - 2, by + 2.4)))
    if r.random() < 0.3:
        x, y, w = at(0.8)
        items.append((y, lambda x=x, y=y: movers.boat(c, x - 5, y, r.uniform(8, 12), r.choice(("row", "sail", "motor")))))

    def bank(t0: float, t1: float) -> tuple[float, float]:
        x, y, w = at(r.uniform(t0, t1))
        d = r.choice((-1, 1))
        return x + d * (w + r.uniform(4, 30)), y

    for _ in range(r.randint(4, 10)):
        x, b = bank(0.1, 0.9)
        s = 5 + (b - hz) * r.uniform(0.34, 0.5)
        kind_fn = r.choice((plants.poplar, plants.broad, plants.broad, plants.conifer))
        items.append((b, lambda x=x, b=b, s=s, fn=kind_fn: fn(c, x, b, s)))
    for _ in range(r.choice((0, 0, 1, 2, 3))):
        x, b = bank(0.25, 0.6)
        s = 4.4 + (b - hz) * 0.24
        items.append((b, lambda x=x, b=b, s=s: houses.house(c, x - s * 0.6, b, s * 1.3, s * 0.8)))
    if r.random() < 0.19:
        x, b = bank(0.3, 0.55)
        items.append((b, lambda x=x, b=b: towers.church(c, x, b, 6 + (b - hz) * 0.2)))
    if r.random() < 0.2:
        x, b = bank(0.35, 0.65)
        items.append((b, lambda x=x, b=b: houses.barn(c, x - 5, b, 8 + (b - hz) * 0.16, 5 + (b - hz) * 0.1, r.random() < 0.4)))
    beast = r.choice(("sheep", "cow"))
    for _ in range(r.choice((0, 0, 0, 2, 3))):
        x, b = bank(0.5, 0.9)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 2.5 + (b - hz) * 0.1, beast)))
    scatter(
        c,
        items,
        hz + 16,
        95,
        {
            "boulder": 0.25,
            "bush": 0.4,
            "tent": 0.12,
            "tractor": 0.12,
            "bale": 0.17,
            "parasol": 0.06,
            "person": 0.15,
            "fence": 0.12,
            "windmill": 0.13,
            "cactus": 0.6 if arid else 0.03,
        },
        lambda: bank(0.5, 0.95),
    )
    paint(items)
    land.flowers(c, 70, 96, count=16 if r.random() < 0.3 and not arid else 0)
