"""Examples of probe sets, with the model's predictions where a run has stored them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, select

from microtome.api.desk import Desk
from microtome.api.shapes import number_cursor
from microtome.core.classes import match_classes
from microtome.core.errors import InvalidInput, NotFound
from microtome.store import tables as t


def checked(desk: Desk, slug: str, index: int) -> tuple[Row[Any], Any]:
    """The row and the opened probe set, with ``index`` inside."""
    row = desk.engine.sources.get("probe", slug)
    probe = desk.engine.reader.probe(row.source)
    if index >= len(probe):
        raise NotFound(f"{slug} has {len(probe)} examples, numbered from 0; there is no {index}.", field="index")
    return row, probe


class Predictions:
    """Stored probabilities of one model on one probe set: float32 [examples, classes]."""

    def __init__(self, desk: Desk, model: str, probe: Row[Any]) -> None:
        row = desk.engine.sources.get("model", model)
        self.names = row.description["class_names"]
        classes = probe.description["classes"]
        mapping = match_classes(classes, self.names)
        self.truth = np.array([mapping.get(c, -1) for c in range(len(classes))] or [-1])
        self.values = _probabilities(desk, row.hash, probe.hash)

    def of(self, index: int, label: int | None) -> dict[str, Any] | None:
        if self.values is None or index >= len(self.values):
            return None
        probabilities = self.values[index]
        predicted = int(probabilities.argmax())
        true = int(self.truth[label]) if label is not None and label < len(self.truth) else -1
        return {
            "class": predicted, "name": self.names[predicted], "probability": float(probabilities[predicted]),
            "correct": predicted == true if true >= 0 else None,
            "true_probability": float(probabilities[true]) if true >= 0 else None,
        }  # fmt: skip


def _probabilities(desk: Desk, model_hash: str, probe_hash: str) -> npt.NDArray[np.float32] | None:
    """The newest result of these two that is a matrix of examples by classes, whatever method made it."""
    query = (
        select(t.result_item)
        .join(t.result, t.result.c.key == t.result_item.c.key)
        .where(t.result.c.model_hash == model_hash, t.result.c.probe_hash == probe_hash, t.result.c.part == "")
        .where(t.result_item.c.kind == "matrix")
        .order_by(t.result.c.created.desc())
        .limit(50)
    )
    with desk.store.read() as connection:
        for row in connection.execute(query):
            if (row.document.get("row_axis"), row.document.get("column_axis")) == ("example", "class"):
                return desk.store.blobs.array(row.arrays["values"]["sha256"])
    return None


def example_page(
    desk: Desk, slug: str, label: int | None, subset: str, model: str | None, order: str, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of examples.

    Raises:
        InvalidInput: subset or order by confidence without stored predictions.
    """
    row = desk.engine.sources.get("probe", slug)
    probe = desk.engine.reader.probe(row.source)
    if label is not None and label >= len(probe.classes):
        raise InvalidInput(f"{slug} has {len(probe.classes)} classes, numbered from 0; there is no {label}.", field="label")
    predictions = Predictions(desk, model, row) if model is not None else None
    indices = np.arange(len(probe))
    labels = _labels(desk, row, probe)
    if label is not None:
        indices = indices[labels == label]
    if subset != "all" or order == "confidence":
        if model is None:
            raise InvalidInput("Which predictions? Give model too.", field="model")
        values = predictions.values if predictions is not None else None
        if predictions is None or values is None:
            raise InvalidInput(
                f"There are no stored predictions of {model} on {slug}. Run the method 'predictions' on them first.",
                field="subset" if subset != "all" else "order",
            )
        indices = indices[indices < len(values)]
        best = values.argmax(1)[indices]
        if subset != "all":
            truth = np.where(labels[indices] >= 0, predictions.truth[np.maximum(labels[indices], 0)], -1)
            known = truth >= 0
            keep = known & (best == truth) if subset == "correct" else known & (best != truth)
            indices, best = indices[keep], best[keep]
        if order == "confidence":
            indices = indices[np.argsort(-values[indices, best], kind="stable")]
    start = number_cursor(cursor) or 0
    chosen = indices[start : start + limit].tolist()
    items = [_shape(desk, slug, probe, i, predictions) for i in chosen]
    return {"items": items, "next": str(start + limit) if start + limit < len(indices) else None}


def _labels(desk: Desk, row: Row[Any], probe: Any) -> npt.NDArray[np.int64]:
    def read() -> npt.NDArray[np.int64]:
        return np.array([-1 if (y := probe.label(i)) is None else y for i in range(len(probe))], np.int64)

    return desk.browse.remember(("labels", probe.hash), read)


def example_shape(desk: Desk, slug: str, index: int, model: str | None) -> dict[str, Any]:
    row, probe = checked(desk, slug, index)
    return _shape(desk, slug, probe, index, Predictions(desk, model, row) if model is not None else None)


def _shape(desk: Desk, slug: str, probe: Any, index: int, predictions: Predictions | None) -> dict[str, Any]:
    label = probe.label(index)
    return {
        "index": index, "name": probe.name(index), "label": label,
        "label_name": probe.classes[label] if label is not None else None,
        "image": f"/api/v1/probes/{slug}/examples/{index}/image" if probe.modality == "image" else None,
        "text": probe.text(index)[:2000] if probe.modality == "text" else None,
        "prediction": predictions.of(index, label) if predictions is not None else None,
    }  # fmt: skip


def masks_shape(desk: Desk, slug: str, index: int) -> dict[str, Any]:
    """Pixels of each concept in one example."""
    _, probe = checked(desk, slug, index)
    labels = probe.labels(index)
    found = []
    if labels is not None:
        counts = np.zeros(len(probe.concepts) + 1, np.int64)
        for layer in labels:
            counts[: len(probe.concepts) + 1] += np.bincount(layer.ravel(), minlength=len(counts))[: len(counts)]
        for concept in probe.concepts:
            if counts[concept.index + 1]:
                found.append(
                    {
                        "index": concept.index,
                        "name": concept.name,
                        "category": concept.category,
                        "pixels": int(counts[concept.index + 1]),
                    }
                )
    return {"concepts": found}
