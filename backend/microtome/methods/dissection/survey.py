"""What drives each unit over a corpus that is too large to keep."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from microtome.capture.arithmetic import arithmetic_for
from microtome.capture.passing import pass_by, rough_quantiles
from microtome.capture.reading import check_fit, text_width
from microtome.capture.recorders.thresholds import GRID
from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.dissection.tables import gallery_result, statistics_columns
from microtome.methods.language import text_model
from microtome.models.model import Model
from microtome.probes import ProbeSet
from microtome.results import Distribution, Gallery, Scorecard, UnitTable


class Params(MethodParams):
    count: int = Field(9, ge=1, le=36, description="Texts kept of every unit.")
    max_examples: int | None = Field(None, ge=1, le=10_000_000, description="Use only the first texts; all if empty.")


@method(
    "survey",
    title="Survey of a large corpus",
    question="What drives each unit, over more text than can be kept?",
    subjects=("model", "probe"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(UnitTable, Distribution, Gallery, Scorecard),
    partition="layers",
    params=Params,
    example_params=Params(count=2, max_examples=8),
    cite="moments: Chan, Golub, LeVeque 1979; quantiles from counts of leading digits",
    cost=Cost(passes=1.2, per_probe=True),
)
def survey(*, model: Model, probe: ProbeSet, layers: list[str] | None = None, params: Params, run: RunContext):  # type: ignore[no-untyped-def]
    """Statistics, quantiles and the strongest texts of every unit in one pass that keeps no activations.

    Memory does not grow with the texts, and nothing is written to disk while it runs. Moments, extremes and the strongest texts are exact
    (equal peaks in order of the text). Quantiles come from counts of leading digits and are off by at most an eighth of their own size;
    a dissection has exact ones, and concepts.

    Raises:
        InvalidInput: a model or a probe set of images, or values that are not finite.
    """
    reader = text_model(model)
    check_fit(reader, probe)
    chosen = [reader.layer(name) for name in layers] if layers else reader.default_layers()
    examples = min(len(probe), params.max_examples or len(probe))
    width = text_width(reader, probe, examples)
    assert width is not None
    found, tokens = pass_by(reader, probe, chosen, examples, width, params.count, arithmetic_for(str(reader.device)), run)
    for layer in chosen:
        look, leaders = found[layer.name].look, found[layer.name].leaders
        moments = look.moments.finish()
        bad = np.flatnonzero(~np.isfinite(moments.maximum) | ~np.isfinite(moments.minimum))
        if len(bad):
            raise InvalidInput(f"{layer.label} gives values that are not finite, in units {bad[:5].tolist()}.", field="model")
        kept = min(params.count, examples)
        gallery = gallery_result(
            layer, leaders.examples[:, :kept], ["top"] * kept, leaders.values[:, :kept], leaders.sites[:, :kept],
            leaders.maps[:, :kept, None], (1, width),
        )  # fmt: skip
        quantiles = rough_quantiles(look.tops, GRID)
        above = np.tile((1 - np.array(GRID, np.float32))[None], (layer.units, 1))
        run.publish(
            layer.name,
            {
                "units": UnitTable.of(title=f"Activations of {layer.label}", layer=layer.name, columns=statistics_columns(moments)),
                "activation": Distribution(
                    title=f"Quantiles of {layer.label}", note="Off by at most an eighth of their own size.", rows=[], quantity="activation",
                    grid=list(GRID), layer=layer.name, arrays={"thresholds": quantiles, "attained": above},
                ),
                "exemplars": gallery,
                "summary": Scorecard(
                    title=f"Survey of {layer.label}", scores=[],
                    facts={
                        "texts": examples, "tokens": tokens, "units": layer.units, "longest_text": width,
                        "stored_bytes": sum(int(a.nbytes) for a in gallery.arrays.values()) + layer.units * 4 * (2 * len(GRID) + 8),
                    },
                ),
            },
        )  # fmt: skip
    return {}
