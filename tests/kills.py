"""Fifty ways to end a run at a random moment; the next start must end as if nothing had happened.

``tests/flows/test_kills.py`` carries them out one by one. With a folder in the environment variable
``KILLS``, each leaves its row there, and ``python -m tests.kills FOLDER`` writes ``docs/kills/README.md``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil

from tests.commands import Command, command

ROOT = Path(__file__).resolve().parents[1]
#: three blocks of about a second each, checkpoints inside them
SETTINGS = (
    "--preset", "smoke", "--set", "training.flow_matching_iterations=500",
    "--set", "training.iterations=60", "--set", "data.rows=2000", "--set", "runtime.checkpoint_seconds=0.2",
)  # fmt: skip
COMMAND = ("train", *SETTINGS, "--chain", "chain")
PATIENCE = 300.0
#: a run may take so much longer than the undisturbed one: a starved one is given up after less
GRACE = 150.0
COUNT = 50
Run = Command | subprocess.Popen[bytes]
Way = Literal["SIGKILL", "SIGTERM", "Ctrl-C", "file size limit", "memory limit", "full disk"]
#: how often each comes in a row of ten
WAYS: tuple[Way, ...] = (
    "SIGKILL", "SIGTERM", "file size limit", "SIGKILL", "Ctrl-C", "memory limit", "SIGKILL", "full disk",
    "SIGKILL", "Ctrl-C",
)  # fmt: skip
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}


@dataclass(frozen=True)
class Kill:
    """How and when a run is ended.

    Args:
        number: 0.. in the table; seeds the moment.
        way: what ends it.
        share: the moment of a signal as a share of an uninterrupted run's time, or the size of a limit
            between its smallest and largest.
    """

    number: int
    way: Way
    share: float


@dataclass(frozen=True)
class Row:
    """What became of one kill.

    Args:
        kill: how the run was ended.
        moment: seconds after the start, or the limit in words.
        exit_code: of the ended run.
        blocks: blocks that were committed then.
        said: its last line.
        again: exit code of the next start.
        digest: of the chain after it.
        hung: whether it did not end and was killed as a user would do.
    """

    kill: Kill
    moment: str
    exit_code: int
    blocks: tuple[int, ...]
    said: str
    again: int
    digest: str | None
    hung: bool = False


@dataclass(frozen=True)
class Whole:
    """The run that nothing disturbed.

    Args:
        digest: of its chain.
        seconds: from its start to its end.
        state: its ``.jko`` folder, copied to every trial: databases that exist already.
        memory: largest address space it had, bytes.
    """

    digest: str
    seconds: float
    state: Path
    memory: int


def kill_of(number: int) -> Kill:
    """The kill of this number."""
    return Kill(number, WAYS[number % len(WAYS)], random.Random(number).uniform(0.02, 0.98))


def start(folder: Path, *words: str, limit: Callable[[], None] | None = None) -> Command:
    """Start ``jko`` in a folder, its output in ``log.txt``."""
    return Command(folder, *words, log=folder / "log.txt", environment=own_store(folder), prepare=limit)


def start_small(folder: Path, size: int) -> subprocess.Popen[bytes]:
    """Start the run with a limit on its memory from the first import on, which no fork can give."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "flows.cli", *COMMAND], cwd=folder, stdout=log,
            stderr=log, stdin=subprocess.DEVNULL, preexec_fn=limited(resource.RLIMIT_AS, size),  # noqa: PLW1509 (no threads here)
            env={**os.environ, "PYTHONPATH": str(ROOT), **own_store(folder)},
        )  # fmt: skip


