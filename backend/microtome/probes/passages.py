"""Cutting long texts into passages: at line ends where that is possible, so that a passage reads as it was written."""

from __future__ import annotations

#: Bytes of UTF-8 of a passage, at most.
PASSAGE = 600


def passages(data: bytes, most: int = PASSAGE) -> list[tuple[int, int]]:
    """(start, stop) in bytes of consecutive passages that together are the whole of ``data``, in UTF-8.

    A passage ends at the last blank line in its second half, else after the last line that fits, else after the last space, and never
    within a character.
    """
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(data):
        stop = min(start + most, len(data))
        if stop < len(data):
            blank = data.rfind(b"\n\n", start + most // 2, stop)
            line = data.rfind(b"\n", start, stop)
            space = data.rfind(b" ", start, stop)
            if blank >= 0:
                stop = blank + 2
            elif line >= 0:
                stop = line + 1
            elif space > start:
                stop = space + 1
            else:
                while stop > start + 1 and data[stop] & 0xC0 == 0x80:
                    stop -= 1
        found.append((start, stop))
        start = stop
    return found
