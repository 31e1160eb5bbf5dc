"""A micro LSTM of characters, made on the spot; some of its cells are planted."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken

from microtome.models.builtin.recurrent import CharLSTM, CharLSTMConfig
from tests import micro

UNITS, WINDOW = 6, 48
END = "<end>"


def tokenizer() -> Any:
    made = micro.tokenizer("characters")
    made.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    return made


def network(planted: bool = False, seed: int = 0) -> CharLSTM:
    """Random weights, larger than torch begins with, so that gates saturate.

    Args:
        planted: of the first layer, cell 0 is 0.76 at brackets and digits and -0.76 elsewhere, cell 1 its negative, cell 2 counts
            characters since the last line break; gate 3 forgets nothing, gate 4 all.
    """
    made = tokenizer()
    torch.manual_seed(seed)
    end = made.token_to_id(END)
    config = CharLSTMConfig(made.get_vocab_size(), 4, UNITS, 2, WINDOW, bos_token_id=end, eos_token_id=end)
    net = CharLSTM(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
        if planted:
            _plant(net, made)
    return net.eval()


def _plant(net: CharLSTM, made: Any) -> None:
    cells = net.stack[0].cells
    net.embedding.weight[:, :2] = 0
    for name, i in made.get_vocab().items():
        net.embedding.weight[i, 0] = 1.0 if name in "()[]0123456789" else -1.0
        net.embedding.weight[i, 1] = 1.0 if name == "\n" else 0.0
    shut, opened = -40.0, 40.0
    rows = {"input": 0, "forget": UNITS, "candidate": 2 * UNITS}
    bias = {"input": opened, "candidate": 0.0}
    for unit, forget in ((0, shut), (1, shut), (2, opened), (3, opened), (4, shut)):
        for part, first in rows.items():
            if unit > 2 and part != "forget":
                continue
            for weights in (cells.weight_ih_l0, cells.weight_hh_l0, cells.bias_ih_l0, cells.bias_hh_l0):
                weights[first + unit] = 0
            cells.bias_ih_l0[first + unit] = forget if part == "forget" else bias[part]
    cells.weight_ih_l0[2 * UNITS, 0], cells.weight_ih_l0[2 * UNITS + 1, 0] = 1.0, -1.0
    cells.bias_ih_l0[2 * UNITS + 2] = 0.01
    cells.weight_ih_l0[UNITS + 2, 1] = -80.0  # a line break makes the counter forget


def write(folder: Path, net: CharLSTM, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(net.config.to_dict() | changes))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@lru_cache
def load(planted: bool = False) -> Any:
    from microtome.models import load_model

    return load_model(f"path:{write(micro.ROOT / f'lstm-{planted}', network(planted))}")
