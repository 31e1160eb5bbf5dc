"""Scenes by the sea: beach, harbour."""

from __future__ import annotations

import math

from . import houses, land, movers, plants, relief, sky, structures, towers
from .canvas import Canvas, Point
from .concepts import tag
from .palette import h, hs, mix, shade
from .props import QUAY, WATER, Items, far_town, headland, paint, scatter, water


def beach(c: Canvas) -> None:
    """Sea, a curved line of foam and sand in the foreground."""
    r = c.rng
    hz = r.uniform(30, 48)
    sky.sky(c, hz, birds=0.4)
    p = r.random()
    if p < 0.35:
        relief.hills(c, hz + 1, 6, 1, 0.4)
    water(c, hz)
    if p > 0.8:
        far_town(c, hz, True, r.uniform(0, 30), r.uniform(40, 80))
    lh = r.random() < 0.26
    if lh or r.random() < 0.25:
        left = r.random() < 0.5
        hgt = r.uniform(4, 9)
        spot = headland(c, hz + 1.5, left, r.uniform(18, 34), hgt)
        if lh:
            towers.lighthouse(c, spot, hz - hgt + 4, r.uniform(15, 21))
        elif r.random() < 0.4:
            houses.house(c, spot - 4, hz - hgt + 4, 8, 5)
    shore = r.uniform(62, 74)
    if r.random() < 0.6:
        for _ in range(r.choice((1, 1, 2))):
            movers.boat(c, r.uniform(6, 80), r.uniform(hz + 3, shore - 8), r.uniform(6, 11))
    slope, wob = r.uniform(-8, 8), r.uniform(0, 6)
    sand = r.choice(hs("e7cf9d e3c48c f0e2c0 cfc3ac b8a284 8a8078 ddb98a"))
    if c.snowy:
        sand = mix(sand, h("eef2f6"), r.uniform(0.1, 0.75))

    def edge(off: float) -> list[Point]:
        return (
            [(-1.0, 98.0)]
            + [(x, shore + off + slope * (x / 96 - 0.5) + 2.6 * math.sin(x * 0.075 + wob)) for x in range(-1, 100, 3)]
            + [(98.0, 98.0)]
        )

    wave = mix(mix((255, 255, 255), c.light.amb, c.light.k * 1.5), c.light.far, 0.12)
    c.poly(edge(-4.6), mix(c.light.far, wave, 0.35), WATER, raw=True)
    c.poly(edge(-3.6), mix(c.light.far, c.light.near, 0.3), WATER, raw=True)
    c.poly(edge(-1.5), wave, WATER, raw=True)
    c.poly(edge(0), shade(sand, 0.8), land.SAND)
    c.gradient(edge(2.4), (sand, sand, shade(sand, 0.86)), land.SAND)
    if r.random() < 0.17:
        structures.pier(c, r.uniform(16, 80), shore + 9, r.uniform(16, 24), r.uniform(3.4, 5))
    for _ in range(22):
        y = r.uniform(shore + 8, 96)
        c.rect(r.uniform(0, 96), y, r.uniform(0.5, 1.6), 0.4, shade(sand, r.choice((0.84, 0.9, 1.3))), land.SAND)
    items: Items = []
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        x, b = r.uniform(8, 88), r.uniform(shore + 9, 93)
        items.append((b, lambda x=x, b=b: land.shadow(c, x + 2, b, 4.6, sand, land.SAND)))
        items.append((b, lambda x=x, b=b: movers.parasol(c, x, b, 4 + (b - 70) * 0.12)))
        if r.random() < 0.6:
            tone = r.choice(hs("d8584a 3f7fae f0d080 4f9a8a"))
            items.append(
                (
                    b + 1,
                    lambda x=x, b=b, tone=tone: c.poly(
                        [(x + 3, b - 1), (x + 8, b - 1.6), (x + 9, b + 0.2), (x + 3.6, b + 0.9)],
                        tone,
                        tag("", "", "cloth"),
                    ),
                )
            )
    for _ in range(r.choice((0, 1, 2, 3))):
        x, b = r.uniform(6, 90), r.uniform(shore + 5, 92)
        items.append((b, lambda x=x, b=b: movers.person(c, x, b, 6 + (b - 66) * 0.1)))
    if r.random() < 0.14:
        x, b = r.uniform(12, 80), r.uniform(shore + 10, 92)
        items.append((b, lambda x=x, b=b: movers.boat(c, x, b, r.uniform(13, 18), "row")))
    if r.random() < 0.42:
        for _ in range(r.choice((1, 2))):
            x, b = r.choice((r.uniform(4, 22), r.uniform(74, 92))), r.uniform(shore + 8, 92)
            items.append((b, lambda x=x, b=b: land.shadow(c, x, b, 3.5, sand, land.SAND)))
            items.append((b, lambda x=x, b=b: plants.palm(c, x, b, r.uniform(28, 44))))
    if r.random() < 0.2:
        x0, w = r.choice((0, 50)), r.uniform(6.5, 8.5)
        for k in range(r.randint(2, 5)):
            x, b = x0 + 3 + k * (w + 2), shore + 9.0
            items.append((b, lambda x=x, b=b: houses.house(c, x, b, w, w * 0.85, houses.Style(chimney=0, gable=True))))
    scatter(
        c,
        items,
        shore + 6,
        95,
        {
            "boulder": 0.3,
            "cactus": 0.1,
            "bush": 0.2,
            "tent": 0.06,
            "tractor": 0.03,
            "fence": 0.1,
            "dog": 0.14,
            "lamp": 0.08,
        },
    )
    paint(items)


