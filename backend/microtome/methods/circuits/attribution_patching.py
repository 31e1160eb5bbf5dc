"""Activation patching of all parts at once, to first order: one pass forward and back instead of one for every part and token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field

from microtome.core.context import RunContext
from microtome.methods.circuits.pair import Pair, PairParams, pair_of
from microtome.methods.circuits.patching import Floats, clean_values, patch, patching_matrix
from microtome.methods.circuits.sites import KINDS, Kind, Site, sites_of
from microtome.methods.contract import Cost, method
from microtome.methods.language import text_model
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.results import Matrix, Result, Scorecard


class Params(PairParams):
    kinds: list[Kind] = Field(list(KINDS), min_length=1, max_length=4, description="Parts whose patching is estimated.")
    check: bool = Field(False, description="Patch as well, and report how well the estimates agree; costs what activation patching does.")


@method(
    "attribution-patching",
    title="Attribution patching",
    question="Which part would carry the answer, estimated from one gradient?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Matrix, Scorecard),
    params=Params,
    example_params=Params(corrupted="def add(left, right):\n    return right", answer="left", wrong=" right", kinds=["heads"], check=True),
    cite="Nanda 2023, neelnanda.io/attribution-patching; Syed, Rager, Conmy 2023, arXiv:2310.10348",
    cost=Cost(passes=4.0),
)
def attribution_patching(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """First-order estimate of activation patching, for all parts and tokens from one pass forward and back.

    Of a part with activations a at a token: ``(a_clean - a_corrupted) . dm/da``, the gradient of the metric m taken on the corrupted
    prompt, divided by ``m_clean - m_corrupted``; m is the difference in logits of answer and wrong answer after the last token. The
    last column is the sum over tokens. Where the model is far from linear (layer norms of a small stream, saturated attention), the
    estimate is far from the truth; ``check`` patches in truth and reports Pearson's correlation and the largest difference.

    Raises:
        InvalidInput: of ``model``, ``prompt``, or ``params.corrupted``, ``params.answer``, ``params.wrong`` (see activation-patching).
    """
    reading = text_model(model, "causal")
    run.check()
    pair = pair_of(reading, prompt, params)
    kinds = {kind: sites_of(reading, kind) for kind in dict.fromkeys(params.kinds)}
    clean = clean_values(reading, pair, kinds)
    estimates = estimated(reading, pair, kinds, clean)
    note = "First-order estimate; 0: as on the corrupted prompt, 1: as on the clean one. Last column: sum over all tokens."
    results: dict[str, Result] = {
        kind.replace("-", "_"): patching_matrix(kind, parts, estimates[kind], pair, "Attribution patching", note)
        for kind, parts in kinds.items()
    }
    scores = []
    total, done = sum(len(parts) for parts in kinds.values()), 0
    for kind, parts in kinds.items() if params.check else ():
        truth = []
        for sites in parts:
            truth.append(patch(reading, pair, sites, clean[sites[0].layer.name], run)[:, :-1])
            done += 1
            run.progress(done, total, "layers patched")
        scores += _agreement(kind, np.concatenate(estimates[kind])[:, :-1].ravel(), np.concatenate(truth).ravel())
    results["check"] = Scorecard(
        title="Agreement with activation patching",
        note="Over parts and tokens, without the last column." if params.check else "Not checked: set 'check' to patch in truth.",
        scores=scores,
        facts=pair.facts(reading),
    )
    return results


def estimated(
    model: TextModel, pair: Pair, kinds: Mapping[Kind, Sequence[Sequence[Site]]], clean: Mapping[str, torch.Tensor]
) -> dict[Kind, list[Floats]]:
    """Per kind and layer float64 [sites, T + 1]."""
    layers = {sites[0].layer.name: sites[0].layer for parts in kinds.values() for sites in parts}
    values, gradients = gradients_of(model, pair, list(layers.values()))
    found: dict[Kind, list[Floats]] = {}
    for kind, parts in kinds.items():
        found[kind] = []
        for sites in parts:
            name = sites[0].layer.name
            products = ((clean[name] - values[name]).double() * gradients[name].double())[0]
            by_site = torch.stack([products[:, site.start : site.stop].sum(1) for site in sites]).cpu().numpy()
            by_site = np.concatenate([by_site, by_site.sum(1, keepdims=True)], axis=1)
            found[kind].append(by_site / (pair.high - pair.low))
    return found


def gradients_of(
    model: TextModel, pair: Pair, layers: Sequence[Layer]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:  # fmt: skip
    """What the layers are read from on the corrupted prompt, and the gradient of the metric there, both [1, T, D] by name."""
    embeddings = next(layer for layer in model.layers.values() if layer.kind == "embeddings")

    def start(tensor: torch.Tensor) -> torch.Tensor:
        # No weight asks for a gradient, so the graph has to begin at the embeddings.
        return tensor.detach().clone().requires_grad_(True)

    with torch.enable_grad(), model.changed(embeddings, start), model.record(layers, keep_graph=True) as outputs:
        difference = pair.difference(model.forward(pair.corrupted)).sum()
        names = list(outputs)
        found = torch.autograd.grad(difference, [outputs[n] for n in names])
    return {n: outputs[n].detach() for n in names}, dict(zip(names, found, strict=True))


def _agreement(kind: Kind, estimate: Floats, truth: Floats) -> list[Scorecard.Score]:
    varies = estimate.std() > 0 and truth.std() > 0
    correlation = float(np.corrcoef(estimate, truth)[0, 1]) if varies else None
    away = float(np.abs(estimate - truth).max())
    return [
        Scorecard.Score(name="correlation", value=correlation, group=kind, chance=0.0),
        Scorecard.Score(name="largest difference", value=away, unit="share of the difference in logits", group=kind),
    ]
