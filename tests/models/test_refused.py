"""What a model's files may not do: run code when they are read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from microtome.core.errors import InvalidInput
from microtome.models import load_model
from tests import micro


class Runs:
    """Unpickling it makes a folder: what a pickle of somebody else's could do, and worse."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["plain", "zipped"])
def test_a_pickle_is_not_obeyed(how: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = Path(shutil.copytree(micro.model_folder("resnet"), tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    weights = folder / "pytorch_model.bin"
    if how == "plain":
        weights.write_bytes(pickle.dumps({"classifier.1.weight": Runs(mark)}))
    else:
        torch.save({"classifier.1.weight": Runs(mark)}, weights)
    with pytest.raises(InvalidInput) as refused:
        load_model(f"path:{folder}")
    assert refused.value.field == "source"
    assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))  # it would have: the test is not about an empty threat
    assert mark.exists()


def test_code_of_a_repository_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = Path(shutil.copytree(micro.model_folder("resnet"), tmp_path / "model"))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Config: pass\nclass Network: pass\n")
    about = json.loads((folder / "config.json").read_text())
    about |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Network"}}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(InvalidInput):
        load_model(f"path:{folder}")
    assert not mark.exists()
