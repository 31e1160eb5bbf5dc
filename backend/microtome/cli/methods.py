"""``microtome methods``: what questions can be asked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microtome.cli.output import number, print_json, print_table
from microtome.engine.manifest import find, installed


def methods(
    id: Annotated[str | None, typer.Argument(help="Show one method with its parameters.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the methods, or show one."""
    known = installed()
    if id is None:
        found = list(known.values())
        if json:
            print_json(found)
        else:
            print_table(
                "", ["method", "question", "asked of", "gives"],
                [[m["id"], m["question"], ", ".join(m["subject"]), ", ".join(m["returns"])] for m in found],
                "microtome methods ID shows the parameters.",
            )  # fmt: skip
        return
    one = find(known, id)
    if json:
        print_json(one)
        return
    typer.echo(f"{one['title']} ({one['id']} {one['version']}): {one['question']}\n\n{one['summary']}\n\nSource: {one['cite']}")
    typer.echo(f"Asked of: {', '.join(one['subject'])}. Gives: {', '.join(one['returns'])}.\n")
    properties = one["params"].get("properties", {})
    if properties:
        print_table("", ["parameter", "default", "allowed", "meaning"], [_row(n, p) for n, p in properties.items()])


def _row(name: str, spec: dict[str, Any]) -> list[str]:
    kinds = spec.get("anyOf", [spec])
    bounds = next((k for k in kinds if k.get("type") != "null"), spec)
    if "enum" in spec or "enum" in bounds:
        allowed = ", ".join(map(str, spec.get("enum") or bounds["enum"]))
    else:
        low, high = bounds.get("minimum", bounds.get("exclusiveMinimum")), bounds.get("maximum", bounds.get("exclusiveMaximum"))
        allowed = f"{number(low)} to {number(high)}" if low is not None or high is not None else bounds.get("type", "")
    return [name, number(spec.get("default")), allowed, spec.get("description", "")]
