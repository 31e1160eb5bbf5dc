"""EVA: what a cell's freedom adds to the worst that is provably possible around an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.bounds import Box, upper_bounds
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution, portions
from microtome.methods.attribution.features import squares
from microtome.methods.attribution.target import Target, every_number
from microtome.methods.contract import Cost

#: Boxes bounded at once: ranges of all their rectifiers are in memory.
_BOXES = 8
#: Inputs from which the worst is searched for, and steps of the search.
_STARTS, _STEPS = 8, 6
#: A bound that grows by so many times what the search finds is called vacuous.
VACUOUS = 10.0


class Params(ExplainParams):
    radius: float = Field(
        0.001, ge=1e-6, le=1, description="How far every colour of every pixel may move, in parts of the range from black to full."
    )
    count: int = Field(49, ge=4, le=400, description="Cells of the image, about: the nearest square number.")
    others: int = Field(12, ge=1, le=100, description="A class is compared with so many others, those of the largest logits for the image.")


def goals_of(call: Call, row: int, logits: Tensor, others: int) -> list[Target]:
    """What must not grow for the target to stand: the lead of each rival class, or the target's number turned round.

    Raises:
        InvalidInput: a likeness, which is no weighted sum.
    """
    target = call.targets[row]
    if target.like is not None:
        raise InvalidInput(f"'{target.name}' is no weighted sum, which EVA needs; explain it with occlusion or rise.", field="targets")
    index = target.index
    rivals = [] if index is None or call.model.multilabel else [int(c) for c in logits.argsort(descending=True, stable=True) if c != index]
    if index is None or not rivals:
        return [Target(f"- {target.name}", target.layer, tuple((i, -w) for i, w in target.weights), target.site)]
    return [Target(f"{call.model.classes[c]} - {target.name}", None, tuple(sorted(((c, 1.0), (index, -1.0))))) for c in rivals[:others]]


def surroundings(call: Call, row: int, radius: float) -> tuple[Tensor, Tensor]:
    """Least and largest values [3, H, W] within ``radius`` of a row's image that are colours, in the units of the network's input."""
    image, given = call.inputs[row], call.model.preprocess
    mean, std = (torch.tensor(v, device=image.device, dtype=image.dtype).view(-1, 1, 1) for v in (given.mean, given.std))
    black, full = -mean / std, (1 - mean) / std
    # What is no colour already (the evidence adds noise) stays possible: the image itself always lies in its box.
    return torch.maximum(image - radius / std, black.minimum(image)), torch.minimum(image + radius / std, full.maximum(image))


def boxes_of(image: Tensor, low: Tensor, high: Tensor, places: Tensor) -> Box:
    """The box with everything free, then those with one cell of ``places`` [H, W] after the other held as it is."""
    held = places == torch.arange(-1, int(places.max()) + 1, device=places.device)[:, None, None]
    return Box(image, torch.where(held[:, None], image, low), torch.where(held[:, None], image, high))


def reached(call: Call, image: Tensor, low: Tensor, high: Tensor, goals: Sequence[Target]) -> tuple[float, float]:
    """The largest of the goals at the image, and the largest that is found in the box: corners drawn by the seed, steps uphill."""
    generator = torch.Generator().manual_seed(call.seed)
    sides = torch.rand(_STARTS - 1, *image.shape, generator=generator).to(image.device) < 0.5
    x = torch.cat([image[None], torch.where(sides, high, low)])
    start, best = -torch.inf, -torch.inf
    for step in range(_STEPS + 1):
        call.run.check()
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            values = every_number(call.model, leaf, goals).amax(1)
            slope = torch.autograd.grad(values.sum(), leaf)[0] if values.requires_grad else torch.zeros_like(leaf)
        numbers = values.detach()
        start = float(numbers[0]) if step == 0 else start
        best = max(best, float(numbers.max()))
        # The first step goes to the corner that a straight line would choose; each after it half as far.
        x = torch.clamp(x + slope.sign() * (high - low) * 0.5**step, low, high)
    return start, best


@attribution(
    "eva",
    title="EVA",
    params=Params,
    example_params=Params(count=4, others=2),
    cite="Fel et al. 2023, arXiv:2202.07728; bounds: Zhang et al. 2020, arXiv:1906.06316",
    quantity="{} by which holding the cell lowers the bound",
    signed=False,
    cost=Cost(passes=30.0, times="count"),
    passes=lambda p: (p.count + 1.0) * (6 + 2 * p.others),
)
def eva(call: Call, params: Params) -> Attribution:
    """How much lower the worst that is provably possible becomes when a cell may not move, for every cell.

    All pixels may move by the radius, within what a colour may be. What a rival class can lead the target by at most is bounded for
    the network itself, not sampled: intervals through every layer, then lines through every rectifier. The bound is exact where the
    network is affine. For targets other than one class it is the target's own number that is bounded from below. The facts tell the
    bound with all pixels free, the value at the image, the worst that a search found, and whether the bound is `vacuous`: grown more
    than ten times as far from the value as the search got.

    Formula:
        `map_u = F(all free) - min(F(all free), F(u held))`, `F(B) >= max over x in B and classes c of f_c(x) - f_t(x)`;
        `B = {x: |x - x0| <= radius}`.

    Known failures:
        Deep networks: intervals grow with every layer, and at radii that people see the bound is vacuous; then the map shows where
        the bound is loose, not where the network is weak. Lower the radius until it is not. Only convolutions, linear layers, batch
        normalisation, ReLU, sums and pooling; transformers are refused. Rounding of float32 is not bounded. Movement is not removal:
        a cell may decide the class and be hard to disturb. Cells that matter only together show little each.

    Raises:
        InvalidInput: a network with other functions; a target that is a likeness.
    """
    height, width = call.inputs.shape[2:]
    places = torch.from_numpy(squares(height, width, params.count)).to(call.inputs.device)
    maps = torch.zeros(len(call.targets), height, width, device=call.inputs.device)
    names = ("value", "bound", "reached by search")
    numbers: dict[str, list[float]] = {name: [0.0] * len(call.targets) for name in names}
    vacuous = ["no"] * len(call.targets)
    for rows in call.groups():
        image = call.inputs[rows[0]]
        with torch.no_grad():
            logits = call.model.forward(image[None])[0]
        goals = {row: goals_of(call, row, logits, params.others) for row in rows}
        every = list(dict.fromkeys(g for row in rows for g in goals[row]))
        low, high = surroundings(call, rows[0], params.radius)
        boxes = boxes_of(image, low, high, places)
        bounds = []
        for start, end in portions(len(boxes.low), _BOXES):
            call.run.check()
            call.run.progress(start, len(boxes.low), "boxes")
            bounds.append(upper_bounds(call.model, boxes[start:end], every))
        found = torch.cat(bounds)
        for row in rows:
            most = found[:, [every.index(g) for g in goals[row]]].amax(1)
            maps[row] = (most[0] - most[1:]).clamp(min=0).float()[places]  # what holds with all free holds with a cell held
            value, worst = reached(call, image, low, high, goals[row])
            for name, number in zip(names, (value, float(most[0]), worst), strict=True):
                numbers[name][row] = number
            vacuous[row] = "yes" if float(most[0]) - value > VACUOUS * (worst - value) else "no"
    note = f"Every colour may move by {params.radius:g}; {int(places.max()) + 1} cells."
    if "yes" in vacuous:
        note += " The bound is vacuous: it says more of how it was made than of the network. Choose a smaller radius."
    return Attribution(maps, None, {"radius": params.radius, **numbers, "vacuous": vacuous}, note)
