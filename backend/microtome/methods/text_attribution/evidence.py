"""What is put beside every map of a text: how far the model's own behaviour bears it out, and what a random map would get.

Deletion, insertion, infidelity, max-sensitivity, sparseness and randomisation are those of image maps (methods/faithfulness), with
tokens for pixels. Comprehensiveness and sufficiency are DeYoung et al. 2020 (arXiv:1911.03429, equations 1 and 2, means over five
shares of the tokens): how far the answer falls without the first tokens of the map, and how far it falls with them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from microtome.core.errors import InvalidInput
from microtome.methods.faithfulness import infidelity, randomisation, sensitivity, similarity, sparseness
from microtome.methods.faithfulness.chance import DRAWS
from microtome.methods.faithfulness.order import ranks
from microtome.methods.faithfulness.sheet import Sheet
from microtome.methods.text_attribution.call import Call, Floats, number_and_value, readings
from microtome.methods.text_attribution.chance import BINS, Chance, bin_counts, chance_of, counts
from microtome.methods.text_attribution.fills import fill_of
from microtome.results import Curves, Scorecard

if TYPE_CHECKING:
    from microtome.methods.text_attribution.explain import Attribution

#: Part of the version of every attribution method for texts: a change of what stands here misses the cache.
TEXT_EVIDENCE_VERSION = "1"
#: Names of scores, in the order in which they are shown.
SCORES = (
    "deletion", "insertion", "comprehensiveness", "sufficiency", "infidelity", "max-sensitivity", "sparseness", "completeness-gap",
    "randomisation",
)  # fmt: skip
#: Where more of the tokens are gone, how much is gone explains nearly all of the drop, and infidelity would find any map faithful.
_LARGEST = 0.30
_CONFIDENCE = "Scores depend on the confidence of the model: compare maps of one model by them, never models."
Facts = dict[str, str | int | float | bool | None]
Explain = Callable[[Call, Any], "Attribution"]


def evidence(
    call: Call, explain: Explain, answer: Attribution, params: Any, *, passes: float, map_seconds: float | None = None
) -> tuple[Scorecard, Curves]:
    """The scores and curves of the map of one target.

    Forward passes: at most 2,000 for the random orders of a text and target, shared by all methods; at most 22 for the curves; and those
    of the map itself once per noisy text (8 for a method of up to 32 passes, 1 from 256 on) and once on a random network.

    Args:
        explain: the method itself, called again on noisy embeddings and on a network with other weights.
        passes: forward passes that one map costs, of which follows how often it is called again.
        map_seconds: seconds that the map alone took, to be told beside it.

    Raises:
        InvalidInput: a value is not finite. RunCancelled.
    """
    found = Assembly(replace(call, watched=False), explain, answer, params)
    draws = sensitivity.draws_for(passes)
    found.order()
    found.shape()
    found.stability(draws)
    found.other_weights()
    facts: Facts = {
        "fill": found.fill.name, "orders": DRAWS, "seed": call.seed, "random maps": "the values of the map at random tokens",
        "tokens": call.count, "shares": ", ".join(f"{share:.0%}" for share in BINS),
        "radius, of the range of the embeddings": sensitivity.RADIUS,
        "noisy texts": draws, "similarity": "Spearman's rank correlation of absolute maps", "map_seconds": map_seconds,
    }  # fmt: skip
    return found.scorecard(facts), found.curves()


class Assembly:
    """The measures of one map."""

    def __init__(self, call: Call, explain: Explain, answer: Attribution, params: Any) -> None:
        self.call, self.explain, self.params, self.answer = call, explain, params, answer
        self.map: Floats = answer.values.detach().cpu().double().numpy()
        self.fill = fill_of(call.model, "default")
        self.sheet = Sheet([call.target])
        self.facts: Facts = {}
        self.warnings = _CONFIDENCE
        self.unit = "probability" if call.target.index is not None else call.target.unit
        self.chance: Chance | None = chance_of(call, self.fill) if call.count > 1 else None
        self.series: list[tuple[str, Floats, Floats]] = []

    def leave_out(self, names: str, reason: str) -> None:
        self.sheet.leave_out(self.call.target, names, reason)

    def add(self, name: str, value: float, unit: str, **more: Any) -> None:
        self.sheet.add(self.call.target, name, value, unit, **more)

    def order(self) -> None:
        """Deletion, insertion, comprehensiveness, sufficiency, infidelity: does the model change where the map says?"""
        tokens, ordered = self.call.count, np.array(counts(self.call.count))
        place = ranks(self.map[None])[0]
        off = np.concatenate([place >= ordered[:, None], place < ordered[1:-1, None]])
        said = readings(self.call, off, self.fill, number_and_value(self.call))
        numbers, values = said[: len(ordered), 0], said[:, 1]
        deleted = values[: len(ordered)]
        inserted = np.concatenate([deleted[-1:], values[len(ordered) :], deleted[:1]])
        whole, filled = float(deleted[0]), float(deleted[-1])
        if self.call.target.index is not None and filled > 0.5 * whole:
            self.warnings += f" With every token off the model still gives {filled:.2g} of {whole:.2g}: curves have little room."
        if self.chance is None or self.map.min() == self.map.max():
            reason = "there is one token only" if self.chance is None else "the map is the same everywhere, so it has no order"
            self.leave_out("deletion, insertion, comprehensiveness, sufficiency, infidelity", reason)
            return
        random = self.chance.curves(whole, filled)
        self.series = [("deletion", deleted, random), ("insertion", inserted, random[:, ::-1])]
        # An order that is deleted is its reverse, inserted: the areas of random orders are the same numbers for both curves.
        areas = self.area(random)
        self.add("deletion", float(self.area(deleted)), self.unit, draws=areas)
        self.add("insertion", float(self.area(inserted)), self.unit, draws=areas)
        at = np.searchsorted(ordered, bin_counts(tokens))
        self.add("comprehensiveness", float((whole - deleted[at]).mean()), self.unit, draws=(whole - random[:, at]).mean(1))
        self.add("sufficiency", float((whole - inserted[at]).mean()), self.unit, draws=(whole - random[:, ::-1][:, at]).mean(1))
        sizes = [int(count) for count in ordered[1:-1] if count <= max(1, _LARGEST * tokens)]
        observed = float(numbers[0]) - self.chance.numbers[:, : len(sizes)]
        value, _ = infidelity.infidelity(infidelity.removed_sums(self.map, self.chance.places, sizes), observed)
        draws = infidelity.random_infidelity(self.map, self.chance.places, sizes, observed)
        self.add("infidelity", value, f"{self.call.target.unit}²", draws=draws)

    def area(self, curve: Floats) -> Floats:
        """Area under curves [..., counts] over the share of the tokens: the mean height."""
        return np.asarray(np.trapezoid(curve, np.array(counts(self.call.count)) / self.call.count, axis=-1))

    def shape(self) -> None:
        """Sparseness and completeness: properties of the map itself."""
        if self.map.any() and len(self.map) > 1:
            uniform = np.random.default_rng([len(self.map), 0x6171]).random((DRAWS, len(self.map)))
            self.add("sparseness", float(sparseness.gini(self.map)), "Gini index", draws=sparseness.gini(uniform))
        else:
            self.leave_out("sparseness", "the map is zero everywhere" if len(self.map) > 1 else "there is one token only")
        if self.answer.completeness is not None:
            self.add("completeness-gap", self.answer.completeness["gap"], self.call.target.unit)

    def stability(self, draws: int) -> None:
        """Max-sensitivity, to uniform noise on the embeddings of the tokens that are explained."""
        call = self.call
        if not self.map.any():
            self.leave_out("max-sensitivity", "the map is zero everywhere")
            return
        own = call.vectors[call.places]
        radius = sensitivity.RADIUS * float(own.max() - own.min())
        noise = np.random.default_rng([call.seed, 0x5E2517]).uniform(-radius, radius, (draws, *own.shape)).astype(np.float32)
        moved = []
        for one in torch.from_numpy(noise).to(own.device):
            vectors = call.vectors.clone()
            vectors[call.places] += one
            try:
                moved.append(self.explain(replace(call, vectors=vectors), self.params).values.detach().cpu().double().numpy())
            except InvalidInput as error:
                self.leave_out("max-sensitivity", f"no answer for the text with noise ({error.detail})")
                return
        random = sensitivity.random_sensitivity(self.map, self.chance.places, draws) if self.chance is not None else None
        self.add("max-sensitivity", sensitivity.max_sensitivity(self.map, np.stack(moved)), "relative change", draws=random)

    def other_weights(self) -> None:
        """Model randomisation."""
        call = self.call
        if call.count < 2:
            self.leave_out("randomisation", "there is one token only")
            return
        other = randomisation.randomised(cast(Any, call.model), call.seed)
        before = other.forward_passes
        try:
            found = self.explain(call.on(cast(Any, other)), self.params).values.detach().cpu().double().numpy()
        except InvalidInput as error:
            self.leave_out("randomisation", f"no answer on a random network ({error.detail})")
            return
        finally:
            call.model.forward_passes += other.forward_passes - before
        alike = similarity.spearman(self.map, found) if np.isfinite(found).all() else float("nan")
        if np.isnan(alike):
            self.leave_out("randomisation", "a map is the same everywhere or not finite, so it has no ranks")
            return
        band = min(1.0, similarity.spearman_band(call.count))
        self.add("randomisation", alike, "rank correlation", chance=0.0, band=(-band, band))
        verdict = "passes" if randomisation.changed(alike) else "fails"
        self.facts["randomisation"] = f"{verdict}; fails from {randomisation.FAILS} on"

    def scorecard(self, facts: Facts) -> Scorecard:
        return Scorecard(
            title="Evidence", note="Chance: what random maps get, mean and central 95 %; the same random maps for all methods.",
            scores=sorted(self.sheet.scores, key=lambda s: SCORES.index(s.name)),
            facts=facts | self.facts | {"warnings": self.warnings} | self.sheet.missing(),
        )  # fmt: skip

    def curves(self) -> Curves:
        """
        Raises:
            InvalidInput: a value is not finite.
        """
        ordered = np.array(counts(self.call.count), np.float32)
        bands = [np.quantile(random, [0.05, 0.95], axis=0) for _, _, random in self.series]
        arrays = {
            "x": ordered / self.call.count * 100, "y": np.array([y for _, y, _ in self.series]), "low": np.array([b[0] for b in bands]),
            "high": np.array([b[1] for b in bands]),
        }  # fmt: skip
        return Curves(
            title="Deletion and insertion", note=f"Off: {self.fill.name}. Bands: central 90 % of {DRAWS} random orders.",
            series=[f"{name}: {self.call.target.name}" for name, _, _ in self.series], x_axis="tokens changed (%)", y_axis=self.unit,
            arrays={name: a.astype(np.float32).reshape((-1,) if name == "x" else (-1, len(ordered))) for name, a in arrays.items()},
        )  # fmt: skip
