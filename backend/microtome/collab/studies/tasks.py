"""Tasks and their right answers, from results that are stored. What a task holds never leaves the server but as pictures and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.collab.studies.design import BetterModel, ForwardSimulation, GuessLabel
from microtome.core.errors import InvalidInput
from microtome.results import Gallery, Matrix, Result, UnitTable

CLEAR = 0.5  # IoU of a wrong choice, at most, as a share of that of the right one


@dataclass(slots=True)
class Task:
    """``truth`` is a place in ``choices``; ``maps`` holds keys of results by number of the condition."""

    content: dict[str, Any]
    choices: list[str]
    truth: int
    maps: dict[str, list[str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return asdict(self)


def guess_label(
    design: GuessLabel, layers: Mapping[str, tuple[str, Mapping[str, Result]]], examples: int, reader: str | None = None
) -> list[Task]:
    """
    Units that are detectors, as many different concepts as there are. Wrong choices are concepts that the unit overlaps with at most
    half as well as with the right one; of the same category where there are enough.

    Args:
        layers: key and results of a dissection by layer. examples: of the probe set.
        reader: hash of the model if it reads, since its tokens are shown; random passages then have a place of their own in their text.

    Raises:
        InvalidInput: too few units have a clear concept.
    """
    rng = np.random.default_rng([design.seed, 0])
    found: dict[str, list[Task]] = {}
    for layer, (key, results) in layers.items():
        for task in _units(design, layer, key, results, examples, rng):
            if reader is not None:
                task.content |= {"reader": reader, "places": rng.random(len(task.content["random"])).tolist()}
            found.setdefault(task.choices[task.truth], []).append(task)
    tasks = _in_turn(found, rng)
    if len(tasks) < design.tasks:
        raise InvalidInput(
            f"Only {len(tasks)} units have one clear concept with {design.choices - 1} clearly wrong ones beside it; the study asks for "
            f"{design.tasks}. Ask for fewer tasks or choices, or for more layers.",
            field="design.tasks",
        )
    return tasks[: design.tasks]


def _units(
    design: GuessLabel, layer: str, key: str, results: Mapping[str, Result], examples: int, rng: np.random.Generator
) -> list[Task]:  # fmt: skip
    table, iou, gallery = results["units"], results["iou"], results["exemplars"]
    assert isinstance(table, UnitTable)
    assert isinstance(iou, Matrix)
    assert isinstance(gallery, Gallery)
    top = [i for i, band in enumerate(gallery.bands) if band == "top"][: design.exemplars]
    out = []
    for row in np.flatnonzero(table.column("detector")):
        unit = int(table.units[row])
        values = iou.arrays["values"][unit]
        best = int(values.argmax())
        category = iou.columns[best].split(":")[0]
        wrong = [c for c in range(len(values)) if values[c] <= CLEAR * values[best] and short(iou.columns[c]) != short(iou.columns[best])]
        wrong = [int(c) for c in rng.permutation(np.array(wrong, int))]
        wrong.sort(key=lambda c: iou.columns[c].split(":")[0] != category)  # stable: the same category first
        names = list(dict.fromkeys(short(iou.columns[c]) for c in wrong))[: design.choices - 1]
        shown = [int(i) for i in gallery.arrays["example"][unit, top] if i >= 0]
        if len(names) < design.choices - 1 or not shown:
            continue
        content = {
            "key": key, "layer": layer, "unit": unit, "slots": top[: len(shown)], "examples": shown,
            "random": [int(i) for i in rng.choice(examples, len(shown), replace=examples < len(shown))],
            "threshold": float(table.column("threshold")[row]),
        }  # fmt: skip
        out.append(Task(content, [short(iou.columns[best]), *names], 0))
    return out


def forward_simulation(
    design: ForwardSimulation, probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> list[Task]:
    """
    Images on which the model is wrong and others, all predicted classes in turn. The choices hold what the model says, the true
    class, and others.

    Args:
        labels: class of the model for every example, -1 where it is not known.

    Raises:
        InvalidInput: there are too few images, or classes are not known by name.
    """
    rng = np.random.default_rng([design.seed, 0])
    predicted = probabilities.argmax(1)
    usable = np.asarray(np.isfinite(probabilities).all(1))
    if any(c.target == "true" for c in design.conditions):
        usable &= labels >= 0
    wrong = np.asarray(usable & (labels >= 0) & (labels != predicted))
    right = np.asarray(usable & ~wrong)
    missed = min(round(design.tasks * design.wrong), int(wrong.sum()))
    chosen = [*_classes_in_turn(wrong, predicted, rng)[:missed], *_classes_in_turn(right, predicted, rng)[: design.tasks - missed]]
    if len(chosen) < design.tasks:  # few images are right
        chosen = list(dict.fromkeys([*chosen, *_classes_in_turn(usable, predicted, rng)]))[: design.tasks]
    if len(chosen) < design.tasks:
        raise InvalidInput(f"Only {len(chosen)} images can be asked about; the study asks for {design.tasks}.", field="design.tasks")
    out = []
    for example in rng.permutation(np.array(chosen)):
        truth, label = int(predicted[example]), int(labels[example])
        others = [int(c) for c in rng.permutation(len(classes)) if c not in (truth, label)]
        picked = [truth, *([label] if label not in (-1, truth) else []), *others][: min(design.choices, len(classes))]
        out.append(Task({"model": design.model, "example": int(example), "label": label}, [classes[c] for c in picked], 0))
    return out


def better_model(
    design: BetterModel, probabilities: Mapping[str, npt.NDArray[np.float32]], labels: Mapping[str, npt.NDArray[np.int64]],
    own: npt.NDArray[np.int64],
) -> list[Task]:  # fmt: skip
    """
    The better one of a pair is that with the higher accuracy on the probe set. Images are shown that both get right where there are
    enough, so that the maps and not the answers differ.

    Args:
        labels: class of each model for every example, -1 where it is not known. own: class of the probe set for every example.

    Raises:
        InvalidInput: accuracy is not defined, or both are equally good.
    """
    rng = np.random.default_rng([design.seed, 0])
    out = []
    for one, other in design.pairs:
        known = (labels[one] >= 0) & (labels[other] >= 0)
        if not known.any():
            raise InvalidInput(f"No class of {design.probe} has the name of a class of both {one} and {other}.", field="design.pairs")
        right = [(probabilities[m].argmax(1) == labels[m]) & known for m in (one, other)]
        scores = [int(r.sum()) for r in right]
        if scores[0] == scores[1]:
            raise InvalidInput(
                f"{one} and {other} are equally good on {design.probe} ({scores[0]} of {int(known.sum())}), so no answer would be right.",
                field="design.pairs",
            )
        wanted = design.tasks // len(design.pairs)
        both = _classes_in_turn(np.asarray(right[0] & right[1]), own, rng)
        chosen = list(dict.fromkeys([*both, *_classes_in_turn(known, own, rng)]))[:wanted]
        if len(chosen) < wanted:
            raise InvalidInput(f"Only {len(chosen)} images can be asked about; the pair asks for {wanted}.", field="design.tasks")
        out += [Task({"models": [one, other], "example": int(e)}, ["first", "second"], int(scores[1] > scores[0])) for e in chosen]
    return [out[i] for i in rng.permutation(len(out))]


def short(concept: str) -> str:
    """``object:sky`` is sky."""
    return concept.split(":", 1)[-1]


def _in_turn(groups: Mapping[str, list[Task]], rng: np.random.Generator) -> list[Task]:
    """One of each group, then another of each, groups and members in random order."""
    names = [sorted(groups)[i] for i in rng.permutation(len(groups))]
    mixed = {name: [groups[name][i] for i in rng.permutation(len(groups[name]))] for name in names}
    most = max((len(group) for group in mixed.values()), default=0)
    return [mixed[name][turn] for turn in range(most) for name in names if turn < len(mixed[name])]


def _classes_in_turn(inside: npt.NDArray[np.bool_], classes: npt.NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Examples ``inside``, in random order, one of each class after another."""
    groups: dict[int, list[int]] = {}
    for example in rng.permutation(np.flatnonzero(inside)):
        groups.setdefault(int(classes[example]), []).append(int(example))
    names = [sorted(groups)[i] for i in rng.permutation(len(groups))]
    most = max((len(group) for group in groups.values()), default=0)
    return [groups[name][turn] for turn in range(most) for name in names if turn < len(groups[name])]
