"""Parameters against the JSON schema of a method: the same answer in the web process as in the worker, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from microtome.core.errors import InvalidInput
from microtome.core.keys import canonical_json


def complete(manifest: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` checked, with defaults filled in.

    Raises:
        InvalidInput: naming the parameter, what is wrong with its value, and what is allowed.
    """
    try:
        canonical_json(params)
        orjson.dumps(dict(params))
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput(
            "A parameter holds something that has no fixed spelling: NaN, infinity, a broken character or a number beyond 64 bits.",
            field="params",
        ) from None
    schema = manifest["params"]
    properties: Mapping[str, Any] = schema.get("properties", {})
    validator = Draft202012Validator(schema)
    errors = list(validator.iter_errors(dict(params)))
    if errors:
        raise _explain(manifest["id"], properties, best_match(errors))
    filled = {name: spec["default"] for name, spec in properties.items() if "default" in spec}
    return filled | dict(params)


def _explain(id: str, properties: Mapping[str, Any], error: ValidationError) -> InvalidInput:
    see = f"`microtome methods {id}` lists the parameters."
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(properties))
        have = ", ".join(properties) or "none"
        return InvalidInput(
            f"{id} has no parameter '{str(unknown[0])[:60]}'. Its parameters: {have}. {see}",
            field=f"params.{str(unknown[0])[:60]}",
        )
    if error.validator == "required":
        missing = next(n for n in error.validator_value if n not in error.instance)
        return InvalidInput(f"{id} needs the parameter '{missing}'. {see}", field=f"params.{missing}")
    name = ".".join(str(p) for p in error.absolute_path)
    limits = properties.get(name.split(".")[0], {})
    allowed = ", ".join(
        f"{label} {limits[word]}"
        for word, label in (
            ("minimum", "at least"), ("maximum", "at most"), ("exclusiveMinimum", "more than"),
            ("exclusiveMaximum", "less than"), ("enum", "one of"), ("type", "type"),
        )
        if word in limits
    )  # fmt: skip
    value = str(error.instance)[:100]
    return InvalidInput(
        f"Parameter '{name}' of {id} cannot be {value}" + (f"; allowed: {allowed}. " if allowed else ". ") + see,
        field=f"params.{name}",
    )
