"""On flowers, where what defines a class is known: every measure of localisation puts an oracle first and an inverted oracle last."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.methods.attribution.explain import Call
from microtome.methods.attribution.target import targets_of
from microtome.methods.faithfulness import localisation
from microtome.methods.faithfulness.chance import random_ranks
from microtome.methods.faithfulness.order import ranks
from microtome.methods.registry import get_method
from microtome.models import load_model
from microtome.probes import flowers, open_probe

COUNT, DRAWS = 24, 200
PROBE = f"builtin:flowers#val:{COUNT}"


def _regions() -> list[np.ndarray]:
    probe = open_probe(PROBE)
    found = [probe.example(i).region(flowers.CLASSES[i % 8]) for i in range(COUNT)]
    assert all(region is not None and 0 < region.mean() < 0.5 for region in found)
    return [np.asarray(region) for region in found]


def _scores(map: np.ndarray, region: np.ndarray) -> dict[str, float]:
    return {
        "pointing-game": float(localisation.pointing(map, region)),
        "inside-mass": float(localisation.inside_mass(map, region)),
        "inside-rank": float(localisation.inside_rank(ranks(map.reshape(1, -1))[0], region)),
    }


@pytest.mark.parametrize("name", ["pointing-game", "inside-mass", "inside-rank"])
def test_oracle_random_and_inverted_oracle_stand_in_this_order(name: str) -> None:
    noise = np.random.default_rng(0)
    oracle, random, inverted, level = [], [], [], []
    for number, region in enumerate(_regions()):
        jitter = 1e-6 * noise.random(region.shape)
        oracle.append(_scores(region + jitter, region)[name])
        inverted.append(_scores(~region + jitter, region)[name])
        level.append(region.mean())
        if name == "inside-rank":
            random.append(localisation.inside_rank(random_ranks(*region.shape, number), region).mean())
        else:
            random.append(np.mean([_scores(noise.random(region.shape), region)[name] for _ in range(DRAWS)]))
    assert np.mean(oracle) > 0.999
    assert np.mean(inverted) < 1e-3
    # Random maps at their analytic level, the share of the region, within four standard errors of as many draws.
    spread = np.std(np.array(random) - level) / np.sqrt(COUNT)
    assert abs(np.mean(random) - np.mean(level)) < 4 * spread + 1e-3


def test_maps_of_a_network_that_knows_flowers_point_at_the_defining_part_more_than_chance() -> None:
    model, probe = load_model("builtin:flowers-cnn"), open_probe(PROBE)
    spec = get_method("input-x-gradient")
    assert spec.explain is not None
    above = []
    for index, region in enumerate(_regions()):
        inputs = model.inputs([probe.image(index)])
        with torch.inference_mode():
            assert int(model.forward(inputs).argmax()) == index % 8
        call = Call(model, inputs, targets_of(model, inputs, None), SilentContext(), 0)
        map = spec.explain(call, spec.params()).maps[0].double().numpy()
        above.append(_scores(map, region)["inside-rank"] - region.mean())
    assert np.mean(above) > 3 * np.std(above) / np.sqrt(COUNT)
