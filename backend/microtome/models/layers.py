"""Layers, and the layer tree of any image classifier, found by watching one forward pass; no code per architecture.

A module's output becomes a **layer** when it is a tensor with a batch axis that can be read as units x sites:

========  ===================  =========================================================
layout    tensor               units
========  ===================  =========================================================
bchw      [B, C, H, W]         channels
bhwc      [B, H, W, C]         last axis (layer norms and linear layers of ConvNeXt)
tokens    [B, T, D]            last axis; leading special tokens dropped, rest on a grid
vector    [B, D]               last axis, one site
sequence  [B, T, D]            last axis; tokens of a text in a row (:mod:`microtome.models.text_layers`)
========  ===================  =========================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

Layout = Literal["bchw", "bhwc", "tokens", "vector", "sequence"]
_MAX_SPECIAL = 8
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU)


@dataclass(frozen=True, slots=True)
class Layer:
    """A point of a model whose output can be recorded.

    Attributes:
        name: path of the module. label: the short name that is shown.
        kind: class of the module. units, height, width: shape of one example's output.
        special: leading tokens that are no place in the image (class token, registers).
        order: rank in the order of execution. depth: nesting. default: dissected unless chosen otherwise.
        module: path of the module it is read at, where that is not the name. point: its output, or its first input.
        group: coordinates that make up one unit, whose activation is their Euclidean norm; 0 where a unit is one coordinate.
    """

    name: str
    label: str
    kind: str
    units: int
    height: int
    width: int
    layout: Layout
    special: int
    default: bool
    order: int
    depth: int
    module: str = ""
    point: Literal["output", "input"] = "output"
    group: int = 0

    def canonical(self, output: torch.Tensor) -> torch.Tensor:
        """What the layer is read from as [B, units, height, width].

        A sequence is one row, as long as the batch's longest, without the special tokens at its beginning.
        """
        if self.layout == "sequence":
            tokens = output[:, self.special :]
            if self.group:
                tokens = tokens.unflatten(-1, (self.units, self.group)).norm(dim=-1)
            return tokens.transpose(1, 2)[:, :, None]
        if self.layout == "bchw":
            return output
        if self.layout == "bhwc":
            return output.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            grid = output[:, self.special :]
            return grid.transpose(1, 2).reshape(output.shape[0], self.units, self.height, self.width)
        return output[:, :, None, None]

    @property
    def unit_axis(self) -> int:
        """Axis of the raw output that counts units."""
        return 1 if self.layout in ("bchw", "vector") else -1

    def info(self) -> dict[str, Any]:
        return asdict(self)


def first_tensor(output: Any) -> torch.Tensor | None:
    """The tensor in a module's output: itself, the first of a tuple, or ``last_hidden_state`` / ``logits``."""
    if isinstance(output, torch.Tensor):
        return output
    for name in ("last_hidden_state", "logits"):
        if isinstance(getattr(output, name, None), torch.Tensor):
            return getattr(output, name)
    if isinstance(output, tuple | list) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    return None


@dataclass(slots=True)
class _Seen:
    name: str
    module: nn.Module
    shape: tuple[int, ...]
    pointer: tuple[int, int]
    order: int


