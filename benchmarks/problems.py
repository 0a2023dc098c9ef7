"""The sets of the benchmark: the same prepared rows for every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.laws import PLANE
from jko.config import parse_config
from jko.densities import Array, Density
from jko.errors import InputError
from jko.score import Score
from jko.seeds import counter_seed
from tasks.adapters.commit import file_digest
from tasks.datasets.pictures import is_picture, load_picture
from tasks.datasets.prepare import PARTS, prepare
from tasks.datasets.sources import SOURCES

#: rows for training, validation and test of each kind of law
ROWS = {"plane": (50_000, 5_000, 10_000), "picture": (200_000, 5_000, 10_000)}
#: settings of the tables that come with scikit-learn, and of those in the folder of the user's data
BUNDLED: Mapping[str, Mapping[str, Any]] = {
    "breast_cancer": {"source": "breast_cancer"},
    "digits": {"source": "digits"},
}
HTRU2_COLUMNS = (
    "Mean_IP", "Standard_Dev_IP", "E_Kurtosis_IP", "Skewness_IP",
    "Mean_SNR", "Standard_Dev_SNR", "E_Kurtosis_SNR", "Skewness_SNR",
)  # fmt: skip
FILES: Mapping[str, Mapping[str, Any]] = {
    "rose": {"file": "rose.png"},
    "htru2": {"file": "htru2.csv", "columns": HTRU2_COLUMNS},
    "california_housing": {"file": "california_housing.csv", "missing": "drop"},
}
#: names of all sets by kind
SETS: Mapping[str, tuple[str, ...]] = {
    "picture": ("rose",),
    "plane": tuple(PLANE),
    "table": ("htru2", "california_housing", *BUNDLED),
}


@dataclass(frozen=True)
class Problem:
    """Rows to fit a density to, and to judge it by.

    Args:
        name: of the set.
        kind: ``plane``, ``picture`` or ``table``.
        train: shape (rows, d), float32, standardised units, as the next two.
        validation: rows for early stopping and for choosing settings.
        test: rows for the figures; no method may look at them.
        shift: subtracted from the data, data units, shape (d,).
        scale: divided by, data units, shape (d,).
        log_density: log p of the test rows, nats, data units, where the law is known.
        score: ∇log p in standardised units, where it is known and smooth.
        notes: how the rows were prepared, as sentences.
        grid: step of the columns that were dequantised by uniform noise of one step, 0 where none, data
            units, shape (d,); ``None`` where no column was.
    """

    name: str
    kind: str
    train: Tensor
    validation: Tensor
    test: Tensor
    shift: Array
    scale: Array
    log_density: Array | None = None
    score: Score | None = None
    notes: tuple[str, ...] = ()
    grid: Array | None = None

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.train.shape[1]

    @property
    def constant(self) -> float:
        """Nats to add to an NLL in standardised units to get it in data units."""
        return float(np.log(self.scale).sum())

    @property
    def measure(self) -> str:
        """What the figure is: ``gap`` to the known density, or ``nll`` in data units."""
        return "nll" if self.log_density is None else "gap"


def load_problem(name: str, seed: int, data: Path | None = None) -> Problem:
    """A set by its name, or any picture or table by its path.

    Args:
        name: a name in :data:`SETS`, or a path.
        seed: of the draws, the split and the dequantisation.
        data: folder of the files that do not come with the project.

    Raises:
        InputError: unknown name, missing or unreadable file.
    """
    if name in PLANE:
        return law_problem(name, "plane", PLANE[name](), seed)
    if name in BUNDLED:
        return table_problem(name, BUNDLED[name], seed)
    path = file_of(name, data)
    if path is None:
        known = ", ".join(one for names in SETS.values() for one in names)
        raise InputError(f"{name}: neither a file nor a set; the sets are {known}")
    if is_picture(str(path)):
        return picture_problem(name, path, seed)
    settings = {**FILES.get(name, {"missing": "drop"}), "source": "file", "file": str(path)}
    return table_problem(name, settings, seed)


def file_of(name: str, data: Path | None) -> Path | None:
    """The file that a set is read from; ``None`` for a set that needs none.

    Raises:
        InputError: it needs one that is not there.
    """
    if name in FILES:
        if data is None:
            raise InputError(
                f"{name} needs the file {FILES[name]['file']}: name its folder with --data FOLDER"
            )
        path = data / str(FILES[name]["file"])
    elif name in PLANE or name in BUNDLED or not (Path(name).suffix or Path(name).exists()):
        return None
    else:
        path = Path(name)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path


def data_digest(name: str, data: Path | None) -> str | None:
    """SHA-256 of the set's file; ``None`` for a set that needs none."""
    path = file_of(name, data)
    return None if path is None else file_digest(path)


def picture_problem(name: str, path: Path, seed: int) -> Problem:
    """Draws of the density that is a picture's darkness.

    Raises:
        InputError: the file is no readable picture.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_picture(str(path)):
        raise InputError(f"{path}: not a picture; give a .png, .jpg or the like")
    return law_problem(name, "picture", load_picture(str(path))[1], seed)


def law_problem(
    name: str, kind: str, law: Density, seed: int, *, rows: tuple[int, int, int] | None = None
) -> Problem:
    """Fresh draws of a law with a known density.

    Args:
        name: of the set.
        kind: ``plane`` or ``picture``.
        law: what is drawn from.
        seed: of the draws.
        rows: for training, validation and test; those of the kind by default.
    """
    train, validation, test = (
        law.sample(count, np.random.default_rng(counter_seed(seed, "benchmark", part)))
        for part, count in zip(PARTS, rows or ROWS[kind], strict=True)
    )
    shift, scale = train.mean(axis=0), train.std(axis=0)

    def standard(values: Array) -> Tensor:
        return torch.from_numpy(((values - shift) / scale).astype(np.float32))

    def score(x: Tensor) -> Tensor:
        return torch.from_numpy(scale * law.score(x.numpy() * scale + shift)).to(x)

    parts = standard(train), standard(validation), standard(test)
    return Problem(name, kind, *parts, shift, scale, log_density=law.log_prob(test), score=score)


def table_problem(name: str, settings: Mapping[str, Any], seed: int) -> Problem:
    """Rows of a table, prepared as those of a chain: dequantised, split, standardised.

    Args:
        name: of the set.
        settings: of the section ``data`` of the configuration.
        seed: of the dequantisation and the split.
    """
    config = parse_config({"seed": seed, "data": dict(settings)}, where=name)
    prepared = prepare(SOURCES[config.data.source](config.data, seed), config)
    train, validation, test = (torch.from_numpy(np.array(prepared.arrays[part])) for part in PARTS)
    return Problem(
        name, "table", train, validation, test, prepared.shift, prepared.scale,
        notes=prepared.notes, grid=prepared.grid,
    )  # fmt: skip
