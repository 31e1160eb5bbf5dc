"""Predictions: of one image, and of a whole probe set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field

from microtome.capture.taken import captured
from microtome.core.classes import match_classes
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.methods.attribution.target import check_finite
from microtome.methods.contract import Ask, Cost, MethodParams, Results, alone, method
from microtome.models.image import ImageModel
from microtome.probes import Example, ImageSet
from microtome.results import Matrix, Scorecard


def _predict_together(*, model: ImageModel, params: MethodParams, asks: Sequence[Ask]) -> list[Results | MicrotomeError]:
    with torch.inference_mode():
        logits = model.forward(model.inputs([ask.subjects["example"].image for ask in asks]))
    return [_prediction(model, row) for row in logits]


def _prediction(model: ImageModel, logits: torch.Tensor) -> Results | MicrotomeError:
    try:
        predicted = int(check_finite(logits).argmax())
    except InvalidInput as error:
        return error
    chances = model.probabilities(logits).tolist()
    scores = [
        Scorecard.Score(name=name, value=p, unit="probability", group="class") for name, p in zip(model.classes, chances, strict=True)
    ]
    return {"prediction": Scorecard(title="Prediction", scores=scores, facts={"predicted": predicted, "multilabel": model.multilabel})}


@method(
    "predict",
    title="Prediction",
    question="What does the model say of this image?",
    subjects=("model", "example"),
    returns=(Scorecard,),
    interactive=True,
    cite="softmax of the model's logits; sigmoid where labels do not exclude each other",
    version="2",
    cost=Cost(passes=1.0),
    batch=_predict_together,
)
def predict(*, model: ImageModel, example: Example, params: MethodParams, run: RunContext):  # type: ignore[no-untyped-def]
    """Probability of every class for one image, in order of the classes.

    Of a model whose labels do not exclude each other (``problem_type`` of its configuration), each label by itself.
    """
    return alone(_predict_together, model=model, params=params, run=run, example=example)


class Params(MethodParams):
    max_examples: int | None = Field(None, ge=1, le=10_000_000, description="Use only the first examples; all if empty.")


@method(
    "predictions",
    title="Predictions on a probe set",
    question="What does the model say of these images, and where is it wrong?",
    subjects=("model", "probe"),
    returns=(Matrix, Scorecard),
    params=Params,
    example_params=Params(max_examples=6),
    cite="softmax of the model's logits; sigmoid where labels do not exclude each other",
    version="2",
    cost=Cost(passes=1.0, per_probe=True, capture=("logits",)),
)
def predictions(*, model: ImageModel, probe: ImageSet, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Probability of every class for every example, and the accuracy of the most probable one where classes match by name.

    The 95 % interval of an accuracy is Wilson's.
    """
    examples = min(len(probe), params.max_examples or len(probe))
    with captured(model, probe, [], examples, run) as taken:
        out = model.probabilities(torch.from_numpy(np.array(taken.logits()))).float().numpy()
    mapping = match_classes(probe.classes, model.classes)
    labels = [probe.label(i) for i in range(examples)]
    truth = np.array([-1 if y is None else mapping.get(y, -1) for y in labels])
    right = out.argmax(1) == truth
    scores = [_accuracy("all classes", right[truth >= 0], 1 / max(len(model.classes), 1))] if (truth >= 0).any() else []
    for name, index in ((model.classes[m], m) for m in sorted(set(mapping.values()))):
        if (truth == index).any():
            scores.append(_accuracy(name, right[truth == index], 1 / len(model.classes)))
    return {
        "probabilities": Matrix(
            title="Class probabilities", rows=[], columns=list(model.classes), row_axis="example", column_axis="class",
            quantity="probability", arrays={"values": out},
        ),
        "accuracy": Scorecard(
            title="Accuracy", scores=scores, facts={"images": examples, "matched_classes": len(mapping)},
            note="" if mapping else "No class of the probe set has the name of a class of the model, so accuracy is not defined.",
        ),
    }  # fmt: skip


def _accuracy(name: str, right: np.ndarray, chance: float) -> Scorecard.Score:
    n, p, z = len(right), float(right.mean()), 1.959964
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Scorecard.Score(name=name, value=p, low=middle - half, high=middle + half, chance=chance, group="accuracy")
