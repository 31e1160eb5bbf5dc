"""What every attention head looks at: its pattern on a prompt, and how much of it goes to the places that known circuits use."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.circuits.attention import SCORES, HeadScores, attention_of, head_scores, repeated
from microtome.methods.circuits.sites import block_label, chosen_blocks, head_values
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, names_of, prompt_tokens, text_model
from microtome.models.model import Model
from microtome.results import Matrix, Result, TokenMap

#: Shares of attention that are kept of one prompt at most, 64 MB.
MOST_PAIRS = 16_000_000


class Params(MethodParams):
    heads: list[int] = Field(default=[], max_length=256, description="Heads whose patterns are shown, counted from 0; all if empty.")
    sequences: int = Field(16, ge=1, le=256, description="Random sequences that are repeated once.")
    length: int = Field(24, ge=2, le=256, description="Tokens of a sequence before it is repeated.")
    recent: int = Field(3, ge=1, le=32, description="Tokens before the query that count as recent.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the random sequences.")


@method(
    "attention-heads",
    title="Attention heads",
    question="What does every attention head look at?",
    subjects=("model", "prompt"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(TokenMap, Matrix),
    params=Params,
    example_params=Params(sequences=2, length=6),
    cite="Olsson et al. 2022, arXiv:2209.11895; Xiao et al. 2023, arXiv:2309.17453",
    interactive=True,
    cost=Cost(passes=1.0, times="sequences"),
)
def attention_heads(
    *, model: Model, prompt: str, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """Attention patterns of a prompt, and per head the mean share of its attention that goes to the keys that known circuits use.

    ``patterns`` holds, per head, what each token (query, a row) takes from each token up to itself (keys); the shares of a row sum to 1.
    The scores are means over queries i of ``sum over keys j that count of A[i, j]``, of those queries that have such a key:

    - previous: j = i - 1. recent: the last few before i. first: the first token of all (an attention sink), for i > 0.
    - duplicate: j < i with the token of i. induction: j with the token of i before it.

    They are taken on the prompt and on random tokens that are repeated once, where nothing but the repetition can be known. Chance is
    what a head gives that attends to all keys it may see alike. NaN where no query has such a key.

    Raises:
        InvalidInput: the model does not predict the next token or does not tell its attention (``model``); no such head
            (``params.heads``); longer sequences than it reads (``params.length``); too many patterns for one answer (``prompt``).
    """
    reading = text_model(model, "causal")
    tokens = prompt_tokens(reading, prompt)
    blocks = chosen_blocks(reading, layers)
    wrong = [h for h in params.heads if not 0 <= h < reading.heads]
    if wrong:
        raise InvalidInput(f"{reading.source} has heads 0 to {reading.heads - 1} in a block; asked for {wrong[:5]}.", field="params.heads")
    heads = sorted(set(params.heads)) or list(range(reading.heads))
    pairs = len(blocks) * len(heads) * len(tokens) ** 2
    if pairs > MOST_PAIRS:
        raise InvalidInput(
            f"{len(blocks) * len(heads)} heads over {len(tokens)} tokens are {pairs:,} shares of attention; at most {MOST_PAIRS:,} are "
            "kept. Choose layers or heads, or a shorter prompt.",
            field="prompt",
        )
    run.check()
    ids = inputs_of(reading, [tokens])
    attention = attention_of(reading, ids)
    labels = [block_label(layer) for layer in head_values(reading)]
    patterns = np.stack([attention[b][0, h].cpu().numpy() for b in blocks for h in heads])
    results: dict[str, Result] = {
        "patterns": TokenMap(
            title=f"Attention of {len(patterns)} heads",
            note="Each row of a pattern is a query; the shares it takes from the tokens up to itself sum to 1.",
            tokens=names_of(reading, tokens), rows=[f"{labels[b]}.{h}" for b in blocks for h in heads], row_axis="head",
            quantity="share of attention", signed=False, arrays={"pairs": patterns.astype(np.float32)},
        )
    }  # fmt: skip
    on_prompt = head_scores(attention, ids, params.recent)
    run.check()
    random = repeated(reading, params.sequences, params.length, params.seed, "params.length")
    on_random = head_scores(attention_of(reading, random), random, params.recent)
    where = f"{params.sequences} sequences of {params.length} random tokens, repeated once (seed {params.seed})"
    for name, words in SCORES.items():
        results[name] = _matrix(on_random[name], labels, words, where)
        results[f"{name}_prompt"] = _matrix(on_prompt[name], labels, words, "the prompt")
    return results


def _matrix(found: HeadScores, labels: list[str], words: str, where: str) -> Matrix:
    def array(values: Any) -> Any:
        return np.broadcast_to(values, found.values.shape).astype(np.float32)

    return Matrix(
        title=f"Attention to {words}, on {where}",
        note=f"Mean over {found.queries} queries; chance: attention to all keys alike." if found.queries else "No token has such a key.",
        rows=labels, columns=[str(h) for h in range(found.values.shape[1])], row_axis="layer", column_axis="head",
        quantity="share of attention", positions=found.queries,
        arrays={"values": array(found.values), "chance": array(found.chance)},
    )  # fmt: skip
