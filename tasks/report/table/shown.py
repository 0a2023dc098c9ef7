"""The pictures of a table as a page takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.report.drawing import data_uri, small_png
from tasks.report.table.pair_plot import MOST
from tasks.report.table.records import Line, Picture, TableSection

#: pictures of many columns are never narrower than this share of their own width, so that words are read
NARROWEST = 0.8
#: of the section, where there is one model alone
HEADING = "Data and samples, column by column"


@dataclass(frozen=True)
class Shown:
    """A picture in a page.

    Args:
        title: of what it is.
        alt: what it shows.
        src: the picture itself, as an address.
        least: pixels that it is wide at least.
    """

    title: str
    alt: str
    src: str
    least: int


@dataclass(frozen=True)
class ShownTable:
    """What the template takes.

    Args:
        heading: of the section.
        called: what the data are.
        columns: pictures of single columns.
        plot: the pair plot; ``None`` for a single column.
        maps: of differences.
        empty: of empty cells.
        lines: of all columns.
        notes: sentences.
    """

    heading: str
    called: str
    columns: Sequence[Shown]
    plot: Shown | None
    maps: Sequence[Shown]
    empty: Sequence[Shown]
    lines: Sequence[Line]
    notes: Sequence[str]

    @property
    def by_least(self) -> bool:
        """Whether it is known by how much the model is wrong in every column."""
        return any(line.least is not None for line in self.lines)

    @property
    def holes(self) -> bool:
        """Whether some cells are empty."""
        return any(max(line.empty) > 0 for line in self.lines)

    @property
    def more(self) -> bool:
        """Whether there are more columns than the pair plot shows."""
        return len(self.lines) > MOST


def shown_table(
    section: TableSection, called: str = "data", *, folder: Path | None = None, model: str = ""
) -> ShownTable:
    """Pictures as addresses; also as files, where there is a folder for them.

    Args:
        section: the pictures.
        called: what the data are.
        folder: gets a file for each picture.
        model: whose samples they are, where there are several.
    """
    made = {one.name: _drawn(one, folder) for one in section.pictures}
    columns = [own for name, own in made.items() if name.startswith("column_")]

    def some(*names: str) -> list[Shown]:
        return [made[name] for name in names if name in made]

    return ShownTable(
        heading=f"{model}: column by column" if model else HEADING, called=called,
        columns=columns, plot=made.get("pair_plot"), maps=some("information", "correlations"),
        empty=some("empty_cells", "empty_patterns"), lines=section.lines, notes=section.notes,
    )  # fmt: skip


def _drawn(picture: Picture, folder: Path | None) -> Shown:
    drawn = small_png(picture.figure)
    if folder is not None:
        (folder / f"{picture.name}.png").write_bytes(drawn)
    least = round(NARROWEST * picture.figure.bbox.width)
    return Shown(picture.title, picture.alt, data_uri(drawn), least)
