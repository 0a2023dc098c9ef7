"""What all workers of one run of pytest share: a folder, and what is made in it once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

#: a worker waits so long for another that makes what both need
PATIENCE = 600.0
#: the folder of this run; set before the first test
RUN = SimpleNamespace(folder=None)


def begin(factory: pytest.TempPathFactory) -> Path:
    """A folder that is the same for every worker of a run, and another in the next run."""
    own = factory.getbasetemp()
    RUN.folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "together"
    RUN.folder.mkdir(exist_ok=True)
    return RUN.folder


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that whoever asks for it first fills; the others wait for it, and change nothing in it.

    Args:
        name: of the folder.
        make: fills the empty folder; of what fails halfway nothing is kept.
    """
    folder = RUN.folder / name
    done = folder.with_name(f"{name}.made")
    with filelock.FileLock(folder.with_name(f"{name}.lock"), timeout=PATIENCE):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
