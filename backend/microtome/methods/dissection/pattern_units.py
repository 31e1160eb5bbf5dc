"""Units that respond to a pattern of characters: a regular expression over the probe text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import regex
from pydantic import Field

from microtome.capture.labels import IGNORED, LabelCodes, encode
from microtome.capture.reading import token_labels
from microtome.capture.recorders.batch import Batch
from microtome.capture.recorders.ranked import Ranked
from microtome.capture.recorders.tally import ConceptAreas, Counts
from microtome.capture.taken import View, captured
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.facts import by_layer
from microtome.methods.dissection.ranking import STEPS, rank
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Scorecard, UnitTable

#: Seconds that a pattern may take on one text: some patterns never end.
_PATIENCE = 1.0


class Params(MethodParams):
    pattern: str = Field("def ", min_length=1, max_length=200, description="Regular expression; a token counts if a match touches it.")
    count: int = Field(20, ge=1, le=200, description="Units named of each layer.")
    max_examples: int | None = Field(None, ge=1, le=1_000_000, description="Use only the first texts; all if empty.")


class _Marked(Ranked):
    """Counts with labels of its own in the place of the probe set's."""

    def __init__(self, thresholds: npt.NDArray[np.float32], labels: LabelCodes) -> None:
        super().__init__(thresholds, 1)
        self._labels = labels

    def update(self, batch: Batch, do) -> None:  # type: ignore[no-untyped-def]
        part = slice(batch.start, batch.start + len(batch.maps))
        first, last = self._labels.offsets[part.start], self._labels.offsets[part.stop]
        offsets = self._labels.offsets[part.start : part.stop + 1] - first
        own = LabelCodes(self._labels.codes[part], self._labels.members[first:last], offsets)
        super().update(Batch(batch.start, batch.maps, own, batch.lengths), do)


@method(
    "pattern-units",
    title="Units by pattern",
    question="Which units respond to this pattern of characters?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(UnitTable, Scorecard),
    params=Params,
    version="2",
    example_params=Params(pattern="=", count=2),
    cite="average precision over tokens; Tamkin, Taufeeque, Goodman 2023, arXiv:2310.17230 (search by pattern)",
    cost=Cost(passes=1.1, per_probe=True, capture=("moments", "thresholds", "counts")),
)
def pattern_units(  # type: ignore[no-untyped-def]
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
):
    """Average precision, and precision and recall at the best F1, of every unit for the tokens that a regular expression touches.

    The ranking is cut at the quantiles of a dissection, so average precision is comparable with a concept's. A ranking by lot has the
    prevalence of the pattern. Activations that a dissection of the same texts has kept are used again.

    Raises:
        InvalidInput: a pattern that is no regular expression, never ends, or matches nothing or everything.
    """
    reader, texts = text_model(model), cast("TextSet", probe)
    chosen = [reader.layer(name) for name in layers] if layers else reader.default_layers()
    examples = min(len(probe), params.max_examples or len(probe))
    with captured(reader, probe, chosen, examples, run) as taken:
        codes = encode(_marks(reader, texts, examples, taken.input_size[1], params.pattern, run))
        areas = ConceptAreas.of(codes, 1)
        if areas.areas[0] in (0, areas.positions):
            what = "nothing" if areas.areas[0] == 0 else "every token"
            raise InvalidInput(f"The pattern matches {what} of the first {examples:,} texts.", field="params.pattern")

        def measure(view: View) -> Counts:
            return view.record(_Marked(view.thresholds(STEPS).values, codes))[0].finish()

        tables, best = {}, []
        for layer, counts in by_layer(taken, measure, _joined, len(chosen), run):
            found = rank(counts, areas)
            ap = found.precision[:, 0]
            point = _best_cut(counts, areas)
            both, above = (np.take_along_axis(a, point[:, None], 1)[:, 0] for a in (counts.shared[:, 0], counts.unit_areas))
            order = np.argsort(-ap, kind="stable")[: params.count]
            precision, recall = both / np.maximum(above, 1), both / areas.areas[0]
            tables[layer.label] = UnitTable.of(
                title=f"Units of {layer.label} for the pattern", layer=layer.name, units=order.astype(np.int32),
                columns=[
                    Column("ap", "Average precision", "number", ap[order]),
                    Column("f1", "Best F1", "number", found.f1[order, 0]),
                    Column("precision", "Precision there", "number", precision[order]),
                    Column("recall", "Recall there", "number", recall[order]),
                ],
            )  # fmt: skip
            best += [(float(ap[u]), f"{layer.label}/{u}", layer.label) for u in order[: params.count].tolist()]
    chance = float(found.prevalence[0])
    best.sort(key=lambda row: -row[0])
    return {
        "best": Scorecard(
            title=f"Units for /{params.pattern}/",
            note="Chance: prevalence of the pattern among tokens, the average precision of a ranking by lot.",
            scores=[Scorecard.Score(name=name, value=value, unit="AP", chance=chance, group="") for value, name, _ in best[: params.count]],
            facts={"pattern": params.pattern, "tokens": areas.positions, "tokens that match": int(areas.areas[0]), "texts": examples},
        )
    } | tables  # fmt: skip


def _marks(model: TextModel, probe: TextSet, examples: int, width: int, pattern: str, run: RunContext) -> npt.NDArray[np.uint16]:
    """uint16 [examples, 1, 1, width]: 1 where a match touches the token, IGNORED behind the text."""
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise InvalidInput(f"The pattern is no regular expression: {error}.", field="params.pattern") from None
    out = np.zeros((examples, 1, 1, width), np.uint16)
    for row in range(examples):
        run.check()
        text = probe.text(row)
        tokens = model.tokenizer.encode(text)
        touched = np.zeros((1, len(text)), np.uint16)
        try:
            for found in compiled.finditer(text, timeout=_PATIENCE):
                touched[0, found.start() : found.end()] = 1
        except TimeoutError:
            raise InvalidInput(
                f"The pattern takes more than {_PATIENCE:g} s on one text; write it without nested repetition.", field="params.pattern"
            ) from None
        own = token_labels(touched, text, tokens, 1)
        out[row, 0, 0, tokens.last - tokens.first :] = IGNORED
        out[row, 0, 0, : own.shape[1]] = own[0]
    return out


def _best_cut(counts: Counts, areas: ConceptAreas) -> npt.NDArray[np.int64]:
    """The cut with the best F1, of every unit."""
    return np.asarray((2 * counts.shared[:, 0] / (counts.unit_areas + areas.areas[0])).argmax(axis=1))


def _joined(parts: Sequence[Counts]) -> Counts:
    """Counts of consecutive units as one."""
    if len(parts) == 1:
        return parts[0]
    return Counts(np.concatenate([p.unit_areas for p in parts]), np.concatenate([p.shared for p in parts]))
