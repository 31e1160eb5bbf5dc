"""How an image becomes a model's input, as data: resize, then centre crop.

The model's own processor transforms the pixels. This class describes the same geometry without torch or transformers, so that
labels pass through exactly the same transform (nearest neighbour) and the web process can show what the model saw. A test
pushes a marker image through every family to hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image


def _steps(places: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """Places along an axis, as a slice where they are evenly spaced: that is some ten times faster to take."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step > 0 and (np.diff(places) == step).all():
        return slice(int(places[0]), int(places[-1]) + 1, step)
    return places


@dataclass(frozen=True, slots=True)
class Geometry:
    """Resize (``exact`` to height x width, or ``shortest`` edge to ``height``), then centre crop to ``input``.

    Attributes:
        mode: ``exact``, ``shortest`` or ``none``.
        resize: (height, width); for ``shortest`` both hold the edge.
        input: (height, width) of the model's input, after the crop.
        stated: where it comes from: ``processor``, or the default when a folder has none.
    """

    mode: Literal["exact", "shortest", "none"]
    resize: tuple[int, int]
    input: tuple[int, int]
    stated: str = "processor"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size of an image of this size after the resize, before the crop."""
        if self.mode == "exact":
            return self.resize
        if self.mode == "none":
            return height, width
        edge = self.resize[0]
        # The longer side is truncated, not rounded: as transformers' get_resize_output_image_size does.
        return (edge, int(edge * width / height)) if height <= width else (int(edge * height / width), edge)

    def _offsets(self, height: int, width: int) -> tuple[int, int, int, int]:
        tall, wide = self.resized(height, width)
        return tall, wide, (tall - self.input[0]) // 2, (wide - self.input[1]) // 2

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in source pixels of what the model sees; may exceed the image where it is padded."""
        tall, wide, top, left = self._offsets(height, width)
        sy, sx = height / tall, width / wide
        return left * sx, top * sy, (left + self.input[1]) * sx, (top + self.input[0]) * sy

    def labels(self, maps: npt.NDArray[Any], size: tuple[int, int], outside: int = 0) -> npt.NDArray[Any]:
        """[..., H, W] labels through the same transform, nearest neighbour, at ``size`` over the model's input.

        Positions that no source pixel covers (padding) become ``outside``.
        """
        height, width = maps.shape[-2:]
        left, top, right, bottom = self.box(height, width)
        y = np.floor(top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]).astype(np.int64)
        x = np.floor(left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]).astype(np.int64)
        inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
        taken = maps[..., _steps(y.clip(0, height - 1)), :][..., _steps(x.clip(0, width - 1))]
        if inside_y.all() and inside_x.all():
            return np.array(taken)
        return np.where(inside_y[:, None] & inside_x[None, :], taken, np.array(outside, maps.dtype))

    def view(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What the model sees, for people: uint8 [h, w, 3] at the input size, bilinear, padding black."""
        height, width = image.shape[:2]
        if (height, width) == self.input and self.box(height, width) == (0.0, 0.0, float(width), float(height)):
            return image
        tall, wide, top, left = self._offsets(height, width)
        picture = Image.fromarray(image).resize((wide, tall), Image.Resampling.BILINEAR)
        return np.asarray(picture.crop((left, top, left + self.input[1], top + self.input[0])))

    def to_dict(self) -> dict[str, Any]:
        return {"mode": self.mode, "resize": list(self.resize), "input": list(self.input), "stated": self.stated}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Geometry:
        return cls(data["mode"], tuple(data["resize"]), tuple(data["input"]), data.get("stated", "processor"))
