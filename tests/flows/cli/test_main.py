"""The entry point: the version of this code, also where nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.main import main

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


WRONG = {
    "train --nosuch": "no such option '--nosuch'; see jko train --help",
    "train --daata x": "no such option '--daata'; did you mean --data or --wait?",
    "train --seed x": "invalid value for '--seed': ",
    "sample": "missing argument 'DIR'; see jko sample --help",
    "trian": "no such command 'trian'; see jko --help",
    "status a b": "got unexpected extra argument (b); see jko status --help",
    "--nosuch": "no such option '--nosuch'; see jko --help",
    "schedule nosuch": "no such command 'nosuch'; see jko schedule --help",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words_are_one_sentence(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words.split()) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"jko: {WRONG[words]}")
    assert out == ""


def test_no_words_print_the_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch) == 2
    assert "Usage: jko" in capsys.readouterr().err


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["jko", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
