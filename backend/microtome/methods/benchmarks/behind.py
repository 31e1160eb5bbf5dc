"""The rest of a network behind a layer, as a model whose input is the layer's output."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from microtome.methods.benchmarks.scenes import as_output, resized
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.models.replay import Replay


class Behind(ImageModel):
    """What follows a layer of ``model``, for one image; its input is a map of the layer, [B, units, h, w].

    What bypasses the layer (a class token, a branch beside it) stays as it is in that image. It has one layer, the input itself, so that
    class activation maps weigh what every other method explains. Without a layer it is the network itself, its image the layer.

    Attributes:
        maps: [1, units, h, w], what the layer says of the image.
    """

    def __init__(self, model: ImageModel, layer: Layer | None, image: Tensor) -> None:
        vars(self).update(vars(model))
        self._inner, self._layer, self.maps = model, layer, image
        if layer is not None:
            self._replay = Replay(model, layer, image)
            with model.record([layer]) as recorded:
                self._replay.run()
            self.maps = layer.canonical(recorded[layer.name])
        units, height, width = self.maps.shape[1:]
        self.hash = f"{model.hash}/behind {layer.name if layer else 'the input'}"
        self.channels = units
        if layer is not None:
            self.preprocess = resized(model.preprocess, (height, width), units)
        self.network = nn.Module()
        self.network.place = nn.Identity()
        like = layer or next(iter(model.layers.values()))
        label = layer.label if layer else "input"
        self.layers = {
            "place": replace(
                like, name="place", label=label, units=units, height=height, width=width, layout="bchw", special=0, default=True, order=0,
                depth=0,
            )
        }  # fmt: skip

    def attribution_layer(self) -> Layer:
        return self.layers["place"]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, classes] of maps [B, units, h, w] in the place of the layer's own."""
        maps: Tensor = self.network.get_submodule("place")(inputs)
        layer = self._layer
        if layer is None:
            return self._inner.forward(maps)

        def put(raw: Tensor) -> Tensor:
            return as_output(layer, maps.clone(), raw)

        with self._inner.changed(layer, put):
            logits = self._replay.run(keep_graph=True)
        self._inner.forward_passes += inputs.shape[0] - 1  # the replay counts its one image
        return logits


def chosen_layers(model: ImageModel) -> list[tuple[str, Layer | None]]:
    """Input, the main layer half way to the last, and the last one whose sites all reach the output; with what they are called."""
    last = model.attribution_layer()
    spatial = [x for x in model.layers.values() if x.default and x.height * x.width > 1 and x.order <= last.order]
    middle = spatial[(len(spatial) - 1) // 2]
    found: list[tuple[str, Layer | None]] = [("input", None)]
    if middle.name != last.name:
        found.append((f"middle: {middle.label}", middle))
    return [*found, (f"last: {last.label}", last)]


def same_share(pixels: int, of: int, size: int) -> int:
    """So many of ``size`` sites as ``pixels`` are of ``of`` pixels; at least one."""
    return max(1, round(pixels * size / of))
