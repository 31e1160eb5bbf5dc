"""Interaction primitives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from microtome.methods.attribution.explain import Attribution, Call, MapFacts, attribution
from microtome.methods.attribution.features import FeatureParams, Features, features_of
from microtome.methods.attribution.interactions import Floats, all_of, any_of, dividends, shapley_of, sizes, sparse_split
from microtome.methods.contract import Cost

#: A primitive is salient from this share of the strongest on, as in the paper.
_SALIENT = 0.05


class Params(FeatureParams):
    features: Literal["squares", "superpixels"] = Field("superpixels", description="What is switched off together.")
    count: int = Field(9, ge=4, le=400, description="Features, about: at most so many superpixels, or the nearest square number.")
    patches: int = Field(9, ge=2, le=11, description="Features that are players, those whose loss alone moves the target most.")
    kind: Literal["and-or", "and"] = Field(
        "and-or", description="Whether sets act when all of them are there, or also when any of them is, split as sparsely as possible."
    )
    steps: int = Field(3000, ge=1, le=20000, description="Steps of the sparse split, at most.")
    top: int = Field(8, ge=1, le=32, description="Primitives that are listed.")


@dataclass(frozen=True, slots=True)
class Game:
    """The game of one target.

    Attributes:
        chosen: the features that are players, strongest first; whatever else there is is one more player, the last.
        member: [features], the player of each feature.
        values: [2^players], the target for every set of players that is on.
    """

    chosen: list[int]
    member: np.ndarray
    values: Floats

    @property
    def players(self) -> int:
        return int(self.member.max()) + 1

    def name(self, place: int) -> str:
        """A set of players as their features: ``12·17·rest``."""
        names = [str(f) for f in self.chosen] + ["rest"]
        return "·".join(names[player] for player in range(self.players) if place >> player & 1)


def game_of(part: Features, patches: int) -> Game:
    """The game of an image of one row."""
    whole, _ = (end.cpu().numpy() for end in part.ends())
    alone = part.answers(~np.eye(part.count, dtype=bool)).cpu().numpy()[:, 0]
    chosen = np.argsort(-np.abs(whole[0] - alone), kind="stable")[:patches]
    member = np.full(part.count, len(chosen))
    member[chosen] = np.arange(len(chosen))
    places = np.arange(2 ** (int(member.max()) + 1))
    present = (places[:, None] >> np.arange(int(member.max()) + 1) & 1).astype(bool)
    return Game([int(f) for f in chosen], member, part.answers(present[:, member]).cpu().numpy()[:, 0])


def _listed(game: Game, together: Floats, instead: Floats, top: int) -> str:
    """The strongest primitives in words. For a single player AND and OR are the same thing, so they count as one."""
    single = sizes(len(together)) == 1
    found = [(together[p] + instead[p] * single[p], "" if single[p] else "AND ", p) for p in range(1, len(together))]
    found += [(instead[p], "OR ", p) for p in range(1, len(instead)) if not single[p]]
    found.sort(key=lambda one: -abs(one[0]))
    return ", ".join(f"{word}{game.name(place)} ({value:+.4g})" for value, word, place in found[:top] if value)


def _where(part: Features, game: Game) -> str:
    """Where the chosen features lie, as shares of the image."""
    height, width = part.places.shape
    told = []
    for feature in game.chosen:
        y, x = torch.nonzero(part.places == feature, as_tuple=True)
        told.append(f"{feature} at {float(x.double().mean() + 0.5) / width:.2f}, {float(y.double().mean() + 0.5) / height:.2f}")
    return "; ".join(told)


@attribution(
    "interaction-primitives",
    title="Interaction primitives",
    params=Params,
    example_params=Params(count=9, patches=3, steps=50),
    cite="Ren et al. 2023, arXiv:2111.06206; AND and OR: Zhou et al. 2024, arXiv:2302.13091; Li, Zhang 2023, arXiv:2304.13312",
    quantity="{} per pixel",
    cost=Cost(passes=523.0),
    passes=lambda p: 2.0 + p.count + 2.0 ** (min(p.patches, p.count) + (p.patches < p.count)),
)
def interaction_primitives(call: Call, params: Params) -> Attribution:
    """Sets of patches that act only together, or in place of each other, and what each of these sets is worth to the target.

    The patches whose loss alone moves the target most are players; if there are others, they are one more, `rest`. The target is computed
    for every set of players, and taken apart into interactions that reproduce all these values (`mismatch`). With `and-or` the values are
    split so that the interactions' absolute sum is smallest. The facts list the strongest; numbers are features, from the upper left.
    The map shares every interaction equally among its players, which gives Shapley values, whatever the split.

    Formula:
        `v(T) = sum over S in T of I_and(S) + sum over S that share a player with T of I_or(S)`, for every set T of players;
        `I_and(S) = sum over T in S of (-1)^(|S| - |T|) v(T)` if there is no OR; `phi_i = sum over S with i of I(S) / |S|`.

    Known failures:
        Interactions of many players are alternating sums of many values: what the model makes of images that do not exist adds up in
        them, and a target that only saturates shows interactions of every order. Sparse splits need not be unique. What patches
        have to say that were not chosen is in `rest` alone, as if they were one: with many small patches most primitives hold it.
    """
    height, width = call.inputs.shape[2:]
    count = len(call.targets)
    maps = torch.zeros(count, height, width, device=call.inputs.device)
    completeness = [{"total": 0.0}] * count
    words: dict[str, list[str]] = {name: [""] * count for name in ("primitives", "patches")}
    told: dict[str, list[float]] = {name: [0.0] * count for name in ("interactions", "salient", "absolute sum", "mismatch")}
    for images in features_of(call, params):
        for row in images.rows:
            part = replace(images, rows=[row])
            game = game_of(part, params.patches)
            call.run.check()
            together, instead = dividends(game.values), np.zeros_like(game.values)
            if params.kind == "and-or":
                together, instead = sparse_split(game.values, params.steps)
            worth = shapley_of(together) + shapley_of(instead)
            areas = torch.bincount(part.places.flatten(), minlength=part.count).cpu().numpy()
            per_pixel = worth / np.bincount(game.member, areas, game.players)
            maps[row] = torch.from_numpy(per_pixel[game.member]).to(maps)[part.places]
            total, expected = float(worth.sum()), float(game.values[-1] - game.values[0])
            completeness[row] = {"total": total, "expected": expected, "gap": abs(total - expected)}
            strength = np.abs(np.concatenate([together[1:], instead[1:]]))
            words["primitives"][row] = _listed(game, together, instead, params.top)
            words["patches"][row] = _where(part, game)
            told["interactions"][row] = float(len(together) - 1)
            told["salient"][row] = float((strength > _SALIENT * strength.max()).sum())
            told["absolute sum"][row] = float(strength.sum())
            told["mismatch"][row] = float(np.abs(all_of(together) + any_of(instead) - game.values).max())
    facts: MapFacts = {**words, **told, "kind": params.kind, "baseline": params.baseline}
    note = f"{params.features}, off: {params.baseline}. " + "; ".join(words["primitives"])
    return Attribution(maps, completeness, facts, note)
