"""What the methods here ask of a model and a probe set: layers of a kind, texts in batches, what every token is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from microtome.capture.reading import check_fit, token_labels
from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer
from microtome.models.text import TextModel
from microtome.models.tokens import Tokens
from microtome.probes import TextSet

RESAMPLES = 1000
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def layers_of_kind(model: TextModel, kind: str) -> list[Layer]:
    """All layers of a kind.

    Raises:
        InvalidInput: a model without (``model``).
    """
    there = [layer for layer in model.layers.values() if layer.kind == kind]
    if not there:
        raise InvalidInput(
            f"{model.source} has no layers of {kind}s: this method is for recurrent networks whose {kind}s are laid open, "
            "as those of pycode-lstm are.",
            field="model",
        )
    return there


def read_texts(model: TextModel, probe: TextSet, texts: int) -> dict[int, Tokens]:
    """Tokens of the first ``texts`` texts by their index, those that have any.

    Raises:
        InvalidInput: images, or texts without tokens.
    """
    check_fit(model, probe)
    encoded = {i: model.tokenizer.encode(probe.text(i)) for i in range(min(texts, len(probe)))}
    found = {i: tokens for i, tokens in encoded.items() if tokens.last > tokens.first}
    if not found:
        raise InvalidInput(f"The texts of {probe.source} have no tokens.", field="probe")
    return found


def concepts_of(probe: TextSet, index: int, tokens: Tokens) -> Flags:
    """bool [tokens of the text, concepts]."""
    has = np.zeros((tokens.last - tokens.first, len(probe.concepts)), bool)
    characters = probe.labels(index)
    if characters is not None and len(probe.concepts):
        for row in token_labels(characters, probe.text(index), tokens, len(probe.concepts)):
            at = np.flatnonzero(row)
            has[at, row[at] - 1] = True
    return has


def resampled_ratio(parts: npt.NDArray, wholes: npt.NDArray, seed: int) -> tuple[Floats, Floats]:
    """Ends of 95 % intervals of ``sum of parts / sum of wholes``, by bootstrap over the first axis: texts.

    NaN where no resample has a whole.
    """
    picks = np.random.default_rng(seed).integers(0, len(parts), (RESAMPLES, len(parts)))
    weights = np.stack([np.bincount(p, minlength=len(parts)) for p in picks]).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (weights @ parts) / (weights @ wholes)
    low, high = np.nanquantile(ratios, [0.025, 0.975], axis=0)
    return low, high


def batches(texts: dict[int, Tokens], size: int) -> Sequence[list[int]]:
    """Indices of texts, so many at a time."""
    order = list(texts)
    return [order[first : first + size] for first in range(0, len(order), size)]
