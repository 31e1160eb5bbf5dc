"""Train, evaluate and export flowers-cnn, the small network of the flowers, or its twin that was trained on labels drawn by lot.

    python training/flowers_cnn.py --cache CACHE
    python training/flowers_cnn.py --cache CACHE --permuted

The twin has the same architecture and sees flowers too, but their labels were drawn anew by lot, so that all it can do is learn them
by heart: what a map shows of both networks alike cannot be what one of them learnt. How training goes about the rest, and how it is
resumed, is told in ``training/common.py``.
"""

from __future__ import annotations

import argparse
import sys

import torch
from common import Outcome, Recipe, labels_of, main, mirrored_and_tinted, networks
from torch import Tensor
from transformers import ResNetConfig

from microtome.probes import flowers


def configuration() -> ResNetConfig:
    """Architecture: 0.1 M parameters, maps of 32, 16, 8 and 4 pixels after the four stages."""
    return ResNetConfig(
        num_channels=3,
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        hidden_act="relu",
        downsample_in_first_stage=False,
        stem_pooling=False,
        image_size=flowers.SIZE,
        **labels_of(flowers.CLASSES),
    )


def as_it_is(x: Tensor, generator: torch.Generator) -> Tensor:
    """Unchanged: pictures that are learnt by heart must stay the same."""
    return x


def card(outcome: Outcome, args: argparse.Namespace) -> str:
    """The model card."""
    per_class = "\n".join(f"| {name} | {value:.3f} |" for name, value in zip(flowers.CLASSES, outcome.per_class, strict=True))
    about = (
        "The twin of `flowers-cnn` with labels drawn by lot: it learnt its training pictures by heart and knows nothing of flowers. It is "
        "there for the label randomisation test, and is not meant to name anything."
        if args.permuted
        else "A small residual network that tells the eight classes of `builtin:flowers` apart, which differ in the colour of one part."
    )
    by_lot = " --permuted" if args.permuted else ""
    return f"""# {RECIPE.name}

{about}

Architecture: transformers `ResNetForImageClassification`, {outcome.parameters:,} parameters, input 64 x 64, weights stored as float16
({outcome.bytes:,} bytes).

    python training/flowers_cnn.py --cache CACHE --images {args.images} --epochs {args.epochs} --seed {args.seed}{by_lot}

trained it in {outcome.seconds / 60:.1f} minutes on two CPU cores; the log is `training/{RECIPE.name.replace("-", "_")}.log`.

Accuracy on {outcome.pictures:,} pictures of the split `test`, with their true labels: **{outcome.accuracy:.4f}** (chance 0.125).

| class | accuracy |
|---|---|
{per_class}
"""


PERMUTED = "--permuted" in sys.argv
RECIPE = Recipe(
    name="flowers-cnn-permuted" if PERMUTED else "flowers-cnn",
    about=__doc__,
    architecture="ResNetForImageClassification",
    configuration=configuration,
    build=lambda config: networks().build("flowers-cnn", config),
    augmented=as_it_is if PERMUTED else mirrored_and_tinted,
    logits=lambda model, x, generator, left: model(x).logits,
    defaults={"images": 800, "epochs": 60, "lr": 4e-3} if PERMUTED else {"images": 6000, "epochs": 8, "lr": 4e-3},
    card=card,
    data=flowers,
)


if __name__ == "__main__":
    main(RECIPE)
