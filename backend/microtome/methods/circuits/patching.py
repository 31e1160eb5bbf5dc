"""Putting what a part computed on one prompt in its place on the other, and what all parts of a kind give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.context import RunContext
from microtome.methods.circuits.pair import Pair
from microtome.methods.circuits.sites import Kind, Site, recorded
from microtome.models.text import TextModel
from microtome.results import Matrix

#: Logits that are computed at once at most, 256 MB of them.
_LOGITS = 64_000_000
Floats = npt.NDArray[np.float64]
_WORDS: dict[Kind, str] = {
    "residual": "residual stream", "attention": "attention", "feed-forward": "feed-forward parts", "heads": "attention heads",
}  # fmt: skip


def rows_at_once(model: TextModel, length: int) -> int:
    """Texts of this length that go through a model together."""
    return max(1, min(64, _LOGITS // (length * max(model.tokenizer.vocabulary, 1))))


def clean_values(model: TextModel, pair: Pair, kinds: Mapping[Kind, Sequence[Sequence[Site]]]) -> dict[str, torch.Tensor]:
    """What every layer of the sites is read from on the clean prompt, [1, T, D] by name."""
    layers = {sites[0].layer.name: sites[0].layer for parts in kinds.values() for sites in parts}
    return recorded(model, layers.values(), pair.clean)[1]


def patch(model: TextModel, pair: Pair, sites: Sequence[Site], clean: torch.Tensor, run: RunContext) -> Floats:
    """Normalised metric float64 [sites, T + 1] on the corrupted prompt, each site at each position set to its clean value; last: at all.

    Args:
        sites: of one layer. clean: what that layer is read from on the clean prompt, [1, T, D].
    """
    layer, length = sites[0].layer, pair.length
    where = [(site, place) for site in sites for place in (*range(length), None)]
    found: list[float] = []
    step = rows_at_once(model, length)
    for start in range(0, len(where), step):
        run.check()
        part = where[start : start + step]
        mask = torch.zeros(len(part), length, clean.shape[2], dtype=torch.bool, device=clean.device)
        for row, (site, place) in enumerate(part):
            mask[row, slice(None) if place is None else place, site.start : site.stop] = True

        def put(tensor: torch.Tensor, mask: torch.Tensor = mask) -> torch.Tensor:
            return torch.where(mask, clean, tensor)

        with torch.no_grad(), model.changed(layer, put):
            found += pair.difference(model.forward(pair.corrupted.expand(len(part), -1))).double().tolist()
    return np.asarray(pair.normalised(np.array(found).reshape(len(sites), length + 1)))


def patching_matrix(kind: Kind, parts: Sequence[Sequence[Site]], values: Sequence[Floats], pair: Pair, title: str, note: str) -> Matrix:
    """Sites x positions, the last column all positions at once."""
    return Matrix(
        title=f"{title}: {_WORDS[kind]}", note=note, rows=[site.name for sites in parts for site in sites],
        columns=[*pair.names, "all"], row_axis="head" if kind == "heads" else "layer", column_axis="position",
        quantity="share of the difference in logits restored", arrays={"values": np.concatenate(values).astype(np.float32)},
    )  # fmt: skip
