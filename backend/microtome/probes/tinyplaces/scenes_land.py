"""Scenes on land: village, forest, farm, desert, snowfield."""

from __future__ import annotations

import math

from . import houses, movers, plants, sky, structures
from .canvas import Canvas
from .concepts import tag
from .palette import h, hs, mix, shade
from .scenes_water import _paint as paint
from .scenes_water import _scatter as scatter
from .scenes_water import far_town, water

FIELD = tag("", "", "crop")
FIELD_EARTH = tag("", "", "earth")


def _stream(c: Canvas, y: float) -> None:
    """Narrow brook across the meadow with a small bridge over it."""
    r = c.rng
    x0, x1 = r.uniform(20, 50), r.uniform(40, 80)
    mid = mix(c.light.far, c.light.near, 0.5)
    c.poly([(x0 - 0.6, y), (x0 + 0.6, y), (x1 + 9, 98), (x1 - 9, 98)], shade(mid, 0.75), plants.WATER, raw=True)
    c.poly([(x0 - 0.3, y), (x0 + 0.3, y), (x1 + 7.4, 98), (x1 - 7.4, 98)], mid, plants.WATER, raw=True)
    if r.random() < 0.8:
        t = r.uniform(0.45, 0.7)
        bx, by = x0 + (x1 - x0) * t, y + (98 - y) * t
        structures.arched_bridge(c, bx - 9 * t - 5, bx + 9 * t + 5, by - 3, by + 2, 1)


def village(c: Canvas) -> None:
    """Pitched roofs gathered around a church among meadows."""
    r = c.rng
    hz = r.uniform(40, 54)
    sky.sky(c, hz, balloons=0.06)
    if r.random() < 0.4:
        sky.mountains(c, hz, 2, 18, 32, 0.5)
    sky.hills(c, hz + 1, 8, r.choice((1, 2)), 0.4)
    plants.ground(c, hz + 2, 2.4)
    if r.random() < 0.42:
        plants.patchwork(c, hz + 1, 5, 6)
    if r.random() < 0.2:
        _stream(c, hz + 6)
    vx = r.uniform(34, 62)
    if r.random() < 0.6:
        structures.lane(c, hz + 6, vx, 97, r.uniform(20, 76), 0.8, r.uniform(8, 13), r.random() < 0.3)
    items: list = []
    for _ in range(r.randint(2, 5)):
        x, b = r.uniform(0, 96), hz + r.uniform(2, 9)
        items.append((b, lambda x=x, b=b: plants.any_tree(c, x, b, r.uniform(10, 18))))
    if r.random() < 0.42:
        x, b = r.uniform(18, 78), hz + r.uniform(5, 10)
        items.append((b, lambda x=x, b=b: structures.church(c, x, b, r.uniform(15, 21))))
    rows = ((hz + 7, 9.5), (hz + 14, 12.5), (hz + 23, 16.5))
    for k, (b0, w0) in enumerate(rows):
        x = r.uniform(-8, 6)
        while x < 94:
            w = w0 * r.uniform(0.85, 1.2)
            keep = (0.62, 0.55, 0.42)[k]
            if r.random() < keep:
                b = b0 + r.uniform(-1.8, 2.2)
                items.append((b, lambda x=x, b=b, w=w: houses.house(c, x, b, w, w * r.uniform(0.55, 0.85))))
            x += w + r.uniform(0.5, 7)
    for _ in range(r.choice((0, 1, 1, 2))):
        x, b = r.choice((r.uniform(0, 12), r.uniform(84, 96))), r.uniform(86, 95)
        items.append((b, lambda x=x, b=b: plants.any_tree(c, x, b, r.uniform(24, 36), 0.3)))
    scatter(c, items, hz + 26, 95, {"fence": 0.38, "lamp": 0.2, "bush": 0.45, "person": 0.4, "dog": 0.12, "sheep": 0.12, "car": 0.16, "tractor": 0.14, "bale": 0.17, "boulder": 0.1, "windmill": 0.07, "parasol": 0.08, "cactus": 0.04})
    if r.random() < 0.17:
        x = r.uniform(2, 70)
        items.append((hz + 12, lambda: houses.barn(c, x, hz + 12, 15, 8, False)))
    paint(items)
    plants.flowers(c, hz + 24, 96, count=18 if r.random() < 0.35 else 0)


