"""Probing and concept neurons where the truth is planted: texts whose concept a neuron of the model is made to follow, or none."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts import concept_depth as depth
from microtome.methods.concepts import concept_neurons as neurons
from microtome.methods.concepts import sparse_probing as probing
from microtome.methods.concepts.labelled import activations, labelled
from tests import micro
from tests.methods.circuits.strong import strong

CALLS = {"probing": probing.sparse_probing, "depth": depth.concept_depth, "neurons": neurons.concept_neurons}
POSITIVES = ["def add(left)", "def sub(left, right)", "def run()", "def out(names):", "def x", "def a(b, c)"]
NEGATIVES = ["import os", "x = 0", "while True:", "print('done')", "a = b = c", "break\n"]


def run(module: Any, call: str, model: Any = None, **params: Any) -> dict[str, Any]:
    return CALLS[call].function(
        model=model or strong(), probe=micro.texts(), layers=None, params=module.Params(**params), run=SilentContext()
    )  # fmt: skip


def test_rows_are_the_tokens_with_their_own_activations_and_no_text_is_in_both_halves() -> None:
    model, probe = strong(), micro.texts()
    rows = labelled(model, probe, "word", 12, 10_000, 0)
    assert not set(rows.text[rows.held]) & set(rows.text[~rows.held])
    layer = model.layer("h1.mlp")
    ((_, values),) = activations(model, probe, [layer], rows, "mean", SilentContext())
    place = 0
    for text in range(len(probe)):
        with torch.no_grad(), model.record([layer]) as outputs:
            model.forward(model.inputs([probe.text(text)]))
        own = outputs[layer.name][0, layer.special :].numpy()
        np.testing.assert_allclose(values[place : place + len(own)], own, atol=1e-4)
        assert set(rows.text[place : place + len(own)]) == {text}
        tokens = model.tokenizer.encode(probe.text(text))
        for site, (start, stop) in enumerate(zip(tokens.starts[1:], tokens.stops[1:], strict=True)):
            letters = probe.text(text)[start:stop].strip() or probe.text(text)[start:stop]
            assert rows.has[place + site] == any(c.isalpha() for c in letters)
        place += len(own)
    assert place == len(rows.text)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_of_a_class_rows_are_texts_with_their_mean_or_maximum(pool: Any) -> None:
    model, probe = strong(), micro.texts()
    rows = labelled(model, probe, "class:prose", 12, 20, 0)
    assert rows.what == "texts"
    assert rows.has.tolist() == [i % 2 == 1 for i in range(12)]
    assert rows.held.sum() == 6
    assert rows.has[rows.held].sum() == 3
    layer = model.layer("h1")
    ((_, values),) = activations(model, probe, [layer], rows, pool, SilentContext())
    with torch.no_grad(), model.record([layer]) as outputs:
        model.forward(model.inputs([probe.text(4)]))
    own = outputs[layer.name][0, layer.special :].numpy()
    np.testing.assert_allclose(values[4], own.mean(0) if pool == "mean" else own.max(0), atol=1e-4)


def test_drawn_tokens_are_as_many_as_asked() -> None:
    rows = labelled(strong(), micro.texts(), "lexical:word", 12, 60, 3)
    assert len(rows.text) == len(rows.has) == 60
    assert (np.diff(rows.text) >= 0).all()


def test_a_neuron_that_is_the_concept_is_found_first_and_tells_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The activations of one neuron are replaced by the labels, whose tokens are then told without an error."""

    def planted(model: Any, probe: Any, layers: Any, rows: Any, pool: Any, run: Any) -> Any:
        for layer, values in activations(model, probe, layers, rows, pool, run):
            if layer.label == "h1.mlp":
                values[:, 5] = -3.0 * rows.has
            yield layer, values

    monkeypatch.setattr(probing, "activations", planted)
    for ranking in ("mean difference", "logistic regression", "mutual information"):
        found = run(probing, "probing", concept="word", most=4, ranking=ranking)
        table = found["units_h1_mlp"]
        assert table.units[0] == 5
        assert table.column("ap")[0] == 1.0
        assert not table.column("rises")[0]
        row = found["layers"].rows.index("h1.mlp")
        assert found["layers"].arrays["values"][row].tolist() == [1.0, 1.0, 1.0]
        assert found["layers"].columns == ["1", "2", "4"]
        chance = found["layers"].arrays["chance"][0, 0]
        prevalence = table.column("prevalence")[0]
        assert chance == pytest.approx(2 * prevalence / (1 + prevalence))


