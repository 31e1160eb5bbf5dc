"""What an answer may be. Every kind of answer has a canonical form, and a value that is equal for answers that agree."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, model_validator

from microtome.core.errors import InvalidInput
from microtome.core.selection import Strict

# of a label set, wherever it comes from
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Markdown = Annotated[str, Field(max_length=5000, pattern=r"^[^\x00]*$")]
Raters = Annotated[int, Field(ge=1, le=50, description="Answers of different people that are wanted for each unit.")]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Corner = Annotated[list[Share], Field(min_length=2, max_length=2)]
STEPS = 1000


class TextAnswer(Strict):
    """Free text. Answers agree if they are the same words, whatever case, spaces and final full stop."""

    type: Literal["text"]
    max_length: int = Field(200, ge=1, le=2000)


class ChoiceAnswer(Strict):
    """One of a vocabulary, or several of it (their order does not matter)."""

    type: Literal["choice"]
    options: list[Word] = Field(min_length=2, max_length=200)
    several: bool = False

    @model_validator(mode="after")
    def _distinct(self) -> ChoiceAnswer:
        seen: set[str] = set()
        for option in self.options:
            if option != option.strip() or not option.isprintable():
                raise ValueError(f"option '{option[:40]}' begins or ends with a space, or holds a control character")
            if plain(option) in seen:
                raise ValueError(f"option '{option[:40]}' is there twice")
            seen.add(plain(option))
        return self


class ScaleAnswer(Strict):
    """A number from ``min`` to ``max`` in steps; the ends have names."""

    type: Literal["scale"]
    min: Number
    max: Number
    step: Number = 1.0
    low: str = Field("", max_length=100)
    high: str = Field("", max_length=100)

    @model_validator(mode="after")
    def _whole(self) -> ScaleAnswer:
        if not self.min < self.max:
            raise ValueError(f"min {self.min} is not less than max {self.max}")
        if self.step <= 0 or self.steps > STEPS:
            raise ValueError(f"a step of {self.step} does not give 1 to {STEPS} steps from {self.min} to {self.max}")
        if not math.isclose(self.min + self.steps * self.step, self.max, abs_tol=1e-9):
            raise ValueError(f"max {self.max} is not a whole number of steps of {self.step} from min {self.min}")
        return self

    @property
    def steps(self) -> int:
        return round(min((self.max - self.min) / self.step, 2.0 * STEPS))


class YesNoAnswer(Strict):
    """Yes or no."""

    type: Literal["yes-no"]


class RegionAnswer(Strict):
    """A place on one of the examples."""

    type: Literal["region"]
    shapes: list[Literal["polygon", "rectangle"]] = Field(["polygon", "rectangle"], min_length=1, max_length=2)


class Region(Strict):
    """A polygon or rectangle on an example; coordinates are shares of width and height from the upper left corner."""

    example: int = Field(ge=0, le=2**31 - 1)
    polygon: list[Corner] | None = Field(None, min_length=3, max_length=500)
    rectangle: list[Share] | None = Field(None, min_length=4, max_length=4, description="left, top, right, bottom")

    @model_validator(mode="after")
    def _one(self) -> Region:
        if (self.polygon is None) == (self.rectangle is None):
            raise ValueError("give exactly one of polygon, rectangle")
        if self.rectangle is not None and not (self.rectangle[0] < self.rectangle[2] and self.rectangle[1] < self.rectangle[3]):
            raise ValueError("a rectangle is [left, top, right, bottom] with left < right and top < bottom")
        return self


AnswerSchema = Annotated[TextAnswer | ChoiceAnswer | ScaleAnswer | YesNoAnswer | RegionAnswer, Field(discriminator="type")]
Answer = (
    StrictBool
    | StrictInt
    | Annotated[StrictFloat, Field(allow_inf_nan=False)]
    | Annotated[StrictStr, Field(max_length=2000)]
    | Annotated[list[Word], Field(max_length=200)]
    | Region
)
Schema = TextAnswer | ChoiceAnswer | ScaleAnswer | YesNoAnswer | RegionAnswer
_SCHEMA: TypeAdapter[Schema] = TypeAdapter(AnswerSchema)


def read_schema(stored: Any) -> Schema:
    """The schema that a label set keeps."""
    return _SCHEMA.validate_python(stored)


def checked(schema: Schema, answer: Any) -> Any:
    """The answer in its canonical form, as JSON holds it.

    Raises:
        InvalidInput: it is none for this schema; the message says what would be.
    """
    if isinstance(answer, Region):
        answer = answer.model_dump(exclude_none=True)
    return _CHECKS[schema.type](schema, answer)


def value_of(schema: Schema, answer: Any) -> str:
    """Equal for canonical answers that agree; at most 64 characters."""
    key = plain(answer) if schema.type == "text" else orjson.dumps(answer, option=orjson.OPT_SORT_KEYS).decode()
    return key if len(key) <= 64 else hashlib.sha256(key.encode()).hexdigest()


def plain(text: str) -> str:
    """Text as it is compared: Unicode NFKC, no case, single spaces, no full stop at the end."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip(" .")


def _refuse(wanted: str, answer: Any) -> InvalidInput:
    return InvalidInput(f"The answer must be {wanted}; got {repr(answer)[:100]}.", field="answer")


def _text(schema: TextAnswer, answer: Any) -> str:
    if not isinstance(answer, str) or "\0" in answer or not plain(answer) or len(answer.strip()) > schema.max_length:
        raise _refuse(f"a text of 1 to {schema.max_length} characters", answer)
    return answer.strip()


def _choice(schema: ChoiceAnswer, answer: Any) -> Any:
    words = ", ".join(schema.options[:12]) + (f" and {len(schema.options) - 12} more" if len(schema.options) > 12 else "")
    if not schema.several:
        if not isinstance(answer, str) or answer not in schema.options:
            raise _refuse(f"one of: {words}", answer)
        return answer
    if not isinstance(answer, list) or any(a not in schema.options for a in answer) or len(set(answer)) != len(answer):
        raise _refuse(f"a list without repeats of: {words}", answer)
    return [option for option in schema.options if option in answer]


def _scale(schema: ScaleAnswer, answer: Any) -> float:
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not schema.min - 1e-9 <= answer <= schema.max + 1e-9:
        raise _refuse(f"a number from {schema.min:g} to {schema.max:g}", answer)
    steps = round((answer - schema.min) / schema.step)
    exact = round(schema.min + steps * schema.step, 9)
    if not math.isclose(exact, answer, abs_tol=1e-9):
        raise _refuse(f"a number from {schema.min:g} to {schema.max:g} in steps of {schema.step:g}", answer)
    return exact + 0.0


def _yes_no(schema: YesNoAnswer, answer: Any) -> bool:
    if not isinstance(answer, bool):
        raise _refuse("true or false", answer)
    return answer


def _region(schema: RegionAnswer, answer: Any) -> dict[str, Any]:
    try:
        region = Region.model_validate(answer)
    except ValueError as error:
        raise _refuse("a region: {example, polygon or rectangle} with coordinates from 0 to 1", answer) from error
    shape = "polygon" if region.polygon is not None else "rectangle"
    if shape not in schema.shapes:
        raise _refuse(f"a {schema.shapes[0]}", answer)
    return region.model_dump(exclude_none=True)


_CHECKS: dict[str, Any] = {"text": _text, "choice": _choice, "scale": _scale, "yes-no": _yes_no, "region": _region}
