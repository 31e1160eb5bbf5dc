"""Writes docs/methods/ from the registry: one page per method, and an index. A test fails when they are out of date."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from microtome.methods.contract import MethodSpec
from microtome.methods.registry import methods

FOLDER = Path(__file__).parent / "methods"


def allowed(schema: dict[str, Any]) -> str:
    """What a parameter may be, in words."""
    kinds = [k for k in schema.get("anyOf", [schema]) if k.get("type") != "null"]
    one = {**schema, **kinds[0]} if kinds else schema
    if "enum" in one:
        return ", ".join(f"`{v}`" for v in one["enum"])
    low, high = one.get("minimum", one.get("exclusiveMinimum")), one.get("maximum", one.get("exclusiveMaximum"))
    bounds = f", {low} to {high}" if low is not None and high is not None else f", at least {low}" if low is not None else ""
    return f"{one.get('type', 'any')}{bounds}"


#: Sections of a method's docstring that get a heading of their own on its page.
SECTIONS = ("Formula", "Known failures")


def prose(doc: str) -> list[str]:
    """The lines of a docstring, its sections as headings with their text moved to the margin."""
    lines: list[str] = []
    inside = False
    for line in inspect.cleandoc(doc).splitlines():
        heading = next((s for s in SECTIONS if line == f"{s}:"), None)
        if heading:
            inside = True
            lines += [f"## {heading}", ""]
        else:
            lines.append(line.removeprefix("    ") if inside else line)
    return lines


def cost(spec: MethodSpec) -> str:
    """What one answer costs, in words, from the cost model and, for attribution methods, from the method itself."""
    if spec.passes is not None:
        passes = spec.passes(spec.params())
        return f"about {passes:g} forward passes for a map as asked for by default (a backward pass counts as two), the evidence apart"
    per = " per image of the probe set" if spec.cost.per_probe else ""
    times = f" x `{spec.cost.times}`" if spec.cost.times else ""
    passes = f"{spec.cost.passes:g} forward pass{'' if spec.cost.passes == 1 else 'es'}"
    maps = f" and {spec.cost.maps:g} map{'' if spec.cost.maps == 1 else 's'} of each method named" if spec.cost.maps else ""
    together = f"({passes}{maps})" if maps and (times or per) else f"{passes}{maps}"
    return f"{together}{times}{per}{' behind the layer' if spec.cost.after_layer else ''}"


def page(spec: MethodSpec) -> str:
    """The Markdown page of one method."""
    lines = [
        f"# {spec.title}", "", f"*{spec.question}*", "", *prose(spec.function.__doc__ or ""), "",
        "## Details", "", "| | |", "|---|---|", f"| id | `{spec.id}` |", f"| version | {spec.version} |",
        f"| asked of | {', '.join(f'`{s}`' for s in spec.subjects)} |",
    ]  # fmt: skip
    if spec.optional_subjects:
        lines.append(f"| may be given | {', '.join(f'`{s}`' for s in spec.optional_subjects)} |")
    if spec.builds_on:
        lines.append(f"| builds on | {', '.join(f'[{b}]({b}.md)' for b in spec.builds_on)} |")
    lines += [
        f"| returns | {', '.join(f'`{r}`' for r in spec.returns)} |", f"| cost | {cost(spec)} |", f"| source | {spec.cite} |", "",
    ]  # fmt: skip
    properties = spec.form()["properties"]
    if properties:
        lines += ["| parameter | default | allowed | meaning |", "|---|---|---|---|"]
        for name, schema in properties.items():
            lines.append(f"| `{name}` | `{schema.get('default')}` | {allowed(schema)} | {schema.get('description', '')} |")
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    found = {f"{spec.id}.md": page(spec) for spec in methods().values()}
    rows = [f"| [{s.title}]({s.id}.md) | {s.question} | {', '.join(s.subjects)} |" for s in methods().values()]
    head = "# Methods\n\nGenerated from the registry by `make docs`.\n\n| method | question | asked of |\n|---|---|---|\n"
    return {"README.md": head + "\n".join(rows) + "\n", **found}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(pages())} pages in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
