"""What the loss of a language model is made of: by concept of the predicted token, and by how frequent it is."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.interventions.ablate_text import token_losses
from microtome.methods.language import inputs_of, text_model
from microtome.methods.recurrent.reading import Flags, Floats, batches, concepts_of, read_texts, resampled_ratio
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.probes import ProbeSet, TextSet
from microtome.results import Result, Scorecard

_BATCH = 16
#: Ranks by frequency at which groups end.
_RANKS = (10, 100, 1000, 10_000)
Ints = npt.NDArray[np.int64]


class Params(MethodParams):
    fewest: int = Field(50, ge=1, le=1_000_000, description="A group of tokens is reported if it has so many.")
    texts: int = Field(400, ge=2, le=100_000, description="First texts of the probe set.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the halves and the bootstrap.")


class Predicted(NamedTuple):
    """All predicted tokens in order: which text each is in, its id and its cost in nats; ``has`` bool [n, concepts]."""

    text: Ints
    id: Ints
    loss: Floats
    has: Flags
    characters: int


@method(
    "error-breakdown",
    title="Breakdown of the loss",
    question="Which tokens does the model fail to predict?",
    subjects=("model", "probe"),
    modalities=("text",),
    returns=(Scorecard,),
    params=Params,
    example_params=Params(fewest=5),
    cite="after Karpathy, Johnson, Li 2015, arXiv:1506.02078",
    cost=Cost(passes=1.0, per_probe=True),
)
def error_breakdown(*, model: Model, probe: ProbeSet, params: Params, run: RunContext) -> dict[str, Result]:
    """Loss in nats per token of the tokens with each concept and of each frequency, and what share of the whole loss they make up.

    Chance is the cost of the same tokens without any context: guessed from how often they occur in the half of the texts that they are
    not in, one added to every count of the vocabulary. Frequency is the rank in that half, too. Beside a share of the loss stands, as
    chance, the share of tokens. Groups overlap where concepts do. Intervals are 95 % bootstraps over texts.

    This breaks the loss down by what is known of the tokens; it does not take errors away one kind after the other, as the study does.

    Raises:
        InvalidInput: a model that does not predict the next token (``model``), or fewer than two texts with tokens to predict.
    """
    run.check()
    reading = text_model(model, "causal")
    texts = cast("TextSet", probe)
    found = _predicted(reading, texts, params.texts, run)
    order = np.random.default_rng(params.seed).permutation(np.unique(found.text))
    held = np.isin(found.text, order[len(order) // 2 :])
    rank, guess = np.zeros(len(held), np.int64), np.zeros(len(held))
    for half in (held, ~held):
        rank[half], guess[half] = by_frequency(found.id[~half], found.id[half], reading.tokenizer.vocabulary)
    groups = _groups(found, rank, [c.key for c in texts.concepts], params.fewest)
    every = np.unique(found.text)
    place = np.searchsorted(every, found.text)

    def per_text(weights: Floats) -> Floats:
        """float64 [texts, groups]: sums of weights over tokens."""
        return np.stack([np.bincount(place[mask], weights[mask], len(every)) for _, _, mask in groups], axis=1)

    lost, count = per_text(found.loss), per_text(np.ones(len(place)))
    low, high = resampled_ratio(lost, count, params.seed)
    low_share, high_share = resampled_ratio(lost, np.repeat(lost[:, :1], len(groups), axis=1), params.seed)
    score = Scorecard.Score
    losses, shares = [], []
    for g, (name, group, mask) in enumerate(groups):
        losses.append(
            score(
                name=name, value=float(found.loss[mask].mean()), unit="nats per token", low=float(low[g]), high=float(high[g]),
                chance=float(guess[mask].mean()), group=group,
            )
        )  # fmt: skip
        if g:
            shares.append(
                score(
                    name=name, value=float(lost[:, g].sum() / lost[:, 0].sum()), unit="share", low=float(low_share[g]),
                    high=float(high_share[g]), chance=float(mask.mean()), group=group,
                )
            )  # fmt: skip
    note = f"Of {len(place):,} predicted tokens; groups of fewer than {params.fewest} are left out. Interval: bootstrap over texts. "
    facts: dict[str, str | int | float | bool | None] = {
        "tokens": len(place), "texts": len(every), "nats_per_character": float(found.loss.sum() / max(found.characters, 1)),
    }  # fmt: skip
    return {
        "loss": Scorecard(
            title="Loss by kind of token", note=note + "Chance: guessed from frequencies in the other half of the texts.", scores=losses,
            facts=facts,
        ),
        "share": Scorecard(title="Share of the loss by kind of token", note=note + "Chance: share of tokens.", scores=shares, facts=facts),
    }  # fmt: skip


def _predicted(model: TextModel, probe: TextSet, texts: int, run: RunContext) -> Predicted:
    """Every token of a text is predicted where a special one comes before it, else all but the first."""
    read = {i: t for i, t in read_texts(model, probe, texts).items() if t.last > max(t.first, 1)}
    if len(read) < 2:
        raise InvalidInput("At least two texts with tokens to predict are needed.", field="probe")
    losses: dict[int, Floats] = {}
    for part in batches(read, _BATCH):
        run.check()
        ids = inputs_of(model, [read[i] for i in part])
        with torch.inference_mode():
            found = token_losses(model.forward(ids), ids).cpu().double().numpy()
        for row, i in zip(found, part, strict=True):
            losses[i] = row[_first(read[i]) - 1 : read[i].last - 1]
        run.progress(len(losses), len(read), "texts read")
    return Predicted(
        np.repeat(np.array(list(read), np.int64), [len(losses[i]) for i in read]),
        np.concatenate([t.ids[_first(t) : t.last] for t in read.values()]),
        np.concatenate([losses[i] for i in read]),
        np.concatenate([concepts_of(probe, i, t)[_first(t) - t.first :] for i, t in read.items()]),
        sum(int(t.stops[t.last - 1] - t.starts[_first(t)]) for t in read.values()),
    )


def _first(tokens: Tokens) -> int:
    """The first token of the text that has one before it."""
    return max(tokens.first, 1)


def by_frequency(counted: Ints, asked: Ints, vocabulary: int) -> tuple[Ints, Floats]:
    """Rank of the asked tokens among the counted ones, from 1, equal ones in order of id, 0 for one that is not there; and what a guess
    by the counts costs, in nats."""
    counts = np.bincount(counted, minlength=vocabulary)
    ranks = np.empty(len(counts), np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    chance = (counts + 1) / (counts.sum() + len(counts))
    return np.where(counts[asked] > 0, ranks[asked], 0), -np.log(chance[asked])


def _groups(found: Predicted, rank: Ints, concepts: list[str], fewest: int) -> list[tuple[str, str, Flags]]:
    """Name, group and tokens: all of them first."""
    groups: list[tuple[str, str, Flags]] = [("all tokens", "total", np.ones(len(rank), bool))]
    groups += [(name, "concept", found.has[:, c]) for c, name in enumerate(concepts)]
    after = 0
    for end in _RANKS:
        groups.append((f"rank {after + 1:,} to {end:,}", "frequency", (rank > after) & (rank <= end)))
        after = end
    groups += [(f"rank above {after:,}", "frequency", rank > after), ("not in the other half", "frequency", rank == 0)]
    return [groups[0], *(g for g in groups[1:] if g[2].sum() >= fewest)]
