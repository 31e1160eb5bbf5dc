"""Wide open scenes: desert, snowfield."""

from __future__ import annotations

import math

from . import houses, land, movers, plants, relief, sky, structures, towers
from .canvas import Canvas
from .palette import h, hs, mix, shade
from .props import Items, paint, scatter, water


def desert(c: Canvas) -> None:
    """Dunes or mesas, little growing, a lot of sky."""
    r = c.rng
    hz = r.uniform(40, 58)
    sky.sky(c, hz, birds=0.2, balloons=0.09)
    sand = r.choice(hs("e0b878 d89a5c e8c894 c8805a d0b090 b8a898 e6d2a8 c2a06a"))
    if c.snowy:
        sand = mix(sand, h("eef2f6"), r.uniform(0.25, 0.7))
    rocky = r.random() < 0.5
    if rocky:
        relief.buttes(c, hz, r.choice(hs("b0603f a86a4a c07a50 8a6a5c")), r.choice((1, 2, 3)))
    elif r.random() < 0.35:
        relief.mountains(c, hz, 3, 10, 20, 0.3)
    for i in range(2):
        c.haze = 0.3 - 0.2 * i
        relief.ridge(c, hz + 1 + i * 3, 5, shade(sand, 0.96), relief.HILL_SAND, 0.1)
    c.haze = 0.0
    land.ground(c, hz + 3, 1.5, sand, land.SAND)
    for k in range(r.choice((1, 2, 3)) if not rocky else 1):
        land.drift(
            c,
            hz + 9 + k * r.uniform(9, 14),
            r.uniform(4, 11) if not rocky else 3,
            shade(sand, r.uniform(0.95, 1.06)),
            shade(sand, 0.83),
            relief.HILL_SAND,
        )
    for _ in range(12):
        y = r.uniform(hz + 16, 96)
        c.line([(x := r.uniform(-4, 92), y), (x + 3, y - 0.6), (x + 7, y)], 0.4, shade(sand, 0.86), land.SAND)
    items: Items = []
    if r.random() < 0.15:
        structures.lane(c, hz + 6, r.uniform(40, 56), 97, r.uniform(20, 76), 0.5, 9, r.random() < 0.6)
    if r.random() < 0.24:  # oasis
        ox, oy = r.uniform(22, 74), r.uniform(hz + 10, 80)
        c.oval(ox, oy, r.uniform(9, 15), r.uniform(1.6, 2.8), mix(c.light.far, c.light.near, 0.6), land.WATER, raw=True)
        for _ in range(r.randint(2, 4)):
            x = ox + r.uniform(-14, 14)
            items.append((oy, lambda x=x: plants.palm(c, x, oy + r.uniform(-1, 1.5), r.uniform(15, 24))))
    for _ in range(r.choice((0, 0, 1, 2, 3, 4)) if r.random() < 0.52 else 0):
        x, b = r.uniform(4, 92), r.uniform(hz + 8, 94)
        items.append((b, lambda x=x, b=b: land.shadow(c, x + 2, b, 1.2 + (b - hz) * 0.07, sand, land.SAND)))
        items.append((b, lambda x=x, b=b: plants.cactus(c, x, b, 5 + (b - hz) * r.uniform(0.32, 0.46))))
    for _ in range(r.choice((0, 0, 0, 1, 2, 3))):
        x, b = r.uniform(10, 86), r.uniform(hz + 10, 90)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 4 + (b - hz) * 0.17, "camel")))
    scatter(
        c,
        items,
        hz + 12,
        94,
        {
            "boulder": 0.5,
            "bush": 0.3,
            "tent": 0.18,
            "person": 0.25,
            "car": 0.1,
            "tractor": 0.08,
            "fence": 0.08,
            "windmill": 0.05,
            "parasol": 0.04,
            "bale": 0.05,
        },
    )
    if r.random() < 0.12:
        x, b = r.uniform(8, 70), hz + r.uniform(7, 14)
        if r.random() < 0.5:
            items.append((b, lambda x=x, b=b: houses.house(c, x, b, 11, 6, houses.Style(wall=(h("d9b36a"), "plaster")))))
        else:
            items.append((b, lambda x=x, b=b: houses.barn(c, x, b, 11, 6, False)))
    paint(items)
    if r.random() < 0.03:
        water(c, 90)


