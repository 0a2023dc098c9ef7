"""The tables that come with scikit-learn or lie in the folder of the user's data, each read as it is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sets import Set
from jko.config import parse_config
from jko.core.errors import InputError
from jko.laws.densities import Array
from jko.preparation.table import Table
from tasks.datasets.sources import SOURCES


def read_table(known: Set, path: Path | None) -> Table:
    """A set's rows.

    Args:
        known: the set.
        path: its file, where it has one.

    Raises:
        InputError: the file is no table that can be read.
    """
    if path is None:
        return _bundled(known.name)
    if path.suffix in (".npz", ".txt"):
        rows = _features(path) if path.suffix == ".npz" else _numbers(path)
        chosen = list(known.places or range(rows.shape[1]))
        return Table(known.name, rows[:, chosen], tuple(f"c{i}" for i in chosen))
    columns = {"columns": list(known.columns)} if known.columns else {}
    data = {"source": "file", "file": str(path), "missing": "drop", "kinds": "off", **columns}
    config = parse_config({"data": data})
    return SOURCES["file"](config.data, config.seed)


def _bundled(name: str) -> Table:
    """A table that comes with scikit-learn, measurements only."""
    from sklearn import datasets

    if name in SOURCES:
        config = parse_config({"data": {"source": name}})
        return SOURCES[name](config.data, config.seed)
    if name == "diabetes":  # as it was measured; the scaled one has lost the grids of its columns
        bunch = datasets.load_diabetes(scaled=False)
        return Table(name, bunch.data.astype(float), tuple(bunch.feature_names))
    bunch = datasets.load_wine()
    return Table(name, bunch.data.astype(float), tuple(bunch.feature_names))


def _numbers(path: Path) -> Array:
    """Numbers parted by spaces, one line a row, no names."""
    try:
        return np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: not a table of numbers parted by spaces ({error})") from None


def _features(path: Path) -> Array:
    """The array ``X`` of an NPZ, pickles refused; labels are left out."""
    try:
        with np.load(path, allow_pickle=False) as held:
            rows = np.asarray(held["X"], dtype=float)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: holds no array X of numbers ({error})") from None
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError(f"{path}: its array X is no table of finite numbers")
    return rows
