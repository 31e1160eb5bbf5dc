"""Interaction primitives: boolean functions by their closed forms, universal matching, Shapley values, and what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microtome.methods.attribution.features import features_of
from microtome.methods.attribution.interaction_primitives import Params, game_of, interaction_primitives
from microtome.methods.attribution.interactions import all_of, any_of, dividends, or_interactions, shapley_of, sparse_split
from microtome.methods.attribution.target import numbers
from microtome.probes import Example
from tests.methods.attribution.calls import call_of, close, explained
from tests.methods.attribution.nets import as_model
from tests.reference import perturbation as reference


def played(players: int, rule: Callable[..., float]) -> np.ndarray:
    """A game by its rule over presence."""
    return np.array([rule(*(place >> i & 1 for i in range(players))) for place in range(2**players)], np.float64)


def subsets(place: int) -> list[int]:
    return [s for s in range(place + 1) if s & place == s]


def test_transforms_equal_their_sums() -> None:
    game = np.random.default_rng(0).normal(size=32)
    slow = [sum((-1) ** (s.bit_count() - t.bit_count()) * game[t] for t in subsets(s)) for s in range(32)]
    np.testing.assert_allclose(dividends(game), slow, atol=1e-12)
    instead = [0.0] + [-sum((-1) ** (s.bit_count() - t.bit_count()) * game[31 ^ t] for t in subsets(s)) for s in range(1, 32)]
    np.testing.assert_allclose(or_interactions(game), instead, atol=1e-12)
    np.testing.assert_allclose(any_of(np.array(instead)), game - game[0], atol=1e-12)
    np.testing.assert_allclose(all_of(np.array(slow)), game, atol=1e-12)


def test_boolean_functions_are_taken_apart_exactly() -> None:
    """2 (a and b) + 3 (c or d or e) - (f alone), one primitive each; without OR the second would be seven."""
    game = played(6, lambda a, b, c, d, e, f: 7 + 2 * (a & b) + 3 * (c | d | e) - f)
    together, instead = sparse_split(game, 5000)
    single = together[32] + instead[32]
    together[32] = instead[32] = 0
    wanted = np.zeros((2, 64))
    wanted[0, 0], wanted[0, 0b11], wanted[1, 0b11100] = 7, 2, 3
    np.testing.assert_allclose([together, instead], wanted, atol=1e-3)
    assert single == pytest.approx(-1, abs=1e-3)
    assert np.count_nonzero(np.abs(dividends(game)) > 1e-9) == 1 + 1 + 7 + 1


@pytest.mark.parametrize("steps", [1, 40, 3000])
def test_the_split_reproduces_every_value_wherever_it_ends(steps: int) -> None:
    game = np.random.default_rng(1).normal(size=128) + 3
    together, instead = sparse_split(game, steps)
    np.testing.assert_allclose(all_of(together) + any_of(instead), game, atol=1e-9)


def test_the_split_is_the_solution_of_its_linear_programme() -> None:
    from scipy.optimize import linprog

    game = np.random.default_rng(2).normal(size=32).cumsum()
    unit = np.eye(31)
    both = np.concatenate([[all_of(np.concatenate([[0], u]))[1:] for u in unit], [any_of(np.concatenate([[0], u]))[1:] for u in unit]]).T
    best = linprog(np.ones(124), A_eq=np.concatenate([both, -both], 1), b_eq=game[1:] - game[0], bounds=(0, None)).fun
    together, instead = sparse_split(game, 20000)
    assert np.abs(together[1:]).sum() + np.abs(instead[1:]).sum() == pytest.approx(best, rel=1e-4)
    assert best < 0.98 * np.abs(dividends(game)[1:]).sum()


def test_a_game_of_no_change_has_no_interactions() -> None:
    together, instead = sparse_split(np.full(8, 2.5), 10)
    assert together.tolist() == [2.5] + [0.0] * 7
    assert not instead.any()


def test_values_are_those_of_shapley_for_either_kind() -> None:
    game = np.random.default_rng(3).normal(size=64)
    wanted = reference.shapley(6, lambda key: float(game[sum(on << i for i, on in enumerate(key))]))
    np.testing.assert_allclose(shapley_of(dividends(game)), wanted, atol=1e-12)
    together, instead = sparse_split(game, 300)
    np.testing.assert_allclose(shapley_of(together) + shapley_of(instead), wanted, atol=1e-9)


class Rule(nn.Module):
    """(upper left and upper right) and, of 3 times the weight, (lower left or lower right); a quarter is there if it is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.quarters = nn.AvgPool2d(32)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = (self.quarters(x).mean(1) > 0).flatten(1).float().T
        return torch.stack([a * b + 3 * torch.maximum(c, d), a, 0 * a], 1)


