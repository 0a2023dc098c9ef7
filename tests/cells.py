"""The processes of a sweep's cells: the first is forked, as the commands of the tests are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from tests.commands import Command
from tests.forks import nested

#: how a sweep starts a cell; what follows are the words of the command
START = [sys.executable, "-P", "-m", "flows.cli.main"]
#: commands that were forked in this process
forked: list[list[str]] = []


def forked_cells() -> None:
    """In the process of a sweep: fork its first cell from what it was forked from itself.

    Only how a process begins is another: its command, its folder, environment, session and output are those
    that the sweep asks for. The others start as ever, so that this is seen, too.
    """
    from flows.sweeps import sweep_cells

    nested()
    sweep_cells.subprocess = SimpleNamespace(Popen=_cell, DEVNULL=subprocess.DEVNULL)


def _cell(
    words: list[str], *, stdin: int, stdout: BinaryIO, stderr: BinaryIO, env: dict[str, str], **session: Any
) -> Command | subprocess.Popen[bytes]:
    if forked:
        return subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=stderr, env=env, **session)
    forked.append(words)
    assert words[: len(START)] == START
    assert (stdin, stderr, session) == (subprocess.DEVNULL, stdout, {"start_new_session": True})
    exactly = {**dict.fromkeys(os.environ), **env}
    place = Path(stdout.name)
    return Command(Path.cwd(), *words[len(START) :], log=place, environment=exactly, prepare=os.setsid)
