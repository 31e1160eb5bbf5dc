"""Models within a budget of bytes: the least recently used idle one gives way, a borrowed one never."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from microtome.core.settings import Settings
from microtome.engine.residency import Residency, bytes_of, default_budget


class Shelf:
    """Loads models of 100 bytes, or of the size in their name; can be made to run out of memory."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.failures = 0

    def load(self, source: str) -> Any:
        if self.failures:
            self.failures -= 1
            raise MemoryError
        self.loads.append(source)
        size = int(source.split("-")[1]) if "-" in source else 100
        return SimpleNamespace(source=source, hash=source, bytes=size)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def use(models: Residency, source: str) -> None:
    with models.borrow(source, source):
        pass


def test_the_least_recently_used_gives_way(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 300)
    for source in ("a", "b", "c", "a", "d"):
        use(models, source)
    assert models.sources == ["c", "a", "d"]  # b was used longest ago
    use(models, "c")
    use(models, "a")
    assert shelf.loads == ["a", "b", "c", "d"]
    use(models, "b")
    assert shelf.loads[-1] == "b"
    assert models.sources == ["c", "a", "b"]


def test_large_models_push_out_several_small_ones(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 300)
    for source in ("a", "b", "c", "big-200"):
        use(models, source)
    assert models.sources == ["c", "big-200"]
    assert models.bytes == 300


def test_a_borrowed_model_is_never_given_up(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 200)
    with models.borrow("a", "a") as a, models.borrow("b", "b"), models.borrow("c", "c"):
        assert models.sources == ["a", "b", "c"]  # over the budget, all in use
        assert a.source == "a"
    assert models.bytes == 200
    assert "a" in models.sources or "b" in models.sources


def test_a_model_larger_than_the_budget_is_used_and_given_up(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 150)
    use(models, "a")
    with models.borrow("big-500", "big-500") as model:
        assert model.bytes == 500
        assert models.sources == ["big-500"]
    assert models.sources == []


def test_two_borrowers_get_two_instances_and_one_is_reused(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 1000)
    with models.borrow("a", "a") as first, models.borrow("a", "a") as second:
        assert first is not second
    with models.borrow("a", "a") as third:
        assert third in (first, second)
    assert shelf.loads == ["a", "a"]


def test_a_changed_hash_loads_anew_and_drops_the_old_version(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 1000)
    use(models, "a")
    with models.borrow("a", "another hash"):
        pass
    assert shelf.loads == ["a", "a"]
    use(models, "a")
    assert len(shelf.loads) == 2


def test_full_memory_makes_idle_models_give_way_and_loads_again(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 1000)
    use(models, "a")
    use(models, "b")
    shelf.failures = 1
    use(models, "c")
    assert models.sources == ["c"]
    shelf.failures = 2
    with pytest.raises(MemoryError):
        use(models, "d")


def test_threads_share_it_without_sharing_models(shelf: Shelf) -> None:
    models = Residency(shelf.load, "cpu", 350)
    held: list[int] = []
    broken: list[str] = []

    def work(seed: int) -> None:
        for step in range(60):
            source = "abcde"[(seed * 7 + step) % 5]
            with models.borrow(source, source) as model:
                if id(model) in held:
                    broken.append(source)
                held.append(id(model))
                held.remove(id(model))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not broken
    assert models.bytes <= 350


def test_bytes_are_those_of_parameters_and_buffers() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    expected = 4 * (3 * 4 * 9 + 4) + 4 * (4 * 4) + 8  # float32, and the batch counter of 8 bytes
    assert bytes_of(SimpleNamespace(network=network, bytes=1)) == expected


def test_the_budget_comes_from_the_setting_or_from_the_machine(settings: Settings, make_engine: Any) -> None:
    given = make_engine(settings.model_copy(update={"model_bytes": 12345}))
    assert given._worker().worker.models.budget == 12345
    assert make_engine(settings, store=given.store)._worker().worker.models.budget == default_budget("cpu") > 2**28
