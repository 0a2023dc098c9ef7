"""The committed evaluation of a chain: read only whole and only if it belongs to the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.adapters.damage import is_whole
from tasks.adapters.layout import Layout
from tasks.adapters.sealed import read_verified

FIGURES = "figures.json"
TEST_ROWS = "test_rows.parquet"
SAMPLE_ROWS = "sample_rows.parquet"


def evaluation_figures(layout: Layout, identity: str) -> dict[str, Any] | None:
    """The figures of an evaluation; ``None`` if it is missing, damaged or of something else."""
    return read_verified(layout.evaluation / FIGURES) if is_whole(layout.evaluation, identity) else None


def evaluation_files(layout: Layout, identity: str) -> Path | None:
    """The folder of an evaluation, every file of it verified; ``None`` as for its figures."""
    return layout.evaluation if is_whole(layout.evaluation, identity) else None
