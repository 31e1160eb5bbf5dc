"""Where a worker gets models, probe sets and methods. Tests hand in another one. Imports torch when used."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from microtome.core.settings import Settings


class Workshop:
    """The real one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = "cpu"
        self.cluster: Any = None  # where passes are recorded, if not on ``device``

    def open(self, device: str) -> None:
        """Prepare this process for work on ``device``."""
        import torch

        from microtome.models.loading import pick_device

        torch.set_num_threads(self.settings.cores)
        self.device = pick_device(device)

    def load_model(self, source: str) -> Any:
        from microtome.models import load_model

        return load_model(source, device=self.device)

    def open_probe(self, source: str) -> Any:
        from microtome.probes import open_probe

        return open_probe(source)

    def example(self, path: Path, name: str) -> Any:
        """An uploaded image as an example."""
        from microtome.probes import Example, decode_image

        return Example(decode_image(path, self.settings.image_pixels, name), None, name)

    def methods(self) -> dict[str, Any]:
        from microtome.methods.registry import methods

        return dict(methods())

    def captures(self, wanted: Callable[[str, str, int], Collection[str]]) -> Any:
        """Where recorded activations are kept between runs; ``wanted`` names layers that waiting runs ask of the same examples."""
        from microtome.capture.taken import Captures

        if self.settings.executor == "ray":
            from microtome.engine.cluster.connect import Cluster

            self.cluster = Cluster(self.settings)
            return Captures(self.cluster.shards, wanted)
        return Captures(wanted=wanted)
