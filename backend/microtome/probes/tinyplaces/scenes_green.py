"""Scenes in the country: village, forest, farm."""

from __future__ import annotations

from . import houses, land, movers, plants, relief, sky, structures, towers
from .canvas import Canvas
from .palette import h, mix, shade
from .props import FIELD, FIELD_EARTH, Items, far_town, paint, scatter, stream


def village(c: Canvas) -> None:
    """Pitched roofs gathered around a church among meadows."""
    r = c.rng
    hz = r.uniform(40, 54)
    sky.sky(c, hz, balloons=0.06)
    if r.random() < 0.4:
        relief.mountains(c, hz, 2, 18, 32, 0.5)
    relief.hills(c, hz + 1, 8, r.choice((1, 2)), 0.4)
    land.ground(c, hz + 2, 2.4)
    if r.random() < 0.42:
        land.patchwork(c, hz + 1, 5, 6)
    if r.random() < 0.2:
        stream(c, hz + 6)
    vx = r.uniform(34, 62)
    if r.random() < 0.6:
        structures.lane(c, hz + 6, vx, 97, r.uniform(20, 76), 0.8, r.uniform(8, 13), r.random() < 0.3)
    items: Items = []
    for _ in range(r.randint(2, 5)):
        x, b = r.uniform(0, 96), hz + r.uniform(2, 9)
        items.append((b, lambda x=x, b=b: plants.any_tree(c, x, b, r.uniform(10, 18))))
    if r.random() < 0.42:
        x, b = r.uniform(18, 78), hz + r.uniform(5, 10)
        items.append((b, lambda x=x, b=b: towers.church(c, x, b, r.uniform(15, 21))))
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
    scatter(
        c,
        items,
        hz + 26,
        95,
        {
            "fence": 0.38,
            "lamp": 0.2,
            "bush": 0.45,
            "person": 0.4,
            "dog": 0.12,
            "sheep": 0.12,
            "car": 0.16,
            "tractor": 0.14,
            "bale": 0.17,
            "boulder": 0.1,
            "windmill": 0.07,
            "parasol": 0.08,
            "cactus": 0.04,
        },
    )
    if r.random() < 0.17:
        x = r.uniform(2, 70)
        items.append((hz + 12, lambda x=x: houses.barn(c, x, hz + 12, 15, 8, False)))
    paint(items)
    land.flowers(c, hz + 24, 96, count=18 if r.random() < 0.35 else 0)


def forest(c: Canvas) -> None:
    """Trunks and crowns crowd both sides and close the view."""
    r = c.rng
    hz = r.uniform(46, 58)
    sky.sky(c, hz, birds=0.15, balloons=0.02)
    if r.random() < 0.25:
        relief.mountains(c, hz - 2, 2, 20, 34, 0.5)
    relief.hills(c, hz - 4, 9, 2, 0.95)
    land.ground(c, hz, 2.0, None)
    p = r.random()
    vx = r.uniform(38, 58)
    if p < 0.35:
        structures.lane(c, hz + 2, vx, 97, r.uniform(30, 66), 0.6, r.uniform(5, 10), r.random() < 0.12)
    elif p < 0.55:
        stream(c, hz + 3)
    conifers = r.choice((0.95, 0.75, 0.4, 0.12))
    items: Items = []
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
        items.append(
            (
                hz + 9,
                lambda: houses.house(c, vx - 6, hz + 9, 12, 7.5, houses.Style(wall=(h("9b6f4a"), "wood"), gable=True)),
            )
        )
    if r.random() < 0.1:
        items.append((hz + 9.5, lambda: houses.barn(c, vx - 16, hz + 9.5, 12, 7, False)))
    for _ in range(r.choice((0, 0, 1, 2))):
        x, b = vx + r.uniform(-14, 14), r.uniform(hz + 8, 88)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 5 + (b - hz) * 0.14, "deer")))
    scatter(
        c,
        items,
        hz + 12,
        95,
        {
            "boulder": 0.35,
            "bush": 0.6,
            "tent": 0.2,
            "person": 0.25,
            "bale": 0.07,
            "fence": 0.1,
            "car": 0.06,
            "lamp": 0.06,
            "tractor": 0.06,
            "cactus": 0.02,
        },
    )
    paint(items)
    land.flowers(c, 72, 96, count=16 if r.random() < 0.35 else 0)


