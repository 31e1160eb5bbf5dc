"""Scenes in town: city by day, city by night, suburb."""

from __future__ import annotations

from . import houses, land, movers, plants, relief, sky, structures, towers
from .canvas import Canvas
from .palette import h, hs, mix, shade
from .props import WATER, Items, paint, scatter, water


def city(c: Canvas) -> None:
    """Towers over a street, or a skyline across the water. Whether it is night follows from the light."""
    r = c.rng
    night = c.light.lamps
    river = r.random() < 0.25
    base = r.uniform(60, 68) if river else r.uniform(68, 76)
    sky.sky(c, base - 8, birds=0.15, balloons=0.04)
    if r.random() < 0.15:
        relief.mountains(c, base, 2, 24, 36, 0.5)
    if r.random() < 0.25:
        relief.hills(c, base - 4, 8, 1, 0.5)
    lit = r.uniform(0.3, 0.58) if night else 0.0
    for layer, (haze, lo, hi, wlo, whi) in enumerate(((0.42, 26, 48, 6, 10), (0.2, 20, 50, 8, 13), (0.0, 12, 42, 10, 16))):
        c.haze = haze if not night else haze * 0.55
        x = r.uniform(-8, 0)
        while x < 95:
            w = r.uniform(wlo, whi)
            if r.random() < (0.75, 0.68, 0.6)[layer]:
                towers.skyscraper(c, x, base + 0.5, w, min(base - 8, r.uniform(lo, hi)), lit * (0.6, 0.8, 1)[layer])
            elif layer == 2 and r.random() < 0.75:
                houses.house(c, x, base + 0.5, w, r.uniform(10, 18), houses.Style(awning=0.5, gable=r.choice((None, False))))
            x += w + r.choice((0.2, 0.6, r.uniform(1, 4)))
    c.haze = 0.0
    if r.random() < 0.06:
        towers.church(c, r.uniform(26, 70), base + 0.5, r.uniform(15, 19))
    if river:
        _waterfront(c, base)
        return
    for _ in range(r.choice((0, 1, 2, 3, 4))):
        x = r.uniform(2, 94)
        if r.random() < 0.13:
            plants.palm(c, x, base + 2.4, r.uniform(15, 21))
        else:
            plants.broad(c, x, base + 2.4, r.uniform(11, 17))
    structures.street(c, base + 3, 97 - base - 3)
    for _ in range(r.choice((1, 2, 3, 4)) if night else r.choice((0, 0, 1, 2, 3))):
        structures.lamp_post(c, r.uniform(4, 92), base + 2.6, r.uniform(13, 17))
    for _ in range(r.choice((0, 1, 2, 3))):
        movers.person(c, r.uniform(4, 92), base + 2.6, r.uniform(5.4, 6.6))
    if r.random() < 0.24:
        movers.parasol(c, r.uniform(8, 88), base + 2.6, 3.4)
    tone = h("5a5e65")
    y1, y2 = base + 3 + (94 - base) * 0.42, 95.0
    for y, w in ((y1, 19.0), (y2, 25.0)):
        x = r.uniform(-12, 20)
        while x < 92:
            if r.random() < 0.55:
                movers.car(c, x, y, w * r.uniform(0.9, 1.1), tone, structures.ROAD)
            x += w + r.uniform(6, 26)
    if r.random() < 0.3:
        x = r.uniform(30, 60)
        for k in range(5):
            c.poly(
                [
                    (x + k * 3.2, base + 4),
                    (x + k * 3.2 + 1.7, base + 4),
                    (x + k * 4.2 + 3, 97),
                    (x + k * 4.2 + 0.6, 97),
                ],
                h("e4e2d8"),
                structures.MARKING,
            )


def _waterfront(c: Canvas, base: float) -> None:
    """Quay, river and sometimes a bridge in front of the towers."""
    r = c.rng
    for _ in range(r.choice((0, 2, 4, 6))):
        plants.broad(c, r.uniform(0, 96), base + 1, r.uniform(6, 10))
    water(c, base + 1)
    c.mirror(base + 2.4, 34, 0.5, WATER)
    c.rect(-1, base + 0.6, 98, 1.9, h("a59b8b"), structures.PAVEMENT)
    for _ in range(r.choice((2, 4, 6)) if c.light.lamps else r.choice((0, 2))):
        structures.lamp_post(c, r.uniform(2, 94), base + 1, r.uniform(6, 8))
    if r.random() < 0.68:
        if r.random() < 0.6:
            structures.steel_bridge(c, -6, 102, base + 10, base + 17)
        else:
            structures.arched_bridge(c, -4, 100, base + 8, base + 16, r.choice((3, 4)))
    for _ in range(r.choice((0, 0, 1, 2))):
        movers.boat(c, r.uniform(6, 76), r.uniform(base + 18, 93), r.uniform(9, 14), r.choice(("motor", "sail", "row")))


