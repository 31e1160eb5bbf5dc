"""What is put beside every map: how far the model's own behaviour bears it out, and what a random map would get."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.baseline import Baseline, baseline_input
from microtome.methods.faithfulness import deletion, infidelity, localisation, randomisation, sensitivity, similarity, sparseness
from microtome.methods.faithfulness.chance import DRAWS, chance_of, shuffled
from microtome.methods.faithfulness.order import SHARES, Answers, answers, counts, ranks
from microtome.methods.faithfulness.sheet import SCORES, Sheet
from microtome.probes import Example
from microtome.results import Curves, Scorecard

if TYPE_CHECKING:
    from microtome.methods.attribution.explain import Attribution, Call

#: Part of the version of every attribution method: a change of what stands here misses the cache.
EVIDENCE_VERSION = "2"
FILL: Baseline = "blur"
_CONFIDENCE = "Insertion and deletion depend on the confidence of the model: compare maps of one model by them, never models."
Facts = dict[str, str | int | float | bool | None]


def evidence(
    call: Call,
    explain: Callable[[Call, Any], Attribution],
    attribution: Attribution,
    params: Any,
    example: Example,
    *,
    passes: float,
    map_seconds: float | None = None,
) -> tuple[Scorecard, Curves]:
    """The scores and curves of the maps of one example, one group per target.

    Forward passes: 1,800 for the random orders of an image, shared by all methods and targets; then 18 per target and two; and those
    of the map itself once per noisy image (8 for a method of up to 32 passes, 1 from 256 on) and once on a random network.

    Args:
        call: what was explained; its rows are the targets of one example.
        explain: the method itself, called again on noisy inputs and on a network with other weights.
        passes: forward passes that one map costs, of which follows how often it is called again.
        map_seconds: seconds that the maps alone took, to be told beside them.

    Raises:
        InvalidInput: a value is not finite. RunCancelled.
    """
    assembly, draws = measured(call, explain, attribution, params, example, passes=passes)
    facts: Facts = {
        "fill": FILL, "steps": len(SHARES), "orders": DRAWS, "seed": call.seed, "random maps": "Gaussian noise of five grains",
        "radius": sensitivity.RADIUS, "noisy images": draws, "similarity": "Spearman's rank correlation of absolute maps",
        "tolerance": localisation.tolerance(*assembly.maps.shape[1:]), "map_seconds": map_seconds,
    }  # fmt: skip
    return (
        assembly.sheet.scorecard(
            "Chance: what random maps get, mean and central 95 %; the same random maps for all methods.",
            facts | assembly.facts | {"warnings": " ".join(assembly.warnings())},
        ),
        assembly.sheet.curves(f"Fill: {FILL}. Bands: central 90 % of {DRAWS} random orders."),
    )


def measured(
    call: Call, explain: Callable[[Call, Any], Attribution], attribution: Attribution, params: Any, example: Example, *, passes: float,
    names: Collection[str] = SCORES,
) -> tuple[Assembly, int]:  # fmt: skip
    """The measures themselves, with the values of every random map, and how many noisy images there were.

    Args:
        names: scores that are wanted; what is costly and not among them is not computed.

    Raises:
        InvalidInput: a value is not finite. RunCancelled.
    """
    assembly = Assembly(call, explain, attribution, params)
    for row in range(len(call.targets)):
        call.run.check()
        assembly.order(row)
        assembly.shape(row)
        assembly.place(row, example)
    draws = sensitivity.draws_for(passes)
    if "max-sensitivity" in names:
        assembly.stability(draws)
    if "randomisation" in names:
        assembly.other_weights()
    return assembly, draws


class Assembly:
    """The measures of one call, row by row."""

    def __init__(self, call: Call, explain: Callable[[Call, Any], Attribution], attribution: Attribution, params: Any) -> None:
        self.call, self.explain, self.params = call, explain, params
        self.completeness = attribution.completeness
        self.maps = attribution.maps.detach().cpu().double().numpy()
        self.flat = self.maps.reshape(len(self.maps), -1)
        self.places = ranks(self.flat)
        self.sheet = Sheet(call.targets)
        self.facts: Facts = {}
        image = call.inputs[:1]
        fill = baseline_input(call.model, image, FILL)
        removals = deletion.removals(len(self.flat), self.flat.shape[1])
        self.said: Answers = answers(call.model, image, fill, self.places, removals, call.targets, call.run)
        self.chance = chance_of(call.model, image, fill, call.targets, call.seed, call.run)

    def flat_everywhere(self, row: int) -> bool:
        return bool(self.flat[row].min() == self.flat[row].max())

    def order(self, row: int) -> None:
        """Deletion, insertion, infidelity: does the model change where the map says?"""
        target, map = self.call.targets[row], self.flat[row]
        if self.flat_everywhere(row):
            self.sheet.leave_out(target, "deletion, insertion, infidelity", "the map is the same everywhere, so it has no order")
            return
        values, numbers = self.said.values(target), self.said.numbers(target)
        deleted, inserted = deletion.curves(values, row)
        random = self.chance.curves(target, values[0], values[1])
        if target.index is None:  # a probability has a range of its own
            seen = np.concatenate([deleted, inserted, random.reshape(-1)])
            self.facts[f"range of the curves: {target.name}"] = f"{seen.min():.4g} to {seen.max():.4g} {target.unit}"
        areas = deletion.area(random)
        unit = "probability" if target.index is not None else target.unit
        # An order that is deleted is its reverse, inserted: the areas of random orders are the same numbers for both curves.
        self.sheet.add(target, "deletion", float(deletion.area(deleted)), unit, draws=areas)
        self.sheet.add(target, "insertion", float(deletion.area(inserted)), unit, draws=areas)
        self.sheet.curve(f"deletion: {target.name}", deleted, random)
        self.sheet.curve(f"insertion: {target.name}", inserted, random[:, ::-1])
        sizes = counts(len(map))[1 : 1 + infidelity.SIZES]
        observed = numbers[0] - self.chance.numbers(target)[:, : infidelity.SIZES]
        value, _ = infidelity.infidelity(infidelity.removed_sums(map, self.chance.places, sizes), observed)
        random = infidelity.random_infidelity(map, self.chance.places, sizes, observed)
        self.sheet.add(target, "infidelity", value, f"{target.unit}²", draws=random)

    def shape(self, row: int) -> None:
        """Sparseness and completeness: properties of the map itself."""
        target, map = self.call.targets[row], self.flat[row]
        if map.any():
            band = sparseness.uniform_band(len(map), DRAWS)
            self.sheet.add(target, "sparseness", float(sparseness.gini(map)), "Gini index", chance=sparseness.UNIFORM, band=band)
        else:
            self.sheet.leave_out(target, "sparseness", "the map is zero everywhere")
        if self.completeness is not None:
            self.sheet.add(target, "completeness-gap", self.completeness[row]["gap"], target.unit)

    def place(self, row: int, example: Example) -> None:
        """Pointing game, inside mass and rank: does the map point at what defines the class, where masks say what that is?"""
        target, map = self.call.targets[row], self.maps[row]
        region = None if target.index is None else example.region(self.call.model.classes[target.index])
        if region is None:
            return
        region = self.call.model.preprocess.geometry.labels(region, map.shape)
        share = float(region.mean())
        if share in (0.0, 1.0) or self.flat_everywhere(row):
            reason = "the map is the same everywhere" if 0 < share < 1 else f"what defines the class is {share:.0%} of what the model sees"
            self.sheet.leave_out(target, "pointing-game, inside-mass, inside-rank", reason)
            return
        wide = localisation.widened(region, localisation.tolerance(*map.shape))
        self.sheet.add(target, "pointing-game", localisation.pointing(map, wide), "share", chance=float(wide.mean()))
        random = localisation.inside_rank(self.chance.places, region)
        self.sheet.add(
            target, "inside-rank", float(localisation.inside_rank(self.places[row], region)), "share", chance=share, draws=random
        )
        if map.max() <= 0:
            self.sheet.leave_out(target, "inside-mass", "nothing in the map is positive")
            return
        random = localisation.inside_mass(shuffled(self.flat[row], self.chance.places).reshape(-1, *map.shape), region)
        self.sheet.add(target, "inside-mass", float(localisation.inside_mass(map, region)), "share", chance=share, draws=random)

    def stability(self, draws: int) -> None:
        """Max-sensitivity, of all targets at once."""
        call, targets = self.call, list(self.call.targets)
        noisy = sensitivity.noisy(call.inputs[:1], call.model.preprocess.std, call.seed, draws)
        again = replace(call, inputs=noisy.repeat_interleave(len(targets), 0), targets=targets * draws)
        try:
            moved = self.explain(again, self.params).maps.detach().cpu().double().numpy().reshape(draws, *self.flat.shape)
        except InvalidInput as error:
            for target in targets:
                self.sheet.leave_out(target, "max-sensitivity", f"no answer for the image with noise ({error.detail})")
            return
        for row, target in enumerate(targets):
            if not self.flat[row].any():
                self.sheet.leave_out(target, "max-sensitivity", "the map is zero everywhere")
                continue
            random = sensitivity.random_sensitivity(self.flat[row], self.chance.places, draws)
            value = sensitivity.max_sensitivity(self.flat[row], moved[:, row])
            self.sheet.add(target, "max-sensitivity", value, "relative change", draws=random)

    def other_weights(self) -> None:
        """Model randomisation."""
        call = self.call
        try:
            network = randomisation.randomised(call.model, call.seed)
            others = randomisation.maps_elsewhere(call, self.explain, self.params, network)
        except InvalidInput as error:
            for target in call.targets:
                self.sheet.leave_out(target, "randomisation", f"no answer on a random network ({error.detail})")
            return
        band = similarity.spearman_band(self.flat.shape[1])
        for row, target in enumerate(call.targets):
            alike = similarity.spearman(self.maps[row], others[row])
            if np.isnan(alike):
                which = "the map" if self.flat_everywhere(row) else "the map of the random network"
                self.sheet.leave_out(target, "randomisation", f"{which} is the same everywhere, so it has no ranks")
                continue
            self.sheet.add(target, "randomisation", alike, "rank correlation", chance=0.0, band=(-band, band))
            verdict = "passes" if randomisation.changed(alike) else "fails"
            self.facts[f"randomisation: {target.name}"] = f"{verdict}; fails from {randomisation.FAILS} on"
            structure = similarity.ssim(self.maps[row], others[row])
            self.facts[f"randomisation, SSIM: {target.name}"] = None if np.isnan(structure) else structure

    def warnings(self) -> list[str]:
        """What a reader of the scores must know."""
        out = [_CONFIDENCE]
        for target in self.call.targets:
            whole, filled = self.said.values(target)[:2]
            if target.index is not None and filled > 0.5 * whole:
                out.append(
                    f"{target.name}: the blurred image alone still gets {filled:.2f} of {whole:.2f}, which leaves its curves little room."
                )
        return out