def harbour(c: Canvas) -> None:
    """A row of houses on a stone quay, boats on the water in front."""
    r = c.rng
    quay = r.uniform(44, 58)
    sky.sky(c, quay - 6, birds=0.4)
    p = r.random()
    if p < 0.3:
        relief.mountains(c, quay, 2, 20, 34)
    if p < 0.75:
        relief.hills(c, quay - 2, 8, r.choice((1, 2)), 0.4)
    if p > 0.8:
        far_town(c, quay, True, 0, 92)
    if r.random() < 0.2:
        towers.church(c, r.uniform(26, 70), quay, r.uniform(18, 23))
    if r.random() < 0.06:
        towers.windmill(c, r.uniform(12, 84), quay, 28)
    for _ in range(r.choice((0, 0, 1, 2))):
        plants.any_tree(c, r.uniform(0, 96), quay + 1, r.uniform(16, 24), 0.25)
    lh = r.random() < 0.3
    style = houses.Style(awning=r.choice((0, 0, 0.5)), gable=r.choice((None, None, True)), roof=r.choice((None, *houses.ROOFS[:3])))
    x = r.uniform(-6, 6)
    skip = r.choice((0, 1)) if lh else -1
    while x < 93:
        w = r.uniform(9.5, 16)
        if not (lh and ((skip == 0 and x < 14) or (skip == 1 and x + w > 82))) and r.random() < 0.93:
            houses.house(c, x, quay + 1, w, r.uniform(10, 20), style)
        x += w + r.choice((0.2, 0.4, r.uniform(1, 5)))
    if lh:
        towers.lighthouse(c, r.uniform(5, 9) if skip == 0 else r.uniform(87, 91), quay + 1, r.uniform(22, 30))
    if r.random() < 0.24:
        plants.palm(c, r.uniform(6, 90), quay + 2, r.uniform(17, 24))
    for _ in range(r.choice((0, 1, 2))):
        movers.person(c, r.uniform(4, 92), quay + 2, r.uniform(4.4, 5.4))
    if r.random() < 0.28:
        movers.parasol(c, r.uniform(10, 86), quay + 2, r.uniform(3, 4))
    if r.random() < 0.2:
        movers.car(c, r.uniform(6, 76), quay + 2, r.uniform(9, 12), h("8a8478"), QUAY)
    for _ in range(r.choice((0, 0, 1, 2, 3))):
        structures.lamp_post(c, r.uniform(6, 90), quay + 2, r.uniform(9, 12))
    water(c, quay + 2)
    c.mirror(quay + 4, 44, 0.42, WATER)
    stone = r.choice(hs("a59b8b 8f8a84 9a8f86"))
    c.rect(-1, quay + 1.4, 98, 4.4, shade(stone, 0.86), QUAY)
    c.rect(-1, quay + 1.2, 98, 0.9, stone if not c.snowy else h("eef2f6"), QUAY)
    for _ in range(9):
        c.rect(r.uniform(0, 96), quay + r.uniform(2.6, 5), r.uniform(2, 5), 0.4, shade(stone, 0.7), QUAY)
    if r.random() < 0.3:
        structures.pier(c, r.uniform(14, 82), 97, r.uniform(22, 34), r.uniform(5, 8))
    boats = []
    for _ in range(r.choice((1, 2, 2, 3, 4))):
        b = r.uniform(quay + 11, 92)
        boats.append((b, r.uniform(2, 80)))
    for b, bx in sorted(boats):
        movers.boat(c, bx, b, 8 + (b - quay) * 0.22)
