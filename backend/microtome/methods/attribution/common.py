"""What all attribution methods share: targets, the input of one example, the finished map."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from microtome.core.errors import InvalidInput
from microtome.models.model import Model
from microtome.probes import Example
from microtome.results import ImageMap


def prepare(model: Model, example: Example) -> torch.Tensor:
    """Input float32 [1, 3, H, W] of one example."""
    return model.inputs([example.image])


def resolve_targets(model: Model, inputs: torch.Tensor, targets: Sequence[int] | None) -> tuple[list[int], torch.Tensor]:
    """Class indices to explain, the predicted class if none are named, and the logits [classes], of inputs [1, 3, H, W].

    Raises:
        InvalidInput: as :func:`choose_targets`.
    """
    with torch.inference_mode():
        logits = model.forward(inputs)[0]
    return choose_targets(model, logits, targets), logits


def choose_targets(model: Model, logits: torch.Tensor, targets: Sequence[int] | None) -> list[int]:
    """Class indices to explain, the predicted class if none are named, given the logits [classes] of an image.

    Raises:
        InvalidInput: a class the model does not have, or logits that are not finite.
    """
    if not torch.isfinite(logits).all():
        raise InvalidInput("The model's output for this image is not finite, so there is nothing to explain.", field="example")
    chosen = list(dict.fromkeys(targets)) if targets else [int(logits.argmax())]
    for target in chosen:
        if not 0 <= target < len(model.classes):
            raise InvalidInput(
                f"The model has {len(model.classes)} classes, 0 to {len(model.classes) - 1}; there is no {target}.",
                field="targets",
            )
    return chosen


def image_map(
    model: Model,
    maps: torch.Tensor,
    targets: Sequence[int],
    logits: torch.Tensor,
    *,
    title: str,
    quantity: str,
    signed: bool = True,
    note: str = "",
    completeness: list[dict[str, float]] | None = None,
) -> ImageMap:
    """The result of an attribution method.

    Args:
        maps: [targets, h, w] at the size of the model's input.

    Raises:
        InvalidInput: if a value is not finite; a map that could not be computed is never shown as zeros.
    """
    if not torch.isfinite(maps).all():
        raise InvalidInput("The map has values that are not finite; nothing was stored.", field="example")
    return ImageMap(
        title=title,
        note=note,
        targets=[model.classes[t] for t in targets],
        target_indices=list(targets),
        quantity=quantity,
        signed=signed,
        completeness=completeness or [],
        score=[float(logits[t]) for t in targets],
        arrays={"maps": maps.detach().float().cpu().numpy()},
    )
