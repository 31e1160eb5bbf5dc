"""Puts every question about methods to the built-in networks, each over one whole probe set, and writes docs/benchmark-examples.md.

python docs/make_benchmark_examples.py [DATA_FOLDER]

Everything is computed here, with the parameters that stand in the page; what is stored in the folder already is not computed again, so
that the script goes on where it was stopped. An hour or so on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.results import Scorecard

PAGE = Path(__file__).parent / "benchmark-examples.md"
PROBE = "builtin:tinyplaces#val:240"
FEW = ["saliency", "integrated-gradients", "grad-cam", "layer-cam"]
VIT = ["saliency", "integrated-gradients", "grad-cam", "attention-rollout"]
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("gridpg", {"images": 12}),
    ("dipart", {"images": 12}),
    ("difull", {"images": 12}),
    ("aggatt", {"images": 24}),
    ("ml-att", {"images": 8}),
    ("rank-robustness", {"images": 8}),
    ("relevance-clusters", {"examples": 96}),
    ("method-scoreboard", {"examples": 6}),
    ("evidence-disparities", {"examples": 12, "by": "confidence"}),
]
#: Put to the transformer too; the others take long with it on two cores.
BOTH = {"gridpg", "dipart"}
MOST, FACTS = 12, 8  # lines and facts of an answer; the rest is in the result


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "microtome-data")
    engine = Engine(Settings(data_dir=folder), executor="inline")
    probe = engine.ensure_source("probe", PROBE)
    parts = [HEAD.format(probe=PROBE)]
    for source in ("builtin:tinyplaces-resnet", "builtin:tinyplaces-vit"):
        model = engine.ensure_source("model", source)
        parts.append(f"## {model}\n")
        for method, params in ASKED:
            if model.endswith("vit") and method not in BOTH:
                continue
            parts.append(asked(engine, method, model, probe, params))
            PAGE.write_text("\n".join(parts))  # what is there is kept when it is stopped
    flowers = engine.ensure_source("probe", "builtin:flowers#val:240")
    model = engine.ensure_source("model", "builtin:flowers-cnn")
    parts.append(f"## {model}\n")
    parts.append(asked(engine, "label-randomisation", model, flowers, {"examples": 24}))
    PAGE.write_text("\n".join(parts))


def asked(engine: Engine, method: str, model: str, probe: str, params: dict[str, Any]) -> str:
    """One question as a section: its parameters, its facts, its scores; a refusal in its words."""
    manifest = engine.method(method)
    known = manifest["params"].get("properties", {})
    given = {name: value for name, value in params.items() if name in known}
    if "methods" in known:
        given["methods"] = VIT if model.endswith("vit") else FEW
    run = engine.submit(method, {"model": model, "probe": probe}, given)
    said = [f"{k} {', '.join(v) if isinstance(v, list) else v}" for k, v in given.items()]
    title = f"### {manifest['title']}\n\n`{method}`, {'; '.join(said)}\n"
    print(model, method, run.state, flush=True)
    if run.state != "done":
        return f"{title}\nRefused: {(run.error or {}).get('detail', run.state)}\n"
    [(_, key, _)] = engine.runs.parts([run.id])[run.id]
    cards = [r for r in engine.results.load(key).values() if isinstance(r, Scorecard)]
    return "\n".join([title, table(cards[0]), *(table(card) for card in cards[1:] if card.scores != cards[0].scores)])


def table(card: Scorecard) -> str:
    lines = [f"{card.title}.\n", "| group | score | value | 95 % interval | chance |", "|---|---|---|---|---|"]
    for s in card.scores[:MOST]:
        interval = f"{s.low:.3g} to {s.high:.3g}" if s.low is not None and s.high is not None else "–"
        chance = f"{s.chance_low:.3g} to {s.chance_high:.3g}" if s.chance_low is not None and s.chance_high is not None else None
        chance = chance or (f"{s.chance:.3g}" if s.chance is not None else "–")
        value = "–" if s.value is None else f"{s.value:.3g}{f' {s.unit}' if s.unit else ''}"
        lines.append(f"| {s.group} | {s.name} | {value} | {interval} | {chance} |")
    if len(card.scores) > MOST:
        lines.append(f"\n{len(card.scores) - MOST} more scores.")
    told = [f"{k} {v}" for k, v in card.facts.items() if v not in (None, "") and not k.startswith(("version", "method:", "absent"))]
    facts = "; ".join(told[:FACTS])
    return "\n".join([*lines, f"\n{facts}\n" if facts else ""])


HEAD = """# Questions about methods, put to the built-in networks

Made by `docs/make_benchmark_examples.py` on `{probe}`, on a CPU. Few images each, so the intervals are wide: these tables show what the
answers look like, not which method is best. [What each question asks](benchmarks.md).
"""

if __name__ == "__main__":
    main()
