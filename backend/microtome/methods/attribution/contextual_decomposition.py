"""Contextual decomposition of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.attention import on_the_grid
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, ExplainParams, MapFacts, attribution, portions
from microtome.methods.contract import Cost
from microtome.models.image import ImageModel


class Params(ExplainParams):
    group: int = Field(2, ge=1, le=64, description="Side of the square of patches that is one group; the edge may cut groups off.")
    settle: bool = Field(
        False,
        description="As in the authors' program: where the two parts have opposite signs, the larger takes the sum, the other nothing.",
    )


def linear(part: Tensor, whole: Tensor, layer: nn.Linear) -> Tensor:
    """The part of ``whole W + b`` that is the part's: the bias is shared by the sizes of what the part and the rest give."""
    matrix = layer.weight.double().T
    own = part @ matrix
    return own if layer.bias is None else own + layer.bias.double() * _share(own, (whole - part) @ matrix)


def norm(part: Tensor, whole: Tensor, layer: nn.LayerNorm) -> Tensor:
    """The same of a layer norm: its mean is linear, its deviation that of the whole, its bias shared by the sizes of what comes in."""
    spread = (whole.var(-1, correction=0, keepdim=True) + layer.eps).sqrt()
    own = (part - part.mean(-1, keepdim=True)) / spread * layer.weight.double()
    return own if layer.bias is None else own + layer.bias.double() * _share(part, whole - part)


def active(part: Tensor, whole: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The same of an activation: what it gives for the whole, less what it gives without the part."""
    return function(whole) - function(whole - part)


def settled(part: Tensor, whole: Tensor) -> Tensor:
    """Where part and rest have opposite signs the larger of the two takes the sum; the authors' rule against large parts that cancel."""
    rest = whole - part
    return torch.where(part * rest < 0, torch.where(part.abs() >= rest.abs(), whole, 0.0), part)


def _share(one: Tensor, other: Tensor) -> Tensor:
    one, other = one.abs(), other.abs()
    return one / (one + other).clamp(min=torch.finfo(one.dtype).tiny)


class Decomposition:
    """One image in a vision transformer: the whole of every step, and the part of it that is due to groups of tokens.

    The rest is the whole less the part throughout, so that the two always add up to what the network computes. All in float64: a
    bias is shared by sizes that may both be next to nothing, and every layer enlarges what float32 rounds there.
    """

    def __init__(self, model: ImageModel, image: Tensor, settle: bool) -> None:
        """``image`` is [1, 3, H, W].

        Raises:
            InvalidInput: the network is no ViTForImageClassification of transformers, or computes something else than one does.
        """
        self.network = checked(model)
        self.settle: Callable[[Tensor, Tensor], Tensor] = settled if settle else _as_it_is
        self.start = self.network.vit.embeddings(image).double()
        #: [1, T, D] and the like: the whole of every step, in the order of :meth:`parts`.
        self.wholes: list[dict[str, Tensor]] = []
        hidden = self.start
        for layer in self.network.vit.layers:
            own, hidden = self._whole(layer, hidden)
            self.wholes.append(own)
        self.last = hidden[:, 0]
        self.read = _given(self.network.vit.layernorm, self.last)
        self.logits = _given(self.network.classifier, self.read)[0]
        real = model.forward(image)[0]
        if not torch.allclose(self.logits, real.double(), rtol=1e-3, atol=1e-3):
            raise InvalidInput(
                f"{model.source} computes something else than its layers say (logits differ by "
                f"{float((self.logits - real).abs().max()):.3g}), so its parts would not be parts of its output. Use attention-rollout.",
                field="model",
            )

    def _whole(self, layer: Any, hidden: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        own = {"hidden": hidden, "normed": _given(layer.layernorm_before, hidden)}
        attention = layer.attention
        query, key, own["value"] = (_given(x, own["normed"]) for x in (attention.q_proj, attention.k_proj, attention.v_proj))
        query, key = (_heads(x, attention) for x in (query, key))
        own["weights"] = (query @ key.transpose(2, 3) * attention.scaling).softmax(-1)
        own["context"] = _joined(own["weights"] @ _heads(own["value"], attention))
        own["attended"] = _given(attention.o_proj, own["context"])
        own["middle"] = hidden + own["attended"]
        own["normed after"] = _given(layer.layernorm_after, own["middle"])
        own["inner"] = _given(layer.mlp.fc1, own["normed after"])
        own["fired"] = layer.mlp.activation_fn(own["inner"])
        own["outer"] = _given(layer.mlp.fc2, own["fired"])
        own["out"] = own["middle"] + own["outer"]
        return own, own["out"]

    def parts(self, groups: Tensor) -> Tensor:
        """[groups, classes]: the part of the logits that is due to the tokens that ``groups`` [groups, T] (bool) names."""
        part = self.start * groups[:, :, None]
        for layer, whole in zip(self.network.vit.layers, self.wholes, strict=True):
            attention, mlp = layer.attention, layer.mlp
            normed = norm(part, whole["hidden"], layer.layernorm_before)
            value = linear(normed, whole["normed"], attention.v_proj)
            # What is attended to is taken as given; only what is carried is decomposed.
            context = self.settle(_joined(whole["weights"] @ _heads(value, attention)), whole["context"])
            attended = linear(context, whole["context"], attention.o_proj)
            middle = self.settle(part + self.settle(attended, whole["attended"]), whole["middle"])
            normed = norm(middle, whole["middle"], layer.layernorm_after)
            inner = self.settle(linear(normed, whole["normed after"], mlp.fc1), whole["inner"])
            fired = active(inner, whole["inner"], mlp.activation_fn)
            outer = self.settle(linear(fired, whole["fired"], mlp.fc2), whole["outer"])
            part = self.settle(middle + outer, whole["out"])
        read = norm(part[:, 0], self.last, self.network.vit.layernorm)
        return linear(read, self.read, self.network.classifier)


def _given(layer: nn.Linear | nn.LayerNorm, x: Tensor) -> Tensor:
    """What a layer gives for the whole, in float64."""
    weight, bias = layer.weight.double(), None if layer.bias is None else layer.bias.double()
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, weight, bias)
    return nn.functional.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)


