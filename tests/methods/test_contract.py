"""Every registered method, also of other packages, keeps the contract; nothing here names a method."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput, RunCancelled
from microtome.methods.contract import MethodSpec
from microtome.methods.registry import methods
from microtome.models import load_model
from microtome.results import KINDS, Result
from tests import micro
from tests.methods.recurrent import net as lstm

ALL = list(methods().values())
#: Micro models on which every method is tried; one that refuses them both must answer for another.
FAMILIES = ("resnet", "vit")
#: For methods that need what only a network that ships with Microtome has: a twin.
BUILTIN = "flowers-cnn"
#: For methods that need what only a recurrent network has: gates and cells.
LSTM = "lstm"
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def ids(spec: MethodSpec) -> str:
    return spec.id


#: The same of models that read.
TEXT_FAMILIES = ("gpt2", "bert")
#: Every method with the families it is tried on, those of what it is for.
TRIED = [
    (spec, family) for spec in ALL for modality, names in (("image", FAMILIES), ("text", TEXT_FAMILIES)) if modality in spec.modalities
    for family in names
]  # fmt: skip


def subjects(spec: MethodSpec, family: str) -> dict[str, Any]:
    given: dict[str, Any]
    if family in (*micro.TEXT_FAMILIES, LSTM):
        model = lstm.load() if family == LSTM else micro.load_text(family)
        layer = next(x for x in model.default_layers() if x.kind in ("neurons", "hidden")).name
        given = {"prompt": "def add(left, right):\n    return left", "probe": micro.texts()}
    else:
        model = load_model(f"builtin:{family}") if family == BUILTIN else micro.load(family)
        layer = model.default_layers()[1].name
        given = {"probe": micro.probe(), "example": micro.probe().example(0), "targets": [1]}
    given |= {"model": model, "layers": [layer], "units": {"layer": layer, "indices": [0, 2]}}
    roles = {*spec.subjects, *spec.optional_subjects}
    chosen = {role: value for role, value in given.items() if role in roles}
    if spec.builds_on:
        chosen["results"] = {needed: kept(needed, family) for needed in spec.builds_on}
    return chosen


def run_of(spec: MethodSpec, family: str, run: SilentContext | None = None) -> dict[str, Any]:
    """Results by part."""
    run = run or SilentContext()
    given = subjects(spec, family)
    try:
        results = spec.function(**given, params=spec.example_params, run=run)
    except InvalidInput as refusal:
        # Some methods are about likeness to another image only.
        if refusal.field != "targets":
            raise
        given["targets"] = [{"like": "micro:3", "example": micro.probe().example(3)}]
        results = spec.function(**given, params=spec.example_params, run=run)
    return dict(run.published) if spec.partition else {"": results}


@cache
def kept(id: str, family: str) -> dict[str, Any]:
    """:func:`run_of` once for all tests, which look at results and change none."""
    return run_of(methods()[id], family)


def run_where_defined(spec: MethodSpec) -> dict[str, Any]:
    """Results by part on the first family that the method is defined for."""
    families = [
        *(micro.FAMILIES if "image" in spec.modalities else ()),
        *((*micro.TEXT_FAMILIES, LSTM) if "text" in spec.modalities else ()),
        BUILTIN,
    ]
    for family in families:
        try:
            return kept(spec.id, family)
        except InvalidInput as refusal:
            if refusal.field != "model":
                raise
    raise AssertionError(f"{spec.id} is defined for no family")


def timeless(result: Result) -> dict[str, Any]:
    """The document without what was measured of the machine: facts in seconds, scores in seconds and megabytes."""
    document = json.loads(result.model_dump_json())
    if "scores" in document:
        document["scores"] = [s for s in document["scores"] if s["unit"] not in ("s", "MB")]
    if "facts" in document:
        document["facts"] = {k: v for k, v in document["facts"].items() if not k.endswith("seconds")}
    return document


@pytest.mark.parametrize(("spec", "family"), TRIED, ids=lambda x: x if isinstance(x, str) else x.id)
def test_returns_what_it_says_and_is_deterministic(spec: MethodSpec, family: str) -> None:
    try:
        first, again = kept(spec.id, family), run_of(spec, family)
    except InvalidInput as refusal:
        # Some methods are defined for some networks only: they may refuse the others, by name, never all.
        if refusal.field != "model":
            raise
        assert run_where_defined(spec)
        return
    assert first
    for part, results in first.items():
        assert {r.kind for r in results.values()} <= set(spec.returns)
        for name, result in results.items():
            other = again[part][name]
            assert timeless(result) == timeless(other)
            if getattr(result, "quantity", "").endswith((" (s)", " (MB)")):
                continue
            for array, values in result.arrays.items():
                np.testing.assert_array_equal(values, other.arrays[array])


@pytest.mark.parametrize("spec", ALL, ids=ids)
def test_results_survive_a_round_trip(spec: MethodSpec) -> None:
    for results in run_where_defined(spec).values():
        for result in results.values():
            copy = KINDS[result.kind](**json.loads(result.model_dump_json()), arrays=dict(result.arrays))
            assert copy.model_dump_json() == result.model_dump_json()


@pytest.mark.parametrize("spec", ALL, ids=ids)
def test_refuses_bad_parameters_by_name(spec: MethodSpec) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec.parse({"no_such_parameter": 1})
    assert caught.value.field == "params.no_such_parameter"
    for name, schema in spec.params.model_json_schema().get("properties", {}).items():
        with pytest.raises(InvalidInput) as caught:
            spec.parse({name: {"not": "a value"}})
        assert caught.value.field is not None
        assert caught.value.field.startswith(f"params.{name}")
        assert schema.get("description"), f"{spec.id}.{name} has no help text"


@pytest.mark.parametrize("spec", [s for s in ALL if s.id != "predict"], ids=ids)
def test_honours_cancel(spec: MethodSpec) -> None:
    class Cancelled(SilentContext):
        cancelled = True

        def check(self) -> None:
            raise RunCancelled("stopped")

    given = subjects(spec, "resnet" if "image" in spec.modalities else "gpt2")
    with pytest.raises(RunCancelled):
        spec.function(**given, params=spec.example_params, run=Cancelled())


@pytest.mark.parametrize("spec", ALL, ids=ids)
def test_manifest_is_complete(spec: MethodSpec) -> None:
    manifest = spec.manifest()
    Draft202012Validator(json.loads((SCHEMAS / "methods.json").read_text())).validate([manifest])
    assert manifest["summary"].endswith((".", ")"))
    assert manifest["question"].endswith("?")
    assert spec.params.model_validate(manifest["example_params"]) == spec.example_params
