"""Vehicles, boats, animals, people and what they put up."""

from __future__ import annotations

import math

from .canvas import Canvas
from .concepts import Tag, tag
from .palette import RGB, h, hs, mix, shade

BODY = tag("car", "body", "metal")
CAR_GLASS = tag("car", "window", "glass")
WHEEL = tag("car", "wheel", "metal")
LAMPS = tag("car", "headlight", "glass")
T_BODY = tag("tractor", "body", "metal")
T_GLASS = tag("tractor", "window", "glass")
T_WHEEL = tag("tractor", "wheel", "metal")
HULL = tag("boat", "hull", "wood")
MAST = tag("boat", "mast", "wood")
SAIL = tag("boat", "sail", "cloth")
CABIN = tag("boat", "", "wood")
CABIN_GLASS = tag("boat", "window", "glass")
PARASOL = tag("parasol", "canopy", "cloth")
PARASOL_POLE = tag("parasol", "pole", "wood")
TENT = tag("tent", "canopy", "cloth")
TENT_DOOR = tag("tent", "door", "cloth")
ANIMAL = tag("animal")
ANIMAL_HEAD = tag("animal", "head")
ANIMAL_LEG = tag("animal", "leg")
PERSON = tag("person", "", "cloth")
PERSON_HEAD = tag("person", "head")
PERSON_LEG = tag("person", "leg", "cloth")

_PAINTS = hs("b83a32 2f5f9a e3e4e2 d8a03a 3b4a4f 3f7d62 8fa8b8 6a4a6a d8d2c4")
_COATS = hs("c4453a 2f6f9f e2b04a 3f7d62 7a4f8a e8e4da 3a4256 d87a4a")


def car(c: Canvas, x: float, b: float, w: float, ground: RGB, ground_tag: Tag) -> None:
    """Car seen from the side, left edge at ``x``, tyres on ``b``."""
    r = c.rng
    paint, hgt = r.choice(_PAINTS), w * 0.36
    c.oval(x + w / 2, b, w * 0.53, max(0.5, w * 0.045), shade(ground, 0.6), ground_tag)
    van = r.random() < 0.25
    flip = r.random() < 0.5

    def px(t: float) -> float:
        return x + w * (1 - t if flip else t)

    back = 0.06 if van else 0.2
    c.poly(
        [
            (px(back), b - hgt * 0.5),
            (px(back + (0.02 if van else 0.11)), b - hgt),
            (px(0.66), b - hgt),
            (px(0.83), b - hgt * 0.5),
        ],
        shade(paint, 0.9),
        BODY,
    )
    pane = mix(h("a9c4d4"), c.light.mid, 0.3)
    c.poly(
        [(px(0.27), b - hgt * 0.54), (px(0.335), b - hgt * 0.9), (px(0.47), b - hgt * 0.9), (px(0.47), b - hgt * 0.54)],
        pane,
        CAR_GLASS,
    )
    c.poly(
        [(px(0.51), b - hgt * 0.54), (px(0.51), b - hgt * 0.9), (px(0.64), b - hgt * 0.9), (px(0.76), b - hgt * 0.54)],
        shade(pane, 0.86),
        CAR_GLASS,
    )
    c.rect(x, b - hgt * 0.56, w, hgt * 0.42, paint, BODY)
    c.rect(x, b - hgt * 0.3, w, hgt * 0.16, shade(paint, 0.76), BODY)
    c.rect(x, b - hgt * 0.56, w, max(0.34, hgt * 0.08), shade(paint, 1.22), BODY)
    on = c.light.lamps
    fx = px(0.97)
    c.rect(fx - w * 0.03, b - hgt * 0.46, w * 0.06, hgt * 0.14, h("fff0b8"), LAMPS, raw=on)
    c.rect(px(0.02) - w * 0.02, b - hgt * 0.46, w * 0.045, hgt * 0.14, h("d8463a"), LAMPS, raw=on)
    if on:
        c.glow(fx + (-w if flip else w) * 0.1, b - hgt * 0.3, w * 0.36, h("ffe6a8"), 0.4)
    for t in (0.22, 0.78):
        c.oval(x + w * t, b - hgt * 0.16, hgt * 0.25, hgt * 0.25, h("1b1e22"), WHEEL)
        c.oval(x + w * t, b - hgt * 0.16, hgt * 0.12, hgt * 0.12, h("b9bec3"), WHEEL)