def snowfield(c: Canvas) -> None:
    """Wide drifts of snow below white slopes."""
    r = c.rng
    hz = r.uniform(40, 56)
    sky.sky(c, hz, birds=0.15, balloons=0.04)
    if r.random() < 0.62:
        relief.mountains(c, hz, r.choice((2, 3)), 16, 34, 0.9)
    relief.hills(c, hz + 1, 7, r.choice((1, 2)), 0.25)
    snow = r.choice(hs("eef3f7 e6edf4 f4f5f4 e4eaf2"))
    land.ground(c, hz + 2, 2.4, snow, land.SNOW)
    for k in range(r.choice((2, 3, 4))):
        land.drift(
            c,
            hz + 8 + k * r.uniform(8, 12),
            r.uniform(3, 8),
            mix(snow, h("dbe6f4"), r.uniform(0, 0.7)),
            h("c6d3e5"),
            land.SNOW,
        )
    if r.random() < 0.45:
        x0, x1, bend = r.uniform(20, 76), r.uniform(10, 86), r.uniform(-12, 12)
        for off in (-1.2, 1.2):
            pts = []
            for k in range(12):
                t = k / 11
                pts.append((x0 + (x1 - x0) * t + bend * math.sin(t * 5) + off * (0.2 + t), hz + 4 + (97 - hz - 4) * t**1.5))
            c.line(pts, 0.5, h("a9b8cc"), land.SNOW)
    items: Items = []
    for _ in range(r.choice((0, 2, 3, 5, 7))):
        x, b = r.uniform(0, 96), r.uniform(hz + 3, 93)
        items.append((b, lambda x=x, b=b: land.shadow(c, x + 1, b, 1 + (b - hz) * 0.09, snow, land.SNOW)))
        items.append((b, lambda x=x, b=b: plants.conifer(c, x, b, 5 + (b - hz) * r.uniform(0.4, 0.7))))
    p = r.random()
    if p < 0.26:
        x, b = r.uniform(8, 70), hz + r.uniform(6, 14)
        items.append(
            (
                b,
                lambda x=x, b=b: houses.house(
                    c, x, b, r.uniform(10, 14), r.uniform(6, 8), houses.Style(wall=(h("8f6444"), "wood"), chimney=0.9)
                ),
            )
        )
    elif p < 0.36:
        x, b = r.uniform(8, 70), hz + r.uniform(6, 14)
        items.append((b, lambda x=x, b=b: houses.barn(c, x, b, r.uniform(11, 15), r.uniform(6, 8), False)))
    elif p < 0.42:
        x = r.uniform(24, 72)
        items.append((hz + 6, lambda x=x: towers.church(c, x, hz + 6, r.uniform(9, 13))))
    elif p < 0.48:
        x = r.uniform(12, 84)
        items.append((hz + 5, lambda x=x: towers.lighthouse(c, x, hz + 5, r.uniform(13, 18))))
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        x, b = r.uniform(8, 88), r.uniform(hz + 10, 92)
        items.append((b, lambda x=x, b=b: movers.person(c, x, b, 3.5 + (b - hz) * 0.14)))
    scatter(
        c,
        items,
        hz + 10,
        94,
        {
            "boulder": 0.3,
            "bush": 0.12,
            "tent": 0.14,
            "deer": 0.14,
            "fence": 0.14,
            "dog": 0.08,
            "tractor": 0.07,
            "bale": 0.06,
            "car": 0.05,
            "lamp": 0.06,
        },
    )
    paint(items)
