"""``microtome run METHOD``: one run, in this process, with the same store and cache as the server."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import orjson
import typer
from pydantic import TypeAdapter, ValidationError

from microtome.api.desk import open_desk
from microtome.api.results import result_set
from microtome.api.schemas.runs import TargetSubject
from microtome.cli.output import print_json, print_table, show_progress
from microtome.core.errors import InvalidInput, MicrotomeError, RunCancelled
from microtome.core.settings import settings
from microtome.engine import Engine


class RunFailed(MicrotomeError):
    title = "The run failed"


def parse_params(pairs: list[str]) -> dict[str, Any]:
    """``k=v`` pairs; a value that reads as JSON is taken as such, anything else as text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput(f"'{pair}' is not a parameter. Write --param name=value.", field="params")
        try:
            params[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            params[name] = text
    return params


_SHAPES = (
    "a class index (3), two classes (3-5), a unit (LAYER/UNIT, LAYER/UNIT@ROW,COLUMN), an image that is compared with "
    "(like:PROBE:INDEX, like:PROBE:INDEX@LAYER) or a JSON object"
)


def parse_target(text: str) -> Any:
    """A target as it stands on the command line, in the form the engine takes.

    Raises:
        InvalidInput: it is none of the known shapes.
    """
    if text.startswith("{"):
        try:
            return TypeAdapter(TargetSubject).validate_json(text).model_dump(exclude_none=True)  # type: ignore[union-attr]
        except ValidationError as error:
            raise InvalidInput(
                f"'{text[:100]}' is no target: {error.errors()[0]['msg']}. A target is {_SHAPES}.", field="targets"
            ) from None
    if re.fullmatch(r"\d{1,7}", text):
        return int(text)
    if match := re.fullmatch(r"(\d{1,7})-(\d{1,7})", text):
        return {"minus": [int(match[1]), int(match[2])]}
    if match := re.fullmatch(r"like:([^@]{1,150}:[0-9a-f]{1,64})(?:@(.{1,200}))?", text):
        return {"like": match[1]} | ({"layer": match[2]} if match[2] else {})
    if match := re.fullmatch(r"(.{1,200})/(\d{1,7})(?:@(\d{1,5}),(\d{1,5}))?", text):
        site = {"site": [int(match[3]), int(match[4])]} if match[3] else {}
        return {"layer": match[1], "unit": int(match[2]), **site}
    raise InvalidInput(f"'{text[:100]}' is no target. A target is {_SHAPES}.", field="targets")


def subjects_of(
    engine: Engine, manifest: dict[str, Any], model: str, probe: str | None, layers: list[str], units: list[int],
    example: str | None, prompt: str | None, targets: list[str],
) -> dict[str, Any]:  # fmt: skip
    """Subjects by role as the engine takes them; sources that are new are read first."""
    roles = {*manifest["subject"], *manifest["optional_subject"]}
    subjects: dict[str, Any] = {"model": engine.ensure_source("model", model)}
    if probe is not None:
        subjects["probe"] = engine.ensure_source("probe", probe)
    if units:
        if len(layers) != 1:
            raise InvalidInput("Units need exactly one --layer.", field="units")
        subjects["units"] = {"layer": layers[0], "indices": units}
    elif layers and "layers" in roles:
        subjects["layers"] = layers
    if example is not None:
        if example.isdigit():
            if probe is None:
                raise InvalidInput("--example NUMBER needs --probe.", field="example")
            example = f"{subjects['probe']}:{example}"
        subjects["example"] = example
    if prompt is not None:
        subjects["prompt"] = sys.stdin.read() if prompt == "-" else prompt
    if "probe" not in roles:
        subjects.pop("probe", None)
    if targets:
        subjects["targets"] = [parse_target(text) for text in targets]
    return subjects


def run(
    method: Annotated[str, typer.Argument(help="Id of the method; `microtome methods` lists them.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Source or name of the model.")],
    probe: Annotated[str | None, typer.Option("--probe", "-p", help="Source or name of the probe set.")] = None,
    layer: Annotated[list[str] | None, typer.Option("--layer", "-l", help="Layer, by name or label; may repeat.")] = None,
    unit: Annotated[list[int] | None, typer.Option("--unit", "-u", help="Unit of the one layer; may repeat.")] = None,
    example: Annotated[str | None, typer.Option("--example", "-e", help="Number of an example of the probe set.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Text for a model that reads; - reads it from standard input.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", help="Class (3), classes (3-5), LAYER/UNIT[@ROW,COLUMN], like:PROBE:INDEX or JSON; may repeat."),
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="Parameter as name=value; may repeat.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put one question to a model. An answer that is stored comes at once, without running the model."""
    engine = Engine(settings(), executor="inline")
    try:
        manifest = engine.method(method)
        with show_progress(engine):
            subjects = subjects_of(engine, manifest, model, probe, layer or [], unit or [], example, prompt, target or [])
            row = engine.wait(engine.submit(method, subjects, parse_params(param or []), person=None).id)
        if row.state == "cancelled":
            raise RunCancelled("The run was cancelled.")
        if row.state != "done":
            raise RunFailed((row.error or {}).get("detail", "No reason was stored."))
        desk = open_desk(settings(), engine)
        parts = [(part, key) for part, key, _ in engine.runs.parts([row.id])[row.id]]
        sets = [(part, key, result_set(desk, key)) for part, key in parts]
    finally:
        engine.stop()
    document = {
        "run": row.id, "method": method, "state": row.state, "cached": bool(row.cached), "seconds": row.seconds,
        "forward_passes": row.forward_passes,
        "results": [{"key": key, "part": part, **item} for part, key, s in sets for item in s["results"]],
    }  # fmt: skip
    if method == "dissection":
        labels = {x.name: x.label for x in engine.sources.layers(engine.sources.get("model", subjects["model"]).id)}
        document["layers"] = {part: _layer(labels[part], key, s) for part, key, s in sets}
    if json:
        print_json(document)
    else:
        _print(document)


def _layer(label: str, key: str, stored: dict[str, Any]) -> dict[str, Any]:
    """The counts of one dissected layer, from its summary."""
    summary = next(r["document"] for r in stored["results"] if r["name"] == "summary")
    facts = summary["facts"]
    return {
        "label": label, "units": facts["units"], "detectors": facts["detectors"],
        "detectors_by_category": {s["name"]: int(s["value"]) for s in summary["scores"] if s["group"] == "detectors"},
        "quantile": facts["quantile"], "chance": facts["chance"], "dead_units": facts["dead_units"], "key": key,
    }  # fmt: skip


def _print(document: dict[str, Any]) -> None:
    """The result for people."""
    if "layers" in document:
        categories = list(next(iter(document["layers"].values()))["detectors_by_category"])
        print_table(
            "Detectors by category", ["layer", "units", "detectors", *categories, "dead"],
            [[v["label"], v["units"], v["detectors"], *(v["detectors_by_category"][c] for c in categories), v["dead_units"]]
             for v in document["layers"].values()],
        )  # fmt: skip
    for result in document["results"]:
        if result["kind"] == "generation":
            written = result["document"]
            for name, tokens in zip(written["conditions"], written["tokens"], strict=True):
                typer.echo(f"--- {name}\n{''.join(written['prompt'])}{''.join(tokens)}\n")
        scores = result["document"].get("scores")
        if scores and "layers" not in document:
            every = ("group", "name", "value", "unit", "low", "high", "chance", "chance_low", "chance_high")
            fields = [f for f in every if f in ("name", "value") or any(s[f] not in (None, "") for s in scores)]
            heads = {"group": "of", "name": "", "low": "95 % from", "high": "to", "chance_low": "from", "chance_high": "to"}
            rows = [[s[name] for name in fields] for s in scores]
            print_table(result["document"]["title"], [heads.get(f, f) for f in fields], rows, result["document"]["note"])
    how = "from the cache, without running the model" if document["cached"] else f"in {document['seconds']:.1f} s"
    typer.echo(f"{len(document['results'])} results, {how}. Keys: " + ", ".join(sorted({r["key"][:12] for r in document["results"]})[:6]))
