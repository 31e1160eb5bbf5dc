"""Counterbalancing, tasks and statistics of studies, against counting and against slow references."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from microtome.collab.studies.design import read_design
from microtome.collab.studies.order import cycle, order, shown_order, sides, williams
from microtome.collab.studies.statistics import DRAWS, Given, interval, summary
from microtome.collab.studies.tasks import better_model, forward_simulation, guess_label, short
from microtome.core.errors import InvalidInput
from tests.fakes import CONCEPTS, layer_results
from tests.reference import studies as slow


@pytest.mark.parametrize("conditions", [2, 3, 4, 5, 6])
def test_every_order_of_a_williams_square_balances_positions_and_neighbours(conditions: int) -> None:
    rows = williams(conditions)
    assert all(sorted(row) == list(range(conditions)) for row in rows)
    for position in range(conditions):
        assert set(Counter(row[position] for row in rows).values()) == {len(rows) // conditions}
    neighbours = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert set(neighbours) == set(itertools.permutations(range(conditions), 2))
    assert len(set(neighbours.values())) == 1


@pytest.mark.parametrize(("conditions", "tasks", "attention"), [(2, 8, 0), (3, 9, 2), (4, 12, 1), (5, 10, 3), (6, 6, 5)])
def test_a_cycle_of_participants_is_balanced(conditions: int, tasks: int, attention: int) -> None:
    people = cycle(conditions)
    orders = [order(tasks, conditions, attention, 7, number) for number in range(people)]
    pairs: Counter[Any] = Counter()
    positions: Counter[Any] = Counter()
    places: Counter[Any] = Counter()
    for steps in orders:
        asked = [s for s in steps if s.attention is None]
        assert sorted(s.task for s in asked) == list(range(tasks))
        assert [s.task for s in steps if s.attention is not None] == list(range(tasks, tasks + attention))
        assert len(steps) == tasks + attention
        pairs.update((s.task, s.condition) for s in asked)
        size = tasks // conditions
        blocks = [asked[i : i + size] for i in range(0, tasks, size)]
        for position, block in enumerate(blocks):
            assert len({s.condition for s in block}) == 1
            positions[position, block[0].condition] += 1
            places.update((position, s.task % conditions) for s in block)
    assert set(pairs) == set(itertools.product(range(tasks), range(conditions)))
    assert set(pairs.values()) == {people // conditions}
    assert set(positions.values()) == {people // conditions}
    assert set(places.values()) == {people // conditions * (tasks // conditions)}
    # already the first participants differ in what they see and when
    assert [s.condition for s in orders[0]] != [s.condition for s in orders[1]]


def test_orders_are_the_same_when_asked_again_and_depend_on_seed_and_participant() -> None:
    assert order(12, 2, 1, 3, 5) == order(12, 2, 1, 3, 5)
    assert order(12, 2, 1, 3, 5) != order(12, 2, 1, 4, 5)
    assert order(12, 2, 1, 3, 5) != order(12, 2, 1, 3, 9)
    assert {tuple(shown_order(4, 0, person, 3)) for person in range(60)} > {(0, 1, 2, 3)}


def test_the_place_of_the_right_choice_says_nothing() -> None:
    places = Counter(shown_order(4, 11, person, task).index(0) for person in range(100) for task in range(40))
    expected = 1000
    chi = sum((places[i] - expected) ** 2 / expected for i in range(4))
    assert chi < 16.3  # 99.9 % of chi squared with three degrees; the draws are fixed by their seed
    for person in range(20):
        assert Counter(tuple(side) for side in sides(12, 5, person)) == {(0, 1): 6, (1, 0): 6}


def fake_layers(**more: Any) -> Any:
    return {name: (f"key of {name}", layer_results(name, units, 4, SimpleNamespace(seed=0, quantile=0.995, min_iou=0.0, **more), 24))
            for name, units in (("stage1", 6), ("stage2", 40))}  # fmt: skip


def guessing(**more: Any) -> Any:
    conditions = [{"name": "a", "show": "regions"}, {"name": "b", "show": "random"}]
    about = {"kind": "guess-label", "model": "m", "probe": "p", "conditions": conditions, "tasks": 4, "choices": 3, "exemplars": 2}
    return read_design(about | more)


def test_labels_to_guess_are_right_and_the_others_clearly_wrong() -> None:
    layers = fake_layers()
    tasks = guess_label(guessing(tasks=10), layers, 24)
    assert len(tasks) == 10
    concepts = {name for name, _ in CONCEPTS}
    for task in tasks:
        layer = layers[task.content["layer"]][1]
        values = dict(zip((short(c) for c in layer["iou"].columns), layer["iou"].arrays["values"][task.content["unit"]], strict=True))
        right = task.choices[task.truth]
        assert values[right] == max(values.values())
        assert all(values[wrong] <= values[right] / 2 for wrong in task.choices if wrong != right)
        assert len(set(task.choices)) == 3
        assert set(task.choices) <= concepts
        assert task.content["examples"] == layer["exemplars"].arrays["example"][task.content["unit"], :2].tolist()
    assert len({t.choices[t.truth] for t in tasks[:3]}) == 3  # concepts in turn
    assert guess_label(guessing(tasks=10), layers, 24) == tasks
    assert guess_label(guessing(tasks=10, seed=1), layers, 24) != tasks
    with pytest.raises(InvalidInput, match=r"Only \d+ units have one clear concept"):
        guess_label(guessing(tasks=60), {"stage1": layers["stage1"]}, 24)


def simulating(**more: Any) -> Any:
    conditions = [{"name": "a", "method": "grad-cam"}, {"name": "b"}]
    return read_design({"kind": "forward-simulation", "model": "m", "probe": "p", "conditions": conditions, "tasks": 8} | more)


def test_forward_simulation_asks_for_what_the_model_says_right_or_wrong() -> None:
    rng = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(6)]
    probabilities = rng.dirichlet(np.ones(6), 200).astype(np.float32)
    labels = np.where(rng.random(200) < 0.7, probabilities.argmax(1), rng.integers(0, 6, 200))
    tasks = forward_simulation(simulating(wrong=0.25), probabilities, labels, classes)
    wrong = 0
    for task in tasks:
        predicted, label = int(probabilities[task.content["example"]].argmax()), int(labels[task.content["example"]])
        assert task.choices[task.truth] == classes[predicted]
        assert classes[label] in task.choices
        assert len(set(task.choices)) == 4
        wrong += predicted != label
    assert wrong == 2
    assert len({t.content["example"] for t in tasks}) == 8
    assert len({t.choices[t.truth] for t in tasks}) == 6  # all predicted classes
    assert all(len(t.choices) == 2 for t in forward_simulation(simulating(), probabilities[:, :2], labels % 2, classes[:2]))
    unknown = forward_simulation(simulating(), probabilities, np.full(200, -1), classes)
    assert len(unknown) == 8
    true = [{"name": "a", "method": "grad-cam", "target": "true"}, {"name": "b"}]
    with pytest.raises(InvalidInput, match="Only 0 images"):
        forward_simulation(simulating(conditions=true), probabilities, np.full(200, -1), classes)
    with pytest.raises(InvalidInput, match="Only 5 images"):
        forward_simulation(simulating(), probabilities[:5], labels[:5], classes)


def test_the_better_model_has_the_higher_accuracy() -> None:
    rng = np.random.default_rng(1)
    own = rng.integers(0, 4, 100)
    labels = {m: own for m in "ab"}
    probabilities = {m: np.eye(4, dtype=np.float32)[np.where(rng.random(100) < p, own, (own + 1) % 4)] for m, p in (("a", 0.6), ("b", 0.9))}
    conditions = [{"name": "x", "method": "grad-cam"}, {"name": "y"}]
    design = read_design({"kind": "better-model", "pairs": [["a", "b"], ["b", "a"]], "probe": "p", "conditions": conditions, "tasks": 8})
    tasks = better_model(design, probabilities, labels, own)  # type: ignore[arg-type]
    assert Counter(task.content["models"][task.truth] for task in tasks) == {"b": 8}
    assert Counter(tuple(task.content["models"]) for task in tasks) == {("a", "b"): 4, ("b", "a"): 4}
    for task in tasks:
        assert all(probabilities[m][task.content["example"]].argmax() == own[task.content["example"]] for m in "ab")
    with pytest.raises(InvalidInput, match="equally good"):
        better_model(design, {m: probabilities["a"] for m in "ab"}, labels, own)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="has the name of a class"):
        better_model(design, probabilities, {m: np.full(100, -1) for m in "ab"}, own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tasks": 5}, "multiple of 2"),
        ({"conditions": [{"name": "a", "show": "images"}, {"name": "A ", "show": "random"}]}, "same name"),
        ({"conditions": [{"name": "a", "show": "images"}, {"name": "b", "show": "images"}]}, "show the same"),
        ({"conditions": [{"name": "a", "show": "images"}]}, "at least 2"),
        ({"choices": 1}, "greater than or equal to 2"),
        ({"kind": "other"}, "guess-label"),
        ({"truth": 1}, "Extra inputs"),
    ],
)
def test_designs_that_cannot_be_are_refused(more: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        guessing(**more)


def some_answers(people: int, seed: int, gaps: bool = False) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    out = []
    for person in range(people):
        skill = rng.random()
        for condition in range(3):
            if gaps and rng.random() < 0.3:
                continue
            for _ in range(rng.randint(1, 5) if gaps else 4):
                time = None if gaps and rng.random() < 0.2 else rng.randint(500, 60_000)
                out.append({"participant": person * 2, "condition": condition, "correct": rng.random() < skill * (1 - condition / 4),
                            "milliseconds": time, "confidence": rng.randint(1, 5)})  # fmt: skip
    return out


@pytest.mark.parametrize(("people", "seed", "gaps"), [(2, 0, False), (7, 1, False), (12, 2, True), (30, 3, True)])
def test_the_summary_is_what_a_slow_reference_says(people: int, seed: int, gaps: bool) -> None:
    answers = some_answers(people, seed, gaps)
    told = summary(["a", "b", "c"], [Given(**a) for a in answers], 0.25)

    def drawn(n: int) -> Any:
        return np.random.default_rng(0).integers(0, n, (DRAWS, n)).tolist()

    for number, condition in enumerate(told["conditions"]):
        shares = list(slow.accuracies(answers, number).values())
        assert condition["accuracy"] == pytest.approx(sum(shares) / len(shares), abs=1e-12)
        assert (condition["low"], condition["high"]) == pytest.approx(slow.resampled_interval(shares, drawn(len(shares))), abs=1e-9)
        assert condition["median_ms"] == slow.median_time(answers, number)
        own = [a for a in answers if a["condition"] == number]
        assert (condition["answers"], condition["correct"]) == (len(own), sum(a["correct"] for a in own))
        assert condition["confidence"] == pytest.approx(sum(a["confidence"] for a in own) / len(own))
        assert condition["participants"] == len(shares)
    for (first, second), told_difference in zip(itertools.combinations(range(3), 2), told["differences"], strict=True):
        pairs = slow.difference(answers, first, second)
        assert told_difference["participants"] == len(pairs)
        assert told_difference["difference"] == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
        expected = slow.resampled_interval(pairs, drawn(len(pairs)))
        assert (told_difference["low"], told_difference["high"]) == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_that_of_the_exact_bootstrap() -> None:
    """All 3,125 resamples of five participants: at most 2.5 % (and what 2,000 draws add) lie outside on either side."""
    values = [0.25, 0.5, 0.5, 0.75, 1.0]
    low, high = interval(np.array(values))
    exact = slow.exact_means(values)
    assert low is not None
    assert high is not None
    assert sum(m < low for m in exact) / len(exact) < 0.035
    assert sum(m <= low for m in exact) / len(exact) > 0.015
    assert sum(m > high for m in exact) / len(exact) < 0.035
    assert sum(m >= high for m in exact) / len(exact) > 0.015


def test_too_few_participants_have_no_interval_and_no_answers_no_number() -> None:
    one = summary(["a", "b"], [Given(0, 0, True, None, None)], 0.5)
    assert (one["conditions"][0]["accuracy"], one["conditions"][0]["low"]) == (1.0, None)
    assert (one["conditions"][1]["accuracy"], one["conditions"][1]["median_ms"]) == (None, None)
    assert (one["differences"][0]["difference"], one["differences"][0]["participants"]) == (None, 0)
