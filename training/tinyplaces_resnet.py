"""Train, evaluate and export tinyplaces-resnet, the scene classifier that ships with Microtome.

    python training/tinyplaces_resnet.py --cache CACHE --images 18000 --epochs 9 --seed 0

How it goes about it, and how it is resumed, is told in ``training/common.py``.
"""

from __future__ import annotations

from common import LABELS, SIZE, Recipe, main, mirrored_and_tinted, networks
from transformers import ResNetConfig


def configuration() -> ResNetConfig:
    """Architecture: 2.8 M parameters, maps of 48, 24, 12 and 6 pixels after the four stages."""
    return ResNetConfig(
        num_channels=3,
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 256],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        hidden_act="relu",
        downsample_in_first_stage=False,
        stem_pooling=False,
        image_size=SIZE,
        **LABELS,
    )


RECIPE = Recipe(
    name="tinyplaces-resnet",
    about=__doc__,
    architecture="ResNetForImageClassification",
    configuration=configuration,
    build=lambda config: networks().build_tinyplaces_resnet(config),
    augmented=mirrored_and_tinted,
    logits=lambda model, x, generator, left: model(x).logits,
    defaults={"images": 18000, "epochs": 9, "lr": 2e-3},
)

if __name__ == "__main__":
    main(RECIPE)
