"""Rollout, gradient-weighted attention and class embedding relevance against a slow transformer, finite differences and invariants."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import attention
from microtome.methods.attribution.attention import attended, attending, read_from
from microtome.methods.attribution.attention_rollout import attention_rollout, rolled
from microtome.methods.attribution.class_embedding import class_embedding
from microtome.methods.attribution.gradient_attention import gradient_attention
from microtome.models.image import ImageModel
from tests import micro
from tests.methods.attribution.calls import RUN, call_of, close, explained, maps
from tests.reference import attention as slow
from tests.reference.attribution import upsample

EVERY = [attention_rollout, gradient_attention, class_embedding]
MINUS: Any = {"minus": [0, 2]}


def around(network: Any, size: int = 24) -> ImageModel:
    """A model of any network for images of ``size``, with the processing of the micro transformer."""
    like = micro.load("vit", size=size)
    return ImageModel(
        source="test", network=network, preprocess=like.preprocess, classes=like.classes, family="test", hash="0" * 64, bytes=0, config={}
    )  # fmt: skip


@pytest.fixture(scope="module")
def sharp() -> ImageModel:
    """A transformer of nine patches whose heads differ: weights as drawn attend to all tokens alike, which proves little."""
    network = copy.deepcopy(micro.load("vit", size=24).network)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(15)
            elif parameter.ndim > 1:
                parameter.mul_(6)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return around(network)


def small_map(values: np.ndarray, model: ImageModel) -> np.ndarray:
    """Values of ten tokens at the size of the input."""
    return upsample(values[1:].reshape(3, 3), model.preprocess.size)


def slowly(model: ImageModel, targets: list[Any] | None = None) -> tuple[slow.SlowViT, np.ndarray]:
    return slow.SlowViT(model.network), call_of(model, targets).inputs[0].double().numpy()


# --- reading attention --------------------------------------------------------------------------------------------------


def test_attention_is_that_of_a_transformer_computed_by_hand(sharp: ImageModel) -> None:
    network, image = slowly(sharp)
    wanted = network.run(image)
    (one,) = attended(call_of(sharp, [1]))
    assert len(one.blocks) == 3
    close(one.logits[0].detach(), wanted["logits"], 1e-5)
    for block, weights, output in zip(one.blocks, wanted["attention"], wanted["attended"], strict=True):
        close(block.weights[0].detach(), weights, 1e-5)
        close(block.output[0].detach(), output, 1e-5)
        assert weights.std() > 0.02, "uniform attention would prove little"


def test_logits_stay_the_same_and_the_network_goes_back_to_how_it_was(sharp: ImageModel) -> None:
    config, inputs = sharp.network.config, call_of(sharp).inputs
    assert config._attn_implementation == "sdpa"
    with torch.no_grad():
        fused = sharp.forward(inputs)
        with attending(sharp) as blocks:
            plain = sharp.forward(inputs)
            assert config._attn_implementation == "eager"
    assert len(blocks) == 3
    assert float((fused - plain).abs().max()) <= 1e-5
    with pytest.raises(KeyError), attending(sharp):
        raise KeyError("in the middle of it")
    assert config._attn_implementation == "sdpa"
    assert not sharp.network.vit.layers[0].attention._forward_hooks


def test_gradients_of_attention_equal_finite_differences(sharp: ImageModel) -> None:
    network, image = slowly(sharp)
    (one,) = attended(call_of(sharp, [1]))
    gradients = torch.autograd.grad(one.number, [b.weights for b in one.blocks])
    generator = np.random.default_rng(0)
    for block, gradient in enumerate(gradients):
        for _ in range(12):
            head, row, column = (int(generator.integers(n)) for n in gradient.shape[1:])
            row = 0 if block == 2 else row  # behind the last block the class is read from the class token alone
            slope = network.slope(image, (block, head, row, column), lambda found: found["logits"][1])
            assert float(gradient[0, head, row, column]) == pytest.approx(slope, rel=1e-3, abs=1e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize(
    ("target", "blocks", "tokens"),
    [
        (1, 3, [0]),
        (MINUS, 3, [0]),
        ({"layer": "layer1", "unit": 4}, 2, list(range(1, 10))),
        ({"layer": "layer0", "unit": 4, "site": [1, 2]}, 1, [6]),
        ({"layer": "layer1.attention.q_proj", "unit": 2}, 1, list(range(1, 10))),
    ],
)
def test_where_a_target_is_read_is_found(sharp: ImageModel, target: Any, blocks: int, tokens: list[int]) -> None:
    call = call_of(sharp, [target])
    (one,) = attended(call)
    shares, depth = read_from(call, one)
    assert depth.tolist() == [blocks]
    assert shares[0].nonzero()[:, 0].tolist() == tokens
    assert shares[0, tokens].tolist() == pytest.approx([1 / len(tokens)] * len(tokens))


# --- methods against their formulas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("residual", [0.5, 0.2])
def test_rollout_equals_its_formula(sharp: ImageModel, heads: Any, residual: float) -> None:
    network, image = slowly(sharp)
    wanted = slow.rollout(network.run(image)["attention"], heads, residual)
    found = explained(attention_rollout, attention_rollout.params(heads=heads, residual=residual), sharp, [1])
    close(found.maps[0], small_map(wanted[0], sharp), 1e-5)
    assert found.facts["share of the patches"] == pytest.approx([1 - wanted[0, 0]], abs=1e-5)
    assert found.facts["depends_on_target"] == "no"


def test_rollout_of_a_unit_counts_the_blocks_before_it(sharp: ImageModel) -> None:
    network, image = slowly(sharp)
    wanted = slow.rollout(network.run(image)["attention"][:2], "mean", 0.5)[1:].mean(0)
    found = explained(attention_rollout, None, sharp, [{"layer": "layer1", "unit": 4}])
    close(found.maps[0], small_map(wanted, sharp), 1e-5)
    assert found.facts["blocks"] == [2]


@pytest.mark.parametrize(
    ("target", "blocks", "rows"), [(1, 3, [0]), (MINUS, 3, [0]), ({"layer": "layer0", "unit": 4, "site": [1, 2]}, 1, [6])]
)
def test_gradient_attention_equals_its_formula_with_finite_differences(
    sharp: ImageModel, target: Any, blocks: int, rows: list[int]
) -> None:
    network, image = slowly(sharp)

    def number(found: dict[str, Any]) -> float:
        logits = found["logits"]
        if target == MINUS:
            return float(logits[0] - logits[2])
        return float(logits[1]) if target == 1 else float(found["hidden"][0][6, 4])

    wanted = slow.gradient_attention(network, image, number, blocks)[rows].mean(0)
    found = explained(gradient_attention, None, sharp, [target])
    close(found.maps[0], small_map(wanted, sharp), 1e-4)
    assert found.facts["blocks"] == [blocks]


@pytest.mark.parametrize("objective", ["log-probability", "logit"])
@pytest.mark.parametrize("target", [1, MINUS])
@pytest.mark.parametrize("block", [None, 0, 2])
def test_class_embedding_equals_finite_differences(sharp: ImageModel, objective: Any, target: Any, block: int | None) -> None:
    network, image = slowly(sharp)

    def number(logits: np.ndarray) -> float:
        values = logits - np.log(np.exp(logits).sum()) if objective == "log-probability" else logits
        return float(values[1] if target == 1 else values[0] - values[2])

    wanted = sum(slow.class_embedding(network, image, b, number) for b in (range(3) if block is None else [block]))
    found = explained(class_embedding, class_embedding.params(objective=objective, block=block), sharp, [target])
    close(found.maps[0], small_map(np.asarray(wanted), sharp), 1e-4)
    read = [network.read(out[0]) for out in network.run(image)["attended"]]
    ranks = [str(1 + sum(v > logits[1] for v in logits)) for logits in read]
    (told,) = found.facts["rank of the class by block"]  # type: ignore[misc]
    assert told == ("- - -"[: 5 if block is None else 1] if target == MINUS else " ".join(ranks if block is None else [ranks[block]]))


# --- invariants ---------------------------------------------------------------------------------------------------------


def test_rows_of_a_rollout_are_shares(sharp: ImageModel) -> None:
    (one,) = attended(call_of(sharp, [1]))
    for heads in ("mean", "max", "min"):
        for depth in (1, 3):
            found = rolled([b.weights for b in one.blocks], heads, 0.3, torch.tensor([depth]))  # type: ignore[arg-type]
            assert bool((found >= 0).all())
            torch.testing.assert_close(found.sum(-1), torch.ones(1, 10, dtype=torch.float64), rtol=0, atol=1e-12)


def test_heads_that_agree_on_nothing_leave_a_token_to_itself() -> None:
    apart = torch.zeros(1, 2, 3, 3)
    apart[0, 0, :, 0] = apart[0, 1, :, 2] = 1
    torch.testing.assert_close(rolled([apart], "min", 0.0, torch.tensor([1]))[0], torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("spec", [attention_rollout, gradient_attention, class_embedding])
def test_tokens_that_are_treated_alike_get_the_same(sharp: ImageModel, spec: Any) -> None:
    """No queries, so attention is uniform; and values that are the same for all tokens, so that its gradient is, too."""
    network = copy.deepcopy(sharp.network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("q_proj.weight", "q_proj.bias", "v_proj.weight")):
                parameter.zero_()
    (found,) = maps(spec, None, around(network), [1])
    assert float(np.abs(found).min()) > 0, "a map of zeros would be uniform, too"
    np.testing.assert_allclose(found, np.full_like(found, found[0, 0]), rtol=1e-4)


def test_what_speaks_against_a_class_gets_no_relevance_and_is_not_confused_with_what_speaks_for_it(sharp: ImageModel) -> None:
    one, other = maps(gradient_attention, None, sharp, [MINUS, {"minus": [2, 0]}])
    assert one.min() >= 0
    assert other.min() >= 0
    assert np.abs(one - other).max() > 0.05 * one.max()
    for objective in ("logit", "log-probability"):
        signed = maps(class_embedding, class_embedding.params(objective=objective), sharp, [MINUS, {"minus": [2, 0]}])
        close(signed[0], -signed[1], 1e-5)


@pytest.mark.parametrize("spec", EVERY)
def test_rows_do_not_depend_on_each_other(sharp: ImageModel, spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [0, 1, MINUS]
    together = call_of(sharp, targets)
    found = spec.explain(together, spec.params()).maps
    before = sharp.forward_passes
    spec.explain(together, spec.params())
    assert sharp.forward_passes == before + 1, "rows of one image share one pass"
    monkeypatch.setattr(attention, "ROWS", 2)
    other = call_of(sharp, [2], image=micro.probe().example(3))
    images = torch.cat([together.inputs, other.inputs])
    apart = spec.explain(type(together)(sharp, images, [*together.targets, *other.targets], RUN, 0), spec.params()).maps
    close(apart[:3], found, 1e-4)
    close(apart[3], spec.explain(other, spec.params()).maps[0], 1e-4)


# --- networks of other kinds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", EVERY)
@pytest.mark.parametrize("family", ["resnet", "convnext"])
def test_networks_without_attention_are_refused(spec: Any, family: str) -> None:
    with pytest.raises(InvalidInput, match="no attention") as caught:
        maps(spec, None, family)
    assert caught.value.field == "model"


@pytest.mark.parametrize("spec", EVERY)
def test_attention_within_windows_is_refused(spec: Any) -> None:
    import transformers as t

    config = t.SwinConfig(image_size=24, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=3, num_labels=3)
    with pytest.raises(InvalidInput, match="windows") as caught:
        maps(spec, None, around(t.SwinForImageClassification(config)))
    assert caught.value.field == "model"


def test_a_transformer_that_averages_its_patches_is_read_there() -> None:
    import transformers as t

    torch.manual_seed(0)
    config = t.BeitConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=24, patch_size=8, num_labels=3,
        use_mean_pooling=True, initializer_range=0.2,
    )  # fmt: skip
    model = around(t.BeitForImageClassification(config))
    call = call_of(model, [1])
    (one,) = attended(call)
    shares, depth = read_from(call, one)
    assert depth.tolist() == [2]
    assert shares[0].tolist() == pytest.approx([0] + [1 / 9] * 9)
    for spec in (attention_rollout, gradient_attention):
        assert maps(spec, None, model, [1]).max() > 0
    with pytest.raises(InvalidInput, match="class token") as caught:
        maps(class_embedding, None, model, [1])
    assert caught.value.field == "model"


def test_what_has_no_answer_is_refused_by_name(sharp: ImageModel) -> None:
    with pytest.raises(InvalidInput, match="are 3 blocks") as caught:
        maps(class_embedding, class_embedding.params(block=3), sharp)
    assert caught.value.field == "params.block"
    unit: Any = {"layer": "layer1", "unit": 4}
    with pytest.raises(InvalidInput, match="no class") as caught:
        maps(class_embedding, None, sharp, [unit])
    assert caught.value.field == "targets"
    before: Any = {"layer": "layer0.layernorm_before", "unit": 4}
    for spec in (attention_rollout, gradient_attention):
        with pytest.raises(InvalidInput, match="reaches any attention") as caught:
            maps(spec, None, sharp, [before])
        assert caught.value.field == "targets"
