"""What a JSON file of ours holds: one frozen model a kind, with the types of its fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    Strict,
)


def _finite(value: object) -> object:
    """What is not a finite number is no figure."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: object) -> float:
    """A number as it is: 1 stays 1, so that what was read is written with the same bytes."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("a number is needed")


#: a number that is always there; text and booleans are none
Number = Annotated[float, PlainValidator(_number), PlainSerializer(lambda value: value)]
#: a count or the number of a row
Count = Annotated[int, Strict()]
#: a figure that may not be known; nan and infinity are not, so that a record is JSON
Figure = Annotated[Number | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A record of a chain. Fields that are not named here are kept, and written again as they were read."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    def plain(self) -> dict[str, JsonValue]:
        """The record as JSON: fields that were not given are not in it."""
        return self.model_dump(mode="json", exclude_unset=True)

    def figure(self, name: str) -> float | None:
        """The figure of a name; ``None`` where it is not known."""
        value = getattr(self, name, None)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


#: figures by name, as a record or flat
Figures = Mapping[str, float | None] | Record


def figure_of(figures: Figures, name: str) -> float | None:
    """The figure of a name, of a record or of flat figures; ``None`` where it is not known."""
    return figures.figure(name) if isinstance(figures, Record) else figures.get(name)