def forest(c: Canvas) -> None:
    """Trunks and crowns crowd both sides and close the view."""
    r = c.rng
    hz = r.uniform(46, 58)
    sky.sky(c, hz, birds=0.15, balloons=0.02)
    if r.random() < 0.25:
        sky.mountains(c, hz - 2, 2, 20, 34, 0.5)
    sky.hills(c, hz - 4, 9, 2, 0.95)
    plants.ground(c, hz, 2.0, None)
    p = r.random()
    vx = r.uniform(38, 58)
    if p < 0.35:
        structures.lane(c, hz + 2, vx, 97, r.uniform(30, 66), 0.6, r.uniform(5, 10), r.random() < 0.12)
    elif p < 0.55:
        _stream(c, hz + 3)
    conifers = r.choice((0.95, 0.75, 0.4, 0.12))
    items: list = []
    gap = r.uniform(8, 20)
    for i in range(r.randint(20, 28)):
        t = i / 26
        b = hz + 1 + (96 - hz) * t**1.5 * r.uniform(0.8, 1.05)
        tall = 15 + (b - hz) * r.uniform(0.75, 1.1)
        g = gap * (0.25 + t)
        x = r.uniform(-6, vx - g) if i % 2 else r.uniform(vx + g, 102)
        items.append((b, lambda x=x, b=b, tall=tall: plants.any_tree(c, x, b, tall, conifers)))
    for _ in range(6):
        items.append((hz, lambda: plants.any_tree(c, r.uniform(0, 96), hz + 1, r.uniform(12, 20), conifers)))
    if r.random() < 0.12:
        items.append((hz + 9, lambda: houses.house(c, vx - 6, hz + 9, 12, 7.5, houses.Style(wall=(h("9b6f4a"), "wood"), gable=True))))
    if r.random() < 0.1:
        items.append((hz + 9.5, lambda: houses.barn(c, vx - 16, hz + 9.5, 12, 7, False)))
    for _ in range(r.choice((0, 0, 1, 2))):
        x, b = vx + r.uniform(-14, 14), r.uniform(hz + 8, 88)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 5 + (b - hz) * 0.14, "deer")))
    scatter(c, items, hz + 12, 95, {"boulder": 0.35, "bush": 0.6, "tent": 0.2, "person": 0.25, "bale": 0.07, "fence": 0.1, "car": 0.06, "lamp": 0.06, "tractor": 0.06, "cactus": 0.02})
    paint(items)
    plants.flowers(c, 72, 96, count=16 if r.random() < 0.35 else 0)


