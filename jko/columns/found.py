"""A kind that was found, a column that is looked at, words by which names tell kinds, and plain cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from unicodedata import combining, normalize

import numpy as np

from jko.columns.column import Cell, Column, Values
from jko.preparation.table import Array

#: words of names that tell numbers of rows or things; of other languages than English those that can hardly
#: mean anything else, without accents: German, French, Spanish
IDS = frozenset(("id", "ids", "uuid", "guid", "index", "idx", "rowid", "rownum", "rownames", "seqn"))
#: and that tell parts of a hundred, and of one
PERCENT = frozenset(("pct", "percent", "percentage", "perc"))
SHARE = frozenset(("share", "fraction", "frac", "ratio", "prob", "probability", "proportion"))
#: and that tell angles
ANGLES = frozenset((
    "dir", "direction", "bearing", "azimuth", "heading", "angle", "phase", "phi", "psi", "theta", "longitude",
    "lon", "aspect", "deg", "degrees", "radians", "wd", "winddir",
    "richtung", "windrichtung", "winkel", "azimut", "langengrad", "laengengrad", "direccion", "longitud",
))  # fmt: skip
#: and parts of a day, a year, a week, an hour: their period, and where they begin
CYCLES: dict[str, tuple[int, tuple[int, ...]]] = {
    "hour": (24, (0,)), "hr": (24, (0,)), "month": (12, (1, 0)), "weekday": (7, (0, 1)), "wday": (7, (0, 1)),
    "dow": (7, (0, 1)), "dayofweek": (7, (0, 1)), "minute": (60, (0,)), "second": (60, (0,)),
    "stunde": (24, (0,)), "heure": (24, (0,)), "hora": (24, (0,)), "monat": (12, (1, 0)),
    "mois": (12, (1, 0)), "mes": (12, (1, 0)), "wochentag": (7, (0, 1)),
}  # fmt: skip
#: of names without their accents
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|%")


@dataclass(frozen=True)
class Found:
    """A kind that was found for a column.

    Args:
        column: of the kind.
        why: one sentence.
        warnings: sentences.
    """

    column: Column
    why: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Numbers:
    """A column of numbers that is looked at.

    Args:
        name: its name.
        some: cells that kinds are told from, float64.
        cells: all finite ones, in the type of the table.
        unique: the different ones, ascending.
        dtype: that the column should come back with.
        warnings: sentences.
    """

    name: str
    some: Array
    cells: Values
    unique: Values
    dtype: str
    warnings: tuple[str, ...] = ()

    @property
    def numbers(self) -> Array:
        """All cells as float64."""
        return np.asarray(self.cells, dtype=float)

    def found(self, column: Column, why: str, *more: str) -> Found:
        """A kind for it."""
        return Found(column, why, (*self.warnings, *more))


def words_of(name: str) -> frozenset[str]:
    """The words of a column's name, in small letters without accents.

    >>> sorted(words_of("Dirección_viento"))
    ['direccion', 'viento']
    >>> sorted(words_of("wind_dirDeg")), sorted(words_of("PassengerId")), sorted(words_of("discount %"))
    (['deg', 'dir', 'wind'], ['id', 'passenger'], ['%', 'discount'])
    """
    plain = "".join(letter for letter in normalize("NFKD", name) if not combining(letter))
    return frozenset(word.lower() for word in PARTS.findall(plain))


def plain_cell(cell: object) -> Cell:
    """A cell as YAML and JSON hold it; dates as text."""
    if isinstance(cell, np.datetime64):
        return str(cell)
    if isinstance(cell, np.generic):
        cell = cell.item()
    return cell if isinstance(cell, bool | int | float | str) else str(cell)
