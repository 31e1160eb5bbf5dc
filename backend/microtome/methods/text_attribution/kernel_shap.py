"""KernelSHAP of tokens."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from microtome.methods.attribution.coalitions import coalitions, shapley
from microtome.methods.contract import Cost
from microtome.methods.text_attribution.call import Call, number, readings
from microtome.methods.text_attribution.explain import Attribution, completed, text_attribution
from microtome.methods.text_attribution.fills import fill_of
from microtome.methods.text_attribution.occlusion import FillParams


class Params(FillParams):
    samples: int = Field(1024, ge=8, le=20000, description="Coalitions of tokens looked at, at most; at least two for every token.")


@text_attribution(
    "text-kernel-shap",
    title="KernelSHAP of words",
    params=Params,
    example_params=Params(samples=32),
    cite="Lundberg, Lee 2017, arXiv:1705.07874; closed form and pairs: Covert, Lee 2021, arXiv:2012.01536",
    quantity="{} per token",
    cost=Cost(passes=1.0, times="samples"),
    passes=lambda p: 2.0 + p.samples,
)
def text_kernel_shap(call: Call, params: Params) -> Attribution:
    """Shapley values of the tokens, by weighted least squares over coalitions of them.

    Every coalition comes with its complement; sizes are enumerated from both ends while the samples last, the others drawn. When all
    fit (`exact`), as for 9 tokens at 510 samples, the values are the Shapley values. They add up to the target's difference between the
    text and the text with every token off, whatever the number of samples.

    Formula:
        `min over phi of sum over z of pi(z) (f(z) - f(0) - sum over i of phi_i z_i)^2` subject to `sum phi = f(x) - f(0)`;
        `pi(z) = (M - 1) / (C(M, |z|) |z| (M - |z|))`, M the number of tokens.

    Known failures:
        The model answers for texts with holes, and values say what it makes of them. With few samples beyond the enumerated sizes values
        are noisy though they add up; compare two seeds. Pieces of one word share what the word brings.

    Raises:
        InvalidInput: fewer samples than two per token; the model has no such token to fill with; as of
            :func:`microtome.methods.text_attribution.target.asked`.
    """
    fill, tokens = fill_of(call.model, params.fill), call.count
    ends = readings(call, np.array([[True] * tokens, [False] * tokens]), fill, number(call))[:, 0]
    total = float(ends[0] - ends[1])
    used, exact = 0, True
    if tokens == 1:
        values = np.array([total])
    else:
        chosen = coalitions(tokens, params.samples, params.seed)
        used, exact = len(chosen.present), chosen.exact
        gains = readings(call, chosen.present, fill, number(call), "coalitions") - ends[1]
        values = shapley(chosen.present, chosen.weights, gains, np.array([total]))[0]
    found = torch.from_numpy(values)
    return Attribution(
        found, completed(found, total), {"fill": fill.name, "coalitions": used, "exact": exact}, f"Shapley values; off: {fill.name}."
    )  # fmt: skip
