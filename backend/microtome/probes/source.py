"""Where probe sets come from: ``builtin:NAME[#split[:count]]``, ``path:FOLDER[#split]`` or ``path:FILE``, and ``import:NAME``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from microtome.core.errors import Forbidden, InvalidInput, NotFound
from microtome.probes.base import ProbeSet
from microtome.probes.folders import CONCEPT_FILE, ImageFolder, SegmentationFolder
from microtome.probes.generated import DEFAULT_COUNT, GENERATORS, Generated
from microtome.probes.imported import ImportedProbe
from microtome.probes.pycode.set import DEFAULT_COUNT as PASSAGES
from microtome.probes.pycode.set import PyCode
from microtome.probes.scan import image_files
from microtome.probes.texts import SUFFIXES, SavedDataset, TextFiles, text_files

HELP = (
    "Write builtin:tinyplaces (or flowers, blocks, pycode), path:FOLDER for images in sub-folders by class or for files of text, "
    "path:FOLDER#split for images with label PNGs, or path:FILE for text, JSON lines or CSV."
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
        if place not in GENERATORS and place != "pycode":
            raise NotFound(f"There is no built-in probe set '{place[:60]}'; there is {', '.join([*GENERATORS, 'pycode'])}.", field="source")
        match = re.fullmatch(r"([a-z]*)(?::(\d{1,7}))?", fragment)
        if not match:
            raise InvalidInput(f"'{fragment[:60]}' is not a split. Write builtin:{place}#val:2400.", field="source")
        if place == "pycode":
            return PyCode(source, match[1] or "val", int(match[2] or PASSAGES))
        return Generated(source, place, match[1] or "val", int(match[2] or DEFAULT_COUNT))
    if scheme == "path":
        folder = Path(place).expanduser()
        if folder.is_file():
            if folder.suffix.lower() not in SUFFIXES:
                raise InvalidInput(f"'{folder}' is not a file of texts; those end in {', '.join(sorted(SUFFIXES))}. {HELP}", field="source")
            return TextFiles(source, folder)
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
        inside = folder / fragment if fragment else folder
        if (inside / "dataset_info.json").exists() and (inside / "state.json").exists():
            return SavedDataset(source, inside)
        if not image_files(inside)[0] and next(text_files(inside), None) is not None:
            return TextFiles(source, inside)
        return ImageFolder(source, inside)
    if scheme == "import":
        return ImportedProbe(source, place)
    raise InvalidInput(f"'{source[:200]}' is not a source of a probe set. {HELP}", field="source")
