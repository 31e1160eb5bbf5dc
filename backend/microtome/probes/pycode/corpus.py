"""What pycode is made of: modules of the standard library of the Python that runs, from a fixed list in three splits.

A module belongs to one split whole, so that a model trained on ``train`` has read no line of ``val`` or ``test`` (code that the
library itself repeats between modules aside). Files are read from the installation; one that another version of Python does not
have is named in the reports, and the identity of the set is the hash of what was read.
"""

from __future__ import annotations

import sysconfig
import tokenize
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from microtome.probes.base import Report

SPLITS = ("train", "val", "test")


class Module(NamedTuple):
    """One source file: its path below the library's folder, and its text with ``\\n`` line ends."""

    path: str
    text: str


def library() -> Path:
    """The folder of the standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


@lru_cache(maxsize=1)
def listed() -> dict[str, tuple[str, ...]]:
    """Split -> paths of its modules, as the list that ships with the package says."""
    rows = [line.split() for line in files(__package__).joinpath("modules.txt").read_text(encoding="utf-8").splitlines()]
    return {split: tuple(path for name, path in rows if name == split) for split in SPLITS}


def read_modules(split: str) -> tuple[list[Module], list[Report]]:
    """All modules of a split that this Python has, in order of the list, and a report on each that it lacks."""
    found: list[Module] = []
    reports: list[Report] = []
    for path in listed()[split]:
        try:
            with tokenize.open(library() / path) as file:  # the encoding that the file itself declares
                found.append(Module(path, file.read()))
        except (OSError, SyntaxError, UnicodeError) as error:
            reports.append(Report(path, f"this Python does not have it as a file that can be read ({type(error).__name__})"))
    return found, reports
