"""The attention of a network, block by block: what every token takes from every other, and where a target is read from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import Call, portions
from microtome.methods.attribution.target import pick, recording
from microtome.models.image import ImageModel

#: Images that go through the network at once. The attention of all tokens to all is held for every block, so they are few.
ROWS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """One layer of self-attention in one pass; both tensors are part of the graph.

    Attributes:
        weights: [n, heads, T, T]: what token i takes from token j; rows add up to 1.
        output: [n, T, D], computed from ``weights``: what attention adds to the tokens.
    """

    weights: Tensor
    output: Tensor


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass with its graph.

    Attributes:
        rows: of the call, in the order of the images of the pass.
        blocks: in order of execution.
        number: sum of the targets of the rows; the gradient at an image is that of its own target.
        logits: [n, classes].
    """

    rows: list[int]
    blocks: list[Block]
    number: Tensor
    logits: Tensor


@contextmanager
def plainly(network: nn.Module) -> Iterator[None]:
    """Attention is computed in plain steps inside the block: fused kernels keep its probabilities to themselves."""
    before: list[tuple[Any, str]] = []
    for module in network.modules():
        current = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if current is not None and hasattr(module, "set_attn_implementation"):
            before.append((module, current))
    try:
        for module, _ in before:
            try:
                _compute(module, "eager")
            except ValueError as error:
                raise InvalidInput(f"The network cannot tell what it attends to: {str(error)[:300]}", field="model") from None
        yield
    finally:
        for module, current in before:
            _compute(module, current)


def _compute(module: Any, how: str) -> None:
    """Older families (Falcon, GPT-J) only warn that they cannot be set, though their masks and modules follow the configuration."""
    module.set_attn_implementation(how)
    module.config._attn_implementation = how


def _weights_in(output: Any) -> Tensor | None:
    """The probabilities that a module of attention returns behind its output."""
    if not isinstance(output, tuple) or not isinstance(output[0], Tensor):
        return None
    for item in output[1:]:
        if isinstance(item, Tensor) and item.ndim == 4:
            sums = item.detach().sum(-1)
            if torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
                return item
    return None


@contextmanager
def attending(model: ImageModel) -> Iterator[list[Block]]:
    """The blocks of attention of the one forward pass made inside the block, in order; known when the block ends.

    Yields:
        a list that is filled on leaving.

    Raises:
        InvalidInput: the network has no attention, or none of all tokens to all tokens.
    """
    found: dict[int, tuple[Tensor, list[tuple[nn.Module, Tensor]]]] = {}
    sizes: list[int] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        weights = _weights_in(output)
        if weights is not None:
            found.setdefault(id(weights), (weights, []))[1].append((module, output[0]))

    def count(_: nn.Module, args: Any, kwargs: Any) -> None:
        sizes.append(next(len(x) for x in (*args, *kwargs.values()) if isinstance(x, Tensor)))

    handles = [m.register_forward_hook(note) for name, m in model.network.named_modules() if name]
    handles.append(model.network.register_forward_pre_hook(count, with_kwargs=True))
    blocks: list[Block] = []
    try:
        with plainly(model.network):
            yield blocks
    finally:
        for handle in handles:
            handle.remove()
    for weights, givers in found.values():
        # Several modules may hand on the same probabilities; the outermost that does not normalise is attention with its projection.
        plain = [out for module, out in givers if not any(isinstance(m, nn.LayerNorm) for m in module.modules())]
        blocks.append(Block(weights, plain[-1] if plain else givers[0][1]))
    if not blocks:
        raise InvalidInput(
            f"{model.source} has no attention whose probabilities can be read, so this method has nothing to say about it. "
            "It is for vision transformers; use a gradient or a CAM method.",
            field="model",
        )
    tokens = blocks[0].weights.shape[-1]
    whole = all(b.weights.shape[0] == sizes[-1] and b.weights.shape[2:] == (tokens, tokens) and b.output.ndim == 3 for b in blocks)
    if not whole:
        raise InvalidInput(
            f"{model.source} attends within windows or to pooled tokens; this method needs blocks in which every token may attend to all. "
            "Use a gradient or a CAM method.",
            field="model",
        )


def attended(call: Call) -> Iterator[Pass]:
    """Every row of a call, in passes of a bounded size. Rows that explain one image share one pass, and come one by one."""
    shared = len(call.targets) > 1 and call.inputs.stride(0) == 0
    for start, end in [(0, 1)] if shared else portions(len(call.targets), ROWS):
        call.run.check()
        with torch.enable_grad():
            images = call.inputs[start:end].detach().requires_grad_(True)
            chosen = list(call.targets) if shared else list(call.targets[start:end])
            with attending(call.model) as blocks, recording(call.model, chosen) as recorded:
                logits = call.model.forward(images)
            values = [t.number(logits, recorded).sum() for t in chosen] if shared else [pick(chosen, logits, recorded).sum()]
        for place, value in enumerate(values):
            call.run.check()
            yield Pass([place] if shared else list(range(start, end)), blocks, value, logits)


def read_from(call: Call, one: Pass) -> tuple[Tensor, Tensor]:
    """Where the targets of a pass are read from, as the gradient behind the last attention says.

    Returns:
        shares float64 [n, T], equal over the tokens that count, adding up to 1 (a class token, or all patches, or one site);
        and int64 [n], the number of blocks of attention before that.

    Raises:
        InvalidInput: no gradient of a target reaches any attention.
    """
    count, tokens = one.blocks[0].output.shape[:2]
    shares = torch.zeros(count, tokens, dtype=torch.float64, device=one.number.device)
    depth = torch.zeros(count, dtype=torch.int64, device=one.number.device)
    for place in reversed(range(len(one.blocks))):
        if bool((depth > 0).all()):
            break
        gradient = torch.autograd.grad(one.number, one.blocks[place].output, retain_graph=True, allow_unused=True)[0]
        if gradient is None:
            continue
        reached = gradient.ne(0).any(2)
        fresh = (depth == 0) & reached.any(1)
        shares[fresh] = reached[fresh].double() / reached[fresh].sum(1, keepdim=True)
        depth[fresh] = place + 1
    for row, blocks in zip(one.rows, depth.tolist(), strict=True):
        if not blocks:
            raise InvalidInput(
                f"No gradient of '{call.targets[row].name}' reaches any attention, so attention says nothing about it. "
                "Ask about a class, or about a layer behind the first attention.",
                field="targets",
            )
    return shares, depth


def on_the_grid(model: ImageModel, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of tokens [n, T] as maps float32 [n, H, W] of the size of the input, bilinear; and as they are, [n, patches].

    Raises:
        InvalidInput: the tokens lie on no grid.
    """
    tokens = values.shape[1]
    for layer in model.layers.values():
        if layer.layout == "tokens" and layer.special + layer.height * layer.width == tokens:
            patches = values[:, layer.special :]
            small = patches.reshape(-1, 1, layer.height, layer.width).float()
            return torch.nn.functional.interpolate(small, model.preprocess.size, mode="bilinear", align_corners=False)[:, 0], patches
    raise InvalidInput(f"The {tokens} tokens of {model.source} lie on no grid, so they make no map.", field="model")
