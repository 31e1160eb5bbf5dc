"""One pass over a probe set: decode ahead, run the network, hand every chosen layer to its recorders, keep a spool."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import torch

from microtome.core.context import RunContext
from microtome.models.layers import Layer
from microtome.models.model import Model

BATCH = 16
_AHEAD = 4
#: Called after every batch: first index, its inputs, and the model's answer to them where answers are wanted.
Observer = Callable[[int, torch.Tensor, torch.Tensor | None], None]
#: Called while a batch runs: first index, layer name, and its output [B, units, h, w], which may change afterwards.
Taker = Callable[[int, str, torch.Tensor], None]


def read_ahead(read: Callable[[int, int], torch.Tensor], total: int, batch: int) -> Iterator[tuple[int, torch.Tensor]]:
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
                put((start, read(start, min(start + batch, total))))
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
    run: RunContext,
    observe: Observer,
    layers: Sequence[Layer] = (),
    take: Taker | None = None,
    *,
    answers: bool = True,
) -> None:
    """Run ``model`` over prepared batches, once; ``take`` is given the outputs of ``layers`` as they arise.

    Without ``answers`` the model stops behind its last layer: the map of a language model to its vocabulary is not computed.

    Out of memory halves the batch and tries again, down to one example; it never ends another run. What ``take`` was given of a
    batch that failed, it is given again.

    Raises:
        RunCancelled: between batches.
    """
    limit = 1 << 30
    for start, batch in inputs:
        run.check()
        rest, at = batch, start
        while len(rest):
            part = rest[:limit]
            try:
                logits = _forward(model, part, at, layers, take, answers)
            except Exception as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
                limit = len(part) // 2
                if model.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            observe(at, part, logits)
            del logits  # of a language model the largest array of all; the next ones take its place
            rest, at = rest[len(part) :], at + len(part)
        run.progress(min(at, total), total, {"image": "images", "text": "texts"}[model.modality])


def _forward(
    model: Model, batch: torch.Tensor, start: int, layers: Sequence[Layer], take: Taker | None, answers: bool
) -> torch.Tensor | None:  # fmt: skip
    def tap(layer: Layer, output: torch.Tensor) -> None:
        assert take is not None
        take(start, layer.name, layer.canonical(output))

    with torch.inference_mode(), model.tapped(layers, tap):
        if model.device.type == "cuda":
            batch = batch.pin_memory()
        batch = batch.to(model.device, non_blocking=True)
        if answers:
            return model.forward(batch)
        model.through(batch)
        return None
