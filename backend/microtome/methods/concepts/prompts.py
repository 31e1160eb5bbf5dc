"""Texts that a person wrote as examples of a concept and of its absence, as a probe set of two classes."""

from __future__ import annotations

from collections.abc import Sequence

from microtome.core.errors import InvalidInput
from microtome.probes import TextSet

#: Texts of either kind.
FEWEST, MOST = 2, 200


class Prompts(TextSet):
    """Texts of the classes ``positive`` and ``negative``. It has no identity: nothing is kept of it from question to question."""

    kind, source, hash = "prompts", "these prompts", ""
    classes = ("positive", "negative")
    concepts, reports, bytes = (), (), 0

    def __init__(self, positives: Sequence[str], negatives: Sequence[str]) -> None:
        for name, texts in (("positives", positives), ("negatives", negatives)):
            if not FEWEST <= len(texts) <= MOST:
                raise InvalidInput(f"Give {FEWEST} to {MOST} {name}, one text each; there are {len(texts)}.", field=f"params.{name}")
            if any(not text for text in texts):
                raise InvalidInput(f"One of the {name} is empty.", field=f"params.{name}")
        self._texts, self._positives = [*positives, *negatives], len(positives)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, index: int) -> str:
        return self._texts[index]

    def label(self, index: int) -> int:
        return int(index >= self._positives)

    def name(self, index: int) -> str:
        return f"{self.classes[self.label(index)]} {index - self.label(index) * self._positives}"
