"""One pass over a probe set: decode ahead, run the network, hand every chosen layer to its recorders, keep a spool."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.probes import ProbeSet

BATCH = 16
_AHEAD = 4
#: Called for every batch: first index, logits, and float32 [B, units, h, w] by layer name.
Observer = Callable[[int, torch.Tensor, dict[str, torch.Tensor]], None]


def read_ahead(read: Callable[[int, int], npt.NDArray | torch.Tensor], total: int, batch: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Batches in order, decoded by a thread of their own while the network computes."""
    ready: queue.Queue[tuple[int, torch.Tensor] | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: tuple[int, torch.Tensor] | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.2)
                return

    def work() -> None:
        try:
            for start in range(0, total, batch):
                if stop.is_set():
                    return
                put((start, read(start, min(start + batch, total))))  # type: ignore[arg-type]
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in str(error).lower() or "can't allocate memory" in str(error))
    )


def forward_pass(
    model: Model,
    inputs: Iterator[tuple[int, torch.Tensor]],
    total: int,
    layers: Sequence[Layer],
    observe: Observer,
    run: RunContext,
) -> None:
    """Run ``model`` over prepared batches, once, with all ``layers`` hooked.

    Out of memory halves the batch and tries again, down to one example; it never ends another run.

    Raises:
        RunCancelled: between batches.
    """
    limit = 1 << 30

    def step(start: int, batch: torch.Tensor) -> None:
        nonlocal limit
        if len(batch) > limit:
            size = limit  # it may be halved again on the way, which must not leave examples out
            for offset in range(0, len(batch), size):
                step(start + offset, batch[offset : offset + size])
            return
        try:
            with torch.inference_mode(), model.record(layers) as outputs:
                logits = model.forward(batch.to(model.device, non_blocking=True))
                maps = {x.name: x.canonical(outputs[x.name]).float() for x in layers}
        except Exception as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
            limit = len(batch) // 2
            if model.device.type == "cuda":
                torch.cuda.empty_cache()
            step(start, batch)
            return
        observe(start, logits, maps)

    for start, batch in inputs:
        run.check()
        step(start, batch)
        run.progress(min(start + len(batch), total), total, "images")


def image_batches(model: Model, probe: ProbeSet, indices: Sequence[int], batch: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Preprocessed batches of the chosen examples."""

    def read(start: int, stop: int) -> torch.Tensor:
        return model.preprocess([probe.image(i) for i in indices[start:stop]])

    return read_ahead(read, len(indices), batch)


def read_labels(model: Model, probe: ProbeSet, indices: Sequence[int], size: tuple[int, int], run: RunContext) -> npt.NDArray[np.uint16]:
    """uint16 [n, L, *size]: concept labels through the model's own geometry; ignored positions are 65535 in every map."""
    geometry = model.preprocess.geometry
    out: npt.NDArray[np.uint16] | None = None
    for place, index in enumerate(indices):
        if place % 64 == 0:
            run.check()
        labels, ignore = probe.labels(index), probe.ignore(index)
        assert labels is not None
        # +1 and back marks padding: what lies outside the source image is ignored, not "nothing".
        shown = geometry.labels(labels + np.uint16(1), size)
        if out is None:
            out = np.empty((len(indices), *shown.shape), np.uint16)
        out[place] = shown - np.uint16(1)
        if ignore is not None:
            out[place][:, geometry.labels(ignore, size)] = np.uint16(65_535)
    assert out is not None
    return out


def label_size(model_input: tuple[int, int]) -> tuple[int, int]:
    """Size at which masks are compared: the model's input up to 128 pixels, half of it above (112 for 224, as NetDissect)."""
    return tuple(s if s <= 128 else s // 2 for s in model_input)  # type: ignore[return-value]
