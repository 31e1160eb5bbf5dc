"""Planted cells are found; everything reported equals a computation by hand on the half that nothing was chosen on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.measures import average_precision
from microtome.methods.recurrent.following import by_token, correlations, places_of
from microtome.methods.registry import get_method
from tests import micro
from tests.methods.recurrent.net import load


def ask(model, layers=None, **params):
    spec = get_method("interpretable-cells")
    params = {"fewest": 3, **params}
    return spec.function(model=model, probe=micro.texts(), layers=layers, params=spec.parse(params), run=SilentContext())


def average_precision_of(rates: np.ndarray, has: np.ndarray) -> np.ndarray:
    return np.array([average_precision(has[:, c], rates[:, [c]])[0] for c in range(has.shape[1])])


def by_unit(table, column: str) -> dict[int, object]:
    return dict(zip(table.units.tolist(), table.column(column).tolist(), strict=True))


def test_planted_cells_are_found() -> None:
    table = ask(load(planted=True), ["l0.cell"], against="lot")["units_l0_cell"]
    assert sorted(table.units[:2].tolist()) == [0, 1]
    concept, direction, ap, gain, line = (by_unit(table, c) for c in ("concept", "direction", "ap", "gain", "r_line"))
    assert [concept[0], direction[0], concept[1], direction[1]] == ["lexical:mark", "rises", "lexical:mark", "falls"]
    assert [ap[0], ap[1], gain[0], gain[1]] == pytest.approx([1, 1, 1, 1])
    assert line[2] == max(line.values())
    assert line[2] > 0.7


def test_what_the_token_gives_away_is_left_out() -> None:
    """Letters, brackets and digits are known from the character alone; that a line is indented is not."""
    found = ask(load(planted=True), ["l0.cell"])
    table = found["units_l0_cell"]
    assert set(table.column("concept")) == {"scope:inside"}
    assert all(s.chance == table.column("ap_token")[0] for s in found["summary"].scores if s.group == "average precision")
    alone = by_token(np.array([0, 0, 0, 1]), np.array([[True], [True], [False], [False]]), np.array([1, 0, 2]))
    np.testing.assert_allclose(alone, [[0.5 / 2], [2.5 / 4], [0.5]])


@pytest.mark.parametrize("against", ["lot", "token"])
def test_the_reported_half_by_hand(against: str) -> None:
    model = load()
    found = ask(model, seed=3, against=against)
    order = np.random.default_rng(3).permutation(len(micro.TEXTS))
    held = sorted(order[len(order) // 2 :].tolist())
    chosen = sorted(order[: len(order) // 2].tolist())
    probe = micro.texts()

    def rows(indices: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, has, places = [], [], []
        for i in indices:
            text = micro.TEXTS[i]
            with torch.inference_mode(), model.record([model.layer("l1.cell")]) as outputs:
                model.forward(model.inputs([text]))
            values.append(outputs["l1.cell"][0, 1:].numpy())
            codes = probe.labels(i)
            has.append(np.stack([(codes == c + 1).any(0) for c in range(3)], axis=1)[: len(values[-1])])
            starts = [text.rfind("\n", 0, t) + 1 for t in range(len(text))]
            places.append(np.array([t - s for t, s in enumerate(starts)])[: len(values[-1])])
        return np.concatenate(values), np.concatenate(has), np.concatenate(places)

    def rates(indices: list[int]) -> np.ndarray:
        """Of every token of these texts, how often its character had each concept in the chosen ones."""
        room = model.tokenizer.window - 1
        seen = [(c, had[k]) for k, c in enumerate("".join(micro.TEXTS[i][:room] for i in chosen))]
        asked = "".join(micro.TEXTS[i][:room] for i in indices)
        own = {c: [flags for other, flags in seen if other == c] for c in set(asked)}
        return np.array([(np.sum(own[c], axis=0) + had.mean(0)) / (len(own[c]) + 1) for c in asked])

    values, has, lines = rows(held)
    first, had, _ = rows(chosen)
    table = found["units_l1_cell"]
    names = ("concept", "direction", "ap", "prevalence", "r_line", "ap_token", "gain")
    concept, direction, ap, lot, line, token, gain = (by_unit(table, c) for c in names)
    alone = {half: average_precision_of(rates(list(half)), flags) for half, flags in ((tuple(chosen), had), (tuple(held), has))}
    base = np.maximum(had.mean(0), alone[tuple(chosen)]) if against == "token" else had.mean(0)
    for unit in range(values.shape[1]):
        gains = {
            (c, sign): (average_precision(had[:, c], sign * first[:, [unit]])[0] - base[c]) / (1 - base[c])
            for c in range(3) for sign in (1, -1) if base[c] < 0.999
        }  # fmt: skip
        c, sign = max(gains, key=gains.__getitem__)
        assert (concept[unit], direction[unit]) == (probe.concepts[c].key, "rises" if sign == 1 else "falls")
        assert ap[unit] == pytest.approx(average_precision(has[:, c], sign * values[:, [unit]])[0], abs=1e-6)
        under = max(has[:, c].mean(), alone[tuple(held)][c]) if against == "token" else has[:, c].mean()
        assert token[unit] == pytest.approx(alone[tuple(held)][c])
        assert gain[unit] == pytest.approx((ap[unit] - under) / (1 - under))
        assert lot[unit] == pytest.approx(has[:, c].mean())
        assert line[unit] == pytest.approx(np.corrcoef(lines, values[:, unit])[0, 1], abs=1e-5)
    assert found["summary"].facts["tokens"] == len(values)
    for score in found["summary"].scores:
        assert score.low <= score.value <= score.high


def test_a_concept_that_is_rare_is_left_out() -> None:
    table = ask(load(), ["l0.cell"], fewest=100_000)["units_l0_cell"]
    assert set(table.column("concept")) == {None}
    assert np.isnan(table.column("ap").astype(float)).all()
    assert not np.isnan(table.column("r_line").astype(float)).any()


def test_places_of_characters() -> None:
    text = "f(a,\n [b]) )x"
    expected_line = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    expected_depth = [0, 0, 1, 1, 1, 1, 1, 2, 2, 1, 0, 0, 0, 0]
    found = places_of(text)
    np.testing.assert_array_equal(found[:, 0], expected_line)
    np.testing.assert_array_equal(found[:, 1], expected_depth)
    np.testing.assert_array_equal(found[:, 2], np.arange(len(text) + 1))


def test_correlation_of_what_never_varies_is_missing() -> None:
    found = correlations(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]], np.float32))
    np.testing.assert_allclose(found, [[1.0, np.nan], [np.nan, np.nan]])


def test_what_has_no_cells_is_refused() -> None:
    for model in (micro.load_text("gpt2"), micro.load_text("bert"), micro.load("resnet")):
        with pytest.raises(InvalidInput) as caught:
            ask(model)
        assert caught.value.field == "model"


def test_other_layers_of_a_recurrent_network_can_be_named() -> None:
    found = ask(load(), ["l1.hidden"])
    assert set(found) == {"units_l1_hidden", "summary"}
    assert found["units_l1_hidden"].layer == "l1.hidden"
