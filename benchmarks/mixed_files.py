"""The files of mixed tables as they are kept: CSV, Parquet, a density on a grid, a list of cytometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.core.errors import InputError

Array = NDArray[np.float64]
#: rows that are drawn from a density, and the seed of them
DRAWN, SEED = 12_000, 0
#: where the header of a list of cytometry says where its text and its numbers begin and end
TEXT, DATA = (slice(10, 18), slice(18, 26)), (slice(26, 34), slice(34, 42))


def read(path: Path) -> pd.DataFrame:
    """The rows of a file, by its ending.

    Raises:
        InputError: it is not what its ending says.
    """
    try:
        return READERS.get(path.suffix, _csv)(path)
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: is not read as {path.suffix} ({error})") from None


def _csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, skipinitialspace=True)


def _density(path: Path) -> pd.DataFrame:
    """Rows drawn from a density of two angles: a cell by its value, and a point in it by chance.

    A line of the file is the middle of a cell, phi and psi in degrees, and the value there.
    """
    phi, psi, value = np.loadtxt(path, ndmin=2).T
    rng = np.random.default_rng(SEED)
    cells = rng.choice(len(value), DRAWN, p=value / value.sum())
    half = np.diff(np.unique(phi)).min() / 2
    within = rng.uniform(-half, half, (2, DRAWN))
    return pd.DataFrame({"phi": phi[cells] + within[0], "psi": psi[cells] + within[1]})


def _cytometry(path: Path) -> pd.DataFrame:
    """A list of whole numbers in the format FCS 2 or 3: one row a particle."""
    held = path.read_bytes()
    (begin, end), (first, last) = ([int(held[one]) for one in where] for where in (TEXT, DATA))
    said = held[begin : end + 1].decode("latin-1")
    words = said[1:].rstrip(said[0]).split(said[0])
    known = {key.upper(): value.strip() for key, value in zip(words[::2], words[1::2], strict=False)}
    count, bits = int(known["$PAR"]), {int(known[f"$P{one}B"]) for one in range(1, int(known["$PAR"]) + 1)}
    if known["$MODE"] != "L" or known["$DATATYPE"] != "I" or len(bits) > 1:
        raise ValueError("no list of whole numbers of one size")
    order = "<" if known["$BYTEORD"].startswith("1") else ">"
    numbers = np.frombuffer(held[first : last + 1], f"{order}u{bits.pop() // 8}")
    names = [known[f"$P{one}N"] for one in range(1, count + 1)]
    rows = numbers[: int(known["$TOT"]) * count].reshape(-1, count).astype(np.int64)
    return pd.DataFrame(rows, columns=names)


READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".pq": pd.read_parquet, ".data": _density, ".fcs": _cytometry,
}  # fmt: skip
