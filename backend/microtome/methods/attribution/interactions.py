"""Interactions of a game of n players: what only sets of them bring, together (AND) or in place of each other (OR).

A game is float64 [2^n]: its value for every set of players, player i being bit i of the place. Interactions are stored alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Steps between looks at whether anything still moves, and by how much of the largest value it may.
_LOOK, _STILL = 100, 1e-7


def _by_player(values: Floats, matrix: tuple[tuple[int, int], tuple[int, int]]) -> Floats:
    """One 2 x 2 matrix applied to absence and presence of every player in turn."""
    players = len(values).bit_length() - 1
    wide = values.reshape((2,) * players)
    for axis in range(players):
        without, with_it = np.moveaxis(wide, axis, 0)
        wide = np.stack([matrix[0][0] * without + matrix[0][1] * with_it, matrix[1][0] * without + matrix[1][1] * with_it], axis)
    return wide.reshape(-1)


def dividends(game: Floats) -> Floats:
    """Harsanyi dividends, ``I(S) = sum over T in S of (-1)^(|S| - |T|) v(T)``; that of the empty set is ``v(empty)``."""
    return _by_player(game, ((1, 0), (-1, 1)))


def sizes(count: int) -> Floats:
    """Players in each of ``count`` sets."""
    return np.array([place.bit_count() for place in range(count)], np.float64)


def all_of(interactions: Floats) -> Floats:
    """The game ``v(T) = sum over S in T of I(S)``: a set plays when all of it is there."""
    return _by_player(interactions, ((1, 0), (1, 1)))


def any_of(interactions: Floats) -> Floats:
    """The game ``v(T) = sum over S that share a player with T of I(S)``: a set plays when any of it is there."""
    total = interactions[1:].sum()
    return total - (all_of(interactions) - interactions[0])[::-1]


def or_interactions(game: Floats) -> Floats:
    """The inverse of :func:`any_of`: ``I(S) = - sum over T in S of (-1)^(|S| - |T|) v(N - T)``, 0 for the empty set."""
    found = -dividends(game[::-1])
    found[0] = 0.0
    return found


def sparse_split(game: Floats, steps: int) -> tuple[Floats, Floats]:
    """A game as AND plus OR interactions whose absolute values add up to as little as possible (a linear programme).

    Primal-dual steps (Chambolle, Pock 2011) with step sizes from the row and column sums of the matrix (Pock, Chambolle 2011). Wherever
    they end, the two reproduce the game: ``v = all_of(first) + any_of(second)``. The empty set's AND is ``v(empty)``.

    Args:
        steps: at most so many.
    """
    scale = float(np.abs(game - game[0]).max())
    if scale == 0.0:
        return dividends(game), np.zeros_like(game)
    wanted = (game - game[0]) / scale
    # OR interactions of what AND interactions a leave over are M a - c.
    offset = -or_interactions(wanted)
    members = sizes(len(game))
    primal_step, dual_step = 2.0**-members, 2.0 ** (members - members[-1])
    found = dividends(wanted) / 2
    found[0] = 0.0
    ahead, dual = found, np.zeros_like(found)
    for step in range(steps):
        dual = np.clip(dual + dual_step * (_by_player(ahead, ((1, 1), (0, -1))) - offset), -1, 1)
        dual[0] = 0.0
        moved = found - primal_step * _by_player(dual, ((1, 0), (1, -1)))
        moved = np.sign(moved) * np.maximum(np.abs(moved) - primal_step, 0)
        moved[0] = 0.0
        ahead, change, found = 2 * moved - found, np.abs(moved - found).max(), moved
        if step % _LOOK == _LOOK - 1 and change < _STILL:
            break
    left = or_interactions(wanted - all_of(found))
    found = found * scale
    found[0] = game[0]
    return found, left * scale


def shapley_of(interactions: Floats) -> Floats:
    """[n]: Shapley values; every interaction, AND or OR, is shared equally by its players."""
    players = len(interactions).bit_length() - 1
    share = interactions / np.maximum(sizes(len(interactions)), 1)
    places = np.arange(len(interactions))
    return np.array([share[(places >> player) & 1 == 1].sum() for player in range(players)])
