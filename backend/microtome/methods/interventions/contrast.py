"""States of a model on texts of two kinds, and the direction that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.context import RunContext
from microtome.methods.language import inputs_of, prompt_tokens
from microtome.models.layers import Layer
from microtome.models.text import TextModel

_BATCH = 16
Floats = npt.NDArray[np.float64]


def states(
    model: TextModel, texts: Sequence[str], layer: Layer, where: Literal["last", "mean"], field: str, run: RunContext
) -> Floats:  # fmt: skip
    """float64 [texts, D]: what a layer is read from at the last token of every text, or its mean over the text's tokens.

    Raises:
        InvalidInput, TooLarge: of ``field``: an empty text, or one that the model cannot read whole.
    """
    encoded = [prompt_tokens(model, text, field) for text in texts]
    found = []
    for start in range(0, len(encoded), _BATCH):
        run.check()
        part = encoded[start : start + _BATCH]
        with torch.no_grad(), model.record([layer]) as outputs:
            model.forward(inputs_of(model, part))
        for row, tokens in zip(outputs[layer.name], part, strict=True):
            own = row[tokens.first : tokens.last].double()
            found.append((own[-1] if where == "last" else own.mean(0)).cpu().numpy())
    return np.stack(found)


def direction_of(positive: Floats, negative: Floats, by: Literal["mean difference", "pca"]) -> Floats:
    """Unit vector [D] from the negative to the positive states of pairs [pairs, D]; of no length where they do not differ.

    Of ``pca`` it is the first principal direction of the differences about zero, pointing along their mean.
    """
    differences = positive - negative
    mean = differences.mean(0)
    found = mean
    if by == "pca" and np.linalg.norm(differences) > 0:
        found = np.linalg.svd(differences, full_matrices=False)[2][0]
        found = found if found @ mean >= 0 else -found
    length = float(np.linalg.norm(found))
    return found / length if length > 0 else np.zeros_like(found)
