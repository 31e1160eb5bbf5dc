"""A text as a game of its tokens: what the model says of any set of them, each set asked about once."""

from __future__ import annotations

import numpy as np

from microtome.methods.text_attribution.call import Call, Fill, Flags, Floats, Read, readings

#: Sets that are asked about in one go, so that their flags and those of the tokens of a batch need bounded memory.
SETS = 4096


class Game:
    """
    Attributes:
        known: what was read of every set that was asked about, by its flags.
    """

    def __init__(self, call: Call, fill: Fill, read: Read, what: str) -> None:
        self.call, self.fill, self.read, self.what = call, fill, read, what
        self.known: dict[bytes, Floats] = {}

    def said(self, sets: Flags) -> Floats:
        """[m, k] of sets [m, n]."""
        keys = [row.tobytes() for row in np.packbits(sets, axis=1)]
        fresh = list({key: place for place, key in enumerate(keys) if key not in self.known}.values())
        for start in range(0, len(fresh), SETS):
            part = fresh[start : start + SETS]
            for place, found in zip(part, readings(self.call, sets[part], self.fill, self.read, self.what), strict=True):
                self.known[keys[place]] = found
        return np.stack([self.known[key] for key in keys])
