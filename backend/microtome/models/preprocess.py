"""From decoded images to a model's input, by the processor in its folder or a stated default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from microtome.core.errors import InvalidInput
from microtome.core.geometry import Geometry

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224
DEFAULT_NOTE = "default: resize to the configured size, ImageNet mean and deviation (the folder has no processor file)"


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[-1])
    return int(size["height"]), int(size["width"])


def _plain(size: Any) -> dict[str, int]:
    """A processor's size as a plain mapping of what is set."""
    if isinstance(size, int):
        return {"shortest_edge": size}
    items = size.items() if hasattr(size, "items") else vars(size).items()
    return {k: int(v) for k, v in items if v is not None}


def geometry_of(processor: Any) -> Geometry:
    """Read the geometry off a transformers image processor.

    Raises:
        InvalidInput: for a geometry that is neither a resize nor a centre crop (padding, tiling).
    """
    if getattr(processor, "do_pad", False):
        raise InvalidInput(f"{type(processor).__name__} pads its images, which is not supported.", field="source")
    resize = getattr(processor, "do_resize", False)
    crop = _pair(getattr(processor, "crop_size", None) or (0, 0)) if getattr(processor, "do_center_crop", False) else None
    if not resize:
        if crop is None:
            raise InvalidInput("The processor neither resizes nor crops, so images have no common size.", field="source")
        return Geometry("none", crop, crop)
    size = _plain(processor.size)
    if "height" in size and "width" in size:
        exact = (size["height"], size["width"])
        return Geometry("exact", exact, crop or exact)
    if "shortest_edge" not in size:
        raise InvalidInput(f"A processor size of {size} is not supported; use height and width, or shortest_edge.", field="source")
    edge = size["shortest_edge"]
    if getattr(processor, "crop_pct", None) is not None:  # the ConvNeXt rule: crop small inputs, squash large ones
        if edge >= 384:
            return Geometry("exact", (edge, edge), (edge, edge))
        enlarged = int(edge / processor.crop_pct)
        return Geometry("shortest", (enlarged, enlarged), (edge, edge))
    if crop is None:
        raise InvalidInput("The processor resizes the shortest edge without a crop, so images have no common size.", field="source")
    return Geometry("shortest", (edge, edge), crop)


class Preprocessor:
    """Images in, float32 [B, 3, H, W] out. Thread-safe."""

    def __init__(self, folder: Path | None, config: Any) -> None:
        self._processor: Any = None
        if folder is not None and any((folder / n).exists() for n in ("preprocessor_config.json", "processor_config.json")):
            from transformers import AutoImageProcessor

            self._processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        if self._processor is not None:
            self.geometry = geometry_of(self._processor)
            self.mean = tuple(getattr(self._processor, "image_mean", None) or (0.0,) * 3)
            self.std = tuple(getattr(self._processor, "image_std", None) or (1.0,) * 3)
            if not getattr(self._processor, "do_normalize", True):
                self.mean, self.std = (0.0,) * 3, (1.0,) * 3
        else:
            size = _pair(getattr(config, "image_size", None) or DEFAULT_SIZE)
            self.geometry = Geometry("exact", size, size, DEFAULT_NOTE)
            self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD
        self._simple = getattr(self._processor, "rescale_factor", 1 / 255) == 1 / 255 and getattr(self._processor, "do_rescale", True)

    @property
    def size(self) -> tuple[int, int]:
        return self.geometry.input

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        """float32 [B, 3, H, W] of uint8 [H, W, 3] images of any sizes."""
        # Nothing to resample: scaling and normalising at once is much faster than the processor, and a test holds it equal.
        fits = all(i.shape[:2] == self.size and self.geometry.box(*i.shape[:2])[:2] == (0.0, 0.0) for i in images)
        if self._processor is None or (fits and self._simple):
            views = np.stack([self.geometry.view(i) for i in images])
            pixels = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 3, 1, 2))).float()
            mean, std = torch.tensor(self.mean).view(1, 3, 1, 1), torch.tensor(self.std).view(1, 3, 1, 1)
            return (pixels / 255 - mean) / std
        from PIL import Image

        batch = self._processor(images=[Image.fromarray(i) for i in images], return_tensors="np")["pixel_values"]
        return torch.from_numpy(np.ascontiguousarray(np.asarray(batch, dtype=np.float32)))

    def to_pixels(self, inputs: torch.Tensor) -> torch.Tensor:
        """Back to colours 0 to 1, for showing."""
        mean = torch.tensor(self.mean, device=inputs.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=inputs.device).view(1, 3, 1, 1)
        return (inputs * std + mean).clamp(0, 1)
