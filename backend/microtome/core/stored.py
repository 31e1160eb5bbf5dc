"""Values of any shape that come from outside and are kept as JSON: bounded before anything else looks at them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

MAX_DEPTH = 20


def storable(value: Any, depth: int = 0) -> Any:
    """The value itself.

    Raises:
        ValueError: a whole number beyond 64 bits, text that is no Unicode, or more than ``MAX_DEPTH`` levels.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels of nesting")
    if isinstance(value, dict):
        for key, item in value.items():
            storable(key, depth)
            storable(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            storable(item, depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{str(value)[:40]} needs more than 64 bits")
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("text with half of a surrogate pair, which is no Unicode") from None
    return value


#: Named values as people send them: parameters of methods.
Parameters = Annotated[dict[str, Any], Field(max_length=100), AfterValidator(storable)]
