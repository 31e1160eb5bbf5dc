"""How a language model goes on with a prompt, as it is and with something changed: one token after the other, without shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.contract import MethodParams
from microtome.methods.interventions.ablate_text import token_losses
from microtome.methods.language import inputs_of, prompt_tokens
from microtome.models.layers import Layer
from microtome.models.text import TextModel
from microtome.results import Generation

#: Opens what is changed, for the passes made inside.
Condition = Callable[[], AbstractContextManager[None]]
Floats = npt.NDArray[np.float64]


class WritingParams(MethodParams):
    max_tokens: int = Field(40, ge=1, le=256, description="Tokens that are written at most.")
    temperature: float = Field(
        0.0, ge=0.0, le=5.0, description="0: always the most likely token; 1: as likely as the model says; above: more evenly."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of everything that is drawn.")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read off every written token: ``of`` gives it, [tokens], of the units of a layer over tokens, [units, tokens]."""

    layer: Layer
    of: Callable[[torch.Tensor], torch.Tensor]
    quantity: str


def unchanged() -> AbstractContextManager[None]:
    return nullcontext()


def next_token(logits: torch.Tensor, temperature: float, lot: float) -> int:
    """The most likely token (the first of equals) at temperature 0; else the one whose stretch of the cumulated probabilities holds
    ``lot``, a number in [0, 1): the same lot gives the same token as long as the probabilities are the same."""
    if temperature == 0:
        return int(logits.argmax())
    chances = (logits.double() / temperature).softmax(0).cumsum(0)
    found = int(torch.searchsorted(chances, torch.tensor(lot * float(chances[-1]), dtype=chances.dtype, device=chances.device), right=True))
    return min(found, len(logits) - 1)


def write(model: TextModel, start: torch.Tensor, params: WritingParams, run: RunContext) -> list[int]:
    """Tokens that follow ``start`` int64 [1, T], with whatever is changed around this call.

    Ends at the token that ends texts, if the model has one, at ``max_tokens``, and where the window is full.
    """
    ends = _ends(model)
    lots = np.random.default_rng(params.seed).random(params.max_tokens)
    ids, written = start, list[int]()
    for lot in lots[: max(0, model.tokenizer.window - start.shape[1])]:
        run.check()
        with torch.no_grad():
            found = next_token(model.forward(ids)[0, -1].float(), params.temperature, float(lot))
        written.append(found)
        if found in ends:
            break
        ids = torch.cat([ids, torch.tensor([[found]], device=ids.device)], dim=1)
    return written


def written_under(
    model: TextModel, prompt: str, conditions: Mapping[str, Condition], params: WritingParams, run: RunContext, *,
    title: str, note: str = "", reading: Reading | None = None,
) -> Generation:  # fmt: skip
    """The same prompt and the same lots under every condition.

    Raises:
        InvalidInput, TooLarge: of ``prompt``.
    """
    tokens = prompt_tokens(model, prompt)
    start = inputs_of(model, [tokens])
    texts: list[list[int]] = []
    logprobs: list[Floats] = []
    scores: list[Floats] = []
    for number, change in enumerate(conditions.values()):
        with change():
            texts.append(write(model, start, params, run))
            found = torch.cat([start, torch.tensor([texts[-1]], dtype=torch.long, device=start.device)], dim=1)
            with torch.no_grad(), model.record([reading.layer] if reading else []) as outputs:
                losses = token_losses(model.forward(found), found)
        logprobs.append(-losses[0, start.shape[1] - 1 :].double().cpu().numpy())
        if reading is not None:
            values = reading.of(reading.layer.canonical(outputs[reading.layer.name])[0, :, 0])
            scores.append(values[start.shape[1] - reading.layer.special :].double().cpu().numpy())
        run.progress(number + 1, len(conditions), "texts written")
    room = model.tokenizer.window - start.shape[1]
    arrays = {"logprobs": _padded(logprobs)} | ({"scores": _padded(scores)} if reading else {})
    return Generation(
        title=title, note=note, prompt=tokens.pieces(prompt), conditions=list(conditions), arrays=arrays,
        tokens=[[model.tokenizer.text_of(i) for i in text] for text in texts],
        score_quantity=reading.quantity if reading else "",
        facts={
            "temperature": params.temperature, "seed": params.seed, "max_tokens": params.max_tokens,
            "window_full": room < params.max_tokens, "same": all(text == texts[0] for text in texts),
        },
    )  # fmt: skip


def _ends(model: TextModel) -> set[int]:
    """Tokens that end a text."""
    found = model.config.get("eos_token_id")
    return {int(i) for i in (found if isinstance(found, list) else [found]) if isinstance(i, int)}


def _padded(rows: Sequence[Floats]) -> npt.NDArray[np.float32]:
    out = np.full((len(rows), max((len(r) for r in rows), default=0)), np.nan, np.float32)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out


def divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """Kullback-Leibler divergence in nats of what a model says now from what it said before, of logits [vocabulary]."""
    old, new = before.double().log_softmax(0), after.double().log_softmax(0)
    return float((old.exp() * (old - new)).sum())
