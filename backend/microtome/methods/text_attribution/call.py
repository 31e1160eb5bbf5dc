"""What is explained: a number that a model gives for a text, as a function of the embeddings of the text's own tokens.

Embeddings are put in the place of what the network's embedding of tokens gives, so every family takes them: positions, scales and norms
behind it stay the model's own, and the ids stay those of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.explain import portions
from microtome.methods.attribution.target import Target
from microtome.models.image import class_probabilities
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Tokens that go through the network at once, and texts at most: constant, so that memory grows with neither samples nor coalitions.
_TOKENS, _TEXTS = 2048, 32


@dataclass(frozen=True, slots=True)
class Call:
    """A text and a number of it.

    Attributes:
        ids: int64 [T], special tokens included, with a mask where a masked model is asked.
        vectors: float32 [T, D], embeddings of ``ids``, or of what is near them.
        places: int64 [n], the tokens that are explained; the others are the same always.
        at: token whose logits count, -1 for the last one; None where there is one set of logits for the text.
        watched: whether previews are wanted.
    """

    model: TextModel
    text: str
    tokens: Tokens
    ids: Tensor
    vectors: Tensor
    places: Tensor
    at: int | None
    target: Target
    run: RunContext
    seed: int
    watched: bool = True

    @property
    def count(self) -> int:
        return len(self.places)

    def on(self, model: TextModel) -> Call:
        """The same question about another network."""
        return replace(self, model=model, vectors=embeddings(model, self.ids))

    def phrase(self, first: int, stop: int) -> str:
        """The characters of explained tokens ``first`` to ``stop``."""
        one, last = int(self.places[first]), int(self.places[stop - 1])
        return self.text[int(self.tokens.starts[one]) : int(self.tokens.stops[last])]


def embedding_of(model: TextModel) -> nn.Module:
    """The module that makes vectors of ids.

    Raises:
        InvalidInput: of the field ``model``, which has none.
    """
    try:
        found = model.network.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        found = next((m for m in model.network.modules() if isinstance(m, nn.Embedding)), None)
    if not isinstance(found, nn.Module):
        raise InvalidInput(f"{model.source} has no embedding of its tokens, so nothing can be traced to them.", field="model")
    return found


@torch.no_grad()
def embeddings(model: TextModel, ids: Tensor) -> Tensor:
    """float32 [..., D] of ids [...]."""
    found: Tensor = embedding_of(model)(ids)
    return found.float()


@contextmanager
def fed(model: TextModel, vectors: Tensor) -> Iterator[None]:
    """``vectors`` [m, L, D] take the place of the embeddings in the forward pass made inside the block; gradients reach them.

    Raises:
        InvalidInput: of the field ``model``; the network reads its texts in another way.
    """
    used: list[bool] = []

    def give(_: nn.Module, __: object, output: Tensor) -> Tensor:
        if output.shape != vectors.shape:
            raise InvalidInput(f"{model.source} embeds its tokens as {list(output.shape)}, not token by token.", field="model")
        used.append(True)
        return vectors.to(output)

    handle = embedding_of(model).register_forward_hook(give)
    try:
        yield
    finally:
        handle.remove()
    if not used:
        raise InvalidInput(f"{model.source} does not read its texts through its embedding, so nothing can be traced to it.", field="model")


def logits_of(call: Call, vectors: Tensor, kept: Tensor | None = None) -> Tensor:
    """float32 [m, classes], where the target is read, of embeddings [m, L, D]; differentiable.

    Args:
        kept: int64 [m, L], which tokens are there; all of them if None.
    """
    with fed(call.model, vectors):
        logits = call.model.forward(call.ids.expand(len(vectors), -1) if kept is None else call.ids[kept]).float()
    if call.at is None:
        return logits
    if kept is None or call.at == -1:
        return logits[:, call.at]
    return logits[torch.arange(len(kept), device=kept.device), (kept < call.at).sum(1)]


def numbers(call: Call, vectors: Tensor) -> Tensor:
    """float32 [m]: the target of embeddings [m, T, D]; differentiable, all in one pass."""
    return call.target.number(logits_of(call, vectors), {})


def at_once(length: int) -> int:
    """Texts of a length that go through the network together."""
    return max(1, min(_TEXTS, _TOKENS // length))


def outputs(call: Call, vectors: Tensor) -> Floats:
    """[m]: the target of embeddings [m, T, D], in passes of a bounded size."""
    found = []
    for part in vectors.split(at_once(vectors.shape[1])):
        call.run.check()
        with torch.no_grad():
            found.append(numbers(call, part).double().cpu().numpy())
    return np.concatenate(found)


#: What is read off logits [m, classes]: [m, k].
Read = Callable[[Tensor], Tensor]


def probabilities(model: TextModel, logits: Tensor) -> Tensor:
    """float64 of logits [..., classes]; of each by itself where several classes may hold at once, or there is but one."""
    several = model.config.get("problem_type") == "multi_label_classification" or logits.shape[-1] == 1
    return class_probabilities(logits, several)


def number(call: Call) -> Read:
    """The target's number."""
    return lambda logits: call.target.number(logits, {})[:, None]