def test_a_network_of_a_rule_is_told_in_its_words() -> None:
    white = Example(np.full((64, 64, 3), 255, np.uint8), None, "white")
    found = explained(
        interaction_primitives, Params(features="squares", count=4, patches=4, baseline="black"), as_model(Rule()), [0, 1], image=white
    )
    first, second = found.facts["primitives"]  # type: ignore[misc]
    assert first.startswith("OR ")  # type: ignore[union-attr]
    strong = [part.split(" (")[0] for part in first.split(", ") if abs(float(part.split("(")[1][:-1])) > 0.01]  # type: ignore[union-attr]
    assert [(part.split()[0], set(part.split()[1].split("·"))) for part in strong] == [("OR", {"2", "3"}), ("AND", {"0", "1"})]
    assert second.startswith("0 (+1)")  # type: ignore[union-attr]
    quarter = found.maps[0].unfold(0, 32, 32).unfold(1, 32, 32).sum((2, 3))
    np.testing.assert_allclose(quarter, [[0.5, 0.5], [1.5, 1.5]], atol=1e-3)
    assert found.facts["mismatch"] == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("kind", ["and", "and-or"])
def test_every_masked_output_of_a_network_is_reproduced_and_the_map_adds_up(kind: Any) -> None:
    params = Params(features="squares", count=16, patches=4, kind=kind, steps=400)
    call = call_of("resnet", [1, {"minus": [0, 2]}])
    found = interaction_primitives.explain(call, params)  # type: ignore[misc]
    (part,) = features_of(call, params)
    end, start = part.ends()
    assert found.completeness
    for row, note in enumerate(found.completeness):
        assert note["gap"] < 1e-9
        assert note["expected"] == pytest.approx(float(end[row] - start[row]), abs=1e-5)
        assert float(found.maps[row].double().sum()) == pytest.approx(note["expected"], rel=1e-4, abs=1e-6)
    assert max(found.facts["mismatch"]) < 1e-4  # type: ignore[type-var]
    assert found.facts["interactions"] == [31.0, 31.0]  # four patches and the rest


def test_players_are_the_patches_whose_loss_moves_the_target_most() -> None:
    call = call_of("resnet", [2])
    params = Params(features="squares", count=16, patches=3)
    (part,) = features_of(call, params)
    places, (target,) = part.places.numpy(), call.targets

    def number(present: list[bool]) -> float:
        with torch.inference_mode():
            return float(numbers(call.model, reference.switched(part.image[None], part.off[None], places, tuple(present)), [target]))

    loss = [abs(number([True] * 16) - number([f != off for f in range(16)])) for off in range(16)]
    game = game_of(part, 3)
    assert game.chosen == np.argsort(loss)[::-1][:3].tolist()
    assert game.players == 4
    first = game.chosen[0]
    assert game.values[0b1110] == pytest.approx(number([f != first for f in range(16)]), abs=1e-5)
    assert game.values[0b0001] == pytest.approx(number([f == first for f in range(16)]), abs=1e-5)
    assert game.name(0b1001) == f"{first}·rest"


def test_rows_do_not_influence_each_other() -> None:
    params = Params(features="squares", count=9, patches=3, steps=100)
    together = explained(interaction_primitives, params, "resnet", [0, 2]).maps
    for row, target in enumerate([0, 2]):
        close(explained(interaction_primitives, params, "resnet", [target]).maps[0], together[row], 1e-5)
