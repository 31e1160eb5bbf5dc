"""``builtin:pycode[#split[:count]]``: passages of the standard library with token masks."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import numpy as np

from microtome.core.errors import InvalidInput
from microtome.core.keys import content_key
from microtome.probes.base import LabelArray, Report, TextSet
from microtome.probes.packed import packed
from microtome.probes.passages import PASSAGE, passages
from microtome.probes.pycode import concepts
from microtome.probes.pycode.corpus import SPLITS, Module, read_modules

DEFAULT_COUNT = 400
MAX_COUNT = 100_000


class PyCode(TextSet):
    """Passages of at most 600 bytes that end at line ends, ``count`` of them spread evenly over all modules of a split.

    Attributes:
        reports: modules that this Python lacks, or cannot parse.
    """

    kind = "generator"

    def __init__(self, source: str, split: str, count: int) -> None:
        if split not in SPLITS:
            raise InvalidInput(f"pycode has no split '{split[:40]}'; use {', '.join(SPLITS)}.", field="source")
        if not 1 <= count <= MAX_COUNT:
            raise InvalidInput(f"pycode can give 1 to {MAX_COUNT:,} passages, not {count}.", field="source")
        self.source, self.concepts, self.classes = source, concepts.CONCEPTS, ()
        modules, self.reports, digest = _read(split)
        found = [(m, start, stop) for m, module in enumerate(modules) for start, stop in _spans(module)]
        if not found:
            raise InvalidInput("This Python has none of the modules of pycode as files that can be read.", field="source")
        count = min(count, len(found))
        self._modules = modules
        self._passages = [found[i * len(found) // count] for i in range(count)]
        self.hash = content_key(
            {"generator": "pycode", "version": concepts.VERSION, "split": split, "count": count, "passage": PASSAGE, "read": digest}
        )
        self.bytes = sum(len(self.text(i).encode()) for i in range(count))

    def __len__(self) -> int:
        return len(self._passages)

    def text(self, index: int) -> str:
        module, start, stop = self._passages[index]
        return self._modules[module].text[start:stop]

    def label(self, index: int) -> int | None:
        return None

    def name(self, index: int) -> str:
        """``json/decoder.py:120``: module and first line."""
        module, start, _ = self._passages[index]
        return f"{self._modules[module].path}:{self._modules[module].text.count(chr(10), 0, start) + 1}"

    def labels(self, index: int) -> LabelArray:
        module, start, stop = self._passages[index]
        return packed(_masks(self._modules[module].text)[:, start:stop])


@lru_cache(maxsize=3)
def _read(split: str) -> tuple[list[Module], tuple[Report, ...], str]:
    """Modules that can be parsed, what was left out, and a hash of what was read."""
    modules, reports = read_modules(split)
    kept = []
    for module in modules:
        try:
            compile(module.text, module.path, "exec", dont_inherit=True, flags=0x400)  # the tree alone
            kept.append(module)
        except (SyntaxError, ValueError) as error:
            reports.append(Report(module.path, f"this Python cannot parse it: {str(error)[:200]}"))
    return kept, tuple(reports), content_key({"modules": [[m.path, m.text] for m in kept]})


def _spans(module: Module) -> list[tuple[int, int]]:
    """Passages in characters; those of nothing but white space are left out."""
    data = module.text.encode()
    spans = passages(data)
    if len(data) != len(module.text):
        ends = np.cumsum([len(c.encode()) for c in module.text]).tolist()
        spans = [(bisect_right(ends, a), bisect_right(ends, b)) for a, b in spans]
    return [(a, b) for a, b in spans if module.text[a:b].strip()]


@lru_cache(maxsize=48)
def _masks(text: str) -> concepts.Masks:
    return concepts.masks(text)
