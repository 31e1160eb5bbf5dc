"""Predictions of models whose labels do not exclude each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from microtome.core.context import SilentContext
from microtome.methods.registry import get_method
from microtome.models import load_model
from microtome.probes import Example
from tests import micro


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "several"
    shutil.copytree(micro.model_folder("resnet"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    model, single = load_model(f"path:{folder}"), micro.load("resnet")
    assert model.multilabel
    assert not single.multilabel
    assert model.hash != single.hash
    example = Example(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), None, "noise")
    with torch.inference_mode():
        logits = model.forward(model.inputs([example.image]))[0].double()
    card = get_method("predict").function(model=model, example=example, params=get_method("predict").params(), run=SilentContext())[
        "prediction"
    ]
    np.testing.assert_allclose([s.value for s in card.scores], torch.sigmoid(logits), rtol=1e-6)  # type: ignore[attr-defined]
    assert card.facts["multilabel"] is True  # type: ignore[attr-defined]
    # The curves of the evidence show the same probability, which no other label's logit moves.
    spec = get_method("saliency")
    found = spec.function(model=model, example=example, targets=[1], params=spec.params(), run=SilentContext())
    curves = found["curves"]
    assert curves.series[0].startswith("deletion")  # type: ignore[attr-defined]
    np.testing.assert_allclose(curves.arrays["y"][0, 0], float(torch.sigmoid(logits[1])), atol=1e-5)
