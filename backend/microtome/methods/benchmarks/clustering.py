"""Spectral clustering of rows (von Luxburg 2007, arXiv:0711.0189), with the number of clusters from the gaps of the spectrum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtome.methods.faithfulness.order import Floats

Labels = npt.NDArray[np.int64]
_RESTARTS, _STEPS = 20, 100


def distances(rows: Floats) -> Floats:
    """Euclidean, [n, n]."""
    squares = (rows**2).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0))


def spectrum(apart: Floats, neighbours: int) -> tuple[Floats, Floats]:
    """Eigenvalues, ascending from 0, and eigenvectors [n, n] (columns) of the random-walk Laplacian of the neighbourhoods.

    Two rows are joined where one is among the ``neighbours`` nearest of the other. As many eigenvalues are 0 as there are parts that
    nothing joins.
    """
    count = len(apart)
    far = apart + np.diag(np.full(count, np.inf))
    near = np.argsort(far, axis=1, kind="stable")[:, : min(neighbours, count - 1)]
    joined = np.zeros((count, count))
    np.put_along_axis(joined, near, 1.0, axis=1)
    joined = np.maximum(joined, joined.T)
    root = 1 / np.sqrt(joined.sum(1))
    values, vectors = np.linalg.eigh(np.eye(count) - root[:, None] * joined * root[None])
    return np.clip(values, 0, None), vectors * root[:, None]


def by_gap(values: Floats, most: int) -> int:
    """The number of clusters, 1 to ``most``, after which the eigenvalues jump the furthest."""
    return int(np.diff(values[: most + 1]).argmax()) + 1


def clusters(vectors: Floats, count: int, seed: int) -> Labels:
    """The cluster of every row, the largest first: k-means of the first ``count`` eigenvectors, the best of 20 starts."""
    rows = vectors[:, :count] / np.maximum(np.linalg.norm(vectors[:, :count], axis=0), 1e-30)
    generator = np.random.default_rng([seed, 0xC1])
    best, labels = np.inf, np.zeros(len(rows), np.int64)
    for _ in range(_RESTARTS if count > 1 else 0):
        loss, found = _k_means(rows, count, generator)
        if loss < best - 1e-12:
            best, labels = loss, found
    names, places, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[places]


def _k_means(rows: Floats, count: int, generator: np.random.Generator) -> tuple[float, Labels]:
    """Lloyd's steps from centres that are drawn far apart (k-means++)."""
    centres = rows[[int(generator.integers(len(rows)))]]
    while len(centres) < count:
        weight = ((rows[:, None] - centres[None]) ** 2).sum(2).min(1)
        total = weight.sum()
        pick = generator.choice(len(rows), p=weight / total) if total > 0 else generator.integers(len(rows))
        centres = np.vstack([centres, rows[pick]])
    labels = np.full(len(rows), -1)
    for _ in range(_STEPS):
        apart = ((rows[:, None] - centres[None]) ** 2).sum(2)
        now = apart.argmin(1)
        if (now == labels).all():
            break
        labels = now
        for label in range(count):
            if (labels == label).any():
                centres[label] = rows[labels == label].mean(0)
    return float(((rows - centres[labels]) ** 2).sum()), labels.astype(np.int64)


def silhouette(apart: Floats, labels: Labels) -> float:
    """Mean silhouette (Rousseeuw 1987) of rows in at least two clusters, numbered from 0; a row alone in its cluster counts 0."""
    member = np.eye(int(labels.max()) + 1)[labels]
    sizes = member.sum(0)
    sums = apart @ member
    rows = np.arange(len(labels))
    own = sizes[labels]
    inside = sums[rows, labels] / np.maximum(own - 1, 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    outside = means.min(1)
    largest = np.maximum(inside, outside)
    values = np.where((own > 1) & (largest > 0), (outside - inside) / np.where(largest > 0, largest, 1), 0.0)
    return float(values.mean())