def farm(c: Canvas) -> None:
    """Furrows run to the horizon beside a barn."""
    r = c.rng
    hz = r.uniform(38, 54)
    sky.sky(c, hz, birds=0.3, balloons=0.07)
    if r.random() < 0.2:
        relief.mountains(c, hz, 2, 12, 22, 0.5)
    if r.random() < 0.9:
        relief.hills(c, hz + 1, 6, r.choice((1, 2)), 0.35)
    land.ground(c, hz + 1, 0.8)
    vx = r.uniform(14, 82)
    crop = r.sample(c.season.crop, 2)
    n = r.choice((9, 11, 13))
    y0 = hz + r.uniform(3, 9)
    kinds = (land.SNOW, FIELD_EARTH) if c.snowy else (FIELD, FIELD_EARTH)
    spread = r.uniform(15, 22)
    bottom = r.choice((97.0, 97.0, r.uniform(80, 90)))
    for k in range(n * 2):
        lo, hi = k - n, k + 1 - n
        first = k % 2
        tone = crop[first] if not c.snowy else (h("e9eef2"), h("bfb4a4"))[first]
        t = kinds[first]
        s = (bottom - y0) / (97 - y0)
        pts = [
            (vx + lo * 1.0, y0),
            (vx + hi * 1.0, y0),
            (vx + hi * spread * 0.5 * s, bottom),
            (vx + lo * spread * 0.5 * s, bottom),
        ]
        if k % 3 == 0:
            c.gradient(pts, (mix(tone, c.light.low, 0.12), shade(tone, 0.9)), t)
        else:
            c.poly(pts, tone, t)
    if not c.snowy and r.random() < 0.5:
        for k in range(n * 2):
            for j in range(5):
                u = ((j + 0.5) / 5) ** 1.4
                fx = vx + (k + 0.5 - n) * (1.0 + (spread * 0.5 - 1.0) * u)
                if 0 < fx < 96:
                    size = 0.3 + 1.3 * u
                    c.half(fx, y0 + (bottom - y0) * u, size, size * 0.9, shade(crop[0], 0.78), FIELD)
    items: Items = []
    bx, bb = r.choice((r.uniform(2, 22), r.uniform(52, 70))), hz + r.uniform(5, 11)
    p = r.random()
    if p < 0.58:
        items.append((bb, lambda: houses.barn(c, bx, bb, r.uniform(17, 24), r.uniform(9, 12), r.random() < 0.55)))
    if p > 0.5:
        hx = (bx + 40) % 76
        items.append((bb - 1, lambda: houses.house(c, hx, bb - 1, r.uniform(12, 16), r.uniform(8, 10))))
    if r.random() < 0.08:
        cx = r.uniform(20, 76)
        items.append((hz + 2, lambda: towers.church(c, cx, hz + 2, r.uniform(9, 12))))
    if r.random() < 0.22:
        wx = r.uniform(10, 86)
        items.append((hz + 4, lambda: towers.windmill(c, wx, hz + 4, r.uniform(20, 28))))
    for _ in range(r.randint(1, 4)):
        x, b = r.uniform(0, 96), hz + r.uniform(2, 7)
        items.append((b, lambda x=x, b=b: plants.any_tree(c, x, b, r.uniform(9, 17), 0.2)))
    if r.random() < 0.36:
        x, b = r.uniform(18, 78), r.uniform(hz + 16, 92)
        items.append((b, lambda x=x, b=b: movers.tractor(c, x, b, 8 + (b - hz) * 0.26)))
    if r.random() < 0.3:
        for _ in range(r.randint(1, 4)):
            x, b = r.uniform(4, 92), r.uniform(hz + 12, 94)
            items.append((b, lambda x=x, b=b: land.hay_bale(c, x, b, 1 + (b - hz) * 0.09)))
    beast = r.choice(("sheep", "cow", "cow"))
    for _ in range(r.choice((0, 0, 0, 2, 3, 4))):
        x, b = r.uniform(4, 92), r.uniform(hz + 14, 92)
        items.append((b, lambda x=x, b=b: movers.animal(c, x, b, 3 + (b - hz) * 0.14, beast)))
    scatter(
        c,
        items,
        hz + 24,
        95,
        {
            "bush": 0.2,
            "person": 0.2,
            "car": 0.1,
            "boulder": 0.08,
            "lamp": 0.06,
            "cactus": 0.04,
            "palm": 0.03,
            "parasol": 0.03,
        },
    )
    paint(items)
    if r.random() < 0.45:
        structures.fence(c, r.uniform(90, 96), -3, 99)
    if r.random() < 0.06:
        far_town(c, hz + 2, True, 0, 24)
