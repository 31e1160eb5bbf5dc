"""Networks that look at a grid: as one picture, with a head of its own for every cell, or each cell through a copy of its own.

Each is a :class:`Model`, so that attribution methods explain it as they explain any other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from microtome.core.errors import InvalidInput
from microtome.methods.attribution.target import Target
from microtome.methods.benchmarks.grids import cell_region, shrunk, stitched, unstitched
from microtome.methods.faithfulness.localisation import Mask
from microtome.models.image import ImageModel
from microtome.models.layers import Layer
from microtome.models.preprocess import Preprocessor

Setting = Literal["gridpg", "dipart", "difull"]
#: How far two outputs may differ that are the same but for rounding, in parts of how far different images lie apart.
_SAME = 1e-3


def resized(preprocess: Preprocessor, size: tuple[int, int], channels: int | None = None) -> Preprocessor:
    """The preprocessing of a model with another input size; of ``channels`` values that need no normalisation, where it is no image."""
    other = copy.copy(preprocess)
    other.geometry = replace(preprocess.geometry, input=size)
    if channels is not None:
        other.mean, other.std = (0.0,) * channels, (1.0,) * channels
    return other


def as_output(layer: Layer, maps: Tensor, raw: Tensor) -> Tensor:
    """Maps [n, units, h, w] in the layout of the layer's raw output; special tokens from ``raw``, row by row and again from the start."""
    if layer.layout == "bchw":
        return maps
    if layer.layout == "bhwc":
        return maps.permute(0, 2, 3, 1).contiguous()
    special = raw[:, : layer.special].repeat(maps.shape[0] // raw.shape[0], 1, 1)
    return torch.cat([special, maps.flatten(2).transpose(1, 2)], 1)


def whole_grid(model: ImageModel, cells: int) -> ImageModel | None:
    """The network itself with an input of ``cells`` x ``cells`` images; None if its geometry is fixed."""
    height, width = model.preprocess.size
    try:
        return ImageModel(
            source=model.source, network=model.network, preprocess=resized(model.preprocess, (height * cells, width * cells)),
            classes=model.classes, family=model.family, hash=f"{model.hash}/grid of {cells}", bytes=model.bytes, config=model.config,
            channels=model.channels, device=str(model.device),
        )  # fmt: skip
    except (RuntimeError, ValueError, InvalidInput):  # positions or a linear layer of fixed size: how they say so is theirs
        return None


def cuts(model: ImageModel, layer: Layer) -> bool:
    """Whether all that the network knows of its input goes through a layer: with its output set to zero, any two images are one."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.rand(2, model.channels, *model.preprocess.size, generator=generator).to(model.device)
    with torch.inference_mode():
        apart = (model.forward(sample)[0] - model.forward(sample)[1]).abs().max()
        with model.changed(layer, torch.zeros_like):
            one, other = model.forward(sample)
    return bool((one - other).abs().max() <= _SAME * apart)


class Cells(ImageModel):
    """DiFull: every cell through a copy of the network of its own; outputs are cell after cell the logits of its copy.

    Layers have the cells of a grid stitched together, so that a map of a layer is a map of the grid. The modules are not to be seen from
    outside: what reads them past layers would take cells for images.
    """

    def __init__(self, base: ImageModel, cells: int) -> None:
        vars(self).update(vars(base))
        height, width = base.preprocess.size
        self.base, self.cells = base, cells
        self.network = nn.Module()
        self.hash = f"{base.hash}/cells of {cells}"
        self.preprocess = resized(base.preprocess, (height * cells, width * cells))
        self.classes = head_names(base, cells)
        self.layers = {
            name: replace(layer, height=layer.height * cells, width=layer.width * cells, layout="bchw", special=0)
            for name, layer in base.layers.items()
            if layer.height * layer.width > 1
        }

    def attribution_layer(self) -> Layer:
        return self.layers[self.base.attribution_layer().name]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, cells * cells * classes] of grids [B, 3, H, W]."""
        return self.base.forward(unstitched(inputs, self.cells)).reshape(-1, len(self.classes))

    @contextmanager
    def tapped(self, layers: Sequence[Layer], tap: Callable[[Layer, Tensor], None]) -> Iterator[None]:
        def note(inner: Layer, raw: Tensor) -> None:
            tap(self.layers[inner.name], stitched(inner.canonical(raw), self.cells))

        with self.base.tapped([self.base.layers[layer.name] for layer in layers], note):
            yield

    @contextmanager
    def changed(self, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        inner = self.base.layers[layer.name]

        def replace_cells(raw: Tensor) -> Tensor:
            return as_output(inner, unstitched(change(stitched(inner.canonical(raw), self.cells)), self.cells), raw)

        with self.base.changed(inner, replace_cells):
            yield


class Heads(ImageModel):
    """DiPart: one network over the whole grid up to a layer; behind it every cell has a head that sees the cell's part of it only."""

    def __init__(self, whole: ImageModel, cells: int, layer: Layer) -> None:
        vars(self).update(vars(whole))
        self.cells, self.last = cells, layer
        self.hash = f"{whole.hash}/heads behind {layer.name}"
        self.classes = head_names(whole, cells)
        self.layers = {name: other for name, other in whole.layers.items() if other.order <= layer.order}

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [B, cells * cells * classes] of grids [B, 3, H, W]."""

        def apart(raw: Tensor) -> Tensor:
            return as_output(self.last, unstitched(self.last.canonical(raw), self.cells), raw)

        # Entered last, so that whoever records or changes the layer sees the whole grid.
        with self.changed(self.last, apart):
            return super().forward(inputs).reshape(-1, len(self.classes))


def head_names(model: ImageModel, cells: int) -> tuple[str, ...]:
    return tuple(f"{name} in cell {cell}" for cell in range(cells**2) for name in model.classes)


@dataclass(frozen=True, slots=True)
class Scene:
    """A setting, ready to be explained.

    Attributes:
        model: what looks at grids. base: the network itself. seen: how it sees them, in words.
    """

    setting: Setting
    model: ImageModel
    base: ImageModel
    cells: int
    seen: str

    def inputs(self, images: Tensor) -> Tensor:
        """[1, 3, H, W] of the images of the cells [cells * cells, 3, h, w]."""
        return shrunk(images, self.cells, self.base.preprocess.size) if self.model is self.base else stitched(images, self.cells)

    def target(self, cell: int, index: int) -> Target:
        """The class of a cell: of the one head there is, or of the cell's own."""
        name = f"{self.base.classes[index]} in cell {cell}"
        return Target(name, None, ((index if self.setting == "gridpg" else cell * len(self.base.classes) + index, 1.0),))

    def region(self, cell: int, size: tuple[int, int]) -> Mask:
        return cell_region(size, self.cells, cell)

    def count(self) -> None:
        """Add what went through a network with a larger input to the passes of the model, in images."""
        if self.model is not self.base and not isinstance(self.model, Cells):
            self.base.forward_passes += self.model.forward_passes * self.cells**2
            self.model.forward_passes = 0


def scene(setting: Setting, model: ImageModel, cells: int) -> Scene:
    """
    Raises:
        InvalidInput: the network cannot look at a grid in this way.
    """
    if setting == "difull":
        return Scene(setting, Cells(model, cells), model, cells, "every cell at full size, through a copy of the network of its own")
    whole = whole_grid(model, cells)
    if setting == "gridpg":
        if whole is None:
            height, width = model.preprocess.size
            return Scene(
                setting, model, model, cells, f"grid shrunk to {width} x {height}, since the input of this network has a fixed size"
            )
        return Scene(setting, whole, model, cells, "every cell at full size")
    if whole is None:
        raise InvalidInput(
            f"The input of {model.source} has a fixed size, so it cannot read a grid with a head for each cell. Use difull or gridpg.",
            field="model",
        )
    layer = _last_layer(whole, model, cells)
    return Scene(setting, Heads(whole, cells, layer), model, cells, f"every cell at full size; a head for every cell behind {layer.label}")


def _last_layer(whole: ImageModel, model: ImageModel, cells: int) -> Layer:
    """The last layer with sites that all goes through, and whose sites divide among the cells.

    Raises:
        InvalidInput: there is none.
    """
    for layer in reversed(whole.layers.values()):
        single = model.layers.get(layer.name)
        if layer.layout not in ("bchw", "bhwc") or single is None or single.height * single.width < 2:
            continue
        if (layer.height, layer.width) == (single.height * cells, single.width * cells) and cuts(whole, layer):
            return layer
    raise InvalidInput(
        f"{model.source} has no layer that all goes through and whose sites divide among {cells} x {cells} cells. Use difull or gridpg.",
        field="model",
    )
