"""Citing a finding: a line of text, BibTeX, and a CITATION file (citation-file-format 1.2.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

#: What TeX reads as a command, and how it is written as itself.
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_", "^": r"\^{}",
    "~": r"\~{}",
}  # fmt: skip


def citation(finding: Mapping[str, Any], public_url: str | None) -> dict[str, str]:
    """``text`` and ``bibtex`` of the document of a finding."""
    names = [person["name"] for person in finding["contributors"]]
    year, where = finding["changed"][:4], address(finding, public_url)
    which = f"Microtome finding {finding['number']}, revision {finding['shown']}"
    text = f"{_and(names)} ({year}). {finding['title'].rstrip('.')}. {which}. {where}"
    fields = {
        "author": " and ".join("{" + _tex(name) + "}" for name in names), "title": "{" + _tex(finding["title"]) + "}", "year": year,
        "howpublished": f"\\url{{{where}}}" if public_url else "Microtome",
        "note": f"{which}, sha256 {finding['content_hash']}",
    }  # fmt: skip
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return {"text": text, "bibtex": "\n".join([f"@misc{{microtome-finding-{finding['number']}-{finding['id'][:6]},", *lines, "}"]) + "\n"}


def citation_file(finding: Mapping[str, Any], public_url: str | None) -> str:
    """A CITATION.cff."""
    lines = [
        "cff-version: 1.2.0", 'message: "If you use this finding, please cite it as below."', "type: dataset",
        f"title: {_yaml(finding['title'])}", f"version: {_yaml(str(finding['shown']))}",
        f"date-released: {finding['changed'][:10]}", "authors:",
    ]  # fmt: skip
    lines += [f"  - name: {_yaml(person['name'])}" for person in finding["contributors"]]
    lines += ["identifiers:", "  - type: other", f"    value: {_yaml('sha256:' + finding['content_hash'])}"]
    if public_url:
        lines.append(f"url: {_yaml(address(finding, public_url))}")
    return "\n".join(lines) + "\n"


def address(finding: Mapping[str, Any], public_url: str | None) -> str:
    """Where it stands; only the path where nobody has said under which address people reach this server."""
    return f"{public_url or ''}{finding['url']}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _yaml(text: str) -> str:
    """A string of YAML in quotes: as JSON has it, with characters beyond 16 bits as they are, and what YAML does not take escaped."""
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


def _tex(text: str) -> str:
    return re.sub(r"[\\{}$&#%_^~]", lambda found: _TEX[found[0]], text)