def tractor(c: Canvas, x: float, b: float, s: float) -> None:
    """Tractor, ``s`` its length."""
    r = c.rng
    paint = r.choice(hs("b83a32 3f8a4a 2f5f9a d8902a"))
    d = r.choice((-1, 1))

    def q(t: float) -> float:
        return x + d * t * s

    def box(t0: float, y0: float, t1: float, y1: float, rgb: RGB, t: Tag, raw: bool = False) -> None:
        c.rect(min(q(t0), q(t1)), b - y0 * s, abs(t1 - t0) * s, (y0 - y1) * s, rgb, t, raw)

    box(-0.3, 0.8, 0.06, 0.34, paint, T_BODY)
    box(-0.24, 0.74, 0.02, 0.46, h("a9c4d4"), T_GLASS)
    box(-0.36, 0.86, 0.1, 0.78, shade(paint, 0.8), T_BODY)
    box(0.04, 0.5, 0.5, 0.2, paint, T_BODY)
    box(0.04, 0.28, 0.5, 0.18, shade(paint, 0.74), T_BODY)
    box(0.32, 0.68, 0.37, 0.48, h("3a3f46"), T_BODY)
    if c.light.lamps:
        box(0.48, 0.44, 0.53, 0.36, h("fff0b8"), tag("tractor", "headlight", "glass"), True)
        c.glow(q(0.6), b - s * 0.4, s * 0.5, h("ffe6a8"), 0.4)
    for t, rad in ((-0.2, 0.28), (0.36, 0.17)):
        c.oval(q(t), b - rad * s, rad * s, rad * s, h("22252a"), T_WHEEL)
        c.oval(q(t), b - rad * s, rad * s * 0.5, rad * s * 0.5, h("d8b048"), T_WHEEL)
        c.oval(q(t), b - rad * s, rad * s * 0.18, rad * s * 0.18, h("5a4a2a"), T_WHEEL)


