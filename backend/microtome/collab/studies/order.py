"""Who gets which task under which condition, and when: counterbalanced by the participant's number.

Tasks are split into as many sets as there are conditions. A participant sees one set under each condition, a condition at a time.
Which set goes with which condition is a Latin square; the order of conditions is a Williams square, in which every condition stands at
every position equally often and follows every other equally often. Both turn from one participant to the next, and after
``cycle(conditions)`` participants every pair of set and condition, of condition and position, and of neighbours is equally frequent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def williams(conditions: int) -> list[list[int]]:
    """Orders of conditions: as many as there are conditions if their number is even, else twice as many."""
    zigzag = [0]
    for step in range(1, conditions):
        zigzag.append((step + 1) // 2 if step % 2 else conditions - step // 2)
    rows = [[(c + shift) % conditions for c in zigzag] for shift in range(conditions)]
    return rows if conditions % 2 == 0 else rows + [row[::-1] for row in rows]


def cycle(conditions: int) -> int:
    """Participants after which everything is balanced."""
    return len(williams(conditions)) * conditions


@dataclass(frozen=True, slots=True)
class Step:
    """A place in a participant's order; ``attention`` is the number of a check, or None."""

    task: int
    condition: int
    attention: int | None = None


def order(tasks: int, conditions: int, attention: int, seed: int, number: int) -> list[Step]:
    """The steps of participant ``number`` (from 0). Checks stand evenly among the tasks, as if they were of the task before."""
    rows = williams(conditions)
    shift = number % conditions
    row = rows[(number // conditions + number % conditions) % len(rows)]
    rng = np.random.default_rng([seed, 1, number])
    sets = [list(range(start, tasks, conditions)) for start in range(conditions)]
    steps = []
    for condition in row:
        own = np.array(sets[(condition + shift) % conditions])
        steps += [Step(int(task), condition) for task in rng.permutation(own)]
    out = []
    after = {round((check + 1) * tasks / (attention + 1)) - 1: check for check in range(attention)}
    for place, step in enumerate(steps):
        out.append(step)
        if place in after:
            check = after[place]
            out.append(Step(tasks + check, step.condition, check))
    return out


def shown_order(choices: int, seed: int, number: int, task: int) -> list[int]:
    """Places of the choices of a task in the order in which a participant sees them."""
    return [int(i) for i in np.random.default_rng([seed, 2, number, task]).permutation(choices)]


def sides(tasks: int, seed: int, number: int) -> list[list[int]]:
    """The same for pairs: every participant sees the first of a pair on the left in half of the tasks, in no order."""
    half = [[0, 1], [1, 0]]
    rng = np.random.default_rng([seed, 3, number])
    return [half[int(i) % 2] for i in rng.permutation(tasks)]