def _as_it_is(part: Tensor, whole: Tensor) -> Tensor:
    return part


def _heads(x: Tensor, attention: Any) -> Tensor:
    """[n, T, heads x d] as [n, heads, T, d]."""
    return x.unflatten(2, (attention.num_attention_heads, attention.head_dim)).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def checked(model: ImageModel) -> Any:
    """The network, if it is one whose steps are known.

    Raises:
        InvalidInput: it is not.
    """
    from transformers import ViTForImageClassification

    network = model.network
    if not isinstance(network, ViTForImageClassification) or not isinstance(network.classifier, nn.Linear):
        raise InvalidInput(
            f"{model.source} is a {type(network).__name__}; contextual decomposition is written for ViTForImageClassification of "
            "transformers, step by step. Use attention-rollout for other transformers, and a gradient or a CAM method for the rest.",
            field="model",
        )
    return network


def groups_of(model: ImageModel, tokens: int, side: int, device: torch.device) -> Tensor:
    """int64 [T - special]: the group of each patch, squares of ``side`` patches from the upper left."""
    layer = next(
        (x for x in model.layers.values() if x.layout == "tokens" and x.special + x.height * x.width == tokens and x.special == 1), None
    )
    if layer is None:
        raise InvalidInput(f"The {tokens} tokens of {model.source} lie on no grid behind one class token.", field="model")
    y, x = (torch.arange(n, device=device) // side for n in (layer.height, layer.width))
    return (y[:, None] * (int(x[-1]) + 1) + x[None, :]).flatten()


@attribution(
    "cd-t",
    title="Contextual decomposition (CD-T)",
    params=Params,
    example_params=Params(group=4),
    cite="Hsu et al. 2024, arXiv:2407.00886; rules: Murdoch, Liu, Yu 2018, arXiv:1801.05453, and Singh, Murdoch, Yu 2019, arXiv:1806.05337",
    quantity="{} due to the group",
    cost=Cost(passes=77.0),
    passes=lambda p: 2.0 + 300 / p.group**2,  # 14 x 14 patches, half as much again for float64
)
def contextual_decomposition(call: Call, params: Params) -> Attribution:
    """What part of the target is due to a patch of a vision transformer, followed through every step beside the rest.

    Every activation is a sum of two: what comes from the group, and the rest. Linear layers split, and share their bias by the sizes
    of the two; a layer norm splits with the deviation of the whole; an activation gives the group what is lost without it; attention
    weights are those of the whole and carry both parts. A token starts whole, with its position. Every group is followed alone,
    which costs more than a forward pass each: larger groups are faster.

    Formula:
        `beta + gamma = x` at every step; `beta' = W beta + b |W beta| / (|W beta| + |W gamma|)`; `beta' = act(x) - act(x - beta)`;
        `beta' = A V(beta)` with A of x; `map_i = beta of the target for group i`.

    Known failures:
        Where attention looks is taken for granted: a patch that draws attention elsewhere gets nothing for that. Groups do not add up
        to the whole, because activations give each what is lost without it alone; the facts tell both. Parts may be much larger than
        the whole and cancel (`settle` is the authors' remedy, which silences most single patches). The class token and its position
        are a group of their own, in the facts, not in the map.
    """
    for target in call.targets:
        if target.layer is not None:
            raise InvalidInput(f"'{target.name}' is no class; contextual decomposition is carried to the classes only.", field="targets")
    checked(call.model)
    maps: list[Tensor] = [torch.zeros(0)] * len(call.targets)
    facts: dict[str, list[float]] = {
        name: [0.0] * len(call.targets) for name in ("target", "class token", "all patches together", "sum over groups")
    }
    every = call.groups()
    for done, rows in enumerate(every):
        call.run.check()
        call.run.progress(done, len(every), "images")
        with torch.inference_mode():
            one = Decomposition(call.model, call.inputs[rows[:1]], params.settle)
            place = groups_of(call.model, one.start.shape[1], params.group, call.inputs.device)
            members = torch.nn.functional.one_hot(place).bool().T
            patches = torch.nn.functional.pad(torch.cat([members, members.any(0, keepdim=True)]), (1, 0))
            asked = torch.cat([patches, ~patches[-1:]])  # every group, all patches, the class token
            parts = []
            for start, end in portions(len(asked), FORWARD_BATCH):
                call.run.check()
                parts.append(one.parts(asked[start:end]))
            logits = torch.cat(parts)
            for row in rows:
                values = call.targets[row].number(logits, {})
                maps[row] = on_the_grid(call.model, torch.nn.functional.pad(values[place], (1, 0))[None])[0][0]
                found = (call.targets[row].number(one.logits[None], {})[0], values[-1], values[-2], values[:-2].sum())
                for name, value in zip(facts, found, strict=True):
                    facts[name][row] = float(value)
    what = "patch" if params.group == 1 else f"square of {params.group} patches"
    told: MapFacts = {**facts, "group": what}
    return Attribution(torch.stack(maps), None, told, f"Every {what} followed alone beside the rest.")