def number_and_value(call: Call) -> Read:
    """The target's number, and what curves show: the probability of a class or token, or the number of any other target."""
    index = call.target.index

    def read(logits: Tensor) -> Tensor:
        found = call.target.number(logits, {}).double()
        return torch.stack([found, found if index is None else probabilities(call.model, logits)[:, index]], 1)

    return read


@dataclass(frozen=True, slots=True)
class Fill:
    """What stands where a token is off.

    Attributes:
        name: what a reader is told. vector: float32 [D]; None where the token is taken out and the others close up.
    """

    name: str
    vector: Tensor | None


def readings(call: Call, present: Flags, fill: Fill, read: Read, what: str = "") -> Floats:
    """[m, k]: what is read where only the tokens that ``present`` [m, n] says are on. Equal rows are asked about once.

    Args:
        what: names the texts where progress is to be reported.

    Raises:
        InvalidInput: a value is not finite, or no token at all is left. RunCancelled.
    """
    asked, back = np.unique(present, axis=0, return_inverse=True)
    there = torch.ones(len(asked), len(call.ids), dtype=torch.bool, device=call.ids.device)
    there[:, call.places] = torch.from_numpy(asked).to(there.device)
    # Where tokens are taken out, texts of one length go together, so that none is filled up.
    lengths = there.sum(1) if fill.vector is None else torch.full((len(asked),), len(call.ids), device=there.device)
    found: Floats | None = None
    done = 0
    for length in lengths.unique().tolist():
        if not length:
            raise InvalidInput("With all tokens taken out there is no text left; choose another fill.", field="params.fill")
        for rows in (lengths == length).nonzero()[:, 0].split(at_once(length)):
            call.run.check()
            if what:
                call.run.progress(done, len(asked), what)
            done += len(rows)
            with torch.no_grad():
                if fill.vector is None:
                    kept = there[rows].nonzero()[:, 1].view(len(rows), length)
                    logits = logits_of(call, call.vectors[kept], kept)
                else:
                    logits = logits_of(call, torch.where(there[rows][:, :, None], call.vectors, fill.vector))
                said = read(logits).double().cpu().numpy()
            found = np.empty((len(asked), said.shape[1])) if found is None else found
            found[rows.cpu().numpy()] = said
    assert found is not None
    if not np.isfinite(found).all():
        raise InvalidInput("The model's output is not finite where tokens are off, so nothing can be said of them.", field="prompt")
    return found[back.reshape(-1)]


def gradients_at(call: Call, vectors: Tensor) -> Tensor:
    """float32 [m, T, D]: gradient of the target at embeddings [m, T, D]; one forward and one backward pass."""
    with torch.enable_grad():
        leaf = vectors.detach().requires_grad_(True)
        return torch.autograd.grad(numbers(call, leaf).sum(), leaf)[0]


def gradient_sum(
    call: Call, samples: int, points: Callable[[Tensor], Tensor], taken: Callable[[Tensor, Tensor], Tensor] | None = None,
    weights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """float64 [T, D]: weighted sum over samples of the gradient at points, or of what is taken of it.

    Args:
        points: embeddings [m, T, D] of the samples of numbers [m]. taken: of (gradients, numbers). weights: [samples]; 1 each if None.
    """
    shares = torch.ones(samples, dtype=torch.float64) if weights is None else weights.double()
    shares = shares.to(call.vectors.device)
    total: Tensor | None = None
    for start, end in portions(samples, at_once(len(call.ids))):
        call.run.check()
        call.run.progress(start, samples, "steps")
        which = torch.arange(start, end, device=call.vectors.device)
        found = gradients_at(call, points(which))
        found = found if taken is None else taken(found, which)
        part = torch.tensordot(shares[which], found.double(), 1)
        total = part if total is None else total + part
    assert total is not None
    return total