def farm(c: Canvas) -> None:
    """Furrows run to the horizon beside a barn."""
    r = c.rng
    hz = r.uniform(38, 54)
    sky.sky(c, hz, birds=0.3, balloons=0.07)
    if r.random() < 0.2:
        sky.mountains(c, hz, 2, 12, 22, 0.5)
    if r.random() < 0.9:
        sky.hills(c, hz + 1, 6, r.choice((1, 2)), 0.35)
    plants.ground(c, hz + 1, 0.8)
    vx = r.uniform(14, 82)
    crop = r.sample(c.season.crop, 2)
    n = r.choice((9, 11, 13))
    y0 = hz + r.uniform(3, 9)
    kinds = (FIELD if not c.snowy else plants.SNOW, FIELD_EARTH if not c.snowy else plants.SNOW)
    spread = r.uniform(15, 22)
    bottom = r.choice((97.0, 97.0, r.uniform(80, 90)))
    for k in range(n * 2):
        a, b = k - n, k + 1 - n
        first = k % 2
        tone = crop[first] if not c.snowy else (h("e9eef2"), h("bfb4a4"))[first]
        t = kinds[first] if not c.snowy else (plants.SNOW, FIELD_EARTH)[first]
        s = (bottom - y0) / (97 - y0)
        pts = [(vx + a * 1.0, y0), (vx + b * 1.0, y0), (vx + b * spread * 0.5 * s, bottom), (vx + a * spread * 0.5 * s, bottom)]
        c.gradient(pts, (mix(tone, c.light.low, 0.12), shade(tone, 0.9)), t) if k % 3 == 0 else c.poly(pts, tone, t)
    if not c.snowy and r.random() < 0.5:
        for k in range(n * 2):
            for j in range(5):
                u = ((j + 0.5) / 5) ** 1.4
                a = k + 0.5 - n
                x = vx + a * (1.0 + (spread * 0.5 - 1.0) * u)
                if 0 < x < 96:
                    s = 0.3 + 1.3 * u
                    c.half(x, y0 + (bottom - y0) * u, s, s * 0.9, shade(crop[0], 0.78), FIELD)
    items: list = []
    bx, bb = r.choice((r.uniform(2, 22), r.uniform(52, 70))), hz + r.uniform(5, 11)
    p = r.random()
    if p < 0.58:
        items.append((bb, lambda: houses.barn(c, bx, bb, r.uniform(17, 24), r.uniform(9, 12), r.random() < 0.55)))
    if p > 0.5:
        hx = (bx + 40) % 76
        items.append((bb - 1, lambda: houses.house(c, hx, bb - 1, r.uniform(12, 16), r.uniform(8, 10))))
    if r.random() < 0.08:
        cx = r.uniform(20, 76)
        items.append((hz + 2, lambda: structures.church(c, cx, hz + 2, r.uniform(9, 12))))
    if r.random() < 0.22:
        wx = r.uniform(10, 86)
        items.append((hz + 4, lambda: structures.windmill(c, wx, hz + 4, r.uniform(20, 28))))
    for _ in range(r.randint(1, 4)):
        x, b = r.uniform(0, 96), hz + r.uniform(2, 7)
        items.append((b, lambda x=x, b=b: plants.any_tree(c, x, b, r.uniform(9, 17), 0.2)))
    if r.random() < 0.36:
        x, b = r.uniform(18, 78), r.uniform(hz + 16, 92)
        items.append((b, lambda: movers.tractor(c, x, b, 8 + (b - hz) * 0.26)))
    if r.random() < 0.3:
        for _ in range(r.randint(1, 4)):
            x, b = r.uniform(4, 92), r.uniform(hz + 12, 94)
            items.append((b, lambda x=x, b=b: plants.hay_bale(c, x, b, 1 + (b - hz) * 0.09)))
    beast = r.choice(("sheep", "cow", "cow"))
    for _ in range(r.choice((0, 0, 0, 2, 3, 4))):
        x, b = r.uniform(4, 92), r.uniform(hz + 14, 92)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 3 + (b - hz) * 0.14, beast)))
    scatter(c, items, hz + 24, 95, {"bush": 0.2, "person": 0.2, "car": 0.1, "boulder": 0.08, "lamp": 0.06, "cactus": 0.04, "palm": 0.03, "parasol": 0.03})
    paint(items)
    if r.random() < 0.45:
        structures.fence(c, r.uniform(90, 96), -3, 99)
    if r.random() < 0.06:
        far_town(c, hz + 2, True, 0, 24)


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
        sky.buttes(c, hz, r.choice(hs("b0603f a86a4a c07a50 8a6a5c")), r.choice((1, 2, 3)))
    elif r.random() < 0.35:
        sky.mountains(c, hz, 3, 10, 20, 0.3)
    for i in range(2):
        c.haze = 0.3 - 0.2 * i
        sky.ridge(c, hz + 1 + i * 3, 5, shade(sand, 0.96), sky.HILL_SAND, 0.1)
    c.haze = 0.0
    plants.ground(c, hz + 3, 1.5, sand, plants.SAND)
    for k in range(r.choice((1, 2, 3)) if not rocky else 1):
        plants.drift(c, hz + 9 + k * r.uniform(9, 14), r.uniform(4, 11) if not rocky else 3, shade(sand, r.uniform(0.95, 1.06)), shade(sand, 0.83), sky.HILL_SAND)
    for _ in range(12):
        y = r.uniform(hz + 16, 96)
        c.line([(x := r.uniform(-4, 92), y), (x + 3, y - 0.6), (x + 7, y)], 0.4, shade(sand, 0.86), plants.SAND)
    items: list = []
    if r.random() < 0.15:
        structures.lane(c, hz + 6, r.uniform(40, 56), 97, r.uniform(20, 76), 0.5, 9, r.random() < 0.6)
    if r.random() < 0.24:  # oasis
        ox, oy = r.uniform(22, 74), r.uniform(hz + 10, 80)
        c.oval(ox, oy, r.uniform(9, 15), r.uniform(1.6, 2.8), mix(c.light.far, c.light.near, 0.6), plants.WATER, raw=True)
        for _ in range(r.randint(2, 4)):
            x = ox + r.uniform(-14, 14)
            items.append((oy, lambda x=x: plants.palm(c, x, oy + r.uniform(-1, 1.5), r.uniform(15, 24))))
    for _ in range(r.choice((0, 0, 1, 2, 3, 4)) if r.random() < 0.52 else 0):
        x, b = r.uniform(4, 92), r.uniform(hz + 8, 94)
        items.append((b, lambda x=x, b=b: (plants.shadow(c, x + 2, b, 1.2 + (b - hz) * 0.07, sand, plants.SAND), plants.cactus(c, x, b, 5 + (b - hz) * r.uniform(0.32, 0.46)))))
    for _ in range(r.choice((0, 0, 0, 1, 2, 3))):
        x, b = r.uniform(10, 86), r.uniform(hz + 10, 90)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 4 + (b - hz) * 0.17, "camel")))
    scatter(c, items, hz + 12, 94, {"boulder": 0.5, "bush": 0.3, "tent": 0.18, "person": 0.25, "car": 0.1, "tractor": 0.08, "fence": 0.08, "windmill": 0.05, "parasol": 0.04, "bale": 0.05})
    if r.random() < 0.12:
        x, b = r.uniform(8, 70), hz + r.uniform(7, 14)
        if r.random() < 0.5:
            items.append((b, lambda: houses.house(c, x, b, 11, 6, houses.Style(wall=(h("d9b36a"), "plaster")))))
        else:
            items.append((b, lambda: houses.barn(c, x, b, 11, 6, False)))
    paint(items)
    if r.random() < 0.03:
        water(c, 90)


