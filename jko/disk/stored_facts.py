"""What is told of the data of a chain without loading anything heavy, from the facts beside their rows."""

from __future__ import annotations

from jko.core.records import Number, Record


class StoredSeen(Record):
    """A part of :class:`jko.columns.column.Seen`: the share of rows without a cell."""

    missing: float = 0.0


class StoredValue(Record):
    """The kind of the cells that there are, of a column with atoms or holes."""

    kind: str


class StoredColumn(Record):
    """A part of :class:`jko.columns.column.Column`.

    Args:
        name: of the column.
        kind: its word.
        value: what is in it.
        seen: what its cells are like.
    """

    name: str
    kind: str
    value: StoredValue | str | float | bool | None = None
    seen: StoredSeen | None = None

    @property
    def words(self) -> str:
        """The kind; where there are holes, with that of the cells and the share of empty ones."""
        if self.kind != "missing" or not isinstance(self.value, StoredValue):
            return self.kind
        share = f", {100 * self.seen.missing:.3g} % empty" if self.seen else ""
        return f"{self.kind} + {self.value.kind}{share}"


class StoredKinds(Record):
    """A part of :class:`jko.columns.schema.Schema`."""

    columns: tuple[StoredColumn, ...] = ()


class StoredFacts(Record):
    """A part of :class:`jko.preparation.facts.DataFacts`, whose words these are.

    Args:
        name: of the data.
        columns: one name per dimension.
        image_shape: of rows that are pictures.
        entropy: with its standard error, where it is known.
        choices: sentences on what was chosen of the preparation by trials.
        kinds: of the table's columns, where they have some.
        start_kind: word for the start map, empty where there is none.
    """

    name: str = ""
    columns: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    entropy: dict[str, Number] | None = None
    choices: tuple[str, ...] = ()
    kinds: StoredKinds | None = None
    start_kind: str = ""
