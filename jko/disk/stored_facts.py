"""What is told of the data of a chain without loading anything heavy, from the facts beside their rows."""

from __future__ import annotations

from jko.core.records import Number, Record


class StoredColumn(Record):
    """A part of :class:`jko.columns.column.Column`.

    Args:
        name: of the column.
        kind: its word.
    """

    name: str
    kind: str


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
