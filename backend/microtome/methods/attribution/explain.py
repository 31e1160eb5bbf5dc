"""What makes a function an attribution method: it explains numbers of a model, and never shows a map without its evidence.

The decorated function is pure: the same call gives the same maps, and no row depends on another. That is what lets the evidence
call it again, on noisy inputs or on a network with other weights.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.attribution.target import Target, every_number, targets_of
from microtome.methods.contract import Cost, MethodParams, MethodSpec, Results, method, through
from microtome.methods.faithfulness.evidence import EVIDENCE_VERSION, evidence
from microtome.models.image import ImageModel
from microtome.probes import Example
from microtome.results import Curves, ImageMap, Scorecard

#: Images that go forward and backward at once, and forward only: constant, so that memory does not grow with steps or masks.
BATCH, FORWARD_BATCH = 16, 32
_PREVIEW = 128


class ExplainParams(MethodParams):
    """Base of the parameters of attribution methods."""

    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of whatever is drawn, for the map and for its evidence.")


@dataclass(frozen=True, slots=True)
class Call:
    """What is explained.

    Attributes:
        inputs: [B, 3, H, W], preprocessed, on the model's device.
        targets: one per row.
        neighbours: other images of the set that the example is of, for methods that compare with them; None for an upload.
    """

    model: ImageModel
    inputs: Tensor
    targets: Sequence[Target]
    run: RunContext
    seed: int
    neighbours: Callable[[int], Tensor] | None = None

    def groups(self) -> list[list[int]]:
        """Rows that explain the same image: what is asked of it can be read off the same forward passes."""
        if len(self.targets) > 1 and self.inputs.stride(0) == 0:
            return [list(range(len(self.targets)))]
        found: list[list[int]] = []
        for row, image in enumerate(self.inputs):
            same = next((g for g in found if torch.equal(self.inputs[g[0]], image)), None)
            if same is None:
                found.append([row])
            else:
                same.append(row)
        return found


#: What a method says of its maps; a list holds one value per row.
MapFact = str | int | float | list[float] | list[str]
MapFacts = dict[str, MapFact]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The answer of a method.

    Attributes:
        maps: [B, H, W] float32, in the geometry of the input.
        completeness: per row: total of the map, expected total, gap, and what else says how it came about (steps).
        facts: what a reader must know.
        note: the same in words.
    """

    maps: Tensor
    completeness: list[dict[str, float]] | None = None
    facts: Mapping[str, MapFact] = field(default_factory=dict)
    note: str = ""


Explain = Callable[[Call, Any], Attribution]


def attribution(
    id: str,
    *,
    title: str,
    params: type[ExplainParams],
    cite: str,
    quantity: str,
    cost: Cost,
    passes: Callable[[Any], float],
    signed: bool | Callable[[Any], bool] = True,
    example_params: ExplainParams | None = None,
    version: str = "1",
) -> Callable[[Explain], MethodSpec]:
    """Declare ``explain(call, params) -> Attribution`` a method. What is stored is map, curves and evidence, together or not at all.

    Args:
        quantity: what a value of the map is; ``{}`` stands for the unit of the target (logits, activation).
        passes: forward passes that one map costs with these parameters, a backward pass counted as two.
        signed: whether the map has both signs.
    """

    def declare(explain: Explain) -> MethodSpec:
        def stages(
            *, model: ImageModel, example: Example, targets: list[Any] | None = None, params: Any, run: RunContext
        ) -> Generator[None, None, Results]:
            inputs = model.inputs([example.image])
            chosen = targets_of(model, inputs, targets)
            run.check()
            call = Call(
                model, inputs.expand(len(chosen), -1, -1, -1), chosen, run, params.seed, neighbours_of(model, example, params.seed)
            )  # fmt: skip
            began = time.monotonic()
            answer = explain(call, params)
            seconds = time.monotonic() - began
            found = _image_map(call, answer, title, quantity, signed(params) if callable(signed) else signed)
            run.emit(_preview(found))
            yield
            card, curves = evidence(call, explain, answer, params, example, passes=passes(params), map_seconds=seconds)
            return {"map": found, "curves": curves, "evidence": card}

        spec = method(
            id, title=title, question="Where did the model look?", subjects=("model", "example"), optional_subjects=("targets",),
            returns=(ImageMap, Curves, Scorecard), params=params, example_params=example_params, interactive=True, cite=cite, cost=cost,
            version=f"{version}.{EVIDENCE_VERSION}",
        )(through(stages, explain))  # fmt: skip
        return replace(spec, stages=stages, explain=explain, passes=passes)

    return declare


def neighbours_of(model: ImageModel, example: Example, seed: int) -> Callable[[int], Tensor] | None:
    """``count -> [at most count, 3, H, W]``: inputs of other images of the example's set, drawn by ``seed`` without repetition."""
    probe, index = example.probe, example.index
    if probe is None or index is None or len(probe) < 2:
        return None

    def draw(count: int) -> Tensor:
        # Positions among the other images, so that the draw takes a look at no more of them than are wanted.
        places = random.Random(seed).sample(range(len(probe) - 1), min(count, len(probe) - 1))
        return model.inputs([probe.image(place + (place >= index)) for place in places])

    return draw


def _image_map(call: Call, answer: Attribution, title: str, quantity: str, signed: bool) -> ImageMap:
    """The stored map.

    Raises:
        InvalidInput: if a value is not finite; a map that could not be computed is never shown as zeros.
    """
    if not torch.isfinite(answer.maps).all():
        raise InvalidInput("The map has values that are not finite; nothing was stored.", field="example")
    with torch.inference_mode():
        scores = every_number(call.model, call.inputs[:1], call.targets)[0]
    units = list(dict.fromkeys(t.unit for t in call.targets))
    return ImageMap(
        title=title,
        note=answer.note,
        targets=[t.name for t in call.targets],
        target_indices=[-1 if t.index is None else t.index for t in call.targets],
        quantity=quantity.format(" or ".join(units)),
        signed=signed,
        completeness=answer.completeness or [],
        score=scores.tolist(),
        facts=dict(answer.facts),
        arrays={"maps": answer.maps.detach().float().cpu().numpy()},
    )


def _preview(found: ImageMap) -> dict[str, Any]:
    """The maps small and rounded, for whoever watches: value = int8 / 127 x scale."""
    maps = torch.from_numpy(found.arrays["maps"])
    height, width = (min(_PREVIEW, side) for side in maps.shape[1:])
    small = torch.nn.functional.interpolate(maps[:, None], (height, width), mode="area")[:, 0]
    scale = float(small.abs().max()) or 1.0
    data = (small / scale * 127).round().to(torch.int8).numpy().tobytes()
    return {
        "maps": base64.b64encode(data).decode(), "shape": list(small.shape), "scale": scale, "targets": found.targets,
        "signed": found.signed,
    }  # fmt: skip


def portions(count: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of pieces of at most ``size``."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]
