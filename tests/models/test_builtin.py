"""The networks that ship with Microtome, loaded as anybody loads them."""

from __future__ import annotations

import re

import pytest
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from microtome.models import load_model
from microtome.models.identity import BUILTIN_FOLDER, builtin_names
from microtome.models.text import TextModel
from microtome.probes.generated import GENERATORS
from microtome.probes.pycode.corpus import read_modules

LARGEST = 10_000_000
#: Tokens of a window that the losses on the cards were measured over.
WINDOW = 256


SEEING = [name for name in builtin_names() if name.split("-")[0] in GENERATORS]
READING = [name for name in builtin_names() if name not in SEEING]


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_network_comes_with_its_card_and_is_small(name: str) -> None:
    model = load_model(f"builtin:{name}")
    assert (BUILTIN_FOLDER / name / "model.safetensors").stat().st_size <= LARGEST
    assert model.card
    assert model.card.startswith(f"# {name}\n")
    assert f"{sum(p.numel() for p in model.network.parameters()):,} parameters" in model.card


@pytest.mark.parametrize("name", SEEING)
def test_a_network_that_sees_is_as_good_as_its_card_says(name: str) -> None:
    model = load_model(f"builtin:{name}")
    generator = GENERATORS[name.split("-")[0]]
    assert model.classes == generator.classes
    assert model.card
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


@pytest.mark.parametrize("name", READING)
def test_a_network_that_reads_is_as_good_as_its_card_says(name: str) -> None:
    model = load_model(f"builtin:{name}")
    assert isinstance(model, TextModel)
    assert model.card
    stated = re.search(r"\*\*(\d\.\d{3}) nats per \w+\*\*", model.card)
    assert stated, "the card states the loss on the split test"
    begin, ids = model.tokenizer.encode("").ids[:1].tolist(), []
    whole = Tokenizer.from_file(str(BUILTIN_FOLDER / name / "tokenizer.json"))  # ours would cut the modules off at the window
    for module in read_modules("test")[0]:
        ids += begin + whole.encode(module.text, add_special_tokens=False).ids
    held = torch.tensor(ids[: len(ids) // WINDOW * WINDOW]).view(-1, WINDOW)
    held = held[torch.linspace(0, len(held) - 1, 24).long()]
    seen = torch.cat([torch.tensor(begin).expand(len(held), 1), held[:, :-1]], 1)
    with torch.inference_mode():
        scores = model.forward(seen)
    losses = cross_entropy(scores.transpose(1, 2), held, reduction="none").mean(1)
    assert abs(losses.mean() - float(stated[1])) <= 3 * losses.std() / len(losses) ** 0.5
