"""Networks with the weights of a folder. Remote code is never run; weights come from safetensors or ``weights_only`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from microtome.core.errors import InvalidInput, NotFound


def pretrained(folder: Path, auto: Any, what: str, optional: str = "") -> nn.Module:
    """The network of a folder that ``save_pretrained`` wrote, float32.

    Args:
        auto: the class of transformers that makes it. what: it, in words, for messages.
        optional: beginning of the names of weights that may be missing, as they are not used.

    Raises:
        NotFound, InvalidInput: no weights, not all of them, or not of this kind.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise NotFound(f"'{folder}' has a config.json but no weights (model.safetensors).", field="source")
    try:
        network, report = auto.from_pretrained(folder, trust_remote_code=False, dtype=torch.float32, output_loading_info=True)
    except Exception as error:
        raise InvalidInput(f"'{folder}' cannot be loaded as {what}: {str(error)[:400]}", field="source") from None
    missing = sorted(name for name in report["missing_keys"] if not (optional and name.startswith(optional)))
    if missing:
        raise InvalidInput(
            f"'{folder}' lacks weights for {len(missing)} parameters, among them {missing[:3]}; they would be random. "
            "Save the whole model with save_pretrained.",
            field="source",
        )
    return network


def builtin_network(folder: Path, config: Any) -> nn.Module:
    """A network that ships with Microtome; its weights are kept as float16."""
    from safetensors.torch import load_file

    from microtome.models.builtin.networks import build

    network = build(folder.name, config)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(folder / "model.safetensors").items()}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    tied = set(getattr(network, "_tied_weights_keys", None) or ())
    if unexpected or not set(missing) <= tied:
        raise InvalidInput(f"The weights of {folder.name} do not fit its network: {[*missing, *unexpected][:3]}.", field="source")
    return network