def _watch(network: nn.Module, inputs: torch.Tensor) -> list[_Seen]:
    """Every module that was called exactly once with a batched tensor as output, in order of completion."""
    seen: dict[str, _Seen] = {}
    calls: dict[str, int] = {}
    kept: list[torch.Tensor] = []  # alive until the end, so that no two outputs can share an address by chance

    def hook(name: str) -> Any:
        def note(module: nn.Module, _: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            tensor = first_tensor(output)
            if tensor is not None and tensor.ndim in (2, 3, 4) and tensor.shape[0] == inputs.shape[0]:
                kept.append(tensor)
                seen[name] = _Seen(name, module, tuple(tensor.shape), (tensor.data_ptr(), tensor.numel()), len(kept))

        return note

    handles = [m.register_forward_hook(hook(n)) for n, m in network.named_modules() if n]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return sorted((s for s in seen.values() if calls[s.name] == 1), key=lambda s: s.order)


def _grids(seen: list[_Seen]) -> list[tuple[int, int]]:
    """Map sizes of all convolutions, largest first: where token grids come from."""
    sizes = {(s.shape[2], s.shape[3]) for s in seen if isinstance(s.module, nn.Conv2d) and len(s.shape) == 4}
    return sorted(sizes, key=lambda s: -s[0] * s[1])


def _token_grid(count: int, grids: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    """(special, height, width) of ``count`` tokens, or None if they lie on no grid."""
    for height, width in grids:
        if height * width > 1 and 0 <= count - height * width <= _MAX_SPECIAL:
            return count - height * width, height, width
    for special in range(_MAX_SPECIAL + 1):
        side = math.isqrt(max(count - special, 0))
        if side > 1 and side * side == count - special:
            return special, side, side
    return None


def _read(item: _Seen, grids: list[tuple[int, int]]) -> tuple[Layout, int, int, int, int] | None:
    """(layout, units, height, width, special) of an output."""
    shape = item.shape
    if len(shape) == 4:
        _, a, b, c = shape
        last = isinstance(item.module, nn.Linear | nn.LayerNorm) or (a == b != c and (b, c) not in grids)
        return ("bhwc", c, a, b, 0) if last else ("bchw", a, b, c, 0)
    if len(shape) == 3:
        grid = _token_grid(shape[1], grids)
        return ("tokens", shape[2], grid[1], grid[2], grid[0]) if grid else None
    return ("vector", shape[1], 1, 1, 0)


def _weighted(module: nn.Module) -> int:
    return sum(1 for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def blocks(network: nn.Module) -> set[str]:
    """Names of the repeated building blocks: equal children of a list, with at least two weighted layers each.

    Where lists nest (stages of blocks), the innermost such children count.
    """
    found: set[str] = set()
    for name, module in network.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        children = list(module.named_children())
        if children and len({type(c) for _, c in children}) == 1 and all(_weighted(c) >= 2 for _, c in children):
            found |= {f"{name}.{child}" if name else child for child, _ in children}
    return {n for n in found if not any(other.startswith(n + ".") for other in found)}


def _label(name: str, block_names: set[str]) -> str:
    """``resnet.encoder.stages.2.layers.1`` -> ``stage3.1``; parts of a block keep the rest of their path behind it."""
    owner = next((b for b in block_names if name == b or name.startswith(b + ".")), None)
    if owner is None:
        return ".".join(name.split(".")[-2:]) if name.count(".") else name
    parts = owner.split(".")
    numbers = [i for i, p in enumerate(parts) if p.isdigit()]
    word = re.sub(r"(?<=[a-z])s$", "", parts[numbers[0] - 1]) if numbers and numbers[0] else "block"
    # Stages are counted from one in the literature, blocks from zero in the code; both as people know them.
    if len(numbers) > 1:
        text = f"{word}{int(parts[numbers[0]]) + 1}." + ".".join(parts[i] for i in numbers[1:])
    else:
        text = f"{word}{parts[numbers[0]]}" if numbers else owner.split(".")[-1]
    return text + name[len(owner) :]


def _unique(seen: list[_Seen], preferred: set[str]) -> Iterator[_Seen]:
    """One module per tensor: the block if it is one, else the outermost module that returns it, the last of equals.

    Equals share a tensor when a later one works in place, so that the last is what the tensor holds in the end.
    """
    by_tensor: dict[tuple[int, int], list[_Seen]] = {}
    for item in seen:
        by_tensor.setdefault(item.pointer, []).append(item)
    for items in by_tensor.values():
        yield next((i for i in items if i.name in preferred), min(items, key=lambda i: (i.name.count("."), -i.order)))


def find_layers(network: nn.Module, inputs: torch.Tensor) -> list[Layer]:
    """All layers of ``network`` in order of execution.

    Args:
        inputs: [2, C, H, W], any values; two examples, so that the batch axis can be told from others.
    """
    seen = _watch(network, inputs)
    grids = _grids(seen)
    block_names = blocks(network) & {s.name for s in seen}
    chosen = sorted(_unique(seen, block_names), key=lambda s: s.order)
    read = [(s, _read(s, grids)) for s in chosen]
    first_block = min((s.order for s in chosen if s.name in block_names), default=None)
    stems = [
        s for s, r in read
        if first_block is not None and r and r[0] == "bchw" and s.order < first_block
        and not any(b.startswith(s.name + ".") or s.name.startswith(b + ".") for b in block_names)
    ]  # fmt: skip
    # The stem is the last thing computed before the first block; of several names for it, the shallowest.
    stem = max(stems, key=lambda s: (s.order, -s.name.count("."))) if stems else None
    defaults = block_names | ({stem.name} if stem else set())
    if not block_names:
        spatial = [s for s, r in read if r and r[2] * r[3] > 1]
        active = [s for s in spatial if isinstance(s.module, _ACTIVATIONS)]
        defaults = {s.name for s in (active or [s for s in spatial if isinstance(s.module, nn.Conv2d)] or spatial)}
    labels: set[str] = set()
    layers: list[Layer] = []
    for item, form in read:
        if form is None or isinstance(item.module, nn.Dropout | nn.Identity):
            continue
        layout, units, height, width, special = form
        label = "stem" if stem and item.name == stem.name else _label(item.name, block_names)
        label = label if label not in labels else item.name
        labels.add(label)
        layers.append(
            Layer(
                item.name, label, type(item.module).__name__, units, height, width, layout, special,
                item.name in defaults, len(layers), item.name.count("."),
            )
        )  # fmt: skip
    return layers
