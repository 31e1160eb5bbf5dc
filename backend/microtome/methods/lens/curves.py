"""Curves along the residual stream: one point before the first block, and one after every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from microtome.models.layers import Layer
from microtome.results import Curves


def curves(title: str, layers: Sequence[Layer], y_axis: str, series: Mapping[str, Tensor], note: str = "") -> Curves:
    """Series [layers] by name."""
    first = f"0 is {layers[0].label}" if layers[0].point == "input" else f"0 is {layers[0].label}, the first"
    return Curves(
        title=title, note=note, series=list(series), x_axis=f"layer ({first})", y_axis=y_axis,
        arrays={
            "x": np.arange(len(layers), dtype=np.float32),
            "y": np.stack([values.float().cpu().numpy() for values in series.values()]),
        },
    )  # fmt: skip
