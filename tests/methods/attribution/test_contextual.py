"""CD-T against the same rules in loops with both parts carried along, and its invariants."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.contextual_decomposition import Decomposition, Params, contextual_decomposition
from microtome.models.image import ImageModel
from tests import micro
from tests.methods.attribution.calls import call_of, close, explained
from tests.methods.attribution.test_attention import MINUS, around, small_map
from tests.reference.contextual import Contextual


@pytest.fixture(scope="module")
def sharp() -> ImageModel:
    """Nine patches; weights large enough for every rule to matter, and no bias nothing."""
    network = copy.deepcopy(micro.load("vit", size=24).network)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(10)
            elif parameter.ndim > 1:
                parameter.mul_(5)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return around(network)


@pytest.mark.parametrize("settle", [False, True])
@pytest.mark.parametrize("target", [1, MINUS])
def test_equals_both_parts_carried_along_in_loops(sharp: ImageModel, target: Any, settle: bool) -> None:
    call = call_of(sharp, [target])
    image, slow = call.inputs[0].double().numpy(), Contextual(sharp.network, settle)

    def number(logits: np.ndarray) -> float:
        return float(logits[1] if target == 1 else logits[0] - logits[2])

    pairs = [slow.run(image, [token]) for token in range(10)]
    for rel, irrel in pairs:
        np.testing.assert_allclose(rel + irrel, slow.vit.run(image)["logits"], rtol=1e-6)
    wanted = np.array([number(rel) for rel, _ in pairs])
    found = explained(contextual_decomposition, Params(group=1, settle=settle), sharp, [target])
    close(found.maps[0], small_map(wanted, sharp), 1e-4)
    assert found.facts["class token"] == pytest.approx([wanted[0]], rel=1e-3, abs=1e-4)
    assert found.facts["sum over groups"] == pytest.approx([wanted[1:].sum()], rel=1e-3, abs=1e-4)
    together = number(slow.run(image, list(range(1, 10)))[0])
    assert found.facts["all patches together"] == pytest.approx([together], rel=1e-3, abs=1e-4)
    assert found.facts["target"] == pytest.approx([number(slow.vit.run(image)["logits"])], rel=1e-3)


def test_everything_as_one_group_is_the_output_and_nothing_is_nothing(sharp: ImageModel) -> None:
    with torch.inference_mode():
        inputs = call_of(sharp).inputs
        one = Decomposition(sharp, inputs, settle=False)
        everything, nothing = one.parts(torch.tensor([[True] * 10, [False] * 10]))
        logits = sharp.forward(inputs)[0]
    close(everything, logits, 1e-4)
    close(everything, one.logits, 1e-6)
    assert not nothing.any(), "even a bias belongs to somebody"


def test_where_every_step_is_linear_the_tokens_add_up(sharp: ImageModel) -> None:
    """Without MLPs and biases attention weights and deviations are all that is not linear, and those are of the whole."""
    network = copy.deepcopy(sharp.network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "mlp.fc2" in name or (name.endswith("bias") and "patch_embeddings" not in name):
                parameter.zero_()
    found = explained(contextual_decomposition, Params(group=1), around(network), [0, 2])
    for row in range(2):
        total = found.facts["class token"][row] + found.facts["sum over groups"][row]  # type: ignore[operator,index]
        assert total == pytest.approx(found.facts["target"][row], rel=1e-4)  # type: ignore[index]
    assert (found.maps[0] - found.maps[1]).abs().max() > 1e-3


def test_groups_are_squares_of_patches(sharp: ImageModel) -> None:
    image, slow = call_of(sharp).inputs[0].double().numpy(), Contextual(sharp.network)
    found = explained(contextual_decomposition, Params(group=2), sharp, [1])
    squares = [[1, 2, 4, 5], [3, 6], [7, 8], [9]]
    wanted = np.zeros(10)
    for tokens in squares:
        wanted[tokens] = slow.run(image, tokens)[0][1]
    close(found.maps[0], small_map(wanted, sharp), 1e-4)
    whole = explained(contextual_decomposition, Params(group=3), sharp, [1])
    np.testing.assert_allclose(whole.maps[0], whole.facts["all patches together"][0], rtol=1e-5)  # type: ignore[index]


def test_rows_do_not_influence_each_other(sharp: ImageModel) -> None:
    together = explained(contextual_decomposition, Params(group=1), sharp, [0, MINUS]).maps
    for row, target in enumerate([0, MINUS]):
        close(explained(contextual_decomposition, Params(group=1), sharp, [target]).maps[0], together[row], 1e-6)


def test_refuses_other_networks_and_what_is_no_class(sharp: ImageModel) -> None:
    with pytest.raises(InvalidInput, match="ResNetForImageClassification") as caught:
        explained(contextual_decomposition, Params(group=1), "resnet")
    assert caught.value.field == "model"
    with pytest.raises(InvalidInput, match="no class") as caught:
        explained(contextual_decomposition, Params(group=1), sharp, [{"layer": "layer0", "unit": 1}])
    assert caught.value.field == "targets"
