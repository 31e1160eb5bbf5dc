"""Networks with weights drawn anew: what they keep, what they lose, and which maps notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.methods.faithfulness import randomisation as ran
from microtome.methods.faithfulness.similarity import spearman
from tests import micro
from tests.methods.faithfulness.common import call_for, class_target, edges, gradients, picture


@pytest.mark.parametrize("family", micro.FAMILIES)
def test_every_tensor_keeps_its_mean_and_deviation_and_loses_its_values(family: str) -> None:
    model = micro.load(family)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    other = ran.randomised(model, 3)
    assert other.hash != model.hash
    assert other.layers is model.layers
    for name, tensor in other.network.named_parameters():
        old = before[name]
        if tensor.numel() > 2000:
            spread = old.std()
            assert abs(tensor.mean() - old.mean()) <= 5 * spread / tensor.numel() ** 0.5
            assert tensor.std() == pytest.approx(float(spread), rel=0.1)
            assert abs(np.corrcoef(tensor.flatten(), old.flatten())[0, 1]) < 0.1
    for name, buffer in other.network.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)
    for name, tensor in model.network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_a_seed_gives_one_network_and_named_parameters_are_all_that_changes() -> None:
    model = micro.load("resnet")
    one, same, another = (ran.randomised(model, seed) for seed in (0, 0, 1))
    for a, b in zip(one.network.parameters(), same.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(one.network.parameters(), another.network.parameters(), strict=True))
    name = next(n for n, p in model.network.named_parameters() if p.ndim == 4)
    some = dict(ran.randomised(model, 0, [name]).network.named_parameters())
    different = [n for n, p in model.network.named_parameters() if not torch.equal(p, some[n])]
    assert different == [name]


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_a_map_that_knows_nothing_of_the_network_fails_and_a_gradient_passes(family: str) -> None:
    model = micro.load(family)
    call = call_for(model, picture(64), [class_target(model, 0), class_target(model, 1)])
    network = ran.randomised(model, 0)
    for explain, notices in ((edges, False), (gradients, True)):
        maps = explain(call).maps.double().numpy()
        others = ran.maps_elsewhere(call, explain, None, network)
        assert others.shape == maps.shape
        for map, other in zip(maps, others, strict=True):
            assert ran.changed(spearman(map, other)) is notices
    assert not ran.changed(-0.9)  # turned round is not changed
    assert ran.changed(float("nan"))


def test_passes_on_the_copy_are_counted() -> None:
    model = micro.load("resnet")
    call = call_for(model, picture(64), [class_target(model, 0)])
    before = model.forward_passes
    ran.maps_elsewhere(call, gradients, None, ran.randomised(model, 0))
    assert model.forward_passes == before + 1
