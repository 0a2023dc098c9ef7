"""Where errors end: a sentence and an exit code; what nobody foresaw in a file that its owner reads."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import failures
from flows.cli import models, status, upkeep
from flows.failures import end, ending, keep_traceback
from jko.core.errors import ChainInUseError, InputError, NumericalError
from tests.commands import started
from tests.projects import call

ROOT = Path(__file__).resolve().parents[2]
NUMERICAL = NumericalError("it grew", block=2, remedy="train slower")


def wrapped(inner: BaseException) -> BaseException:
    """An error of a library around one of the system."""
    try:
        try:
            raise inner
        except BaseException as error:
            raise RuntimeError("the library stumbled") from error
    except RuntimeError as outer:
        return outer


def raised(error: Exception) -> Exception:
    """An error with a traceback."""
    try:
        raise error
    except Exception as found:
        return found


CASES: dict[str, tuple[BaseException, int, str]] = {
    "bad input": (InputError("a: no"), 2, "a: no"),
    "numerical": (NUMERICAL, 3, "train slower"),
    "in use": (ChainInUseError("busy"), 4, "busy"),
    "interrupted": (KeyboardInterrupt(), 130, "interrupted"),
    "memory": (MemoryError("12 GiB"), 1, "memory ran out: 12 GiB"),
    "recursion": (RecursionError("maximum"), 1, "nested too deeply"),
    "disk full": (OSError(errno.ENOSPC, "No space left"), 1, "make room"),
    "files": (OSError(errno.EMFILE, "Too many"), 1, "ulimit -n"),
    "permission": (PermissionError(errno.EACCES, "denied", "x/y"), 1, "x/y: permission denied"),
    "read-only": (OSError(errno.EROFS, "ro", "x/y"), 1, "x/y: the file system is read-only"),
    "long name": (OSError(errno.ENAMETOOLONG, "long", "x/y"), 2, "x/y: the name is too long"),
    "circle": (OSError(errno.ELOOP, "loop", "x/y"), 2, "x/y: symbolic links"),
    "no folder": (NotADirectoryError(errno.ENOTDIR, "no", "x/y"), 2, "x/y: a folder is expected"),
    "disk broken": (OSError(errno.EIO, "io", "x/y"), 1, "input/output error"),
    "wrapped by a library": (wrapped(OSError(errno.ENOSPC, "No space left")), 1, "make room"),
    "database": (RuntimeError("(sqlite3) attempt to write a readonly database"), 1, "cannot be written"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_foreseen_is_one_sentence(name: str) -> None:
    error, code, said = CASES[name]
    found = ending(error)
    assert (found.code, found.foreseen) == (code, True)
    assert said in found.sentence


def test_what_is_not_foreseen_goes_to_a_file_of_its_owner(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".jko").mkdir()
    assert end(raised(ZeroDivisionError("by \x1b[31mnought\nsecond line")), "jko status 'c d'") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "jko: ZeroDivisionError: by \\x1b[31mnought"
    assert said[2] == "to continue: jko status 'c d'"
    (path,) = (project / ".jko" / "failures").iterdir()
    assert said[1].endswith(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert "raise error" in path.read_text()


def test_without_a_project_it_goes_to_the_systems_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(keep_traceback(ValueError("x")))
    assert path.is_file()
    path.unlink()
    assert list(tmp_path.iterdir()) == []


def test_old_tracebacks_make_room(project: Path) -> None:
    (project / ".jko").mkdir()
    for _ in range(failures.KEPT + 5):
        keep_traceback(ValueError("x"))
    assert len(list((project / ".jko" / "failures").iterdir())) == failures.KEPT


@pytest.mark.parametrize("words", [("status", "c"), ("plan",), ("sample", "c", "-n", "1", "-o", "x.csv")])
def test_every_command_ends_there(
    words: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Path:
        raise ZeroDivisionError("not foreseen")

    (project / ".jko").mkdir()
    for module in (status, upkeep, models):
        monkeypatch.setattr(module, "project_root", broken)
    assert call(monkeypatch, *words) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "jko: ZeroDivisionError: not foreseen"
    assert "traceback is in" in said[1]
    assert said[2] == f"to continue: jko {' '.join(words)}"


def test_the_traceback_is_printed_on_request(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JKO_TRACEBACK", "1")
    assert call(monkeypatch, "status", "nowhere") == 2
    assert "Traceback" in capsys.readouterr().err


def test_nobody_reads_any_more(project: Path) -> None:
    """As in ``jko runs --help | head -1``: no word, and not the end of a pipe as an end of the command."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main", "--help"],
        stdout=writer, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=100, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


def test_output_that_cannot_be_written_is_a_failure(project: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli.main", "train", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=100, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("train", "--preset", "smoke"), ("status", "c"), ("--help",)])
def test_few_files_may_be_open(words: tuple[str, ...], project: Path) -> None:
    done = started(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("jko: at most 24 files may be open here")
    assert "Traceback" not in done.stderr


def test_a_soft_limit_of_files_is_raised(project: Path) -> None:
    done = started("status", "c", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 1024)))
    assert "no chain there" in done.stderr


def test_ctrl_c_in_any_command_is_one_sentence(project: Path) -> None:
    """Not only while training."""
    code = (
        # a shell that runs the tests in the background has the signal ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time, flows.cli.upkeep as u, flows.cli.main as m\n"
        "u.project_root = lambda: (print('ready', flush=True), time.sleep(60))\n"
        "import sys; sys.argv = ['jko', 'verify', 'c']; m.main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "jko: interrupted" in said
    assert "Traceback" not in said


def test_closed_streams_cost_their_words_only(project: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m flows.cli.main plan --preset smoke >&-'],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
