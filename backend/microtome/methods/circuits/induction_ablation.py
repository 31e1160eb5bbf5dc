"""Whether the heads that look like induction heads are what a model repeats a sequence with: it is measured without them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.circuits.attention import attention_of, head_scores, repeated
from microtome.methods.circuits.sites import Site, recorded, sites_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.interventions.ablate_text import token_losses
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Result, Scorecard

_RESAMPLES = 1000
Floats = npt.NDArray[np.float64]


class Params(MethodParams):
    threshold: float = Field(0.3, ge=0.0, le=1.0, description="Heads with a larger induction score are switched off.")
    sequences: int = Field(32, ge=2, le=256, description="Random sequences that are repeated once; others than the heads are chosen on.")
    length: int = Field(24, ge=2, le=256, description="Tokens of a sequence before it is repeated.")
    value: Literal["mean", "zero"] = Field("mean", description="What a head's output is set to: its mean over all places, or zero.")
    draws: int = Field(200, ge=0, le=2000, description="Random sets of as many other heads, for the chance band; 0 for none.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of sequences, random heads and bootstrap.")


def halves(model: TextModel, ids: torch.Tensor, length: int) -> Floats:
    """float64 [sequences, 2]: mean loss in nats over the first time a sequence is seen, and over the second.

    The first token of either half is left out: the first copy gives no hint of where the second begins.
    """
    with torch.no_grad():
        losses = token_losses(model.forward(ids), ids).double().cpu().numpy()[:, -(2 * length - 1) :]
    return np.stack([losses[:, : length - 1].mean(1), losses[:, length:].mean(1)], axis=1)


def without(model: TextModel, heads: Sequence[Site], means: dict[str, torch.Tensor] | None) -> ExitStack:
    """Heads set to zero, or to ``means`` [D] of their layer, as long as the context is open."""
    stack = ExitStack()
    for site in heads:
        values = None if means is None else means[site.layer.name][site.start : site.stop]
        stack.enter_context(model.ablated(site.layer, range(site.start, site.stop), values))
    return stack


@method(
    "induction-ablation",
    title="Ablation of induction heads",
    question="Do the induction heads carry what the model gains from a repetition?",
    subjects=("model",),
    modalities=("text",),
    returns=(Scorecard,),
    params=Params,
    example_params=Params(threshold=0.13, sequences=2, length=5, draws=2),
    cite="Olsson et al. 2022, arXiv:2209.11895",
    cost=Cost(passes=32.0, times="draws"),
)
def induction_ablation(*, model: Model, params: Params, run: RunContext) -> dict[str, Result]:
    """How much of the gain from seeing a random sequence again is lost without the heads above an induction score, against random heads.

    ``gain = mean loss over the first copy - mean loss over the second``, in nats per token, on sequences of random tokens; the share
    lost is ``1 - gain without the heads / gain``. Heads are chosen by their induction score on other sequences. The interval is a 95 %
    bootstrap over sequences, the chance band spans the central 95 % of random sets of as many of the other heads. A model whose gain
    is not above zero (lower end of its interval) has nothing to lose: the share is left empty, as it is if no head scores enough.

    Raises:
        InvalidInput: the model does not predict the next token, or does not tell its attention (``model``); longer sequences than it
            reads (``params.length``).
    """
    reading = text_model(model, "causal")
    run.check()
    first = repeated(reading, params.sequences, params.length, params.seed, "params.length")
    scores = head_scores(attention_of(reading, first), first, 1)["induction"]
    heads = [site for layer in sites_of(reading, "heads") for site in layer]
    high = scores.values.reshape(-1) > params.threshold
    chosen, others = [h for h, on in zip(heads, high, strict=True) if on], [h for h, on in zip(heads, high, strict=True) if not on]
    ids = repeated(reading, params.sequences, params.length, params.seed + 1, "params.length")
    means = None
    if params.value == "mean":
        _, outputs = recorded(reading, {site.layer.name: site.layer for site in heads}.values(), ids)
        means = {name: value[:, reading.special :].double().mean((0, 1)).float() for name, value in outputs.items()}
    before = halves(reading, ids, params.length)

    def gain_without(off: Sequence[Site]) -> Floats:
        with without(reading, off, means):
            after = halves(reading, ids, params.length)
        return after[:, 0] - after[:, 1]

    gain = before[:, 0] - before[:, 1]
    left = gain_without(chosen) if chosen else gain
    generator = np.random.default_rng(params.seed)
    draws = params.draws if chosen and len(others) >= len(chosen) else 0
    random = np.empty(draws)
    for draw in range(draws):
        run.check()
        random[draw] = gain_without([others[i] for i in generator.choice(len(others), len(chosen), replace=False)]).mean()
        run.progress(draw + 1, draws, "random sets of heads")
    picks = generator.integers(0, len(gain), (_RESAMPLES, len(gain)))
    boot, boot_left = gain[picks].mean(1), left[picks].mean(1)
    gains = bool(np.quantile(boot, 0.025) > 0)
    share = None
    if gains and chosen:
        # A resample without gain has no share; it is no more likely than 2.5 %.
        share = (float(1 - left.mean() / gain.mean()), (1 - boot_left / np.where(boot > 0, boot, np.nan)), 1 - random / gain.mean())
    band = _band(share[2]) if share and draws else {}
    count = {"draws": draws} if draws else {}
    score = Scorecard.Score
    return {
        "effect": Scorecard(
            title=f"Gain from repetition without {len(chosen)} of {len(heads)} heads",
            note=f"Heads with an induction score above {params.threshold:g} set to {params.value}. Interval: bootstrap over "
            f"{params.sequences} sequences. Chance band: {draws} random sets of {len(chosen)} other heads, central 95 %."
            + ("" if gains else " The model gains nothing from a repetition, so there is no share to lose.")
            + ("" if chosen else " No head scores above the threshold."),
            scores=[
                score(name="gain from repetition", value=float(gain.mean()), unit="nats per token", **_ends(boot)),
                score(
                    name="gain without these heads", value=float(left.mean()), unit="nats per token", **_ends(boot_left),
                    **(_band(random) if draws else {}), **count,
                ),
                score(
                    name="share of the gain lost", value=share[0] if share else None, **(_ends(share[1]) if share else {}), **band, **count,
                ),
            ],
            facts={
                "heads": ", ".join(site.name for site in chosen)[:1000], "switched_off": len(chosen), "all_heads": len(heads),
                "threshold": params.threshold, "chance_score": scores.chance, "best_score": float(scores.values.max()),
                "loss_first": float(before[:, 0].mean()), "loss_second": float(before[:, 1].mean()), "draws": draws,
            },
        )
    }  # fmt: skip


def _ends(values: Floats) -> dict[str, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _band(values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {"chance": float(values.mean()), "chance_low": float(low), "chance_high": float(high)}
