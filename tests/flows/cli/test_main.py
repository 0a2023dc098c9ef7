"""The entry point: the version of this code, also where nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_version_is_that_of_the_code_which_runs(tmp_path: Path) -> None:
    """And not that of a copy which was installed."""
    for folder in ("flows", "jko", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "jko" / "version.py").write_text('__version__ = "9.9.9"\n')
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main", "--version"], cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=120, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "jko, version 9.9.9\n"


def test_the_library_says_the_same_version() -> None:
    import jko
    from jko.version import __version__

    assert jko.__version__ == __version__
