"""Label randomisation: a map of the picture alone fails, maps of what was learnt differ, and networks without a twin are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.methods.benchmarks.label_randomisation import Params, label_randomisation, twin_of
from microtome.models import load_model
from microtome.probes import flowers, open_probe
from tests import micro


def test_the_twin_is_the_same_architecture_and_knows_nothing_of_flowers() -> None:
    model = load_model("builtin:flowers-cnn")
    twin = twin_of(model)
    assert {k: v.shape for k, v in twin.network.state_dict().items()} == {k: v.shape for k, v in model.network.state_dict().items()}
    assert twin.hash != model.hash
    drawn = [flowers.render("test", i) for i in range(64)]
    with torch.inference_mode():
        own, other = (m.forward(m.inputs([d.image for d in drawn])).argmax(1).numpy() for m in (model, twin))
    labels = np.array([d.label for d in drawn])
    assert (own == labels).mean() > 0.9
    assert (other == labels).mean() < 0.35  # 0.125 by chance, standard error 0.04


def test_maps_of_what_was_learnt_differ_and_a_map_of_the_picture_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    model, probe = load_model("builtin:flowers-cnn"), open_probe("builtin:flowers#val:16")
    params = Params(methods=["saliency", "grad-cam"], examples=8)
    card = label_randomisation.function(model=model, probe=probe, params=params, run=SilentContext())["scores"]
    found = {(s.group, s.name): s for s in card.scores}  # type: ignore[attr-defined]
    for title in ("Saliency", "Grad-CAM"):
        score = found[title, "rank correlation"]
        assert score.low <= score.value <= score.high < 0.7
        assert score.chance == 0.0
        assert card.facts[f"verdict: {title}"] == "passes"  # type: ignore[attr-defined]
        assert -1 <= found[title, "structural similarity"].value <= 1
    # The brightness of the picture is a map that knows no network at all.
    monkeypatch.setattr("microtome.methods.benchmarks.contest.Contestant.explain", lambda self, call: call.inputs.mean(1).double().numpy())
    card = label_randomisation.function(model=model, probe=probe, params=params, run=SilentContext())["scores"]
    assert card.facts["verdict: Saliency"] == "fails"  # type: ignore[attr-defined]
    assert card.scores[0].value == pytest.approx(1.0)  # type: ignore[attr-defined]


def test_a_network_without_a_twin_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="builtin:flowers-cnn") as caught:
        label_randomisation.function(
            model=micro.load("resnet"), probe=micro.probe(), params=Params(methods=["saliency"]), run=SilentContext()
        )
    assert caught.value.field == "model"
