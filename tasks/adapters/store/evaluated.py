"""The committed evaluation of a chain: read only whole and only if it belongs to the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jko.disk.damage import is_whole
from jko.disk.layout import Layout
from jko.disk.sealed import read_verified

FIGURES = "figures.json"
TEST_ROWS = "test_rows.parquet"
SAMPLE_ROWS = "sample_rows.parquet"


def evaluation_figures(layout: Layout, identity: str) -> dict[str, Any] | None:
    """The figures of an evaluation; ``None`` if it is missing, damaged or of something else."""
    figures = read_verified(layout.evaluation / FIGURES) if is_whole(layout.evaluation, identity) else None
    return figures if _has_figures(figures) else None


def _has_figures(values: Any) -> bool:
    """Whether a JSON value holds what every evaluation does, as numbers; some are null where unknown."""
    try:
        test, baselines = values["test"], values["baselines"]
        numbers = [test["nll"], test["nll_se"], values["steps"]]
        numbers += [baselines[name]["nll"] for name in ("gaussian", "mixture")]
        unknown = [values["inversion_error_chain"], values["nearest_training_row"]]
    except (KeyError, TypeError, IndexError):
        return False
    figures = [*numbers, *(one for one in unknown if one is not None)]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in figures)


def evaluation_files(layout: Layout, identity: str) -> Path | None:
    """The folder of an evaluation, every file of it verified; ``None`` as for its figures."""
    return layout.evaluation if is_whole(layout.evaluation, identity) else None
