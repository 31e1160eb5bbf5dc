"""Which concepts are known by the same neurons."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from microtome.capture.reading import check_fit, token_labels
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.concepts.labelled import Labelled, activations
from microtome.methods.concepts.measures import average_precisions
from microtome.methods.concepts.sparse_probing import layers_of
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.probes import ProbeSet, TextSet
from microtome.results import Column, Matrix, Result, Scorecard, UnitTable

Ints = npt.NDArray[np.int64]


class Params(MethodParams):
    concepts: list[str] = Field(
        default=[], max_length=200, description="Concepts of the probe set, 'category:name' each; empty for all that are frequent enough."
    )
    top: int = Field(20, ge=1, le=500, description="Neurons of every concept, the best by average precision.")
    fewest: int = Field(20, ge=2, le=10_000, description="Tokens that a concept must have among those drawn.")
    texts: int = Field(400, ge=4, le=100_000, description="First texts of the probe set.")
    tokens: int = Field(8_000, ge=20, le=200_000, description="Tokens that are drawn of them at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the drawn tokens.")


@method(
    "concept-overlap",
    title="Overlap of concepts",
    question="Which concepts are known by the same neurons?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(Matrix, UnitTable, Scorecard),
    params=Params,
    example_params=Params(top=2, fewest=2, texts=8, tokens=200),
    cite="Suau, Zappella, Apostoloff 2020, arXiv:2005.07647",
    cost=Cost(passes=30.0),
)
def concept_overlap(
    *, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """The best neurons of every concept, and the share of them that two concepts have in common.

    Neurons of all layers are ordered by average precision as detectors of a concept's tokens; those of the first ``top`` are the
    concept's. An entry of the matrix is how many of them two concepts share, divided by ``top``; of random sets it would be top / neurons,
    which stands beside it. Concepts that lie within each other (a docstring is a string) share neurons because they share tokens: the
    second matrix is the share of the row's tokens that have the column's concept. A neuron with many concepts is either of several, or of
    something that these have in common.

    Raises:
        InvalidInput: the model takes no texts; the probe set has no concepts (``probe``), not this one, or too little of it
            (``params.concepts``); more neurons than there are (``params.top``).
    """
    reading, texts = text_model(model), cast("TextSet", probe)
    check_fit(reading, probe)
    rows, has, names = _tokens(reading, texts, params, run)
    chosen = layers_of(reading, layers, "neurons")
    total = sum(x.units for x in chosen)
    if params.top > total:
        raise InvalidInput(f"There are {total} neurons; {params.top} cannot be taken.", field="params.top")
    found = []
    for _, values in activations(reading, texts, chosen, rows, "max", run):
        run.check()
        found.append(average_precisions(has, values))
    precision = np.concatenate(found, axis=1)
    best = np.argsort(-precision, axis=1, kind="stable")[:, : params.top]
    member = np.zeros(precision.shape, np.int64)
    np.put_along_axis(member, best, 1, axis=1)
    shared = (member @ member.T / params.top).astype(np.float32)
    within = (has.astype(np.int64) @ has.T.astype(np.int64) / has.sum(1)[:, None]).astype(np.float32)
    concepts_of = member.sum(0)
    results: dict[str, Result] = {
        "overlap": Matrix(
            title="Neurons that concepts share",
            note=f"Of the {params.top} best of each. Random sets would share {params.top / total:.2g} of theirs.",
            rows=names, columns=names, row_axis="concept", column_axis="concept", quantity="share of the neurons",
            arrays={"values": shared, "chance": np.full_like(shared, params.top / total)},
        ),
        "tokens": Matrix(
            title="Tokens that concepts share", note="Share of the tokens of the row that have the column's concept.",
            rows=names, columns=names, row_axis="concept", column_axis="concept", quantity="share of the row's tokens",
            arrays={"values": within},
        ),
        "summary": _summary(shared, within, concepts_of, names, params.top, total, len(rows.text)),
    }  # fmt: skip
    first = 0
    for layer in chosen:
        part = slice(first, first + layer.units)
        results[f"units_{layer.label.replace('.', '_')}"] = _table(layer.name, layer.label, precision[:, part], concepts_of[part], names)
        first += layer.units
    return results


def _tokens(
    model: TextModel, probe: TextSet, params: Params, run: RunContext
) -> tuple[Labelled, npt.NDArray[np.bool_], list[str]]:  # fmt: skip
    """Drawn tokens; which of them have each concept, bool [concepts, n]; and the concepts' names."""
    known = {c.key: c.index for c in probe.concepts}
    strange = [c for c in params.concepts if c not in known]
    if not known:
        raise InvalidInput(f"{probe.source} has no concepts of tokens.", field="probe")
    if strange:
        raise InvalidInput(
            f"{probe.source} has no concept '{strange[0][:80]}'. It has {', '.join(list(known)[:40])}.", field="params.concepts"
        )
    count = min(params.texts, len(probe))
    encoded = [model.tokenizer.encode(probe.text(i)) for i in range(count)]
    lengths = np.array([t.last - t.first for t in encoded])
    text, site = np.repeat(np.arange(count), lengths), np.concatenate([np.arange(n) for n in lengths])
    kept = np.arange(len(text))
    if len(text) > params.tokens:
        kept = np.sort(np.random.default_rng(params.seed).choice(len(text), params.tokens, replace=False))
    asked = list(dict.fromkeys(params.concepts)) or list(known)
    masks = np.concatenate([_masks(probe, i, t, run) for i, t in enumerate(encoded)], axis=1)[[known[key] for key in asked]][:, kept]
    enough = masks.sum(1) >= params.fewest
    if params.concepts and not enough.all():
        few = asked[int(np.flatnonzero(~enough)[0])]
        raise InvalidInput(
            f"'{few}' has fewer than {params.fewest} of the {len(kept):,} tokens drawn. Take more texts, or another concept.",
            field="params.concepts",
        )
    if enough.sum() < 2:
        raise InvalidInput(f"Fewer than two concepts have {params.fewest} of the {len(kept):,} tokens drawn.", field="params.concepts")
    nothing = np.zeros(len(kept), bool)
    return (
        Labelled("", nothing, text[kept], site[kept], nothing, count),
        masks[enough],
        [k for k, e in zip(asked, enough, strict=True) if e],
    )


