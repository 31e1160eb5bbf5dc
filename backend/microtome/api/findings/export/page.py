"""A finding as one HTML file that opens from the file system: no script, no server, no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from microtome import __version__
from microtome.api.desk import Desk
from microtome.api.findings.export.figures import draw, made_from
from microtome.api.findings.export.prose import inline, to_html
from microtome.api.findings.export.strips import between, by_chance, number, scale, strip
from microtome.core.errors import MicrotomeError

STATES = {
    "fresh": "Not checked yet", "checking": "Being checked", "verified": "Verified", "changed": "Changed since", "differs": "Differs",
    "failed": "Could not be checked", "deleted": "Deleted",
}  # fmt: skip
STYLE = """
:root{color-scheme:light}body{margin:0 auto;max-width:900px;padding:40px 24px 60px;font:15px/1.55 Inter,system-ui,sans-serif;color:#16191D}
h1{font-size:32px;line-height:1.15;letter-spacing:-.02em;margin:8px 0 12px}h2{font-size:18px;margin:32px 0 6px}h3{font-size:15px}
.kick,.by,.meta,footer{color:#646B75;font-size:12px}.claim{font-size:18px;color:#474D55}.by{margin:14px 0}figure{margin:26px 0}
figure img{width:100%;height:auto;border:1px solid #E3E6EA;border-radius:5px}figcaption{color:#474D55;font-size:13px;margin-top:8px}
table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:7px 10px 7px 0;border-bottom:1px solid #E3E6EA;
vertical-align:middle}th{font-weight:500;color:#646B75;font-size:11px}.r{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.chance{color:#646B75;font-weight:400}.group{font-weight:600}dl{display:grid;grid-template-columns:110px 1fr;gap:4px 14px;font-size:12px}
dt{color:#646B75}dd{margin:0;overflow-wrap:anywhere}code,.mono{font-family:ui-monospace,monospace;font-size:.92em}pre{overflow-x:auto;
background:#F3F4F6;padding:10px 12px}footer{margin-top:40px;border-top:1px solid #E3E6EA;padding-top:12px}p{overflow-wrap:anywhere}
@media print{body{padding:0}figure,tr{break-inside:avoid}}
"""


def page(desk: Desk, finding: Mapping[str, Any]) -> str:
    """The whole page; figures are drawn into it."""
    title = html.escape(finding["title"])
    names = html.escape(", ".join(person["name"] for person in finding["contributors"]))
    subjects = html.escape(" × ".join(x for x in (finding["model"], finding["probe"]) if x))
    cited = finding["citation"]
    revised = f"revision {finding['shown']} of {finding['changed'][:10]}"
    body = [
        f'<p class="kick">Finding {finding["number"]}{f" · {subjects}" if subjects else ""}</p><h1>{title}</h1>',
        f'<div class="claim">{to_html(finding["claim"])}</div>' if finding["claim"] else "",
        f'<p class="by">{names}, {finding["created"][:10]}; {revised}. {_state(finding)}</p>',
        *(_figure(desk, finding, place) for place in range(1, len(finding["figures"]) + 1)),
        _evidence(finding), f"<section>{to_html(finding['body'])}</section>" if finding["body"] else "", _provenance(finding),
        f'<h2>Citation</h2><p class="meta">{html.escape(cited["text"])}</p><pre>{html.escape(cited["bibtex"])}</pre>',
    ]  # fmt: skip
    # no script at all; the policy makes sure of it even where text was not what it seemed
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style></head>\n'
        f"<body>{''.join(body)}<footer>Exported by Microtome {__version__}. sha256 of what it says: "
        f'<span class="mono">{finding["content_hash"]}</span></footer></body></html>\n'
    )


def _state(finding: Mapping[str, Any]) -> str:
    status = finding["status"]
    check = status["check"]
    when = f" on {check['ended'][:10]}" if check and check["ended"] and status["state"] in ("verified", "differs", "failed") else ""
    return f"{STATES[status['state']]}{when}."


def _figure(desk: Desk, finding: Mapping[str, Any], number: int) -> str:
    caption = finding["figures"][number - 1]["caption"]
    text = f"<b>Figure {number}.</b> {inline(caption)}"
    if not finding["figures"][number - 1]["panels"]:
        return f"<figure><figcaption>{text} This view opens in the workbench only.</figcaption></figure>"
    try:
        data = base64.b64encode(draw(desk, finding, number, "svg", captioned=False)).decode()
    except MicrotomeError as error:  # a result that is not here; the page says so and goes on
        return f"<figure><figcaption>{text} It could not be drawn: {html.escape(str(error))}</figcaption></figure>"
    return f'<figure><img alt="Figure {number}" src="data:image/svg+xml;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _evidence(finding: Mapping[str, Any]) -> str:
    rows = finding["evidence"]
    if not rows:
        return ""
    check = finding["status"]["check"]
    again = {n["place"]: n for n in (check["outcome"]["numbers"] if check and check["outcome"] else ())}
    lines = []
    for place, row in enumerate(rows):
        group = row["group"].title() if place == 0 or rows[place - 1]["group"] != row["group"] else ""
        found = again.get(place)
        cells = [
            f'<td class="group">{group}</td><td>{html.escape(row["test"])}</td><td>{strip(row, scale(rows, row["unit"]))}</td>',
            f'<td class="r{" chance" if by_chance(row) else ""}" data-value="{row["value"]!r}">{number(row, row["value"])} '
            f"{html.escape(row['unit'])}</td>",
            f'<td class="r">{between(row, row["low"], row["high"])}</td>',
            f'<td class="r chance">{between(row, row["chance_low"], row["chance_high"], row["chance"])}</td>',
            f'<td class="r">{row["n"] if row["n"] is not None else "–"}</td>',
            f'<td class="r">{number(row, found["now"]) if found else "–"}</td>' if again else "",
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    last = '<th class="r">Again</th>' if again else ""
    return (
        '<h2>Evidence</h2><table><thead><tr><th>Kind</th><th>Test</th><th>Result and chance</th><th class="r">Value</th>'
        f'<th class="r">95 % interval</th><th class="r">Chance</th><th class="r">n</th>{last}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _short(value: Any) -> str:
    """A subject in a few words."""
    if isinstance(value, str | int):
        return str(value)
    return f"({len(value)})" if isinstance(value, list) and len(value) > 3 else json.dumps(value)


def _provenance(finding: Mapping[str, Any]) -> str:
    parts = [f'<h2>Provenance</h2><p class="meta">{html.escape(made_from(finding))}</p>']
    for made in finding["provenance"]:
        params = ", ".join(f"{k} {v}" for k, v in made["params"].items() if v is not None)
        software = ", ".join(f"{k} {v}" for k, v in made["software"].items())
        entries = {
            "Method": f"{made['title']}, {made['method']} {made['version']}{', ' + made['part'] if made['part'] else ''}",
            "Result": made["key"], "Weights": made["model_hash"], "Data": made["probe_hash"],
            "Subjects": ", ".join(f"{role} {_short(value)}" for role, value in made["subjects"].items()),
            "Parameters": params, "Seed": made["seed"], "Ran on": f"{made['device']}, {made['seconds']:.1f} s, {made['created'][:10]}",
            "Software": software,
        }  # fmt: skip
        lines = [f"<dt>{name}</dt><dd>{html.escape(str(value))}</dd>" for name, value in entries.items() if value not in (None, "")]
        parts.append(f"<dl>{''.join(lines)}</dl>")
    return "".join(parts)
