"""What questions share: passes, activations kept within a bound, several passes where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from microtome.capture.pieces import Piece, bytes_per_unit, split
from microtome.capture.recorders.thresholds import GRID
from microtome.capture.scratch import scratch_folder
from microtome.capture.taken import Captures, captured
from microtome.core.context import SilentContext
from microtome.core.errors import RunCancelled, TooLarge
from microtome.core.settings import settings
from microtome.methods.dissection.dissection import Params, dissection
from tests import micro

LAYERS = ("stage1.0", "stage3.0", "stage4.1")


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Callable[[int], None]]:
    """A data folder of its own, and a way to bound the scratch files in it."""

    def bound(size: int) -> None:
        monkeypatch.setenv("MICROTOME_SCRATCH_BYTES", str(size))
        settings.cache_clear()

    monkeypatch.setenv("MICROTOME_DATA_DIR", str(tmp_path))
    bound(0)
    yield bound
    monkeypatch.undo()
    settings.cache_clear()


def dissect(model: Any, probe: Any, captures: Captures | None = None, names: tuple[str, ...] = LAYERS) -> dict[str, Any]:
    run = SilentContext()
    run.captures = captures  # type: ignore[assignment]
    dissection.function(model=model, probe=probe, layers=list(names), params=Params(exemplars=2), run=run)
    return dict(run.published)


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for layer in a:
        for name, result in a[layer].items():
            for array, values in result.arrays.items():
                np.testing.assert_array_equal(values, b[layer][name].arrays[array], err_msg=f"{layer} {name} {array}")


def test_what_does_not_fit_is_computed_in_several_passes_with_the_same_answer(scratch: Callable[[int], None]) -> None:
    model, probe = micro.load("resnet"), micro.probe()
    whole, one_pass = dissect(model, probe), len(probe)
    layers = [model.layer(n) for n in LAYERS]
    sizes = [bytes_per_unit(la, len(probe)) * la.units for la in layers]
    for budget, passes in ((sum(sizes), 1), (max(sizes), 2), (bytes_per_unit(layers[0], len(probe)) * 3, None)):
        scratch(budget)
        groups = split(layers, len(probe), budget)
        assert passes is None or len(groups) == passes
        assert passes is not None or any(p.units < model.layer(p.layer).units for g in groups for p in g), "units are split too"
        before = model.forward_passes
        same(whole, dissect(model, probe))
        assert model.forward_passes - before == len(groups) * one_pass
    scratch(1)
    with pytest.raises(TooLarge, match="MICROTOME_SCRATCH_BYTES"):
        dissect(model, probe)


def test_pieces_cover_every_unit_once_and_each_pass_fits() -> None:
    class Layer:
        def __init__(self, name: str, units: int, side: int) -> None:
            self.name, self.units, self.height, self.width = name, units, side, side

    generator = np.random.default_rng(0)
    for _ in range(200):
        layers = [Layer(f"l{i}", int(generator.integers(1, 40)), int(generator.integers(1, 9))) for i in range(5)]
        examples = int(generator.integers(1, 50))
        budget = max(bytes_per_unit(la, examples) for la in layers) + int(generator.integers(0, 200_000))
        groups = split(layers, examples, budget)
        seen = {la.name: np.zeros(la.units, int) for la in layers}
        by_name = {la.name: la for la in layers}
        for group in groups:
            assert sum(bytes_per_unit(by_name[p.layer], examples) * p.units for p in group) <= budget
            for piece in group:
                seen[piece.layer][piece.start : piece.stop] += 1
        assert all((counts == 1).all() for counts in seen.values())


def test_a_second_question_costs_no_pass(scratch: Callable[[int], None]) -> None:
    model, probe, captures = micro.load("resnet"), micro.probe(), Captures()
    start, n = model.forward_passes, len(probe)
    first = dissect(model, probe, captures)
    assert model.forward_passes == start + n
    same(first, dissect(model, probe, captures))
    run = SilentContext()
    with captures.open(model, probe, [model.layer(LAYERS[1])], len(probe), run) as taken:
        for view in taken.views():
            assert view.thresholds(GRID).values.shape == (view.units, len(GRID))
        assert taken.logits().shape == (len(probe), len(model.classes))
    assert model.forward_passes == start + n
    # one more layer: a pass for that alone, the others stay
    dissect(model, probe, captures, (*LAYERS, "stage2.0"))
    assert model.forward_passes == start + 2 * n
    with captures.open(model, probe, [], len(probe) - 1, run) as taken:
        taken.logits()
    assert model.forward_passes == start + 3 * n - 1, "other examples are another question"


def test_a_pass_records_what_waiting_questions_want_too(scratch: Callable[[int], None]) -> None:
    model, probe = micro.load("resnet"), micro.probe()
    asked: list[tuple[str, str, int]] = []

    def wanted(*key: Any) -> set[str]:
        asked.append(key)
        return {model.layer("stage3.0").name, "no such layer"}

    captures = Captures(wanted=wanted)
    dissect(model, probe, captures, ("stage1.0",))
    passes = model.forward_passes
    dissect(model, probe, captures, ("stage3.0",))
    assert model.forward_passes == passes
    assert asked[0] == (model.hash, probe.hash, len(probe))


def test_what_is_kept_stays_within_the_bound(scratch: Callable[[int], None]) -> None:
    model, other, probe = micro.load("resnet"), micro.load("vit"), micro.probe()
    captures = Captures()
    dissect(model, probe, captures)
    layers = [model.layer(n) for n in LAYERS]
    scratch(sum(bytes_per_unit(la, len(probe)) * la.units for la in layers) + 1000)
    names = tuple(la.name for la in other.default_layers()[:1])
    dissect(other, probe, captures, names)
    before = model.forward_passes
    dissect(model, probe, captures)
    assert model.forward_passes > before, "the older one had to go"
    captures.close()
    assert not list(scratch_folder().iterdir()), "scratch files have no names"


def test_a_cancelled_pass_leaves_nothing_that_looks_complete(scratch: Callable[[int], None]) -> None:
    class Stops(SilentContext):
        def progress(self, done: int, total: int, what: str = "") -> None:
            if what == "images" and done >= total // 2:
                raise RunCancelled("stopped")

    model, probe, captures = micro.load("resnet"), micro.probe(), Captures()
    with (
        pytest.raises(RunCancelled),
        captures.open(model, probe, [model.layer(LAYERS[0])], len(probe), Stops()) as taken,
    ):
        next(taken.views())
    whole = dissect(micro.load("resnet"), probe)
    same(whole, dissect(model, probe, captures))


def test_without_captures_of_the_run_everything_is_gone_afterwards(scratch: Callable[[int], None]) -> None:
    model, probe, run = micro.load("resnet"), micro.probe(), SilentContext()
    start = model.forward_passes
    for _ in range(2):
        with captured(model, probe, [model.layer(LAYERS[0])], len(probe), run) as taken:
            assert [v.piece for v in taken.views()] == [Piece(model.layer(LAYERS[0]).name, 0, model.layer(LAYERS[0]).units)]
            assert taken.bytes > 0
    assert model.forward_passes == start + 2 * len(probe)
