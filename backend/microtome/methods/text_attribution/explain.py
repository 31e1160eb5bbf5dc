"""What makes a function an attribution method for texts: it explains a number of a model, and never shows a map without its evidence.

The decorated function is pure: the same call gives the same map. That is what lets the evidence call it again, on noisy embeddings or on
a network with other weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodSpec, Results, method, through
from microtome.methods.text_attribution.call import Call, outputs
from microtome.methods.text_attribution.evidence import TEXT_EVIDENCE_VERSION, evidence
from microtome.methods.text_attribution.target import TextExplainParams, asked
from microtome.models.model import Model
from microtome.results import Curves, Result, Scorecard, TokenMap

MapFacts = Mapping[str, str | int | float | bool | list[float] | list[str] | None]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The answer of a method.

    Attributes:
        values: [n], one for each token that is explained.
        completeness: total of the map, expected total, gap, and what else says how it came about (steps).
        facts: what a reader must know. note: the same in words.
        more: further results of the answer that is stored; the evidence never asks for them.
    """

    values: Tensor
    completeness: dict[str, float] | None = None
    facts: MapFacts = field(default_factory=dict)
    note: str = ""
    more: Callable[[], dict[str, Result]] | None = None


Explain = Callable[[Call, Any], Attribution]


def completed(values: Tensor, expected: float, **more: float) -> dict[str, float]:
    """What there is to say of a map that claims to add up to ``expected``."""
    total = float(values.double().sum())
    return {"total": total, "expected": expected, "gap": abs(total - expected), **more}


def text_attribution(
    id: str,
    *,
    title: str,
    params: type[TextExplainParams],
    cite: str,
    quantity: str,
    cost: Cost,
    passes: Callable[[Any], float],
    signed: bool = True,
    question: str = "Which words did the model look at?",
    returns: Sequence[type[Result]] = (),
    example_params: TextExplainParams | None = None,
    version: str = "1",
) -> Callable[[Explain], MethodSpec]:
    """Declare ``explain(call, params) -> Attribution`` a method. What is stored is map, curves and evidence, together or not at all.

    Args:
        quantity: what a value of the map is; ``{}`` stands for the unit of the target.
        passes: forward passes that one map costs with these parameters, a backward pass counted as two.
        signed: whether the map has both signs.
        returns: kinds of the further results that an answer has.
    """

    def declare(explain: Explain) -> MethodSpec:
        def stages(*, model: Model, prompt: str, params: Any, run: RunContext) -> Generator[None, None, Results]:
            run.check()
            call = asked(model, prompt, params, run)
            began = time.monotonic()
            answer = explain(call, params)
            seconds = time.monotonic() - began
            found = token_map(call, answer, title, quantity, signed)
            run.emit(preview(found))
            yield
            more = answer.more() if answer.more is not None else {}
            card, curves = evidence(call, explain, answer, params, passes=passes(params), map_seconds=seconds)
            return {"map": found, "curves": curves, "evidence": card, **more}

        spec = method(
            id, title=title, question=question, subjects=("model", "prompt"), modalities=("text",),
            returns=(TokenMap, Curves, Scorecard, *returns), params=params, example_params=example_params, interactive=True, cite=cite,
            cost=cost, version=f"{version}.{TEXT_EVIDENCE_VERSION}",
        )(through(stages, explain))  # fmt: skip
        return replace(spec, stages=stages, passes=passes)

    return declare


def spread(call: Call, values: Tensor) -> np.ndarray:
    """float32 [1, tokens] over the text's own tokens: 0 for the one that is asked about."""
    out = np.zeros((1, call.tokens.last - call.tokens.first), np.float32)
    out[0, call.places.cpu().numpy() - call.tokens.first] = values.detach().float().cpu().numpy()
    return out


def shown(call: Call) -> list[str]:
    """What the text's own tokens look like; the one that is asked about as the mask that stands there."""
    pieces = call.tokens.pieces(call.text)
    if call.at is not None and call.at >= 0:
        pieces[call.at - call.tokens.first] = call.model.tokenizer.text_of(int(call.ids[call.at]))
    return pieces


def token_map(call: Call, answer: Attribution, title: str, quantity: str, signed: bool) -> TokenMap:
    """The stored map.

    Raises:
        InvalidInput: a value is not finite; a map that could not be computed is never shown as zeros.
    """
    if not torch.isfinite(answer.values).all():
        raise InvalidInput("The map has values that are not finite; nothing was stored.", field="prompt")
    asked_about = {"masked token": call.at} if call.at is not None and call.at >= 0 else {}
    return TokenMap(
        title=title,
        note=answer.note,
        tokens=shown(call),
        rows=[call.target.name],
        row_axis="target",
        quantity=quantity.format(call.target.unit),
        signed=signed,
        completeness=[answer.completeness] if answer.completeness is not None else [],
        score=outputs(call, call.vectors[None]).tolist(),
        facts={**asked_about, **answer.facts},
        arrays={"values": spread(call, answer.values)},
    )


def preview(found: TokenMap) -> dict[str, Any]:
    """The map for whoever watches, before its evidence."""
    return {"tokens": found.tokens, "values": found.arrays["values"].tolist(), "targets": found.rows, "signed": found.signed}
