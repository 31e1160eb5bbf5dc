"""Loading a model from its source. Remote code is never run; weights come from safetensors or ``weights_only`` files."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from microtome.core.errors import InvalidInput, NotFound, Unavailable
from microtome.core.keys import content_key
from microtome.models.builtin.networks import is_own
from microtome.models.identity import disk_bytes, folder_hash, folder_of, module_file_hash, split_source
from microtome.models.image import ImageModel
from microtome.models.loading_text import reads_text, text_model
from microtome.models.model import Model
from microtome.models.preprocess import Preprocessor
from microtome.models.weights import builtin_network, pretrained

#: Keys of a configuration that say nothing about the network itself.
_NOISE = ("transformers_version", "_name_or_path", "id2label", "label2id", "dtype", "torch_dtype")


def _check_torchvision() -> None:
    """A torchvision that is installed but does not import breaks transformers in ways that name neither."""
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        raise Unavailable(
            f"torchvision {version} is installed but does not fit torch {torch.__version__} ({error}). Microtome does not need "
            "it: remove it with `pip uninstall torchvision`."
        ) from None


def pick_device(name: str) -> str:
    """``auto`` to the best device there is."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_model(source: str, device: str = "cpu") -> Model:
    """Load ``source`` onto ``device`` in evaluation mode, float32.

    Raises:
        NotFound, InvalidInput, Unavailable: what is missing or wrong with the source, and what to do.
    """
    scheme, place = split_source(source)
    if scheme == "module":
        return _load_module(source, place, device)
    _check_torchvision()
    folder = folder_of(source, download=True)
    config = _configuration(folder)
    labels = getattr(config, "id2label", None) or {}
    card = folder / "README.md"
    common: dict[str, Any] = {
        "source": source,
        "family": str(config.model_type),
        "hash": folder_hash(folder),
        "bytes": disk_bytes(folder),
        "config": {k: v for k, v in json.loads(config.to_json_string()).items() if k not in _NOISE},
        "card": card.read_text(encoding="utf-8")[:100_000] if card.exists() else None,
        "device": device,
    }
    classes = [str(labels[i]) for i in sorted(labels)]
    if reads_text(folder, config):
        return text_model(folder, config, builtin=scheme == "builtin", classes=classes, common=common)
    network = builtin_network(folder, config) if scheme == "builtin" else _pretrained(folder)
    return ImageModel(
        network=network,
        preprocess=Preprocessor(folder, config),
        classes=classes,
        channels=int(getattr(config, "num_channels", 3)),
        **common,
    )


def _configuration(folder: Path) -> Any:
    """What ``config.json`` says; that of an architecture of our own, which transformers does not know, as it stands.

    Raises:
        InvalidInput: it cannot be read.
    """
    from transformers import AutoConfig, PretrainedConfig

    try:
        kept = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if is_own(kept):
            return PretrainedConfig.from_dict(kept)
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise InvalidInput(f"{folder.name}/config.json cannot be read: {str(error)[:300]}", field="source") from None


def _pretrained(folder: Path) -> nn.Module:
    from transformers import AutoModelForImageClassification

    return pretrained(folder, AutoModelForImageClassification, "an image classifier")


def _load_module(source: str, place: str, device: str) -> Model:
    """``module:pkg.mod:build``: calls ``build()``, which returns a module, or (module, settings).

    Settings may hold ``image_size``, ``classes``, ``mean``, ``std``.
    """
    module_name, _, function = place.partition(":")
    if not module_name or not function:
        raise InvalidInput(f"'{source[:200]}' is not a trusted module. Write module:package.module:function.", field="source")
    origin = module_file_hash(module_name)
    try:
        built = getattr(importlib.import_module(module_name), function)()
    except AttributeError:
        raise NotFound(f"{module_name} has no function '{function}'.", field="source") from None
    network, options = built if isinstance(built, tuple) else (built, {})
    if not isinstance(network, nn.Module):
        raise InvalidInput(f"{function}() returned {type(network).__name__}, not a torch module.", field="source")
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())

    class Config:
        image_size = options.get("image_size")

    preprocess = Preprocessor(None, Config)
    preprocess.mean = tuple(options.get("mean", preprocess.mean))
    preprocess.std = tuple(options.get("std", preprocess.std))
    known = {k: v for k, v in options.items() if isinstance(v, str | int | float | list | tuple)}
    return ImageModel(
        source=source,
        network=network.float(),
        preprocess=preprocess,
        classes=[str(c) for c in options.get("classes", [])],
        family=type(network).__name__,
        hash=content_key({"file": origin, "weights": digest.hexdigest(), "options": json.loads(json.dumps(known))}),
        bytes=sum(p.numel() * p.element_size() for p in network.parameters()),
        config=json.loads(json.dumps(known)),
        device=device,
    )
