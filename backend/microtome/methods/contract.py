"""The plug-in contract: one decorated function is one method (DESIGN section 5).

From the declaration alone come validation, endpoint, form, command line, cache key, run, docs page and contract tests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput, MicrotomeError
from microtome.results import Result

#: Roles a method may name. ``prompt`` is a text; ``units`` is ``{"layer": str, "indices": [int]}``; ``results`` are keys of results.
ROLES = ("model", "probe", "layers", "units", "example", "prompt", "targets", "results")
Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Ask:
    """One of several runs that a method answers with one call: what it is put to beside the model, and its own run."""

    subjects: Mapping[str, Any]
    run: RunContext


#: ``batch(*, model, params, asks)`` answers every ask, in order, with its results or the error of that ask alone.
Batch = Callable[..., Sequence[Results | MicrotomeError]]


def alone(batch: Batch, *, model: Any, params: Any, run: RunContext, **subjects: Any) -> Results:
    """A batch of one, for methods whose function and batch function are one computation.

    Raises:
        MicrotomeError: the error of this ask.
    """
    (answer,) = batch(model=model, params=params, asks=[Ask(subjects, run)])
    if isinstance(answer, MicrotomeError):
        raise answer
    return answer


def through(stages: Callable[..., Generator[None, None, Results]], of: Callable[..., Any]) -> Callable[..., Results]:
    """A method's function from its stages: runs them to the end in one go. It is called and documented as ``of`` is."""

    def function(**subjects: Any) -> Results:
        running = stages(**subjects)
        try:
            while True:
                next(running)
        except StopIteration as stop:
            results: Results = stop.value
            return results

    function.__doc__, function.__module__, function.__name__ = of.__doc__, of.__module__, of.__name__
    return function


class MethodParams(BaseModel):
    """Base of a method's parameters: bounds, units and help text live in the fields; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost model of a method, in forward passes of the model.

    Seconds are ``passes`` x (value of parameter ``times``, if named) x (examples of the probe set, if ``per_probe``)
    / (images per second, measured when the model was added). ``maps``: so many maps of every method that the parameters name are
    drawn as well, each at that method's own cost. ``after_layer``: only what follows the layer of ``units`` runs.
    ``capture``: names of what it records in a pass over the probe set; questions about the same examples share one pass.
    """

    passes: float = 1.0
    times: str = ""
    maps: float = 0.0
    per_probe: bool = False
    after_layer: bool = False
    capture: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A registered method."""

    id: str
    title: str
    question: str
    subjects: tuple[str, ...]
    optional_subjects: tuple[str, ...]
    modalities: tuple[str, ...]
    returns: tuple[str, ...]
    cite: str
    version: str
    params: type[MethodParams]
    example_params: MethodParams
    function: Callable[..., Results]
    interactive: bool
    partition: Literal["", "layers"]
    builds_on: tuple[str, ...] = ()
    summary: str = ""
    folder: str = ""
    cost: Cost = field(default_factory=lambda: Cost())
    batch: Batch | None = None
    #: The function in stages: a generator that yields once it has emitted its preview, and returns the results.
    stages: Callable[..., Generator[None, None, Results]] | None = None
    #: Attribution methods: ``explain(call, params) -> Attribution``, the bare map (methods/attribution/explain.py).
    explain: Callable[..., Any] | None = None
    #: ... and the forward passes that one map costs with given parameters, a backward pass counted as two.
    passes: Callable[[Any], float] | None = None

    def parse(self, params: Mapping[str, Any]) -> MethodParams:
        """Parameters with defaults filled in.

        Raises:
            InvalidInput: naming the parameter and what is wrong with its value.
        """
        try:
            return self.params.model_validate(dict(params))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(p) for p in first["loc"])
            raise InvalidInput(
                f"Parameter '{name}' of {self.id}: {first['msg']} (got {str(first.get('input'))[:100]}). "
                f"`microtome methods {self.id}` lists the parameters.",
                field=f"params.{name}",
            ) from None

    def form(self) -> dict[str, Any]:
        """JSON schema of the parameters, in the order in which they are asked for: as declared, the seed last."""
        schema = self.params.model_json_schema()
        schema["properties"] = dict(sorted(schema.get("properties", {}).items(), key=lambda item: item[0] == "seed"))
        return schema

    def manifest(self) -> dict[str, Any]:
        """What the web process and ``microtome methods --json`` know of the method, without importing torch."""
        return {
            "id": self.id,
            "title": self.title,
            "question": self.question,
            "summary": self.summary,
            "subject": list(self.subjects),
            "optional_subject": list(self.optional_subjects),
            "modalities": list(self.modalities),
            "returns": list(self.returns),
            "cite": self.cite,
            "version": self.version,
            "folder": self.folder,
            "interactive": self.interactive,
            "partition": self.partition,
            "builds_on": list(self.builds_on),
            "cost": asdict(self.cost),
            "params": self.form(),
            "example_params": self.example_params.model_dump(mode="json"),
        }


def method(
    id: str,
    *,
    title: str,
    question: str,
    subjects: Sequence[str],
    returns: Sequence[type[Result]],
    cite: str,
    params: type[MethodParams] = MethodParams,
    example_params: MethodParams | None = None,
    optional_subjects: Sequence[str] = (),
    modalities: Iterable[str] = ("image",),
    version: str = "1",
    interactive: bool = False,
    partition: Literal["", "layers"] = "",
    builds_on: Sequence[str] = (),
    cost: Cost | None = None,
    batch: Batch | None = None,
) -> Callable[[Callable[..., Results]], MethodSpec]:
    """Declare the decorated function a method.

    The function is called with its subjects by role as keywords, then ``params`` and ``run``, and returns named results::

        def grad_cam(*, model, example, targets, params, run) -> dict[str, Result]

    Args:
        interactive: about one example, answers in seconds; overtakes batch runs.
        partition: ``"layers"`` if each layer's results are complete results of their own, published with ``run.publish``.
        builds_on: ids of methods whose results it needs; they arrive as ``results``, a mapping method id -> part -> results.
        cost: how its time grows, for the estimate that is shown before a run.
        batch: answers several runs of one model and the same parameters at once. A worker uses it for interactive runs that
            wait together. Each answer must be the one its run gets alone, up to the rounding of float32 sums (see
            ``tests/engine/test_together.py`` for the tolerance); what it raises sends every run its own way alone.
    """
    unknown = [role for role in (*subjects, *optional_subjects) if role not in ROLES]
    if unknown:
        raise ValueError(f"method {id} names unknown subjects {unknown}; known are {list(ROLES)}")
    if batch is not None and (partition or builds_on or "model" not in subjects or not interactive):
        raise ValueError(f"method {id} cannot be batched: that is for interactive methods of one model with one part")

    def declare(function: Callable[..., Results]) -> MethodSpec:
        return MethodSpec(
            id=id,
            title=title,
            question=question,
            subjects=tuple(subjects),
            optional_subjects=tuple(optional_subjects),
            modalities=tuple(sorted(modalities)),
            returns=tuple(str(kind.model_fields["kind"].default) for kind in returns),
            cite=cite,
            version=version,
            params=params,
            example_params=example_params or params(),
            function=function,
            interactive=interactive,
            partition=partition,
            builds_on=tuple(builds_on),
            summary=(function.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
            folder=function.__module__.split(".")[-2],
            cost=cost or Cost(),
            batch=batch,
        )

    return declare
