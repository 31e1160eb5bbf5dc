"""Tables of evidence: who is above chance, what the means are made of, who is in which stratum, and what is told of what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods.benchmarks.measures import METRICS, chance_of_mean, shown_of
from microtome.methods.benchmarks.memory import peak_of
from microtome.methods.benchmarks.scoreboard import strata
from microtome.methods.faithfulness.evidence import evidence
from microtome.methods.faithfulness.sheet import SCORES
from microtome.methods.registry import methods
from tests.methods.benchmarks.small import Given, install, pictures
from tests.methods.faithfulness.common import call_for, class_target, gradients, linear_model

CLASSES = ("disc", "square", "stripe")


def run_of(probe: Any, run: Any = None, **params: Any) -> dict[str, Any]:
    spec = methods()["method-scoreboard"]
    return dict(spec.function(model=linear_model(), probe=probe, params=spec.parse(params), run=run or SilentContext()))


def scores(card: Any, group: str) -> dict[str, Any]:
    return {s.name: s for s in card.scores if s.group == group}


@pytest.fixture(scope="module")
def probe() -> Given:
    """Eight images; the labels of the first five are what the model says, the others are not."""
    images = pictures(8)
    model = linear_model()
    said = model.forward(model.inputs(list(images))).argmax(1).numpy()
    labels = np.where(np.arange(8) < 5, said, (said + 1) % 3)
    masks = np.zeros((8, 16, 16), bool)
    masks[:, :8, :8] = True
    return Given(images, labels, CLASSES, masks, "disc")


@pytest.fixture(scope="module")
def found(probe: Given) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        return run_of(probe, methods=["gradients", "negated", "noise", "edges", "refusing"], examples=8)


def test_names_of_metrics_are_those_of_the_evidence() -> None:
    assert tuple(METRICS) == SCORES


def test_the_exact_method_beats_chance_its_negative_is_below_and_noise_at_it(found: dict[str, Any]) -> None:
    card = found["all"]
    exact, opposite, noise = (scores(card, name) for name in ("gradients", "negated", "noise"))
    assert exact["deletion"].value < exact["deletion"].chance_low
    assert exact["insertion"].value > exact["insertion"].chance_high
    assert opposite["deletion"].value > opposite["deletion"].chance_high
    assert opposite["insertion"].value < opposite["insertion"].chance_low
    for name in ("deletion", "insertion", "randomisation"):
        wide = noise[name].chance_high - noise[name].chance_low
        assert noise[name].chance_low - wide / 2 < noise[name].value < noise[name].chance_high + wide / 2
    assert scores(card, "edges")["randomisation-fails"].value == 1
    assert noise["randomisation-fails"].value == 0
    assert all(s.chance is None for s in card.scores if s.name in ("randomisation-fails", "map_seconds", "memory"))


def test_the_statistics_can_be_done_again_from_the_examples(found: dict[str, Any], probe: Given) -> None:
    for name in ("deletion", "insertion", "sparseness", "randomisation"):
        matrix = found[f"by-example-{name}"]
        assert matrix.rows == [str(i) for i in range(8)]
        for column, title in enumerate(matrix.columns):
            values = matrix.arrays["values"][:, column]
            assert scores(found["all"], title)[name].value == pytest.approx(np.nanmean(values), rel=1e-5)
            wrong = values[5:]
            if np.isfinite(wrong).any():
                assert scores(found["misclassified"], title)[name].value == pytest.approx(np.nanmean(wrong), rel=1e-5)
    model, example = linear_model(), probe.example(4)
    call = call_for(model, example, [class_target(model, int(model.forward(model.inputs([example.image])).argmax()))])
    alone = evidence(call, gradients, gradients(call), None, example, passes=1.5)[0]
    for score in alone.scores:
        column = found[f"by-example-{score.name}"].columns.index("gradients")
        assert found[f"by-example-{score.name}"].arrays["values"][4, column] == pytest.approx(score.value, rel=1e-5)


def test_strata_divide_the_examples(found: dict[str, Any], probe: Given) -> None:
    facts = found["all"].facts
    counts = [facts[f"examples: {name}"] for name in ("straightforward", "competing", "misclassified")]
    assert sum(counts) == facts["examples: all"] == 8
    assert counts[2] == 3
    shown = shown_of(linear_model(), probe, range(8), SilentContext())
    inside = strata(shown, 0.2)
    assert counts == [inside[name].sum() for name in ("straightforward", "competing", "misclassified")]
    for i in range(5):
        chances = torch.softmax(linear_model().forward(linear_model().inputs([probe.image(i)]))[0].double(), 0).sort().values
        assert inside["competing"][i] == (chances[-2] >= 0.2)
    for name in ("straightforward", "competing"):
        assert (name in found) == bool(inside[name].any())


def test_a_method_that_refuses_some_images_is_averaged_over_the_others_and_counted(found: dict[str, Any]) -> None:
    values = found["by-example-deletion"].arrays["values"]
    columns = found["by-example-deletion"].columns
    refused = int(np.isnan(values[:, columns.index("refusing")]).sum())
    assert 0 < refused < 8
    facts = found["all"].facts
    assert facts["left out: refusing"] == f"Too dark. ({refused} examples)"
    assert facts["averaged over: refusing, deletion"] == 8 - refused
    # On the images that it takes it is the exact method.
    kept = ~np.isnan(values[:, columns.index("refusing")])
    np.testing.assert_array_equal(values[kept, columns.index("refusing")], values[kept, columns.index("gradients")])


def test_a_set_without_classes_is_divided_by_the_prediction_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    results = run_of(Given(pictures(3)), methods=["gradients"], examples=3, metrics=["sparseness"], competing=1.0)
    facts = results["all"].facts
    assert facts["strata by"].startswith("predictions alone")
    assert (facts["examples: straightforward"], facts["examples: misclassified"]) == (3, 0)
    assert "misclassified" not in results
    assert facts["absent: misclassified"]
    assert {s.name for s in results["all"].scores} <= {"sparseness", "map_seconds", "memory"}


def test_nothing_to_compare_is_an_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(call: Any, params: Any) -> Any:
        raise InvalidInput("Not this network.", field="model")

    install(monkeypatch, {"never": never})
    with pytest.raises(InvalidInput, match="Not this network"):
        run_of(Given(pictures(2)), methods=["never"], examples=2)


def test_cancel_stops_between_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cancelled(SilentContext):
        seen = 0

        def progress(self, done: int, total: int, what: str = "") -> None:
            if total == 4:
                self.seen = done

        def check(self) -> None:
            if self.seen >= 1:
                raise RunCancelled("stopped")

    install(monkeypatch)
    with pytest.raises(RunCancelled):
        run_of(Given(pictures(2)), Cancelled(), methods=["gradients", "noise"], examples=2)


def test_the_band_of_a_mean_narrows_with_the_root_of_the_examples() -> None:
    draws = np.random.default_rng(0).normal(2, 1, (25, 200)).astype(np.float32)
    mean, low, high = chance_of_mean(draws, 0)
    assert mean == pytest.approx(2, abs=0.05)
    assert high - low == pytest.approx(2 * 1.96 / 5, rel=0.15)
    one = chance_of_mean(draws[:1], 0)
    assert one[2] - one[1] == pytest.approx(2 * 1.96, rel=0.15)


def test_peak_memory_is_that_of_the_block() -> None:
    with peak_of(torch.device("cpu")) as peak:
        block = np.ones(40_000_000)  # 320 MB, more than an allocator keeps
        del block
    if peak.megabytes is None:
        pytest.skip("this system does not say how much memory a process took at its peak")
    assert 250 < peak.megabytes < 500