def suburb(c: Canvas) -> None:
    """Detached houses behind lawns and fences along a quiet street."""
    r = c.rng
    hz = r.uniform(42, 52)
    sky.sky(c, hz, balloons=0.06)
    p = r.random()
    if p < 0.2:
        relief.mountains(c, hz, 2, 12, 24, 0.5)
    if p < 0.8:
        relief.hills(c, hz + 1, 5, 1, 0.6)
    if p > 0.86:
        c.haze = 0.34
        x = r.uniform(0, 40)
        for _ in range(4):
            towers.skyscraper(c, x, hz + 2, r.uniform(5, 8), r.uniform(12, 24), 0.35)
            x += r.uniform(7, 16)
        c.haze = 0.0
    lawn = land.ground(c, hz + 1, 0.6)
    if r.random() < 0.2:
        land.patchwork(c, hz, 4, 5)
    if r.random() < 0.07:
        houses.barn(c, r.uniform(4, 80), hz + 5, 12, 7, False)
    if r.random() < 0.08:
        towers.church(c, r.uniform(24, 72), hz + 5, r.uniform(13, 17))
    road = r.uniform(76, 83)
    for _ in range(r.randint(2, 5)):
        plants.any_tree(c, r.uniform(0, 96), hz + r.uniform(2, 5), r.uniform(13, 22), 0.25)
    front = road - r.uniform(9, 13)
    n = r.choice((2, 2, 3))
    gap = 96 / n
    palette = r.choice(((None,), tuple(houses.WALLS[3:8]), tuple(houses.WALLS[8:13])))
    for i in range(n):
        w = gap * r.uniform(0.56, 0.72)
        x = gap * i + (gap - w) / 2 + r.uniform(-2.5, 2.5)
        hgt = r.uniform(10, 13) if r.random() < 0.6 else r.uniform(17, 20)
        c.oval(x + w * 0.5, front + 0.3, w * 0.6, 1.3, shade(lawn, 0.7), land.SNOW if c.snowy else land.GRASS)
        drive = x + w * r.choice((0.2, 0.8))
        c.poly(
            [(drive - 2, front), (drive + 2, front), (drive + 4, road - 2.6), (drive - 3.6, road - 2.6)],
            h("b5b0a6") if not c.snowy else h("cdd3d8"),
            structures.PAVEMENT,
        )
        houses.house(c, x, front, w, hgt, houses.Style(wall=r.choice(palette), gable=r.choice((None, None, False))))
        if r.random() < 0.5:
            plants.bush(c, x + w * r.uniform(0.3, 0.7), front + 0.6, r.uniform(1.6, 2.6))
        if r.random() < 0.3:
            movers.car(c, min(78, max(1, drive - 7)), front + 4.4, r.uniform(13, 16), lawn, structures.PAVEMENT)
    items: Items = []
    for _ in range(r.choice((0, 1, 1, 2))):
        x = r.choice((r.uniform(0, 96), gap * r.randint(0, n)))
        items.append((front + 4, lambda x=x: plants.any_tree(c, x, front + r.uniform(2, 5), r.uniform(17, 27), 0.2)))
    if r.random() < 0.42:
        tone = r.choice(hs("efeade efeade c9b090"))
        items.append(
            (
                road - 3.2,
                lambda: structures.fence(c, road - 3.2, r.choice((-3, -3, 50)), r.choice((99, 99, 46)), tone, 3.8),
            )
        )
    scatter(
        c,
        items,
        front + 3,
        road - 4,
        {
            "person": 0.35,
            "dog": 0.2,
            "parasol": 0.22,
            "cactus": 0.2,
            "palm": 0.12,
            "boulder": 0.08,
            "bush": 0.5,
            "tent": 0.05,
            "tractor": 0.05,
        },
    )
    paint(items)
    land.flowers(c, front + 1, road - 4, count=14 if r.random() < 0.4 else 0)
    structures.street(c, road, 97 - road, 2.6)
    for _ in range(r.choice((0, 1, 1, 2))):
        structures.lamp_post(c, r.uniform(4, 92), road - 1.4, r.uniform(19, 25))
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        movers.car(
            c,
            r.uniform(-4, 76),
            r.uniform(road + 8, 95),
            r.uniform(20, 26),
            mix(h("5a5e65"), h("000000"), 0.1),
            structures.ROAD,
        )
