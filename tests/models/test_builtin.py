"""The networks that ship with Microtome, loaded as anybody loads them."""

from __future__ import annotations

import re

import pytest
import torch

from microtome.models import load_model
from microtome.models.identity import BUILTIN_FOLDER, builtin_names
from microtome.probes.generated import GENERATORS

LARGEST = 10_000_000


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_network_is_as_good_as_its_card_says(name: str) -> None:
    model = load_model(f"builtin:{name}")
    generator = GENERATORS[name.split("-")[0]]
    assert model.classes == generator.classes
    assert (BUILTIN_FOLDER / name / "model.safetensors").stat().st_size <= LARGEST
    assert model.card
    assert model.card.startswith(f"# {name}\n")
    stated = re.search(r"\*\*([01]\.\d{4})\*\*", model.card)
    assert stated, "the card states the accuracy on the split test"
    scenes = [generator.render("test", i) for i in range(120)]
    with torch.inference_mode():
        guesses = model.forward(model.inputs([s.image for s in scenes])).argmax(1).tolist()
    right = sum(guess == scene.label for guess, scene in zip(guesses, scenes, strict=True)) / len(scenes)
    # Three standard errors of a share of 120, and never less than one picture.
    expected = float(stated[1])
    slack = max(3 * (expected * (1 - expected) / len(scenes)) ** 0.5, 1 / len(scenes))
    assert right >= expected - slack
    assert f"{sum(p.numel() for p in model.network.parameters()):,} parameters" in model.card
