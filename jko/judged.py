"""What is known of models by their samples, as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from jko.certify.records import TwoSample
from jko.certify.resolution import Bracket, Projection, agreeing_in_words, in_words, wrong_in_words
from jko.core.records import Count, Figure, Record
from jko.statistics.calibration import Calibration
from jko.statistics.classifier_test import ClassifierTest
from jko.statistics.coverage import Coverage

Array = NDArray[np.float64]


class CopyShare(Record):
    """How many samples are copies of training rows, see :class:`jko.statistics.copies.Copies`."""

    share: float
    share_se: float
    usual: float
    ratio: Figure = None


class OfColumn(Record):
    """A single column.

    Args:
        column: its name.
        bracket: at every resolution.
        least: what the laws differ by at least, nats, see :class:`jko.certify.resolution.Projection`.
    """

    column: str
    bracket: tuple[Bracket, ...]
    least: float


class Compared(Record):
    """Held-out rows beside samples.

    Args:
        bracket: KL of data and model at every resolution.
        certified_resolution: the finest at which the bracket is narrow.
        rows_needed: where no resolution is certified, how many held-out rows would do at the coarsest; null
            where that is beyond ten million.
        columns: the same of every column.
        pairs: and of pairs of columns, the one that differs most first.
        classifier: whether gradient boosting tells held-out rows from samples.
        energy: whether the energy test does.
        coverage: of every column.
    """

    bracket: tuple[Bracket, ...]
    certified_resolution: Figure
    rows_needed: Count | None = None
    columns: tuple[OfColumn, ...]
    pairs: tuple[Projection, ...]
    classifier: ClassifierTest
    energy: TwoSample
    coverage: tuple[Coverage, ...]

    @property
    def singles(self) -> tuple[Projection, ...]:
        """The columns in the form of pairs."""
        return tuple(
            Projection(columns=(one.column,), bracket=one.bracket, least=one.least) for one in self.columns
        )

    @property
    def apart(self) -> tuple[str, ...]:
        """Sentences on how far data and model are apart."""
        whole, every = in_words(self.bracket, self.rows_needed), agreeing_in_words(self.singles)
        found = whole, every, wrong_in_words((*self.singles, *self.pairs))
        return tuple(text for text in found if text)


class Group(Compared):
    """The same of the rows and samples of a group, without the columns that groups are made by.

    Args:
        group: its name.
        by: the column that it is made by.
        rows: held-out rows in it.
        samples: and samples.
    """

    group: str
    by: str
    rows: Count
    samples: Count


class Judged(Compared):
    """What is known of a model by its samples.

    Args:
        name: of the model.
        copies: where training rows were given.
        groups: where columns to make groups by were given.
        conditional: rows among the samples for their own contexts, where these are given and equal.
    """

    name: str
    copies: CopyShare | None = None
    groups: tuple[Group, ...] = ()
    conditional: Calibration | None = None


@dataclass(frozen=True)
class Judgement:
    """What is known of models, with the rows that it was found on.

    Args:
        models: in the order given; they are also what this holds as a sequence.
        notes: sentences on what was left out or looks wrong.
        columns: names.
        held_out: shape (m, d), categories as numbers.
        samples: of every model, shape (M, d).
    """

    models: tuple[Judged, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    held_out: Array
    samples: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[Judged]:
        return iter(self.models)

    def __getitem__(self, name: str) -> Judged:
        return {one.name: one for one in self.models}[name]

    def plain(self) -> dict[str, JsonValue]:
        """All of it as JSON, as ``jko judge --json`` prints it."""
        models: list[JsonValue] = [{"name": one.name, **one.plain()} for one in self.models]
        return {"models": models, "notes": list(self.notes)}

    def page(self, place: str | Path) -> Path:
        """Write the page that ``jko judge -o`` writes; needs the pipeline."""
        from jko.extras import extra

        path = Path(place)
        extra("judged")(self, path)
        return path
