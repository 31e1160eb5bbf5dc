"""How a transformer writes into its residual stream, reads from it, and turns it into logits: found by structure, no code per architecture.

A vector is a row and a matrix maps rows: ``[in, out]``, whatever the module keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.models.layers import first_tensor
from microtome.models.replay import Replay
from microtome.models.text import TextModel
from microtome.models.text_layers import Block

#: Relative error up to which two ways to compute one number count as the same, in the model's own precision.
_SAME = 1e-2


def refused(model: TextModel, lacks: str) -> InvalidInput:
    return InvalidInput(f"{model.source} {lacks}; this method cannot be put to it.", field="model")


def alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= _SAME * other.norm() + 1e-6)


def matrix(module: nn.Module) -> Tensor | None:
    """float32 [in, out] of a linear map; None for a module that is none."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    if isinstance(module, nn.Linear):
        return weight.detach().float().T
    # The linear map of GPT-2 in transformers, which keeps its weight the other way round.
    return weight.detach().float() if type(module).__name__ == "Conv1D" else None


def bias(module: nn.Module, width: int) -> Tensor:
    """float32 [width]; zero where the module has none."""
    found = getattr(module, "bias", None)
    if isinstance(found, Tensor):
        return found.detach().float()
    weight = module.weight
    assert isinstance(weight, Tensor)
    return torch.zeros(width, device=weight.device)


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm, or one by the root mean square: ``norm(x) = scale(x) * gain * away(x) + shift``.

    Attributes:
        centred: ``away`` takes the mean off; else it is x itself.
        gain, shift: float32 [width].
    """

    centred: bool
    gain: Tensor
    shift: Tensor

    def away(self, vectors: Tensor) -> Tensor:
        return vectors - vectors.mean(-1, keepdim=True) if self.centred else vectors

    def passes(self, vectors: Tensor) -> Tensor:
        """What becomes of vectors [..., width] at scale 1, without the shift."""
        return self.away(vectors) * self.gain

    def reads(self, vectors: Tensor) -> Tensor:
        """Vectors [..., width] that read behind the norm, as what they read before it at scale 1: the transpose of :meth:`passes`."""
        return self.away(vectors * self.gain)

    def scale(self, given: Tensor, made: Tensor) -> Tensor:
        """[...]: the scale that the norm had for ``given`` [..., width], from what it made of it; no epsilon needs to be known."""
        there = self.passes(given)
        return ((made - self.shift) * there).sum(-1) / there.pow(2).sum(-1).clamp(min=1e-30)


@torch.no_grad()
def norm_of(module: nn.Module, width: int) -> Norm | None:
    """What a module does as a norm, found by asking it; None if it is none."""
    weight = next(module.parameters(), None)
    dtype, device = (weight.dtype, weight.device) if weight is not None else (torch.float32, torch.device("cpu"))

    def ask(x: Tensor) -> Tensor:
        answer = first_tensor(module(x.to(dtype)[None]))
        return answer[0].float() if answer is not None and answer.shape[-1] == width else torch.full_like(x, torch.nan)

    # Large numbers, beside which any epsilon is nothing, of either sign: a constant would leave a layer norm nothing.
    signs = (1.0 - 2.0 * (torch.arange(width, device=device) % 2)) * 16
    random = torch.randn(width, generator=torch.Generator().manual_seed(0)).to(device) * 16
    try:
        up, down, there, moved = ask(signs), ask(-signs), ask(random), ask(random + 40)
    except (RuntimeError, TypeError, ValueError):
        return None
    centred = alike(there, moved)
    away = signs - signs.mean() if centred else signs
    found = Norm(centred, (up - down) / 2 / (away / away.pow(2).mean().sqrt()), (up + down) / 2)
    expected = found.passes(random) * found.away(random).pow(2).mean().rsqrt() + found.shift
    return found if alike(there, expected) else None


@dataclass(slots=True)
class Seen:
    """One call of a module: its path, the tensor that it was given and the one that it made."""

    name: str
    given: Tensor | None
    made: Tensor | None


@torch.no_grad()
def watched(model: TextModel, under: str = "") -> list[Seen]:
    """Calls in order of completion in a pass over a text of one token, of all modules or those under a path."""
    seen: list[Seen] = []

    def note(name: str) -> Any:
        def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            seen.append(Seen(name, first_tensor(args) if args else first_tensor(tuple(kwargs.values())), first_tensor(output)))

        return hook

    chosen = [(n, m) for n, m in model.network.named_modules() if n.startswith(f"{under}." if under else "") and n]
    handles = [module.register_forward_hook(note(name), with_kwargs=True) for name, module in chosen]
    try:
        model.forward(torch.ones(1, 1, dtype=torch.long, device=model.device))
    finally:
        for handle in handles:
            handle.remove()
    return seen


class Tail:
    """Everything that the network does behind its last block, for any vectors, place by place.

    It is the network itself that runs, on a text of no matter what: a transform before the unembedding, a bound or a scale on the logits
    are all in it.

    Args:
        size: vectors at a time; at most the window of the model.
    """

    def __init__(self, model: TextModel, size: int) -> None:
        self._model, self._layer = model, model.layers[blocks_of(model)[-1].path]
        self._size = min(size, model.tokenizer.window)
        self._replay = Replay(model, self._layer, torch.ones(1, self._size, dtype=torch.long, device=model.device))

    def __call__(self, hidden: Tensor) -> Tensor:
        """float32 [n, vocabulary], logits of hidden states [n, width] behind the last block; differentiable where gradients are enabled."""
        return torch.cat([self._part(part) for part in hidden.split(self._size)])

    def _part(self, hidden: Tensor) -> Tensor:
        def put(there: Tensor) -> Tensor:
            filled = torch.cat([hidden.to(there), there[0, len(hidden) :].detach()])
            return filled[None]

        with self._model.changed(self._layer, put):
            return self._replay.run(keep_graph=True)[0, : len(hidden)].float()


def blocks_of(model: TextModel) -> list[Block]:
    """
    Raises:
        InvalidInput: of the field ``model``; a network without blocks.
    """
    if not model.blocks:
        raise refused(model, "has no repeated blocks with a residual stream")
    return model.blocks


@dataclass(frozen=True, slots=True)
class Readout:
    """From the residual stream to logits: ``unembedding @ norm(x) + bias``.

    Attributes:
        norm: None where only the unembedding is meant.
        norm_path: the module of the norm.
        unembedding: [vocabulary, width], as the model has it. bias: float32 [vocabulary].
    """

    norm: Norm | None
    norm_path: str
    unembedding: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)

    def passes(self, vectors: Tensor) -> Tensor:
        """float32 [..., vocabulary]: logits that directions [..., width] add at scale 1, without what is there for every text."""
        through = self.norm.passes(vectors) if self.norm else vectors
        return (through.to(self.unembedding) @ self.unembedding.T).float()

    def direction(self, tokens: Sequence[int], weights: Sequence[float]) -> tuple[Tensor, float]:
        """float32 [width] before the norm at scale 1 that a sum of logits reads, and what it is for every text."""
        there = torch.tensor(weights, device=self.unembedding.device)
        read = there @ self.unembedding[list(tokens)].float()
        constant = float(there @ self.bias[list(tokens)]) + (float(read @ self.norm.shift) if self.norm else 0.0)
        return (self.norm.reads(read) if self.norm else read), constant


def unembedding_of(model: TextModel) -> Readout:
    """The unembedding alone.

    Raises:
        InvalidInput: of the field ``model``; it has none, or none that takes the residual stream.
    """
    find = getattr(model.network, "get_output_embeddings", None)
    module = find() if find is not None else None
    width = model.layers[blocks_of(model)[-1].path].units
    weights = matrix(module) if module is not None else None
    if module is None or weights is None:
        raise refused(model, "has no unembedding, a linear map from its residual stream to tokens")
    if weights.shape[0] != width:
        raise refused(model, f"has an unembedding of {weights.shape[0]} coordinates for a residual stream of {width}")
    return Readout(None, "", module.weight.detach(), bias(module, weights.shape[1]))


def readout_of(model: TextModel) -> Readout:
    """The final norm and the unembedding, if nothing else lies between the last block and the logits.

    Raises:
        InvalidInput: of the field ``model``, saying what is there instead.
    """
    bare = unembedding_of(model)
    last = blocks_of(model)[-1].path
    calls = watched(model)
    at = next(i for i, call in enumerate(calls) if call.name == last)
    leaves = [c for c in calls[at + 1 :] if not list(model.network.get_submodule(c.name).children())]
    leaves = [c for c in leaves if not isinstance(model.network.get_submodule(c.name), nn.Dropout | nn.Identity)]
    names = ", ".join(c.name for c in leaves[:6])
    if len(leaves) != 2 or leaves[1].made is None or leaves[0].made is None:
        raise refused(model, f"has more or less than one norm and the unembedding behind its last block ({names or 'nothing'})")
    norm = norm_of(model.network.get_submodule(leaves[0].name), model.layers[last].units)
    if norm is None:
        raise refused(model, f"has {leaves[0].name} before the unembedding, which is no norm")
    with torch.no_grad():
        logits = model.forward(torch.ones(1, 1, dtype=torch.long, device=model.device)).float()
    own = (leaves[0].made.to(bare.unembedding) @ bare.unembedding.T).float() + bare.bias
    if not alike(own.flatten(), logits.flatten()):
        raise refused(model, "changes its logits behind the unembedding (a scale or a bound)")
    return Readout(norm, leaves[0].name, bare.unembedding, bare.bias)


def neuron_writes(model: TextModel, block: Block) -> Tensor:
    """float32 [neurons, width]: what a neuron adds to the residual stream at activation 1.

    Raises:
        InvalidInput: of the field ``model``.
    """
    found = matrix(model.network.get_submodule(block.neurons)) if block.neurons else None
    if found is None:
        raise refused(model, f"has no neurons in {block.path} that a linear map writes from")
    return found


def head_writes(model: TextModel, block: Block) -> Tensor:
    """float32 [heads, each, width]: how the output of every head is written into the residual stream.

    Raises:
        InvalidInput: of the field ``model``.
    """
    found = matrix(model.network.get_submodule(block.heads)) if block.heads else None
    if found is None or not model.heads or found.shape[0] % model.heads:
        raise refused(model, f"has no heads in {block.path} that a linear map writes from")
    return found.unflatten(0, (model.heads, -1))
