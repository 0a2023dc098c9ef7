"""The broad law of a chain's model on disk: in block 0, beside the facts of the data that it is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jko.core.errors import InputError
from jko.disk.commit import stored_commit
from jko.disk.damage import checked_block
from jko.disk.identity import DEFENCE
from jko.disk.layout import Layout
from jko.disk.tensors import read_tensors, write_tensors
from jko.laws.student_t import StudentT

#: its numbers in block 0
LAW = "defence.safetensors"


def write_law(folder: Path, law: StudentT) -> None:
    """Store the law beside the facts of block 0."""
    numbers = torch.tensor([law.degrees, DEFENCE], dtype=torch.float64)
    write_tensors(folder / LAW, {"location": law.location, "factor": law.factor, "degrees": numbers})


def stored_law(layout: Layout, data: str) -> StudentT | None:
    """The law in block 0; ``None`` where it was committed without one, or by another version.

    Args:
        layout: the chain.
        data: fingerprint of block 0.

    Raises:
        InputError: there is one, and it is damaged.
    """
    commit = stored_commit(layout.block(0, data))
    if commit is None or LAW not in commit.files:
        return None
    path = checked_block(layout, 0, data, LAW) / LAW
    found = read_tensors(path)
    try:
        degrees, version = found["degrees"].tolist()
        law = StudentT(found["location"], found["factor"], degrees)
    except (KeyError, ValueError):
        raise InputError(f"{path}: this is no broad law") from None
    return law if version == DEFENCE else None


def same_law(one: StudentT, other: StudentT) -> bool:
    """Whether two laws are equal but for rounding."""
    pairs = ((one.location, other.location), (one.factor, other.factor))
    near = all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in pairs)
    return near and one.degrees == other.degrees