def own_store(folder: Path) -> dict[str, str]:
    """The trial's own MLflow store: limits must not reach another's."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / '.jko' / 'mlflow.db'}"}


def undisturbed(folder: Path) -> Whole:
    """Run once without any disturbance."""
    project(folder, None)
    end_of(start(folder, *COMMAND, "--stop-after", "1"), PATIENCE)  # databases are made
    shutil.copytree(folder / ".jko", folder / "state")
    shutil.rmtree(folder / "chain")
    begun, memory = time.monotonic(), 0
    run = start(folder, *COMMAND)
    while run.poll() is None and time.monotonic() - begun < PATIENCE:
        memory = max(memory, address_space(run.pid))
        time.sleep(0.05)
    seconds = time.monotonic() - begun
    code, hung = end_of(run, GRACE)
    assert (code, hung) == (0, False), (folder / "log.txt").read_text()
    return Whole(status(folder)["digest"], seconds, folder / "state", memory)


def project(folder: Path, state: Path | None) -> None:
    """An empty project."""
    folder.mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    if state is not None:
        shutil.copytree(state, folder / ".jko")


def address_space(pid: int) -> int:
    """Address space of a process, bytes; 0 where it has ended."""
    try:
        return psutil.Process(pid).memory_info().vms
    except psutil.Error:
        return 0


def end_of(run: Run, seconds: float) -> tuple[int, bool]:
    """Wait for a run; one that does not end in time says where it is, in its log, and is killed.

    Returns:
        Its exit code, and whether it had to be killed.
    """
    try:
        return run.wait(seconds), False
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGUSR1)
        time.sleep(1.0)
        run.kill()
        return run.wait(), True


def carry_out(kill: Kill, whole: Whole, folder: Path) -> Row:
    """End a run in its way, then start it again without any; nothing of both is left running."""
    try:
        row = ended_and_started_again(kill, whole, folder)
        left = still_running(folder, GRACE)
        assert not left, f"still running: {left}"
    finally:
        for process in running(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    return row


def running(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder: its runs, their keepers and servers."""
    found = psutil.process_iter(["cwd"])
    return [process for process in found if process.info["cwd"] == str(folder.resolve())]


