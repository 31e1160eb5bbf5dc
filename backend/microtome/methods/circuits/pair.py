"""Two prompts that differ in what is asked about, and the answer that tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field

from microtome.core.errors import InvalidInput
from microtome.methods.answers import token_id
from microtome.methods.contract import MethodParams
from microtome.methods.language import inputs_of, names_of, prompt_tokens
from microtome.models.text import TextModel
from microtome.results import Scorecard

#: A difference in logits between two prompts below this is rounding, not a difference.
LEAST = 1e-5


class PairParams(MethodParams):
    corrupted: str = Field(
        "", max_length=20_000, description="The other prompt, of as many tokens, to which another answer belongs; needed."
    )
    answer: str = Field("", max_length=200, description="Token that answers the prompt; its most likely next token if empty.")
    wrong: str = Field("", max_length=200, description="Token that answers the other prompt; its most likely next token if empty.")


@dataclass(frozen=True, slots=True)
class Pair:
    """A clean and a corrupted prompt, and the metric: the logit of the answer less that of the wrong answer, after the last token.

    Attributes:
        clean, corrupted: int64 [1, T]. names: what every token looks like; where the two differ, ``corrupted → clean``.
        answer, wrong: ids. high, low: the metric on the clean and on the corrupted prompt.
    """

    clean: torch.Tensor
    corrupted: torch.Tensor
    names: list[str]
    answer: int
    wrong: int
    high: float
    low: float

    @property
    def length(self) -> int:
        return self.clean.shape[1]

    def difference(self, logits: torch.Tensor) -> torch.Tensor:
        """float32 [B] of logits [B, T, vocabulary]."""
        last = logits[:, -1].float()
        return last[:, self.answer] - last[:, self.wrong]

    def normalised(self, difference: Any) -> Any:
        """0 for the corrupted prompt, 1 for the clean one."""
        return (difference - self.low) / (self.high - self.low)

    def scores(self) -> list[Scorecard.Score]:
        """The metric on both prompts."""
        return [
            Scorecard.Score(name="difference in logits, clean prompt", value=self.high, unit="logits"),
            Scorecard.Score(name="difference in logits, corrupted prompt", value=self.low, unit="logits"),
        ]

    def facts(self, model: TextModel) -> dict[str, str | int | float | bool | None]:
        show = model.tokenizer.text_of
        return {"answer": show(self.answer), "wrong": show(self.wrong), "clean": self.high, "corrupted": self.low, "tokens": self.length}


def pair_of(model: TextModel, prompt: str, params: PairParams) -> Pair:
    """
    Raises:
        InvalidInput: the corrupted prompt has another number of tokens, or the metric is the same on both (``params.corrupted``);
            an answer is not one token, or both are the same (``params.answer``, ``params.wrong``).
    """
    clean, corrupted = prompt_tokens(model, prompt), prompt_tokens(model, params.corrupted, "params.corrupted")
    if len(clean) != len(corrupted):
        own = slice(corrupted.first, corrupted.last)
        raise InvalidInput(
            f"The prompt has {clean.last - clean.first} tokens, the corrupted one {corrupted.last - corrupted.first}; places can be "
            f"compared only if there are as many. It reads: {' | '.join(names_of(model, corrupted)[own])[:300]}",
            field="params.corrupted",
        )
    ids = inputs_of(model, [clean, corrupted])
    with torch.no_grad():
        last = model.forward(ids)[:, -1].float()
    answer = token_id(model, params.answer, "params.answer") if params.answer else int(last[0].argmax())
    wrong = token_id(model, params.wrong, "params.wrong") if params.wrong else int(last[1].argmax())
    if answer == wrong:
        raise InvalidInput(
            f"Answer and wrong answer are both {model.tokenizer.text_of(answer)!r}, so there is no difference to follow. Name two tokens.",
            field="params.wrong",
        )
    high, low = (float(row[answer] - row[wrong]) for row in last)
    if abs(high - low) < LEAST:
        raise InvalidInput(
            f"Both prompts are answered alike (a difference in logits of {high:.3g}), so there is nothing to trace. Change more of the "
            "corrupted prompt, or name other answers.",
            field="params.corrupted",
        )
    shown = zip(names_of(model, clean), names_of(model, corrupted), strict=True)
    names = [f"{i} {b!r} → {a!r}" if a != b else f"{i} {a!r}" for i, (a, b) in enumerate(shown)]
    return Pair(ids[:1], ids[1:], names, answer, wrong, high, low)
