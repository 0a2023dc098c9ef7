"""The command line in a process of its own, forked from one that has everything imported.

Such a process has its own working directory, environment, output, signals and exit code, as a started one
has; it only saves the seconds in which Python imports torch, Prefect and MLflow. What depends on the imports
themselves (start-up, completion, missing packages) is tested with ``sys.executable``.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.forks import FORKS

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0


class Command:
    """A ``jko`` command that runs; it is waited for and ended as a :class:`subprocess.Popen` is.

    Args:
        folder: its working directory.
        words: behind ``jko``.
        log: a file that takes all it writes, behind what is there; without one, see :meth:`end`.
        environment: beside that of the tests; ``None`` takes a variable away.
        prepare: called in the process before anything else, such as to set limits.
    """

    def __init__(
        self, folder: Path, *words: str, log: Path | None = None,
        environment: Mapping[str, str | None] | None = None, prepare: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.words, self.folder = words, TemporaryDirectory()
        self.outputs = [log or Path(self.folder.name) / name for name in ("out", "err")]
        own = {**os.environ, **(environment or {})}
        kept = {name: value for name, value in own.items() if value is not None}
        self.process = FORKS.Process(target=_command, args=(folder, words, kept, self.outputs, prepare))
        self.process.start()
        assert self.process.pid is not None
        self.pid: int = self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; ``None`` while it runs."""
        return self.process.exitcode

    poll = returncode.fget  # as subprocess names it

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.words, timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def end(self, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Its exit code and what it wrote; one that does not end in time is killed, and that is an error."""
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        out, err = (path.read_text(errors="replace") for path in self.outputs)
        self.folder.cleanup()
        return subprocess.CompletedProcess(self.words, code, out, err)


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a ``jko`` command to its end."""
    return Command(folder, *words, environment=environment).end()


def started(
    *words: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """The same from a Python that starts from nothing, for what depends on its imports; it may fail."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.main", *words],
        capture_output=True, text=True, timeout=PATIENCE, check=False, env=own, **options,
    )  # fmt: skip


def _command(
    folder: Path, words: tuple[str, ...], environment: dict[str, str], outputs: list[Path],
    prepare: Callable[[], None] | None,
) -> None:  # fmt: skip
    """What the process does: take its place, then what ``python -m flows.cli`` does."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in zip((1, 2), outputs, strict=True):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    faulthandler.register(signal.SIGUSR1)  # one that hangs can be asked where it is
    if prepare is not None:
        prepare()
    sys.argv = ["jko", *words]
    try:
        from prefect.context import refresh_global_settings_context

        from flows.cli.__main__ import main

        # they were read when it was imported
        refresh_global_settings_context()
        main()
    finally:
        atexit._run_exitfuncs()
