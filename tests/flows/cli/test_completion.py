"""A shell completes commands, options, presets and chains; it asks as click's scripts do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def told(words: str, folder: Path, shell: str = "bash") -> list[str]:
    """The lines that a shell gets for what stands before the cursor."""
    own = {
        "PYTHONPATH": str(ROOT), "_JKO_COMPLETE": f"{shell}_complete", "COMP_WORDS": words,
        "COMP_CWORD": words.rpartition(" ")[2] if shell == "fish" else str(words.count(" ")),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main"], cwd=folder, env={**os.environ, **own}, capture_output=True,
        text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("jko st", ["plain,steps", "plain,status"]),
        ("jko ce", ["plain,certify"]),
        ("jko train --pres", ["plain,--preset"]),
        ("jko train --preset ta", ["plain,tabular", "plain,targets"]),
        ("jko runs --preset ros", ["plain,rose"]),
        ("jko schedule p", ["plain,pause"]),
        ("jko completion ", ["plain,bash", "plain,zsh", "plain,fish"]),
        ("jko score c ", ["file,"]),
        ("jko status ", ["dir,"]),  # there is no chain yet
    ],
)
def test_words_are_completed(words: str, expected: list[str], project: Path) -> None:
    assert told(words, project) == expected


def test_chains_are_completed_where_there_are_some(project: Path) -> None:
    for name in ("data/chain", ".jko/chains/moons", ".jko/chains/mo\x1bx"):
        (project / name).mkdir(parents=True)
        (project / name / "chain.json").write_text("{}")
    (project / ".jko" / "chains" / "no chain").mkdir()
    both = ["plain,.jko/chains/moons", "plain,data/chain"]
    assert told("jko status ", project) == both
    assert told("jko compare ", project) == both
    assert told("jko train --chain da", project) == ["plain,data/chain"]
    assert told("jko status else", project) == ["dir,else"]


def test_other_shells_get_the_line_of_the_help_too(project: Path) -> None:
    assert told("jko prun", project, "zsh") == ["plain", "prune", "Remove what a chain no longer needs"]
    assert told("jko prun", project, "fish")[0].startswith("plain")


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")]
)
def test_the_script_of_a_shell_asks_by_the_same_variable(shell: str, words: str, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main", "completion", shell], capture_output=True, text=True,
        check=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "_JKO_COMPLETE=" in done.stdout
    assert words in done.stdout


def test_bash_takes_the_script(project: Path) -> None:
    """With a command ``jko`` on the path, as an installation has it."""
    command = project / "bin" / "jko"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m flows.cli.main "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(jko completion bash)"; COMP_WORDS=(jko prun); COMP_CWORD=1; _jko_completion jko prun jko; '
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=project, capture_output=True, text=True, check=True,
        timeout=120, env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout == "prune\n"