def still_running(folder: Path, seconds: float) -> list[str]:
    """What works in a folder even after some time."""
    deadline = time.monotonic() + seconds
    while (found := running(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"{process.pid} {process.name()}" for process in found if process.is_running()]


def ended_and_started_again(kill: Kill, whole: Whole, folder: Path) -> Row:
    """End a run in its way, then start it again without any."""
    project(folder, whole.state)
    log = folder / "log.txt"
    share = kill.share
    while True:  # a busy machine can be faster than before: a moment after the end is no kill
        with ending(kill.way, share, whole, folder) as (run, moment):
            code, hung = end_of(run, whole.seconds + GRACE)
        if code != 0 or share < 0.01:
            break
        share /= 2
        log.unlink()
        for path in folder.glob("chain*"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    blocks = committed(folder)
    # a library can hang where it finds no memory; without a limit nothing may
    assert not hung or kill.way == "memory limit", f"{kill} did not end:\n{log.read_text(errors='replace')}"
    said = "hung under the limit, killed" if hung else last_line(log)
    again, stuck = end_of(start(folder, *COMMAND), PATIENCE)
    assert not stuck, f"the start after {kill} did not end:\n{log.read_text(errors='replace')}"
    found = status(folder)
    left = [path for path in folder.rglob(".tmp-*") if ".jko" not in path.parts]
    assert not left, f"left behind: {left}"
    return Row(kill, moment, code, blocks, said, again, found.get("digest"), hung)


def last_line(path: Path) -> str:
    """What a log ends with; a process short of memory may have written anything."""
    return (path.read_text(errors="replace").strip().splitlines() or [""])[-1]


@contextmanager
def ending(way: Way, share: float, whole: Whole, folder: Path) -> Iterator[tuple[Run, str]]:
    """Start a run that is ended in this way."""
    if way in SIGNALS:
        run, after = start(folder, *COMMAND), share * whole.seconds
        wait_until(run, after)
        run.send_signal(SIGNALS[way])
        yield run, f"{after:.2f} s"
    elif way == "file size limit":
        size = int(2_000 + share * 60_000)
        yield (
            start(folder, *COMMAND, limit=limited(resource.RLIMIT_FSIZE, size)),
            f"{size / 1000:.1f} kB a file",
        )
    elif way == "memory limit":
        size = int((0.3 + 0.6 * share) * whole.memory)
        yield start_small(folder, size), f"{size / 1e9:.2f} GB"
    elif not may_mount(folder):
        size = int(2_000 + share * 60_000)
        limit = limited(resource.RLIMIT_FSIZE, size)
        yield start(folder, *COMMAND, limit=limit), f"{size / 1000:.1f} kB a file (no tmpfs allowed here)"
    else:
        with small_disk(folder, int(20_000 + share * 150_000)) as words:
            yield start(folder, *COMMAND), words


def limited(kind: int, size: int) -> Callable[[], None]:
    """What sets a limit in the child before it starts."""
    return partial(resource.setrlimit, kind, (size, size))


def mount(place: Path, size: int) -> bool:
    """Put a small file system in memory at an empty folder; whether that is allowed."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def may_mount(folder: Path) -> bool:
    """Whether this process may mount at all; if not, a limit on the size of files takes its place."""
    place = folder / "probe"
    place.mkdir()
    allowed = mount(place, 4096)
    if allowed:
        subprocess.run(["umount", str(place)], check=True)
    place.rmdir()
    return allowed


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[str]:
    """A full disk under the chain: a small tmpfs.

    The chain's files are moved to the large disk when the small one is taken away, as an
    administrator would do who makes room.
    """
    place = folder / "disk"
    place.mkdir(exist_ok=True)
    assert mount(place, size)
    for name in ("chain", "chain.run"):
        (place / name).mkdir()
        (folder / name).symlink_to(place / name)
    try:
        yield f"{size / 1000:.0f} kB in all"
    finally:
        for name in ("chain", "chain.run"):
            (folder / name).unlink()
            shutil.copytree(place / name, folder / name)
        subprocess.run(["umount", str(place)], check=True)


def wait_until(run: Run, seconds: float) -> None:
    """Wait for a moment, or for the end."""
    deadline = time.monotonic() + seconds
    while run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def committed(folder: Path) -> tuple[int, ...]:
    """Indices of committed blocks."""
    found = (folder / "chain" / "blocks").glob("[0-9]*/COMMIT.json")
    return tuple(sorted(int(path.parent.name.split("-")[0]) for path in found))


def status(folder: Path) -> dict[str, Any]:
    """What ``jko status`` says."""
    done = command(folder, "status", "chain", "--json")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def table(rows: list[Row], wholes: list[Whole]) -> str:
    """The rows as a page; each with the undisturbed run of its session."""
    whole = wholes[0]
    same = sum(row.digest == whole.digest == own.digest for row, own in zip(rows, wholes, strict=True))
    seconds = sorted(own.seconds for own in wholes)
    lines = [
        f"# {len(rows)} runs ended at a random moment",
        "",
        "Made by `tests/flows/test_kills.py` on a busy machine. A chain of three blocks "
        f"({' '.join(SETTINGS)}), {seconds[0]:.0f} to {seconds[-1]:.0f} s when nothing disturbs it, is ended "
        "and started again with the same command; nothing is cleaned in between. "
        f"**{same} of {len(rows)} ended with the digest of the "
        f"undisturbed run, `{whole.digest[:16]}`.**",
        "",
        "| # | ended by | at | exit | blocks then | it said last | next start | digest |",
        "|--:|---|---|--:|---|---|--:|---|",
    ]
    for row in rows:
        blocks = ", ".join(map(str, row.blocks)) or "none"
        silent = row.exit_code < 0 and not row.hung  # it was killed
        said = "" if silent else row.said.replace("|", "\\|")[:90]
        equal = "equal" if row.digest == whole.digest else f"**{row.digest}**"
        lines.append(
            f"| {row.kill.number} | {row.kill.way} | {row.moment} | {row.exit_code} | {blocks} | {said} "
            f"| {row.again} | {equal} |"
        )
    return "\n".join(lines) + "\n"


def keep_row(folder: Path, row: Row, whole: Whole) -> None:
    """Keep a row for the table, as one file."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {**asdict(row), "whole": {"digest": whole.digest, "seconds": whole.seconds}}
    (folder / f"{row.kill.number:02d}.json").write_text(json.dumps(values))


def read_rows(folder: Path) -> tuple[list[Row], list[Whole]]:
    """The rows that :func:`keep_row` kept, and the undisturbed runs they were held against."""
    rows, wholes = [], []
    for path in sorted(folder.glob("*.json")):
        values = json.loads(path.read_text())
        wholes.append(Whole(**values.pop("whole"), state=folder, memory=0))
        kill, blocks = Kill(**values.pop("kill")), tuple(values.pop("blocks"))
        rows.append(Row(kill=kill, blocks=blocks, **values))
    return rows, wholes


def main(folder: str) -> None:
    """Write the page of the rows in a folder."""
    rows, wholes = read_rows(Path(folder))
    target = ROOT / "docs" / "kills" / "README.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(table(rows, wholes))


if __name__ == "__main__":
    main(sys.argv[1])
