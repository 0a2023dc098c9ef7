"""Stored samples of somebody's training of one block, as an NPZ file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.core.errors import InputError

#: fewer rows than this are too few for the critic with bumps
FEWEST_ROWS = 100


def read_snapshots(file: Path) -> dict[str, Tensor]:
    """All arrays of an NPZ file: ``p0`` and its images, row i of each being the same particle.

    Returns:
        Arrays by name in the file's order, float64, shape (rows, 2).

    Raises:
        InputError: the file, or one of its arrays, cannot be used.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        # a single NPY file gives an array, which has no names and cannot be entered
        raise InputError(f"{file}: not a readable NPZ file of arrays of numbers") from None
    if "p0" not in arrays:
        raise InputError(f"{file}: there is no array p0 in it, only {', '.join(arrays) or 'nothing'}")
    for name, values in arrays.items():
        _check(f"{file}: {name}", values, arrays["p0"])
    return {name: torch.from_numpy(values.astype(np.float64)) for name, values in arrays.items()}


def _check(where: str, values: object, first: NDArray[np.generic]) -> None:
    """Refuse an array that is no sample in the plane, or not paired with the first."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise InputError(f"{where} is not an array of real numbers")
    if values.ndim != 2 or values.shape[1] != 2:
        raise InputError(f"{where} has shape {values.shape}; (rows, 2) is needed")
    if values.shape != first.shape:
        raise InputError(f"{where} has shape {values.shape} and p0 {first.shape}; rows must be paired")
    if len(values) < FEWEST_ROWS:
        raise InputError(f"{where} has {len(values)} rows; at least {FEWEST_ROWS} are needed")
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(f"{where} holds a value that is not finite, in row {int(bad.argmax()) + 1}")
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.cov(values.T.astype(np.float64))
    if not (np.isfinite(spread).all() and np.linalg.cond(spread) < 1e12):
        raise InputError(f"{where} has rows on a line, or too large to square; their law has no finite ε")
