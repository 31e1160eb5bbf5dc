"""Where probe sets come from: ``builtin:NAME[#split[:count]]``, ``path:FOLDER[#split]``, and ``import:NAME`` from an import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from microtome.core.errors import Forbidden, InvalidInput, NotFound
from microtome.probes.base import ProbeSet
from microtome.probes.folders import CONCEPT_FILE, ImageFolder, SegmentationFolder
from microtome.probes.generated import DEFAULT_COUNT, GENERATORS, Generated
from microtome.probes.imported import ImportedProbe

HELP = (
    "Write builtin:tinyplaces (or flowers, or blocks), path:FOLDER for images in sub-folders by class, or path:FOLDER#split for images "
    "with label PNGs."
)


def split_source(source: str) -> tuple[str, str, str]:
    """``scheme:place#fragment`` in three parts. A bare path counts as ``path:``."""
    scheme, colon, rest = source.partition(":")
    if not colon or (len(scheme) == 1 and rest.startswith(("\\", "/"))):  # no scheme, or a Windows drive
        scheme, rest = "path", source
    place, _, fragment = rest.partition("#")
    return scheme, place, fragment


def check_source(source: str, roots: Sequence[Path]) -> None:
    """Refuse a folder outside ``roots``, links resolved (requests from the web; the command line may read anything).

    Raises:
        Forbidden: naming the folders that are allowed.
    """
    scheme, place, _ = split_source(source)
    if scheme != "path":
        return
    path = Path(place).expanduser().resolve()
    if not any(path.is_relative_to(root.expanduser().resolve()) for root in roots):
        raise Forbidden(
            f"'{place[:200]}' is outside the folders that may be read through the web: {', '.join(map(str, roots))}. "
            "Move it there, start the server with MICROTOME_SOURCE_ROOTS, or add it on the command line.",
            field="source",
        )


def open_probe(source: str) -> ProbeSet:
    """Open a probe set.

    Raises:
        InvalidInput, NotFound: with what was looked for and what to write instead.
    """
    scheme, place, fragment = split_source(source)
    if scheme == "builtin":
        if place not in GENERATORS:
            raise NotFound(f"There is no built-in probe set '{place[:60]}'; there is {', '.join(GENERATORS)}.", field="source")
        match = re.fullmatch(r"([a-z]*)(?::(\d{1,7}))?", fragment)
        if not match:
            raise InvalidInput(f"'{fragment[:60]}' is not a split. Write builtin:{place}#val:2400.", field="source")
        return Generated(source, place, match[1] or "val", int(match[2] or DEFAULT_COUNT))
    if scheme == "path":
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise NotFound(f"There is no folder '{place[:200]}'. {HELP}", field="source")
        if fragment and not re.fullmatch(r"[\w.-]+", fragment):
            raise InvalidInput(f"'{fragment[:60]}' is not the name of a split.", field="source")
        if fragment and not (folder / fragment).is_dir():
            raise NotFound(f"'{folder}' has no folder '{fragment}' for that split.", field="source")
        if not fragment and (folder / CONCEPT_FILE).exists():
            # A segmentation folder named without its split: "val" if it has one, else the first.
            pairs = sorted(p.name for p in folder.iterdir() if p.is_dir() and (folder / f"{p.name}_labels").is_dir())
            fragment = "val" if "val" in pairs else next(iter(pairs), "")
        if fragment and (folder / f"{fragment}_labels").is_dir():
            return SegmentationFolder(source, folder, fragment)
        return ImageFolder(source, folder / fragment if fragment else folder)
    if scheme == "import":
        return ImportedProbe(source, place)
    raise InvalidInput(f"'{source[:200]}' is not a source of a probe set. {HELP}", field="source")
