"""Tables of many kinds of columns: the sets, their rows as numbers and back, and what samples must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.mixed_files import read
from jko.columns.cells import read_cells
from jko.columns.column import Column
from jko.columns.infer import infer
from jko.columns.missing import bare
from jko.columns.told import Told
from jko.core.errors import InputError
from jko.core.seeds import counter_seed

Array = NDArray[np.float64]
#: what stands for the noise where cells are encoded to be checked
NOISE = 0.3


@dataclass(frozen=True)
class MixedSet:
    """A table.

    Args:
        file: its name.
        dropped: columns that are left out: numbers of rows, and what other columns determine.
        held_out: share of the rows that no model sees.
        empty: numbers that stand for an empty cell.
    """

    file: str
    dropped: tuple[str, ...] = ()
    held_out: float = 0.2
    empty: tuple[float, ...] = ()


#: of few rows half are held out, or nothing could be told
SETS: Mapping[str, MixedSet] = {
    "adult": MixedSet("adult.csv", ("Unnamed: 0",)),
    "weather": MixedSet("weather.csv", ("time_hour",)),
    "fires": MixedSet("fires.csv", (), 0.5),
    "heart": MixedSet("Heart.csv", ("Unnamed: 0",), 0.5),
    "galaxies": MixedSet(
        "test_dc2_training_9816.pq", ("id", *(f"mag_err_{band}_lsst" for band in "ugrizy")), empty=(99.0,)
    ),
    "torsion": MixedSet("pref_general.data"),
    "cytometry": MixedSet("Data001.fcs"),
}


def file_of(name: str, data: Path) -> Path:
    """The file of a set.

    Raises:
        InputError: it is not there.
    """
    path = data / SETS[name].file
    if not path.is_file():
        raise InputError(f"{path}: no such file; benchmarks/README.md says where it is to be had")
    return path


def read_set(name: str, data: Path) -> pd.DataFrame:
    """The rows of a set as pandas reads them.

    Raises:
        InputError: its file is not there.
    """
    frame = read(file_of(name, data))
    frame = frame.drop(columns=[column for column in SETS[name].dropped if column in frame.columns])
    return frame.mask(frame.isin(SETS[name].empty)) if SETS[name].empty else frame


def divided(
    frame: pd.DataFrame, share: float, seed: int, rows: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows and held-out rows, drawn at random.

    Args:
        frame: all rows.
        share: of them that is held out.
        seed: of the draw.
        rows: training rows at most; the held-out rows are the same for any number.
    """
    order = np.random.default_rng(counter_seed(seed, "mixed")).permutation(len(frame))
    held, train = np.split(order, [round(share * len(frame))])
    train = train[:rows]
    return frame.iloc[train].reset_index(drop=True), frame.iloc[held].reset_index(drop=True)


class Coding:
    """Cells as numbers, alike for all models: text by how frequent it is among the training rows, 0 first.

    Args:
        train: the training rows.
    """

    def __init__(self, train: pd.DataFrame) -> None:
        self.train = train
        self.names = [str(name) for name in train.columns]
        self.text = {
            name: {level: code for code, level in enumerate(train[name].value_counts().index)}
            for name in self.names
            if not pd.api.types.is_numeric_dtype(train[name])
        }
        self.holed = [name for name in self.names if train[name].isna().any()]
        self.middle = self.numbers(train).median()

    def numbers(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Every cell as a number, NaN where there is none; a new level has a number of its own."""
        return pd.DataFrame({
            name: self._codes(frame[name]) if name in self.text else frame[name].astype(float)
            for name in self.names
        })  # fmt: skip

    def cells(self, numbers: Mapping[str, Array]) -> pd.DataFrame:
        """Rows of the table, in its types, from numbers that some training row has."""
        found = {}
        for name in self.names:
            own = numbers[name]
            if name in self.text:
                levels = np.array([*self.text[name], None], dtype=object)
                codes = np.where(np.isnan(own), len(self.text[name]), own).astype(int)
                found[name] = pd.Series(levels[codes]).astype(self.train[name].dtype)
            else:
                found[name] = pd.Series(own).astype(self.train[name].dtype)
        return pd.DataFrame(found)

    def judged(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What :func:`jko.judge` is given: whether a cell is empty is a column, its value then the median."""
        numbers = self.numbers(frame)
        holes = {f"{name} empty": numbers[name].isna().astype(float) for name in self.holed}
        whole = pd.concat([numbers.fillna(self.middle), pd.DataFrame(holes)], axis=1)
        told = self.train.nunique(dropna=False) > 1
        return whole.drop(columns=[name for name in self.names if not told[name]])

    def _codes(self, column: pd.Series) -> pd.Series:
        known = self.text[str(column.name)]
        codes = column.map(known).astype(float)
        return codes.where(codes.notna() | column.isna(), float(len(known)))


def faults(train: pd.DataFrame, samples: pd.DataFrame) -> tuple[str, ...]:
    """Columns of samples that are none of the training table's: their types, levels, grids and ends.

    The kinds are those that :func:`jko.columns.infer.infer` tells from the training rows.
    """
    if list(samples.columns) != list(train.columns):
        return (f"columns {', '.join(map(str, samples.columns))}",)
    return tuple(_faults(train, samples))


def _faults(train: pd.DataFrame, samples: pd.DataFrame) -> Iterator[str]:
    for column in infer(train).columns:
        own, drawn = train[column.name], samples[column.name]
        if drawn.dtype != own.dtype:
            yield f"{column.name}: type {drawn.dtype} for {own.dtype}"
        if drawn.isna().any() and not own.isna().any():
            yield f"{column.name}: empty cells"
        if column.kept and (problem := _problem(bare(column), drawn)):
            yield problem
        if isinstance(column, Told):
            levels = read_cells(samples[column.by]).there
            if share := (~column.obeyed(levels, read_cells(drawn).there)).mean():
                yield f"{column.name}: {share:.2%} of the cells are not those that {column.by} tells"


def _problem(column: Column, drawn: pd.Series) -> str:
    """Why cells do not fit their kind, in a sentence; empty where they do."""
    cells = read_cells(drawn).there
    try:
        encoded, _ = column.encode(cells, np.full((len(cells), column.noise_width), NOISE))
    except InputError as error:
        return f"{column.name}: {error}"
    back = column.decode(encoded)
    if cells.dtype.kind == "f":
        same = np.isclose(back.astype(float), cells, rtol=1e-6, atol=1e-12)
    else:
        same = np.asarray(back == cells)
    return "" if same.all() else f"{column.name}: {(~same).mean():.2%} of the cells do not come back"
