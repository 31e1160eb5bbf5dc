"""Where models come from, and the hash that tells whether one has changed. Imports no torch.

Sources: ``builtin:NAME``, ``path:FOLDER``, ``hf:ORG/NAME`` and ``module:package.module:function`` (command line only).
``import:NAME`` is a model that is known by imported results alone and cannot be loaded.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from microtome.core.errors import Forbidden, InvalidInput, NotFound, Unavailable
from microtome.core.keys import content_key, file_hash

BUILTIN_FOLDER = Path(__file__).parent / "builtin"
HELP = (
    "Write builtin:tinyplaces-resnet (or tinyplaces-vit, flowers-cnn, pycode-gpt, pycode-lstm), path:FOLDER in Hugging Face format, "
    "or hf:ORG/NAME."
)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.safetensors.index.json", "pytorch_model.bin.index.json")
#: What decides how texts become tokens; the same in every model folder, and part of its identity.
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model")
_HUB_PART = "[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json", *_TOKENIZERS)


def split_source(source: str) -> tuple[str, str]:
    """Scheme and place; a bare path counts as ``path:``."""
    scheme, colon, place = source.partition(":")
    if not colon or (len(scheme) == 1 and place.startswith(("\\", "/"))):
        return "path", source
    if scheme not in ("builtin", "path", "hf", "module", "import"):
        raise InvalidInput(f"'{source[:200]}' is not a source of a model. {HELP}", field="source")
    return scheme, place


def builtin_names() -> list[str]:
    return sorted(p.name for p in BUILTIN_FOLDER.iterdir() if (p / "config.json").exists())


def check_source(source: str, roots: Sequence[Path]) -> None:
    """Refuse what must not come through the web: modules, and folders outside ``roots`` (links resolved)."""
    scheme, place = split_source(source)
    if scheme == "import":
        raise InvalidInput(f"'{source[:100]}' is no source of a model: it comes with imported results. {HELP}", field="source")
    if scheme == "module":
        raise Forbidden(
            "module: sources run code and are accepted on the command line only: microtome models add " + source[:100],
            field="source",
        )
    if scheme == "path":
        path = Path(place).expanduser().resolve()
        if not any(path.is_relative_to(root.expanduser().resolve()) for root in roots):
            raise Forbidden(
                f"'{place[:200]}' is outside the folders that may be read through the web: {', '.join(map(str, roots))}. "
                "Move it there, start the server with MICROTOME_SOURCE_ROOTS, or add it on the command line.",
                field="source",
            )


def folder_of(source: str, *, download: bool = False) -> Path:
    """Local folder of a builtin, path or hf source.

    Args:
        download: fetch an ``hf:`` model that is not in the local cache (network).

    Raises:
        NotFound: no such model or folder. Unavailable: the hub cannot be reached and nothing is cached.
    """
    scheme, place = split_source(source)
    if scheme == "builtin":
        if not re.fullmatch(r"[a-z0-9-]+", place) or not (BUILTIN_FOLDER / place / "config.json").exists():
            raise NotFound(f"There is no built-in model '{place[:60]}'; there is {', '.join(builtin_names())}.", field="source")
        return BUILTIN_FOLDER / place
    if scheme == "path":
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise NotFound(f"There is no folder '{place[:200]}'. {HELP}", field="source")
        if not (folder / "config.json").exists():
            raise InvalidInput(
                f"'{folder}' has no config.json. A model folder is what `model.save_pretrained(folder)` writes.",
                field="source",
            )
        return folder
    if scheme == "hf":
        return _hub_folder(place, download)
    raise InvalidInput(f"{source} has no folder.", field="source")


def _hub_folder(name: str, download: bool) -> Path:
    # The hub's own rule; it also keeps the name from leaving the folder of the cache.
    if not re.fullmatch(f"({_HUB_PART}/)?{_HUB_PART}", name) or ".." in name or "--" in name:
        raise InvalidInput(f"'{name[:100]}' is not a name on the hub. Write hf:ORG/NAME.", field="source")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = [*_CONFIGS, "*.safetensors", "*.safetensors.index.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=not download))
    except RepositoryNotFoundError:
        raise NotFound(f"The hub has no public model '{name}'. Check the spelling on its page.", field="source") from None
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        why = "it is not in the local cache" if not download else f"the hub cannot be reached ({type(error).__name__})"
        raise Unavailable(
            f"hf:{name} cannot be loaded: {why}. On a machine with a connection run `hf download {name}`, copy the folder here, "
            "and add it as path:FOLDER.",
            field="source",
        ) from None


def identity_files(folder: Path) -> list[Path]:
    """Weights, configuration and processor files of a model folder; safetensors win over pickles when both are there."""
    weights: list[Path] = []
    for pattern in _WEIGHTS:
        weights += sorted(folder.glob(pattern))
    if any(p.suffix == ".safetensors" for p in weights):
        weights = [p for p in weights if not p.name.startswith("pytorch_model")]
    return [folder / name for name in _CONFIGS if (folder / name).exists()] + weights


@lru_cache(maxsize=4096)
def _remembered_hash(path: str, size: int, mtime_ns: int, inode: int) -> str:
    return file_hash(Path(path))


def _hash(path: Path) -> str:
    stat = path.stat()
    return _remembered_hash(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def folder_hash(folder: Path) -> str:
    """sha256 over weights, configuration and processor (DESIGN section 1)."""
    return content_key({p.name: _hash(p) for p in identity_files(folder)})


def source_hash(source: str) -> str | None:
    """Identity of the model at ``source`` as it is now, without loading it.

    None for ``module:`` sources: what a function builds is known only after calling it; and for ``import:``, which has no files.
    """
    if split_source(source)[0] in ("module", "import"):
        return None
    return folder_hash(folder_of(source))


def module_file_hash(module: str) -> str:
    """Hash of the source file of a trusted module, part of the identity of what it builds."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise NotFound(f"There is no module '{module}' on the Python path.", field="source")
    return _hash(Path(spec.origin))


def disk_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in identity_files(folder))
