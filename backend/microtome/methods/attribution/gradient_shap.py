"""Gradient SHAP."""

from __future__ import annotations

from pydantic import Field

from microtome.methods.attribution import expected_gradients as base
from microtome.methods.attribution.explain import Attribution, Call, attribution
from microtome.methods.contract import Cost


class Params(base.Params):
    noise: float = Field(0.05, ge=0, le=2, description="Deviation of the noise on the image, in parts of its range of values.")


@attribution(
    "gradient-shap",
    title="Gradient SHAP",
    params=Params,
    example_params=Params(samples=4, references=2),
    cite="Lundberg, Lee 2017, arXiv:1705.07874",
    quantity="{} per pixel",
    cost=Cost(passes=3.0, times="samples"),
    passes=lambda p: 3.0 * p.samples,
)
def gradient_shap(call: Call, params: Params) -> Attribution:
    """Expected gradients with noise on the image: an estimate of SHAP values that holds where the model is near linear.

    As in the authors' GradientExplainer with local smoothing; without noise it is expected gradients.

    Formula:
        `map_i = E over b, a, e of (x_i + e_i - b_i) * df(b + a (x + e - b)) / dx_i`, summed over colours.

    Known failures:
        SHAP values only if features were independent and the model linear between baseline and image. The noise keeps the map
        from adding up exactly; the gap is reported.
    """
    return base.expected(call, params.samples, params.references, params.noise)