def _masks(probe: TextSet, index: int, tokens: Tokens, run: RunContext) -> npt.NDArray[np.bool_]:
    """bool [concepts, tokens of the text]."""
    run.check()
    out = np.zeros((len(probe.concepts) + 1, tokens.last - tokens.first), bool)
    characters = probe.labels(index)
    assert characters is not None
    for layer in token_labels(characters, probe.text(index), tokens, len(probe.concepts)):
        out[layer, np.arange(out.shape[1])] = True
    return out[1:]


def _table(name: str, label: str, precision: npt.NDArray[np.float64], concepts_of: Ints, names: list[str]) -> UnitTable:
    """Neurons that are among the best of some concept, those of most concepts first."""
    units = np.flatnonzero(concepts_of)
    units = units[np.argsort(-concepts_of[units], kind="stable")]
    strongest = precision[:, units].argmax(0) if len(units) else np.empty(0, np.int64)
    return UnitTable.of(
        title=f"Neurons of {label} by concepts", layer=name, units=units.astype(np.int32),
        columns=[
            Column("concepts", "Concepts", "integer", concepts_of[units]),
            Column("best", "Best concept", "text", [names[i] for i in strongest]),
            Column("ap", "Average precision for it", "number", precision[strongest, units]),
        ],
    )  # fmt: skip


def _summary(
    shared: npt.NDArray[np.float32], within: npt.NDArray[np.float32], concepts_of: Ints, names: list[str], top: int, total: int, tokens: int
) -> Scorecard:
    """Pairs that share most, with the part of the rarer concept's tokens that have both."""
    rows, columns = np.triu_indices(len(names), 1)
    order = np.argsort(-shared[rows, columns], kind="stable")[:15]
    return Scorecard(
        title="Pairs of concepts that share most neurons",
        note="In brackets the larger of the two shares of tokens that have both concepts: 1 where one lies within the other.",
        scores=[
            Scorecard.Score(
                name=f"{names[a]} and {names[b]} ({max(within[a, b], within[b, a]):.2f})", value=float(shared[a, b]), chance=top / total,
                group="pairs",
            )
            for a, b in zip(rows[order], columns[order], strict=True)
        ],
        facts={
            "concepts": len(names), "neurons": total, "neurons of some concept": int((concepts_of > 0).sum()),
            "neurons of several concepts": int((concepts_of > 1).sum()), "tokens": tokens,
        },
    )  # fmt: skip
