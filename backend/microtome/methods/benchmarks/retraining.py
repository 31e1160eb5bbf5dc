"""What can be learnt from parts of images: small networks, trained anew on images of which only some pixels are left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from microtome.methods.faithfulness.order import Floats, ranks

_BATCH, _LEARNING_RATE, _LARGE = 32, 3e-3, 64


def kept(maps: Floats, share: float, top: bool, seed: int) -> npt.NDArray[np.bool_]:
    """bool [n, H, W]: the ``share`` of the pixels of every map [n, H, W] with the largest or the smallest absolute values.

    Ties are broken by lot: by index they would keep a corner of the image, and a corner can be learnt from.
    """
    flat = np.abs(maps.reshape(len(maps), -1))
    count = max(1, round(share * flat.shape[1]))
    lot = np.random.default_rng(seed).permutation(flat.shape[1])
    places = np.empty(flat.shape, np.int32)
    places[:, lot] = ranks(flat[:, lot])
    inside = places < count if top else places >= flat.shape[1] - count
    return np.asarray(inside.reshape(maps.shape))


def masked(images: Tensor, keep: npt.NDArray[np.bool_]) -> Tensor:
    """Images [n, 3, H, W] with every pixel that is not kept in the mean colour of all; large ones at half the size."""
    fill = images.mean((0, 2, 3), keepdim=True)
    out = torch.where(torch.from_numpy(keep)[:, None], images, fill)
    return nn.functional.avg_pool2d(out, 2) if min(out.shape[2:]) > _LARGE else out


def small_network(channels: int, classes: int, generator: torch.Generator) -> nn.Module:
    """An untrained convolutional network of about 25,000 parameters, drawn by the generator alone."""
    network = nn.Sequential(
        nn.Conv2d(channels, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes),
    )  # fmt: skip
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
    nn.init.zeros_(network[-1].bias)  # type: ignore[arg-type]
    return network


def learnt(
    images: Tensor, labels: Tensor, held: npt.NDArray[np.bool_], classes: int, *, epochs: int, seed: int, check: Callable[[], None]
) -> npt.NDArray[np.bool_]:
    """bool [held]: which held-out images a small network names, that was trained on the others; a function of the seed alone.

    Args:
        images: [n, 3, h, w]. labels: int64 [n]. held: bool [n].
        check: called before every step.
    """
    generator = torch.Generator().manual_seed(seed)
    network = small_network(images.shape[1], classes, generator)
    others = torch.from_numpy(np.flatnonzero(~held))
    steps = -(-len(others) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=epochs * steps)
    with torch.enable_grad():
        for _ in range(epochs):
            order = others[torch.randperm(len(others), generator=generator)]
            for rows in order.tensor_split(steps):
                check()
                loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    network.eval()
    with torch.inference_mode():
        wanted = torch.from_numpy(np.flatnonzero(held))
        guesses = torch.cat([network(images[rows]).argmax(1) for rows in wanted.split(256)])
    return np.asarray((guesses == labels[wanted]).numpy())