def test_labels_that_say_nothing_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With shuffled labels, accuracy on the other half stays within its interval of chance, though the fitted half is told well."""

    def shuffled(*args: Any) -> Any:
        rows = labelled(*args)
        np.random.default_rng(1).shuffle(rows.has)
        return rows

    monkeypatch.setattr(depth, "labelled", shuffled)
    found = run(depth, "depth", concept="word")["depth"].scores[1]
    assert found.low - 0.05 <= 0.5 <= found.high + 0.05


def test_depth_equals_scikit_learn() -> None:
    model, probe = strong(), micro.texts()
    found = run(depth, "depth", concept="mark", penalty=2.0)
    rows = labelled(model, probe, "mark", 500, 10_000, 0)
    layers = [x for x in model.layers.values() if x.kind in ("embeddings", "residual")]
    for place, (_, values) in enumerate(activations(model, probe, layers, rows, "mean", SilentContext())):
        fit, test = values[~rows.held], values[rows.held]
        mean, scale = fit.mean(0), fit.std(0)
        oracle = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit((fit - mean) / scale, rows.has[~rows.held])
        right = oracle.predict((test - mean) / scale) == rows.has[rows.held]
        # One token on the border may fall on either side.
        assert found["accuracy"].arrays["y"][0, place] == pytest.approx(right.mean(), abs=1.1 / len(right))
    majority = max(rows.has[rows.held].mean(), 1 - rows.has[rows.held].mean())
    assert found["accuracy"].arrays["y"][1, 0] == pytest.approx(majority)
    assert len(found["accuracy"].arrays["x"]) == 4


def test_prompts_are_ranked_by_the_largest_activation_over_their_tokens() -> None:
    found = run(neurons, "neurons", positives=POSITIVES, negatives=NEGATIVES, most=3, draws=0)
    model = strong()
    rows = labelled(model, neurons.Prompts(POSITIVES, NEGATIVES), "class:positive", 500, 10_000, 0)
    layer = model.layer("h2.mlp")
    texts = [*POSITIVES, *NEGATIVES]
    peaks = []
    for text in texts:
        with torch.no_grad(), model.record([layer]) as outputs:
            model.forward(model.inputs([text]))
        peaks.append(outputs[layer.name][0, 1:].max(0).values.numpy())
    from sklearn.metrics import average_precision_score

    table = found["units_h2_mlp"]
    held = np.stack(peaks)[rows.held]
    expected = [average_precision_score(rows.has[rows.held], held[:, u]) for u in table.units]
    np.testing.assert_allclose(table.column("ap"), expected, atol=1e-6)
    chosen = table.column("ap_chosen")
    assert (np.diff(chosen) <= 0).all()
    assert table.column("prevalence")[0] == 0.5


def test_the_loss_without_experts_equals_runs_by_hand() -> None:
    model = strong()
    found = run(neurons, "neurons", positives=POSITIVES, negatives=NEGATIVES, most=4, draws=3)
    curve = found["ablation"]
    assert curve.arrays["x"].tolist() == [1, 2, 4]
    assert (curve.arrays["low"] <= curve.arrays["high"]).all()
    names = [s.name.rsplit("/", 1) for s in found["summary"].scores]
    rows = labelled(model, neurons.Prompts(POSITIVES, NEGATIVES), "class:positive", 500, 10_000, 0)
    texts = [*POSITIVES, *NEGATIVES]

    def losses(off: list[list[str]]) -> np.ndarray:
        """Mean nats per token of positive and of negative texts of the reported half, one text after the other."""
        per = [[], []]  # type: list[list[float]]
        with ExitStack() as stack:
            for label, unit in off:
                stack.enter_context(model.ablated(model.layer(label), [int(unit)]))
            for text in np.flatnonzero(rows.held):
                ids = model.inputs([texts[text]])
                with torch.no_grad():
                    logits = model.network(ids).logits[0].log_softmax(-1)
                per[int(text >= len(POSITIVES))] += [-float(logits[t, ids[0, t + 1]]) for t in range(ids.shape[1] - 1)]
        return np.array([np.mean(p) for p in per])

    before = losses([])
    for column, size in enumerate((1, 2, 4)):
        np.testing.assert_allclose(curve.arrays["y"][:, column], losses(names[:size]) - before, atol=1e-4)


def test_a_model_that_predicts_no_next_token_has_neurons_but_no_loss() -> None:
    found = run(neurons, "neurons", model=micro.load_text("bert"), concept="word", most=2)
    assert "ablation" not in found
    assert found["summary"].scores


@pytest.mark.parametrize(
    ("field", "params"),
    [
        ("params.concept", {"concept": ""}),
        ("params.concept", {"concept": "nothing:such"}),
        ("params.positives", {"concept": "word", "positives": ["a", "b"], "negatives": ["c", "d"]}),
        ("params.negatives", {"positives": ["a", "b"], "negatives": ["c"]}),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(field: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(neurons, "neurons", **params)
    assert caught.value.field == field


def test_images_and_missing_probe_sets_are_refused_by_name() -> None:
    for field, model, probe in (("model", micro.load("resnet"), micro.texts()), ("probe", strong(), None)):
        with pytest.raises(InvalidInput) as caught:
            neurons.concept_neurons.function(model=model, probe=probe, params=neurons.Params(concept="word"), run=SilentContext())
        assert caught.value.field == field
