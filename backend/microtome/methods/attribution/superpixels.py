"""SLIC superpixels (Achanta et al. 2012): k-means of colour and place, each pixel among the centres around it."""

from __future__ import annotations

import numpy as np

#: How much place counts against colour (the paper's m), and rounds of k-means.
_COMPACTNESS, _ROUNDS = 10.0, 10


def superpixels(image: np.ndarray, count: int) -> np.ndarray:
    """int64 [H, W], connected parts numbered from 0 without gaps; at most ``count`` of them.

    Args:
        image: [H, W, 3], sRGB in 0 to 1.
    """
    height, width = image.shape[:2]
    rows = max(1, min(height, int((count * height / width) ** 0.5)))
    columns = max(1, min(width, count // rows))
    step = (height * width / (rows * columns)) ** 0.5
    y, x = np.mgrid[:height, :width]
    points = np.concatenate([lab(image), np.stack([y, x], -1) * (_COMPACTNESS / step)], -1).reshape(-1, 5)
    home_y, home_x = y * rows // height, x * columns // width
    places = (home_y * columns + home_x).reshape(-1)
    # The nine cells around a pixel's own are all that a window of twice the step can reach.
    around = [
        (np.clip(home_y + dy, 0, rows - 1) * columns + np.clip(home_x + dx, 0, columns - 1)).reshape(-1)
        for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    ]  # fmt: skip
    centres = np.zeros((rows * columns, 5))
    for _ in range(_ROUNDS):
        sizes = np.bincount(places, minlength=len(centres))
        sums = np.stack([np.bincount(places, points[:, k], len(centres)) for k in range(5)], 1)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        far = np.stack([((points - centres[near]) ** 2).sum(1) for near in around])
        places = np.stack(around)[far.argmin(0), np.arange(len(points))]
    return _connected(places.reshape(height, width))


def lab(image: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB [..., 3] in 0 to 1."""
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def _connected(places: np.ndarray) -> np.ndarray:
    """The largest connected piece of every part keeps its number; every other piece joins the neighbour it touches most."""
    while True:
        pieces = _pieces(places)
        sizes = np.bincount(pieces.reshape(-1))
        part = np.zeros(len(sizes), np.int64)
        part[pieces.reshape(-1)] = places.reshape(-1)
        order = np.lexsort((np.arange(len(sizes)), -sizes, part))
        main = np.zeros(len(sizes), bool)
        main[order[np.unique(part[order], return_index=True)[1]]] = True
        if main.all():
            return np.unique(places, return_inverse=True)[1].reshape(places.shape).astype(np.int64)
        one = np.concatenate([pieces[:, :-1].ravel(), pieces[:-1].ravel()])
        other = np.concatenate([pieces[:, 1:].ravel(), pieces[1:].ravel()])
        pairs = np.concatenate([np.stack([one, other]), np.stack([other, one])], 1)[:, np.concatenate([one != other] * 2)]
        # Loose pieces join a part that stays, so that every round leaves fewer of them.
        pairs = pairs[:, ~main[pairs[0]] & main[pairs[1]]]
        found, borders = np.unique(pairs, axis=1, return_counts=True)
        for at in np.lexsort((-found[1], borders)):
            part[found[0, at]] = part[found[1, at]]
        places = part[pieces]


def _pieces(places: np.ndarray) -> np.ndarray:
    """Number of the connected piece (by edges) of each pixel, from 0: the smallest index in a piece spreads until nothing changes."""
    size = places.size
    names = np.arange(size).reshape(places.shape)
    across, down = places[:, :-1] == places[:, 1:], places[:-1] == places[1:]
    while True:
        before = names.copy()
        for here, there, same in ((np.s_[:, :-1], np.s_[:, 1:], across), (np.s_[:-1], np.s_[1:], down)):
            low = np.minimum(names[here], names[there])
            names[here] = np.where(same, low, names[here])
            names[there] = np.where(same, np.minimum(low, names[there]), names[there])
        names = names.reshape(-1)[names]  # jump to the name of the name
        if np.array_equal(before, names):
            return np.unique(names, return_inverse=True)[1].reshape(places.shape)
