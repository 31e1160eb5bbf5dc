"""The pass that dissection and activation statistics share: recorders of the first stage, and the spool for the second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from microtome.capture.recorders.summary import Summary
from microtome.capture.run import BATCH, forward_pass, image_batches
from microtome.capture.spool import Spool
from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward pass left behind, by layer name."""

    spool: Spool
    summaries: dict[str, Summary]


@contextmanager
def run_pass(model: Model, probe: ProbeSet, layers: Sequence[Layer], indices: Sequence[int], run: RunContext) -> Iterator[Pass]:
    """One forward pass over ``indices`` of ``probe``; the spool is freed at the end of the block."""
    with Spool(layers, len(indices)) as spool:
        done = Pass(spool, {x.name: Summary(len(indices), x.units) for x in layers})

        def observe(start: int, _: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
            for name, values in maps.items():
                spool.write(name, start, values.cpu().numpy())
                done.summaries[name].update(spool[name][start : start + len(values)], start)

        forward_pass(model, image_batches(model, probe, indices, BATCH), len(indices), layers, observe, run)
        yield done