def boat(c: Canvas, x: float, b: float, w: float, kind: str = "") -> None:
    """Boat with its waterline at ``b``; ``kind`` is "sail", "motor" or "row", drawn at random when empty."""
    r = c.rng
    kind = kind or r.choice(("sail", "sail", "sail", "motor", "row"))
    hull = r.choice(hs("f0eee6 b8423a 2c4e7c f3f1ea 3c6d72 d8a548 7a5236"))
    water = shade(mix(c.light.far, c.light.near, 0.55), 0.62)
    wet = tag("", "", "water")
    c.oval(x + w * 0.52, b + w * 0.04, w * 0.5, max(0.5, w * 0.06), water, wet, raw=True)
    if kind == "sail":
        hgt, lean = w * r.uniform(1.15, 1.45), w * 0.02
        c.rect(x + w * 0.47, b - hgt, max(0.4, w * 0.035), hgt - w * 0.1, h("6a4d36"), MAST)
        furled = r.random() < 0.2
        cloth = r.choice(hs("fbf8ef f6efe0 d9774a fbf8ef e8d8b0 c8504a"))
        if furled:
            c.line([(x + w * 0.5, b - w * 0.3), (x + w * 0.95, b - w * 0.34)], max(0.7, w * 0.07), cloth, SAIL)
        else:
            c.poly(
                [
                    (x + w * 0.53, b - hgt * 0.97),
                    (x + w * 0.53, b - w * 0.3),
                    (x + w * 1.0, b - w * 0.3),
                    (x + w * 0.82, b - hgt * 0.5 + lean),
                ],
                cloth,
                SAIL,
            )
            c.poly(
                [(x + w * 0.45, b - hgt * 0.9), (x + w * 0.45, b - w * 0.3), (x + w * 0.06, b - w * 0.3)],
                shade(cloth, 0.86),
                SAIL,
            )
            c.line([(x + w * 0.53, b - hgt * 0.6), (x + w * 0.8, b - hgt * 0.56)], 0.3, shade(cloth, 0.8), SAIL)
        c.poly([(x + w * 0.5, b - hgt), (x + w * 0.66, b - hgt - 0.5), (x + w * 0.5, b - hgt + 1)], h("c8453a"), MAST)
    elif kind == "motor":
        c.rect(x + w * 0.3, b - w * 0.5, w * 0.36, w * 0.3, h("ece8de"), CABIN)
        on = c.light.lamps
        c.rect(x + w * 0.35, b - w * 0.44, w * 0.26, w * 0.12, h("ffd37a") if on else h("4b667e"), CABIN_GLASS, raw=on)
        c.rect(x + w * 0.27, b - w * 0.55, w * 0.42, w * 0.07, shade(hull, 0.8), CABIN)
        c.rect(x + w * 0.5, b - w * 0.82, max(0.4, w * 0.03), w * 0.3, h("5a4a3a"), MAST)
        if on:
            c.glow(x + w * 0.5, b - w * 0.4, w * 0.6, h("ffb85a"), 0.3)
    keel = [
        (x - w * 0.04, b - w * 0.2),
        (x + w * 1.06, b - w * 0.25),
        (x + w * 0.96, b - w * 0.06),
        (x + w * 0.82, b + w * 0.05),
        (x + w * 0.16, b + w * 0.05),
        (x + w * 0.03, b - w * 0.04),
    ]
    c.poly(keel, hull, HULL)
    c.poly([keel[5], (x + w * 0.96, b - w * 0.06), keel[3], keel[4]], shade(hull, 0.72), HULL)
    c.line([keel[0], keel[1]], max(0.4, w * 0.035), shade(hull, 0.6) if sum(hull) > 560 else h("f4efe4"), HULL)
    for k in (0.12, 0.2):
        c.rect(x + w * (0.1 + k), b + w * k, w * (0.8 - 2 * k), 0.36, water, wet, raw=True)


def parasol(c: Canvas, x: float, b: float, s: float) -> None:
    """Sunshade of half-width ``s``."""
    r = c.rng
    a, z = r.choice((hs("c4453a f6efe2"), hs("2f6f9f f6efe2"), hs("e2b04a f6efe2"), hs("3f8a6a f0e0a8"), hs("d8789a fbf3ea")))
    c.rect(x - 0.3, b - s * 1.5, 0.62, s * 1.5, h("7c5c40"), PARASOL_POLE)
    top = b - s * 1.25
    for k, half in enumerate((1.0, 0.64, 0.24)):
        c.half(x, top, s * half, s * 0.78, a if k % 2 == 0 else z, PARASOL)
    c.oval(x, top - s * 0.78, 0.4, 0.4, a, PARASOL)


def tent(c: Canvas, x: float, b: float, s: float) -> None:
    """Ridge tent of half-width ``s``; glows from inside after dark."""
    r = c.rng
    cloth = r.choice(hs("d8843a c4453a 3f7d8a d8b04a 6a8a4a e8e0cc"))
    lit = c.light.lamps and r.random() < 0.7
    if lit:
        cloth = mix(cloth, h("ffc060"), 0.5)
        c.glow(x, b - s * 0.5, s * 2, h("ffb050"), 0.4)
    top = b - s * 1.15
    c.poly(
        [(x - s, b), (x - s * 0.1, top), (x + s * 0.75, top + s * 0.12), (x + s * 1.25, b - s * 0.12)],
        shade(cloth, 0.76),
        TENT,
        raw=lit,
    )
    c.poly([(x - s, b), (x - s * 0.1, top), (x + s * 0.6, b)], cloth, TENT, raw=lit)
    c.poly([(x - s * 0.35, b), (x - s * 0.12, top + s * 0.4), (x + s * 0.12, b)], shade(cloth, 0.45), TENT_DOOR, raw=lit)


