"""What ``pip install .`` leaves is whole: every module, presets, page templates, the command, its version."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns

import pytest

from jko.version import __version__
from tests.environments import ROOT, environment
from tests.test_dependencies import CORE, PIPELINE

PIP = (sys.executable, "-m", "pip")
QUIETLY = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
FOLDERS = ("flows", "jko", "tasks")
SETTINGS = (
    "steps.count=1",
    "steps.sizes=null",
    "training.flow_matching_iterations=20",
    "data.augment.copies=1",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this code, built away from it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy2(ROOT / name, source)
    for name in FOLDERS:
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
    subprocess.run(
        [*PIP, "wheel", *QUIETLY, "--no-build-isolation", "--wheel-dir", str(source / "dist"), str(source)],
        check=True, timeout=300,
    )  # fmt: skip
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_it_holds_every_file_of_the_code_and_nothing_else(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as held:
        names = {name for name in held.namelist() if ".dist-info/" not in name}
    assert names == files
    assert wheel.name.startswith(f"jko_flow-{__version__}-")


@pytest.mark.slow
def test_an_installation_trains_on_a_file_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env", CORE | PIPELINE)
    subprocess.run([*PIP, "--python", str(python), "install", *QUIETLY, str(wheel)], check=True, timeout=300)
    folder = tmp_path / "empty"
    folder.mkdir()
    rows = "".join(f"{i % 7 + 0.1 * (i % 3)},{(i * i) % 11}\n" for i in range(200))
    (folder / "rows.csv").write_text(f"a,b\n{rows}")
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def jko(*words: str) -> str:
        done = subprocess.run(
            [str(python.parent / "jko"), *words], cwd=folder, env=own, capture_output=True, text=True,
            check=False, timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert jko("--version") == f"jko, version {__version__}\n"
    jko("train", "--data", "rows.csv", *(word for text in SETTINGS for word in ("--set", text)))
    assert (folder / ".jko/chains/rows.report/report.html").is_file()
    assert "complete" in jko("status", ".jko/chains/rows")
