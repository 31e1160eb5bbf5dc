"""Expected gradients, and gradient SHAP, which adds noise: both average over baselines from a set of images."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution.baseline import baseline_input, normal_draws
from microtome.methods.attribution.explain import FORWARD_BATCH, Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.gradient import sampled_gradients
from microtome.methods.attribution.smoothgrad import noise_of
from microtome.methods.attribution.target import every_number
from microtome.methods.contract import Cost


class Params(ExplainParams):
    samples: int = Field(64, ge=2, le=4096, description="Pairs of a baseline and a place on the way from it.")
    references: int = Field(8, ge=1, le=256, description="Other images of the set that serve as baselines.")


def references_of(call: Call, count: int) -> tuple[Tensor, str]:
    """Baselines [n, 3, H, W], and what they are.

    An upload belongs to no set of images; then they are images of uniform colour noise, and the note says so.
    """
    if call.neighbours is not None:
        found = call.neighbours(count)
        return found, f"{len(found)} other images of the set"
    noise = [baseline_input(call.model, call.inputs[:1], "noise", call.seed + 1 + i) for i in range(count)]
    return torch.cat(noise), f"{count} images of colour noise, since the image belongs to no set"


def expected(call: Call, samples: int, references: int, noise: float) -> Attribution:
    """Mean over samples of (x + noise - b) times the gradient at b + a (x + noise - b)."""
    bases, what = references_of(call, references)
    # One place in each of as many equal parts of the way (less variance than free draws), in random order over the baselines.
    generator = torch.Generator().manual_seed(call.seed)
    at = (torch.arange(samples) + torch.rand(samples, generator=generator)) / samples
    at = at[torch.randperm(samples, generator=generator)].to(call.inputs.device).view(-1, 1, 1, 1)
    deviation = noise_of(call, noise) if noise else None

    difference = torch.zeros(0)

    def points(own: Tensor, sample: Tensor) -> Tensor:
        nonlocal difference
        base, end = bases[sample % len(bases)], call.inputs[own]
        if deviation is not None:
            end = normal_draws(end, call.seed, sample.tolist()).mul_(deviation[own]).add_(end)
        difference = end - base
        return base.addcmul_(at[sample], difference)  # ``base`` is a copy: it was taken out by index

    def taken(gradient: Tensor, own: Tensor, sample: Tensor) -> Tensor:
        return gradient.mul_(difference)  # of the points just asked for

    rows = list(range(len(call.targets)))
    maps = sampled_gradients(call, rows, samples, points, taken).sum(1) / samples
    uses = torch.bincount(torch.arange(samples) % len(bases), minlength=len(bases)).double().to(maps.device) / samples
    parts, ends = _numbers(call, bases, uses)
    totals = maps.sum((1, 2)).tolist()
    completeness = [
        {"total": t, "expected": end - start, "gap": abs(t - end + start), "steps": float(samples)}
        for t, end, start in zip(totals, ends, parts, strict=True)
    ]
    return Attribution(maps.float(), completeness, {"baselines": what}, f"Baselines: {what}.")


def _numbers(call: Call, bases: Tensor, uses: Tensor) -> tuple[list[float], list[float]]:
    """Per row: the mean of its target over the bases, as often as each is used, and the target of its image.

    Every image goes forward once, whatever the number of targets, in the same passes as the bases.
    """
    groups, targets = call.groups(), list(dict.fromkeys(call.targets))
    images = torch.cat([bases, *(call.inputs[g[:1]] for g in groups)])
    found = []
    for first, last in portions(len(images), FORWARD_BATCH):
        call.run.check()
        with torch.inference_mode():
            found.append(every_number(call.model, images[first:last], targets).double())
    every = torch.cat(found)
    of_bases, of_images = (uses @ every[: len(bases)]).tolist(), every[len(bases) :].tolist()
    place = {row: number for number, group in enumerate(groups) for row in group}
    columns = [targets.index(t) for t in call.targets]
    return [of_bases[c] for c in columns], [of_images[place[row]][c] for row, c in enumerate(columns)]


@attribution(
    "expected-gradients",
    title="Expected Gradients",
    params=Params,
    example_params=Params(samples=4, references=2),
    cite="Erion et al. 2021, arXiv:1906.10670",
    quantity="{} per pixel",
    cost=Cost(passes=3.0, times="samples"),
    passes=lambda p: 3.0 * p.samples,
)
def expected_gradients(call: Call, params: Params) -> Attribution:
    """Integrated gradients with other images of the set as baselines: one place on the way from one of them per sample.

    The map adds up, in expectation, to the target's difference between the image and the mean over the baselines; the gap that
    the samples leave is reported.

    Formula:
        `map_i = E over b, a of (x_i - b_i) * df(b + a (x - b)) / dx_i`, `b` from the set, `a` uniform in 0 to 1 (stratified),
        summed over colours.

    Known failures:
        What counts as evidence depends on the other images: what all of them share gets little. Points between two images are
        images of nothing. The Monte-Carlo gap falls only with the root of the samples.
    """
    return expected(call, params.samples, params.references, 0.0)