def animal(c: Canvas, x: float, b: float, s: float, kind: str) -> None:
    """Grazing or standing animal: "sheep", "cow", "deer", "camel" or "dog"; ``s`` is its length."""
    r = c.rng
    d = r.choice((-1, 1))
    coat = {
        "sheep": "efe9dc",
        "cow": r.choice(("f0ece2", "7a4a30", "3a3432")),
        "deer": "9a6a42",
        "camel": "c49a62",
        "dog": "8a5a38",
    }[kind]
    tone = h(coat)
    leg = {"sheep": 0.22, "cow": 0.3, "deer": 0.46, "camel": 0.5, "dog": 0.3}[kind] * s
    dark = h("3a302a") if kind == "sheep" else shade(tone, 0.72)
    for t in (-0.34, -0.22, 0.22, 0.34):
        c.rect(x + d * t * s - s * 0.03, b - leg, max(0.4, s * 0.075), leg, dark, ANIMAL_LEG)
    by = b - leg - s * 0.18
    c.oval(x, by, s * 0.46, s * 0.24, tone, ANIMAL)
    c.oval(x, by + s * 0.1, s * 0.36, s * 0.14, shade(tone, 0.86), ANIMAL)
    hx, hy = x + d * s * 0.54, by - s * 0.12
    if kind in ("deer", "camel"):
        c.line([(x + d * s * 0.36, by), (x + d * s * 0.56, by - s * 0.42)], max(0.6, s * 0.12), tone, ANIMAL_HEAD)
        hx, hy = x + d * s * 0.62, by - s * 0.45
    if kind == "camel":
        c.oval(x, by - s * 0.22, s * 0.17, s * 0.17, tone, ANIMAL)
    if kind == "sheep":
        for k in range(5):
            c.oval(x + (k - 2) * s * 0.18, by - s * 0.1 + 0.05 * s * (k % 2), s * 0.15, s * 0.14, shade(tone, 1.1), ANIMAL)
    if kind == "cow" and coat == "f0ece2":
        c.oval(x - d * s * 0.12, by - s * 0.05, s * 0.15, s * 0.12, h("3a3432"), ANIMAL)
        c.oval(x + d * s * 0.24, by, s * 0.1, s * 0.09, h("3a3432"), ANIMAL)
    c.oval(hx, hy, s * 0.15, s * 0.12, h("3a302a") if kind == "sheep" else tone, ANIMAL_HEAD)
    if kind == "deer":
        for side in (-0.5, 0.4):
            c.line([(hx, hy), (hx + side * s * 0.3, hy - s * 0.32)], 0.34, h("6a4a30"), ANIMAL_HEAD)


def person(c: Canvas, x: float, b: float, s: float) -> None:
    """Standing figure, ``s`` tall."""
    r = c.rng
    coat, trousers = r.choice(_COATS), r.choice(hs("3a4256 4a3a34 6a6a6e 2f4f5f"))
    skin = r.choice(hs("f0c8a0 c89068 8a5a3c e0b088"))
    w = s * 0.17
    step = r.uniform(0.4, 1.0) * w
    c.poly([(x - w * 0.8, b - s * 0.45), (x - step, b), (x - step + w * 0.7, b), (x, b - s * 0.4)], trousers, PERSON_LEG)
    c.poly([(x + w * 0.8, b - s * 0.45), (x + step, b), (x + step - w * 0.7, b), (x, b - s * 0.4)], trousers, PERSON_LEG)
    c.poly(
        [(x - w, b - s * 0.42), (x - w * 0.8, b - s * 0.78), (x + w * 0.8, b - s * 0.78), (x + w, b - s * 0.42)],
        coat,
        PERSON,
    )
    a = r.uniform(0.2, 0.9)
    for d in (-1, 1):
        c.line(
            [
                (x + d * w * 0.8, b - s * 0.74),
                (x + d * (w * 0.8 + s * 0.18 * math.sin(a)), b - s * 0.74 + s * 0.26 * math.cos(a)),
            ],
            max(0.35, s * 0.06),
            coat,
            PERSON,
        )
    c.oval(x, b - s * 0.88, s * 0.105, s * 0.115, skin, PERSON_HEAD)
    if c.snowy:
        c.half(x, b - s * 0.9, s * 0.12, s * 0.13, r.choice(_COATS), PERSON_HEAD)