def snowfield(c: Canvas) -> None:
    """Wide drifts of snow below white slopes."""
    r = c.rng
    hz = r.uniform(40, 56)
    sky.sky(c, hz, birds=0.15, balloons=0.04)
    if r.random() < 0.62:
        sky.mountains(c, hz, r.choice((2, 3)), 16, 34, 0.9)
    sky.hills(c, hz + 1, 7, r.choice((1, 2)), 0.25)
    snow = r.choice(hs("eef3f7 e6edf4 f4f5f4 e4eaf2"))
    plants.ground(c, hz + 2, 2.4, snow, plants.SNOW)
    for k in range(r.choice((2, 3, 4))):
        plants.drift(c, hz + 8 + k * r.uniform(8, 12), r.uniform(3, 8), mix(snow, h("dbe6f4"), r.uniform(0, 0.7)), h("c6d3e5"), plants.SNOW)
    if r.random() < 0.45:
        x0, x1, bend = r.uniform(20, 76), r.uniform(10, 86), r.uniform(-12, 12)
        for off in (-1.2, 1.2):
            pts = []
            for k in range(12):
                t = k / 11
                pts.append((x0 + (x1 - x0) * t + bend * math.sin(t * 5) + off * (0.2 + t), hz + 4 + (97 - hz - 4) * t**1.5))
            c.line(pts, 0.5, h("a9b8cc"), plants.SNOW)
    items: list = []
    for _ in range(r.choice((0, 2, 3, 5, 7))):
        x, b = r.uniform(0, 96), r.uniform(hz + 3, 93)
        items.append((b, lambda x=x, b=b: (plants.shadow(c, x + 1, b, 1 + (b - hz) * 0.09, snow, plants.SNOW), plants.conifer(c, x, b, 5 + (b - hz) * r.uniform(0.4, 0.7)))))
    p = r.random()
    if p < 0.26:
        x, b = r.uniform(8, 70), hz + r.uniform(6, 14)
        items.append((b, lambda: houses.house(c, x, b, r.uniform(10, 14), r.uniform(6, 8), houses.Style(wall=(h("8f6444"), "wood"), chimney=0.9))))
    elif p < 0.36:
        x, b = r.uniform(8, 70), hz + r.uniform(6, 14)
        items.append((b, lambda: houses.barn(c, x, b, r.uniform(11, 15), r.uniform(6, 8), False)))
    elif p < 0.42:
        x = r.uniform(24, 72)
        items.append((hz + 6, lambda: structures.church(c, x, hz + 6, r.uniform(9, 13))))
    elif p < 0.48:
        x = r.uniform(12, 84)
        items.append((hz + 5, lambda: structures.lighthouse(c, x, hz + 5, r.uniform(13, 18))))
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        x, b = r.uniform(8, 88), r.uniform(hz + 10, 92)
        items.append((b, lambda x=x, b=b: movers.person(c, x, b, 3.5 + (b - hz) * 0.14)))
    scatter(c, items, hz + 10, 94, {"boulder": 0.3, "bush": 0.12, "tent": 0.14, "deer": 0.14, "fence": 0.14, "dog": 0.08, "tractor": 0.07, "bale": 0.06, "car": 0.05, "lamp": 0.06})
    paint(items)
