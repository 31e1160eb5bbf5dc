"""What every result kind is: a small JSON document with named arrays beside it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Array = npt.NDArray[Any]


class Result(BaseModel):
    """Base of all kinds. ``arrays`` is not part of the JSON document."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    #: name -> (number of axes, allowed dtypes); names in ``OPTIONAL`` may be absent
    ARRAYS: ClassVar[dict[str, tuple[int, tuple[str, ...]]]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()

    kind: str
    title: str
    note: str = Field("", description="What a reader must know to read it rightly: chance, draws, scale.")
    arrays: dict[str, Array] = Field(default_factory=dict, exclude=True, repr=False)

    @model_validator(mode="after")
    def _check_arrays(self) -> Result:
        missing = self.ARRAYS.keys() - self.arrays.keys() - self.OPTIONAL
        unknown = self.arrays.keys() - self.ARRAYS.keys()
        if missing or unknown:
            raise ValueError(f"{self.kind}: missing arrays {sorted(missing)}, unknown arrays {sorted(unknown)}")
        for name, array in self.arrays.items():
            axes, dtypes = self.ARRAYS[name]
            if array.ndim != axes or array.dtype.name not in dtypes:
                raise ValueError(
                    f"{self.kind}.{name} is {array.dtype.name} with {array.ndim} axes; needs {' or '.join(dtypes)} with {axes} axes"
                )
        return self


FLOAT = ("float32",)
INT = ("int32", "int64")
