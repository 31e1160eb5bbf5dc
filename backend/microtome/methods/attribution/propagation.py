"""Relevance of a target's inputs, by rules of one's choice: what LRP and deep Taylor decomposition share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution import lrp_rules as rules
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.explain import BATCH, Call, portions
from microtome.methods.attribution.layerwise import Answer, Layerwise, Plan
from microtome.methods.attribution.operations import Operations
from microtome.methods.attribution.target import numbers

#: Rows at once: rules keep several tensors per layer where a plain pass keeps one.
ROWS = BATCH // 4
#: The rule of every layer, of what the network is made of and the rules for the layer that sees the image.
Choose = Callable[[Plan, rules.FirstLayer], Answer]


def plan_of(call: Call, title: str) -> Plan:
    """What the network is made of; one pass of one image.

    Raises:
        InvalidInput: ``title`` has no rule for a function of the network.
    """
    call.run.check()
    with torch.enable_grad():
        leaf = call.inputs[:1].detach().clone().requires_grad_(True)
        walk = Layerwise(leaf, title)
        with Operations(walk.rules()):
            numbers(call.model, leaf, call.targets[:1])
    return walk.plan


def only_rectified(plan: Plan, title: str) -> None:
    """Refuse networks that are not made of weighted sums and ReLUs.

    Raises:
        InvalidInput: saying what the network has, or lacks.
    """
    if plan.transformer or not plan.rectifiers:
        has = " and ".join(sorted(plan.transformer)) or "no ReLU"
        raise InvalidInput(
            f"{title} is defined for networks of ReLUs, and this one has {has}. LRP has rules for other networks.", field="model"
        )


def propagated(call: Call, title: str, plan: Plan, kind: rules.InputRule, choose: Choose) -> tuple[Tensor, list[dict[str, float]]]:
    """Relevance float64 [B, 3, H, W], and per row what it adds up to.

    ``total`` and ``absorbed``, what went to biases, constants and epsilon, add up to ``expected``, the target, up to rounding;
    ``gap`` is what no pixel got.

    Raises:
        InvalidInput: no layer sees the image and ``kind`` needs one, or the target does not depend on the image.
    """
    if kind != "same" and not plan.starts:
        raise InvalidInput(f"The rule '{kind}' is for a layer that takes the image itself, and in this network none does.", field="model")
    parts, completeness = [], []
    for start, end in portions(len(call.targets), ROWS):
        call.run.check()
        image = call.inputs[start:end]
        absorbed = torch.zeros(end - start, dtype=torch.float64, device=image.device)

        def told(relevance: Tensor, absorbed: Tensor = absorbed) -> None:
            absorbed += relevance.double().reshape(len(absorbed), -1).sum(1)

        with torch.enable_grad():
            leaf = image.detach().clone().requires_grad_(True)
            first = rules.FirstLayer(kind, *(baseline_input(call.model, image, colour) for colour in ("black", "white")))
            with Operations(Layerwise(leaf, title, choose(plan, first), told, plan).rules()):
                found = numbers(call.model, leaf, list(call.targets[start:end]))
            leaves = [leaf, *first.leaves()]
            multipliers = torch.autograd.grad(found.sum(), leaves, allow_unused=True)
        terms = [x.detach().double() * m.double() for x, m in zip(leaves, multipliers, strict=True) if m is not None]
        if not terms:
            raise InvalidInput("This target does not depend on the image, so there is nothing to share out.", field="targets")
        relevance = torch.stack(terms).sum(0)
        parts.append(relevance)
        for total, number, lost in zip(relevance.sum((1, 2, 3)).tolist(), found.tolist(), absorbed.tolist(), strict=True):
            completeness.append({"total": total, "expected": number, "gap": abs(number - total), "absorbed": lost})
    return torch.cat(parts), completeness
