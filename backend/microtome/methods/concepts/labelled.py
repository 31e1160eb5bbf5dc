"""What a concept is asked about: tokens or texts with and without it, half of the texts to choose on and half to report on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from microtome.capture.reading import check_fit, token_labels
from microtome.capture.taken import Captures, captured
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.probes import TextSet

Pool = Literal["mean", "max"]
#: Texts whose activations are held in one piece.
_TEXTS = 32
#: Tokens or texts with the concept, and without it, that either half needs.
FEWEST = 2
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Tokens of texts, or whole texts, in order.

    Attributes:
        name: of the concept. has: bool [n]. text: int64 [n], index of the text in the probe set.
        site: int64 [n], the token among those of its text; None where rows are whole texts.
        held: bool [n], the half that is reported on; tokens of one text are in the same half.
        texts: the first so many texts of the probe set are read.
    """

    name: str
    has: Flags
    text: Ints
    site: Ints | None
    held: Flags
    texts: int

    @property
    def what(self) -> str:
        return "texts" if self.site is None else "tokens"

    @property
    def prevalence(self) -> float:
        """Share with the concept, in the half that is reported on."""
        return float(self.has[self.held].mean())


def labelled(model: TextModel, probe: TextSet, concept: str, texts: int, tokens: int, seed: int) -> Labelled:
    """Of the first ``texts`` of a probe set: at most ``tokens`` tokens, drawn evenly, or for a class all texts.

    The halves are drawn by text, those with the concept and those without for themselves.

    Raises:
        InvalidInput: no such concept, or too few tokens or texts with or without it (``params.concept``).
    """
    check_fit(model, probe)
    count = min(texts, len(probe))
    wanted = _find(probe, concept)
    generator = np.random.default_rng(seed)
    encoded = [model.tokenizer.encode(probe.text(i)) for i in range(count)]
    lengths = np.array([t.last - t.first for t in encoded])
    if isinstance(wanted, str):
        place = probe.classes.index(wanted)
        text = np.flatnonzero(lengths > 0)
        has = np.array([probe.label(int(i)) == place for i in text], bool)
        site = None
        name = f"class:{wanted}"
    else:
        text = np.repeat(np.arange(count), lengths)
        site = np.concatenate([np.arange(n) for n in lengths]) if len(lengths) else np.empty(0, np.int64)
        has = np.concatenate([tokens_with(probe, i, t, wanted) for i, t in enumerate(encoded)])
        if len(text) > tokens:
            kept = np.sort(generator.choice(len(text), tokens, replace=False))
            text, site, has = text[kept], site[kept], has[kept]
        name = probe.concepts[wanted].key
    with_it = np.unique(text[has])
    held_texts = [generator.permutation(group)[len(group) // 2 :] for group in (with_it, np.setdiff1d(text, with_it))]
    held = np.isin(text, np.concatenate(held_texts))
    found = Labelled(name, has, text.astype(np.int64), site, held, count)
    for half, words in ((~held, "choose on"), (held, "report on")):
        here = has[half]
        if min(here.sum(), (~here).sum()) < FEWEST:
            raise InvalidInput(
                f"'{name}': of the {len(here):,} {found.what} to {words}, {int(here.sum())} have it; {FEWEST} with it and {FEWEST} without "
                "it are needed in each half. Take more texts, or another concept.",
                field="params.concept",
            )
    return found


def activations(
    model: TextModel, probe: TextSet, layers: Sequence[Layer], rows: Labelled, pool: Pool, run: RunContext
) -> Iterator[tuple[Layer, Floats]]:
    """Every layer with its activations float32 [n, units] of the labelled tokens, or of texts their mean or maximum over tokens."""
    groups = np.split(np.arange(len(rows.text)), np.flatnonzero(np.diff(rows.text)) + 1)
    by_text = {int(rows.text[g[0]]): g for g in groups}
    # Texts that a person typed are known to this process only: what is kept for others, or spread over a cluster, cannot have them.
    opened = captured(model, probe, layers, rows.texts, run) if probe.hash else Captures().open(model, probe, layers, rows.texts, run)
    with opened as taken:
        out = np.empty((0, 0), np.float32)
        for number, view in enumerate(taken.views()):
            lengths = taken.lengths()
            assert lengths is not None
            piece, layer = view.piece, model.layers[view.layer.name]
            if piece.start == 0:
                out = np.empty((len(rows.text), layer.units), np.float32)
            texts = sorted(by_text)
            for first in range(0, len(texts), _TEXTS):
                run.check()
                part = texts[first : first + _TEXTS]
                maps = view.maps(np.broadcast_to(np.array(part, np.int32), (view.units, len(part))))[:, :, 0]
                for column, text in enumerate(part):
                    own = maps[:, column, : lengths[text]]
                    if rows.site is not None:
                        found = own[:, rows.site[by_text[text]]].T
                    else:
                        found = (own.mean(1) if pool == "mean" else own.max(1))[None]
                    out[by_text[text], piece.start : piece.stop] = found
            run.progress(number + 1, len(layers), "layers read")
            if piece.stop == layer.units:
                yield layer, out


def _find(probe: TextSet, concept: str) -> int | str:
    """Place of a concept, or the name of a class."""
    by_key = [c.index for c in probe.concepts if concept in (c.key, c.name)]
    if len(by_key) == 1:
        return by_key[0]
    for name in probe.classes:
        if concept in (f"class:{name}", name) and not by_key:
            return name
    known = [*(c.key for c in probe.concepts), *(f"class:{name}" for name in probe.classes)]
    what = "several concepts" if by_key else "no concept"
    raise InvalidInput(
        f"{probe.source} has {what} '{concept[:80]}'. It has {', '.join(known[:40])}{', ...' if len(known) > 40 else ''}.",
        field="params.concept",
    )


def tokens_with(probe: TextSet, index: int, tokens: Tokens, concept: int) -> Flags:
    """bool [tokens of the text]."""
    characters = probe.labels(index)
    if characters is None:
        return np.zeros(tokens.last - tokens.first, bool)
    found = token_labels(characters, probe.text(index), tokens, len(probe.concepts))
    return np.asarray((found == concept + 1).any(axis=0))
