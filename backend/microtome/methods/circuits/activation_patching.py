"""Which part carries the answer at which place: clean activations put into a run on a corrupted prompt, one at a time."""

from __future__ import annotations

from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.circuits.pair import PairParams, pair_of
from microtome.methods.circuits.patching import clean_values, patch, patching_matrix
from microtome.methods.circuits.sites import KINDS, Kind, sites_of
from microtome.methods.contract import Cost, method
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.results import Matrix, Result, Scorecard


class Params(PairParams):
    kinds: list[Kind] = Field(list(KINDS), min_length=1, max_length=4, description="Parts that are patched.")


@method(
    "activation-patching",
    title="Activation patching",
    question="Which part carries the answer, and at which token?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Matrix, Scorecard),
    params=Params,
    example_params=Params(corrupted="def add(left, right):\n    return right", answer="left", wrong=" right", kinds=["residual", "heads"]),
    cite="Meng et al. 2022, arXiv:2202.05262; Zhang and Nanda 2024, arXiv:2309.16042",
    cost=Cost(passes=2000.0),
)
def activation_patching(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """Share of the clean answer that comes back when one part, at one token of the corrupted prompt, is set to its clean value.

    The metric is the difference in logits ``logit(answer) - logit(wrong answer)`` after the last token, scaled so that the corrupted
    prompt has 0 and the clean one 1; other values than 0 to 1 can occur. Per kind of part one matrix, parts x tokens, whose last column
    patches all tokens at once. Parts are the residual stream (first row: before the first block), what attention and what the
    feed-forward part of a block write into it, and the output of every head before it is mixed with the others.

    The residual stream patched at all tokens must give the clean run again: ``check`` says how far from 1 it comes.

    Raises:
        InvalidInput: of ``model``, ``prompt``, or ``params.corrupted``, ``params.answer``, ``params.wrong`` (see those).
    """
    reading = text_model(model, "causal")
    run.check()
    pair = pair_of(reading, prompt, params)
    kinds = {kind: sites_of(reading, kind) for kind in dict.fromkeys(params.kinds)}
    clean = clean_values(reading, pair, kinds)
    total, done = sum(len(parts) for parts in kinds.values()), 0
    note = "0: as on the corrupted prompt, 1: as on the clean one. Last column: patched at all tokens."
    results: dict[str, Result] = {}
    worst = None
    for kind, parts in kinds.items():
        values = []
        for sites in parts:
            values.append(patch(reading, pair, sites, clean[sites[0].layer.name], run))
            done += 1
            run.progress(done, total, "layers")
        results[kind.replace("-", "_")] = patching_matrix(kind, parts, values, pair, "Activation patching", note)
        if kind == "residual":
            worst = max(abs(float(v[0, -1]) - 1) for v in values)
    results["check"] = Scorecard(
        title="The two prompts",
        note="Patching the whole residual stream must reproduce the clean run; what is missing is rounding.",
        scores=[
            *pair.scores(),
            Scorecard.Score(name="distance from 1 of the whole residual stream patched", value=worst),
        ],
        facts=pair.facts(reading),
    )
    return results
