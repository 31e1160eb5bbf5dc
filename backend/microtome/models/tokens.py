"""From text to tokens and back to characters, the same in every process. Imports no torch.

A tokenizer is a ``tokenizer.json`` of the tokenizers library, in which no token gives up the white space that it stands for: every
character of a text belongs to the tokens that were made from it.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from microtome.core.errors import InvalidInput, TooLarge, Unavailable

#: Characters of a text that is tokenised at all; more is refused before anything is computed.
MAX_TEXT = 1_000_000
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text in tokens.

    Attributes:
        ids: int64 [n], with the special tokens that the model wants around the text.
        starts, stops: int64 [n], characters of the text that each was made from; equal for a special token.
        first, last: the tokens of the text itself are ``first`` to ``last``; those around them are special.
        left_out: tokens at the end of the text that the window had no room for.
    """

    ids: Ints
    starts: Ints
    stops: Ints
    first: int
    last: int
    left_out: int

    def __len__(self) -> int:
        return len(self.ids)

    def pieces(self, text: str) -> list[str]:
        """The characters of each of the text's own tokens; together they are the text, as far as the window goes.

        A character that several tokens were made from (bytes of one letter) stands with the first of them; the others are empty.
        """
        own = slice(self.first, self.last)
        found, reached = [], 0
        for start, stop in zip(self.starts[own].tolist(), self.stops[own].tolist(), strict=True):
            found.append(text[max(start, reached) : stop])
            reached = max(reached, stop)
        return found


class TextTokenizer:
    """A tokenizer with the window of its model.

    Args:
        specification: text of a ``tokenizer.json``.
        window: tokens that the model takes at most, special ones included.
        begin: id of a token to put before every text where the tokenizer itself adds none; None for no such token.
    """

    def __init__(self, specification: str, window: int, begin: int | None = None) -> None:
        try:
            document = json.loads(specification)
            _keep_spaces(document.get("post_processor"))
            document["truncation"] = document["padding"] = None
            self._tokenizer = Tokenizer.from_str(json.dumps(document))
        except Exception as error:  # the library raises plain Exception
            raise InvalidInput(f"The tokenizer cannot be read: {str(error)[:300]}", field="source") from None
        self.specification, self.window = specification, window
        around = self._tokenizer.encode("")
        self._begin = [begin] if begin is not None and not around.ids else []
        self.special = len(around.ids) + len(self._begin)

    @property
    def begin(self) -> int | None:
        """The token that is put before every text, as the model was not told to by its own tokenizer."""
        return self._begin[0] if self._begin else None

    @property
    def vocabulary(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> Tokens:
        """Tokens of a text, cut off at the window.

        Raises:
            TooLarge: more characters than are tokenised.
            InvalidInput: a text that is no valid Unicode (half of a surrogate pair).
        """
        if len(text) > MAX_TEXT:
            raise TooLarge(f"The text has {len(text):,} characters; at most {MAX_TEXT:,} are read. Shorten it.", field="prompt")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"Character {error.start} of the text is half of a pair and stands for nothing.", field="prompt") from None
        found = self._tokenizer.encode(text)
        special = np.array(found.special_tokens_mask, np.int64)
        ids = np.array(found.ids, np.int64)
        spans = np.array(found.offsets, np.int64).reshape(-1, 2)
        inside = np.flatnonzero(special == 0)
        before = int(inside[0]) if len(inside) else self._leading(special)
        after = len(ids) - (int(inside[-1]) + 1 if len(inside) else before)
        body, around = slice(before, len(ids) - after), len(self._begin) + before + after
        room = max(0, self.window - around)
        left_out = max(0, body.stop - body.start - room)
        kept = np.r_[np.arange(body.stop - left_out), np.arange(body.stop, len(ids))].astype(np.int64)
        begin = np.array(self._begin, np.int64)
        nothing = np.zeros((len(begin), 2), np.int64)
        spans = np.concatenate([nothing, spans[kept]])
        first = len(begin) + before
        return Tokens(
            np.concatenate([begin, ids[kept]]),
            spans[:, 0].copy(),
            spans[:, 1].copy(),
            first,
            first + body.stop - body.start - left_out,
            left_out,
        )

    def _leading(self, special: Ints) -> int:
        """Special tokens before an empty text: all but those after, of which there is at most one."""
        return max(0, len(special) - 1) if len(special) > 1 else len(special)

    def text_of(self, id: int) -> str:
        """What a token looks like by itself: a special one by its name, bytes that are no character as ``<0xE2>``."""
        name = self._tokenizer.id_to_token(id)
        if name is None:
            return f"<{id}>"
        shown = self._tokenizer.decode([id], skip_special_tokens=False)
        if "\ufffd" not in shown:
            return shown or name
        return "".join(_BYTES.get(c, c) for c in name)

    def decode(self, ids: list[int]) -> str:
        """The text of tokens in a row, special ones left out."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def id_of(self, token: str) -> int | None:
        """Id of a token by its name in the vocabulary."""
        return self._tokenizer.token_to_id(token)


def keep_tokenizer(folder: Path, hash: str, tokenizer: TextTokenizer) -> None:
    """Put a tokenizer where processes find it that do not load the model; ``hash`` is the model's."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"specification": tokenizer.specification, "window": tokenizer.window, "begin": tokenizer.begin}
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, suffix=".part", encoding="utf-8") as handle:
        json.dump(document, handle)
    os.replace(handle.name, folder / f"{hash}.json")


def kept_tokenizer(folder: Path, hash: str) -> TextTokenizer:
    """The tokenizer of a model that was added.

    Raises:
        Unavailable: it is not there, as after a restored backup.
    """
    try:
        document = json.loads((folder / f"{hash}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Unavailable(
            "The tokenizer of this version of the model is not kept here. Add the model again: microtome models add SOURCE.", field="model"
        ) from None
    return TextTokenizer(document["specification"], int(document["window"]), document["begin"])


def _keep_spaces(processor: Any) -> None:
    """Byte-level tokenizers may take leading spaces out of a token's extent; here they stay."""
    if isinstance(processor, dict):
        if "trim_offsets" in processor:
            processor["trim_offsets"] = False
        for inner in processor.get("processors", []):
            _keep_spaces(inner)


def _byte_names() -> dict[str, str]:
    """The characters that stand for bytes in byte-level vocabularies (Radford et al. 2019), as ``<0x0A>``."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    return {c: (chr(b) if 32 <= b < 127 else f"<0x{b:02X}>") for c, b in table.items()}


_BYTES = _byte_names()


def tokenizer_text(folder: Path) -> str | None:
    """``tokenizer.json`` of a model folder, if it has one."""
    path = folder / "tokenizer.json"
    return path.read_text(encoding="utf-8") if path.exists() else None
