"""How the examples of a probe set reach a model, and how their labels come along: images by their geometry, texts by their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from microtome.capture.labels import IGNORED
from microtome.core.errors import InvalidInput
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.text import PAD, TextModel
from microtome.models.tokens import Tokens
from microtome.probes import ImageSet, ProbeSet, TextSet
from microtome.probes.packed import packed

Labels = npt.NDArray[np.uint16]
#: Texts of which the longest is looked for, so that no more room is taken than it needs; of more, each may fill the window.
_LOOKED_AT = 20_000


class Reading(Protocol):
    """Examples of one probe set, for one model.

    Attributes:
        size: height and width at which masks are compared.
        outputs: numbers of each example's answer that are kept; 0 where the answer need not be computed.
    """

    size: tuple[int, int]
    outputs: int

    def read(self, indices: Sequence[int], *, labels: bool) -> tuple[torch.Tensor, Labels | None]:
        """Inputs of examples, not yet on the model's device, and their labels uint16 [n, L, *size] if wanted and there."""
        ...

    def lengths(self, inputs: torch.Tensor) -> npt.NDArray[np.int32] | None:
        """Sites of each input that are used, from the first one on; None where all are."""
        ...


class ImageReading:
    def __init__(self, model: ImageModel, probe: ImageSet) -> None:
        self._model, self._probe = model, probe
        self.size, self.outputs = label_size(model.preprocess.size), len(model.classes)

    def read(self, indices: Sequence[int], *, labels: bool) -> tuple[torch.Tensor, Labels | None]:
        found = np.stack([self._labels(i) for i in indices]) if labels else None
        return self._model.preprocess([self._probe.image(i) for i in indices]), found

    def _labels(self, index: int) -> Labels:
        """uint16 [L, *size]: labels through the model's own geometry; ignored positions are IGNORED in every map."""
        geometry = self._model.preprocess.geometry
        labels, ignore = self._probe.labels(index), self._probe.ignore(index)
        assert labels is not None
        shown = geometry.labels(labels, self.size, outside=int(IGNORED))  # what lies outside the source image is not "nothing"
        if ignore is not None:
            shown[:, geometry.labels(ignore, self.size)] = IGNORED
        return shown

    def lengths(self, inputs: torch.Tensor) -> None:
        return None


class TextReading:
    """Sites are tokens, without those around the text; a classifier's answer is its logits, nothing is kept of any other."""

    def __init__(self, model: TextModel, probe: TextSet, width: int) -> None:
        self._model, self._probe = model, probe
        self.size, self.outputs = (1, width), len(model.classes)
        # Special tokens behind the text are no sites either.
        self._behind = len(model.tokenizer.encode("a")) - model.tokenizer.encode("a").last

    def read(self, indices: Sequence[int], *, labels: bool) -> tuple[torch.Tensor, Labels | None]:
        texts = [self._model.tokenizer.encode(self._probe.text(i)) for i in indices]
        inputs = TextModel.batch([torch.from_numpy(t.ids) for t in texts])
        if not labels:
            return inputs, None
        rows = [self._labels(i, tokens) for i, tokens in zip(indices, texts, strict=True)]
        out = np.zeros((len(rows), max(len(r) for r in rows), *self.size), np.uint16)
        for row, found, tokens in zip(out, rows, texts, strict=True):
            count = tokens.last - tokens.first
            row[:, 0, count:] = IGNORED
            row[: len(found), 0, :count] = found
        return inputs, out

    def _labels(self, index: int, tokens: Tokens) -> Labels:
        characters = self._probe.labels(index)
        assert characters is not None
        return token_labels(characters, self._probe.text(index), tokens, len(self._probe.concepts))

    def lengths(self, inputs: torch.Tensor) -> npt.NDArray[np.int32]:
        used = (inputs != PAD).sum(1) - self._model.special - self._behind
        return used.clamp(min=0).numpy().astype(np.int32)


def token_labels(characters: Labels, text: str, tokens: Tokens, concepts: int) -> Labels:
    """uint16 [L, tokens of the text]: a token has every concept that any of its characters has.

    Characters of white space count only in tokens that are nothing but white space, so that a word's token does not take on what the
    space before it is.

    Args:
        characters: uint16 [L, characters].
    """
    masks = np.zeros((concepts + 1, characters.shape[1] + 1), np.int32)
    for layer in characters:
        masks[layer, np.arange(characters.shape[1])] = 1
    blank = np.array([c.isspace() for c in text], bool)
    starts, stops = tokens.starts[tokens.first : tokens.last], tokens.stops[tokens.first : tokens.last]
    ink = np.concatenate([[0], np.cumsum(~blank)])
    written = ink[stops] > ink[starts]

    def within(mask: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        sums = np.concatenate([np.zeros((len(mask), 1), np.int64), np.cumsum(mask, axis=1)], axis=1)
        return np.asarray(sums[:, stops] - sums[:, starts])

    every, inked = within(masks[1:, :-1]), within(masks[1:, :-1] * ~blank)
    return packed(np.where(written, inked, every) > 0)


def label_size(model_input: tuple[int, int]) -> tuple[int, int]:
    """Size at which masks of images are compared: the model's input up to 128 pixels, half of it above (112 for 224, as NetDissect)."""
    return tuple(s if s <= 128 else s // 2 for s in model_input)  # type: ignore[return-value]


def input_size(model: Model, width: int | None) -> tuple[int, int]:
    """Height and width of what maps of sites cover: the model's input, or a row of tokens."""
    if isinstance(model, ImageModel):
        return model.preprocess.size
    return 1, width or 1


def check_fit(model: Model, probe: ProbeSet) -> None:
    """Raise unless the model takes what the probe set holds.

    Raises:
        InvalidInput: a model of images with texts, or the other way round.
    """
    if model.modality != probe.modality:
        held = {"image": "images", "text": "texts"}
        raise InvalidInput(
            f"{model.source} takes {held[model.modality]}, {probe.source} holds {held[probe.modality]}. Choose a probe set of "
            f"{held[model.modality]}.",
            field="subjects.probe",
        )


def text_width(model: Model, probe: ProbeSet, examples: int) -> int | None:
    """Tokens of the longest of the first ``examples`` texts, as far as the window goes; None for images."""
    if not isinstance(model, TextModel):
        return None
    if examples > _LOOKED_AT:
        return model.tokenizer.window
    texts = cast("TextSet", probe)
    found = (model.tokenizer.encode(texts.text(i)) for i in range(examples))
    return max(1, *(tokens.last - tokens.first for tokens in found))


def reading_of(model: Model, probe: ProbeSet, width: int | None) -> Reading:
    """The reading for a model and a probe set that fit; ``width`` of texts, as :func:`text_width` finds it."""
    if isinstance(model, TextModel):
        return TextReading(model, cast("TextSet", probe), width or model.tokenizer.window)
    return ImageReading(cast("ImageModel", model), cast("ImageSet", probe))


def sized(layer: Layer, width: int | None) -> Layer:
    """The layer as it is recorded: no wider than the longest text."""
    return replace(layer, width=width) if layer.layout == "sequence" and width is not None else layer
