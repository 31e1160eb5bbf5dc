"""The table of neurons of concepts in docs/language.md: ``python docs/make_concept_table.py``, some minutes on two cores.

Each row is one run of ``concept-neurons`` on ``pycode-gpt`` with the passages of ``pycode`` that it was not trained on: neurons are
chosen on half of the texts, and everything but the second column of numbers is of the other half.
"""

from __future__ import annotations

import numpy as np

from microtome.core.context import SilentContext
from microtome.core.machine import keep_freed_memory
from microtome.methods.registry import get_method
from microtome.models import load_model
from microtome.probes.pycode.concepts import CONCEPTS
from microtome.probes.source import open_probe

NAMES = [
    "comment", "docstring", "number", "keyword", "function name", "parameter name", "called function", "keyword argument",
    "imported name", "returned value", "condition", "raised exception", "class body", "line start", "constant name", "private name",
    "dunder name", "English prose",
]  # fmt: skip


def main() -> None:
    keep_freed_memory()
    model, probe = load_model("builtin:pycode-gpt"), open_probe("builtin:pycode#test:400")
    method = get_method("concept-neurons")
    heads = ("concept", "best neuron", "average precision", "where chosen", "prevalence", "16 off", "16 random off", "16 off, elsewhere")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    for concept in (c for c in CONCEPTS if c.name in NAMES):
        asked = method.parse({"concept": f"{concept.category}:{concept.name}", "most": 16, "draws": 20, "ablated_texts": 8})
        found = method.function(model=model, probe=probe, layers=None, params=asked, run=SilentContext())
        best = found["summary"].scores[0]
        layer, unit = best.name.split("/")
        table = found[f"units_{layer.replace('.', '_')}"]
        chosen = float(table.stored("ap_chosen")[1][table.units.tolist().index(int(unit))])
        curve = found["ablation"]
        on, off = (float(v) for v in curve.arrays["y"][:, -1])
        low, high = (float(curve.arrays[end][0, -1]) for end in ("low", "high"))
        print(
            f"| {concept.category}: {concept.name} | {best.name} | {best.value:.2f} ({best.low:.2f} to {best.high:.2f}) | {chosen:.2f} | "
            f"{best.chance:.3f} | {on:+.2f} | {low:+.2f} to {high:+.2f} | {off:+.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
