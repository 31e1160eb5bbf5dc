"""KernelSHAP."""

from __future__ import annotations

import torch
from pydantic import Field

from microtome.methods.attribution.coalitions import Coalitions, coalitions, shapley
from microtome.methods.attribution.explain import Attribution, Call, MapFacts, attribution
from microtome.methods.attribution.features import FeatureParams, features_of
from microtome.methods.contract import Cost


class Params(FeatureParams):
    samples: int = Field(1024, ge=8, le=20000, description="Coalitions of features looked at, at most.")


@attribution(
    "kernel-shap",
    title="KernelSHAP",
    params=Params,
    example_params=Params(samples=32, count=9),
    cite="Lundberg, Lee 2017, arXiv:1705.07874; closed form and pairs: Covert, Lee 2021, arXiv:2012.01536",
    quantity="{} per pixel",
    cost=Cost(passes=1.0, times="samples"),
    passes=lambda p: 2.0 + p.samples,
)
def kernel_shap(call: Call, params: Params) -> Attribution:
    """Shapley values of squares or superpixels, by weighted least squares over coalitions of them.

    Every coalition comes with its complement; sizes are enumerated from both ends while the samples last, the others drawn. When all
    fit (`exact`), the values are the Shapley values. A feature's value is spread evenly over its pixels, so that the map adds up to the
    target's difference between the image and its baseline, whatever the number of samples.

    Formula:
        `min over phi of sum over z of pi(z) (f(z) - f(0) - sum over i of phi_i z_i)^2` subject to `sum phi = f(x) - f(0)`;
        `pi(z) = (M - 1) / (C(M, |z|) |z| (M - |z|))`; `map_p = phi_i / |i|` for pixel p of feature i.

    Known failures:
        What is off is filled, and the model answers for images that do not exist: values say what it makes of them. With few samples
        beyond the enumerated sizes values are noisy though they add up; compare two seeds. Features are fixed beforehand: what
        lies across two of them is shared out.
    """
    height, width = call.inputs.shape[2:]
    maps = torch.zeros(len(call.targets), height, width, device=call.inputs.device)
    completeness = [{"total": 0.0}] * len(call.targets)
    chosen: dict[int, Coalitions] = {}
    counts, used, exact = [0.0] * len(call.targets), [0.0] * len(call.targets), ["no"] * len(call.targets)
    for part in features_of(call, params):
        ours = chosen.setdefault(part.count, coalitions(part.count, params.samples, params.seed))
        end, start = (t.cpu().numpy() for t in part.ends())
        gains = part.answers(ours.present).cpu().numpy() - start
        values = shapley(ours.present, ours.weights, gains, end - start)
        maps[part.rows] = part.spread(torch.from_numpy(values).to(maps.device))
        for slot, row in enumerate(part.rows):
            total, expected = float(values[slot].sum()), float(end[slot] - start[slot])
            completeness[row] = {"total": total, "expected": expected, "gap": abs(total - expected)}
            counts[row], used[row], exact[row] = float(part.count), float(len(ours.present)), "yes" if ours.exact else "no"
    facts: MapFacts = {"features": counts, "coalitions": used, "exact": exact, "baseline": params.baseline}
    what = f"{params.features}, off: {params.baseline}"
    return Attribution(maps, completeness, facts, f"Shapley values of {what}.")
