"""The correction of a block beside its weights, in its committed folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from jko.correction import Correction
from jko.disk.sealed import read_json, write_json
from jko.errors import InputError

CORRECTION = "correction.json"


def write_correction(folder: Path, correction: Correction) -> None:
    """Store a correction: log c and ᾱ with its standard error."""
    write_json(folder / CORRECTION, asdict(correction))


def read_correction(folder: Path) -> Correction:
    """The correction of a committed block.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return Correction(**read_json(folder / CORRECTION))
    except TypeError:
        raise InputError(f"{folder}: the correction of this block is missing or damaged") from None
