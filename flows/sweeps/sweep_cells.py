"""The processes of a sweep: each brings one cell up, ends when the sweep ends, and is found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil

from jko.disk.sealed import read_model, write_json
from tasks.adapters.store.lock import is_alive
from tasks.adapters.system.processes import ProcessRecord, identity, lives
from tasks.sweep.cells import Sweep
from tasks.sweep.prefixes import Step

LOOK_SECONDS = 0.5
#: time a process gets to end its tracked run and release its chain
GRACE_SECONDS = 20.0
#: whether this process was asked to stop: a step that waits for a thread must not begin then
#: (no event: the task runner of processes has to send it along)
STOPPING = SimpleNamespace(asked=False)


@dataclass(frozen=True)
class Outcome:
    """How a step of a sweep ended.

    Args:
        code: of its process: 0, or why not; below 0 the signal that ended it.
        sentence: why not.
    """

    code: int
    sentence: str = ""


def own_process() -> tuple[int, float]:
    """Pid and start time of this process, which name it for ever."""
    return os.getpid(), psutil.Process().create_time()


def run_step(sweep: Sweep, step: Step, server: str | None, parent: tuple[int, float]) -> Outcome:
    """Bring a cell up in a process of its own, and wait for it.

    Args:
        sweep: the sweep.
        step: what to do.
        server: address of a Prefect server that the user chose; ``None`` for the project's own.
        parent: the process of the sweep, with which this one ends.
    """
    log, running = sweep.log(step.cell), sweep.running(step.cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    if server is not None:
        environment["PREFECT_API_URL"] = server
    if STOPPING.asked:
        return Outcome(130, "the sweep was interrupted")
    with log.open("ab") as stream:
        begun = stream.tell()
        stream.write(f"--- {time.strftime('%F %T')} {step.name} ---\n".encode())
        stream.flush()
        child = subprocess.Popen(
            words_of(sweep, step, parent), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            env=environment, start_new_session=True,
        )  # fmt: skip
    with suppress(psutil.NoSuchProcess):  # it has ended already
        write_json(running, identity(child.pid).plain())
    code = child.wait()
    running.unlink(missing_ok=True)
    return Outcome(code, "" if code == 0 else sentence_of(log, begun, code))


def words_of(sweep: Sweep, step: Step, parent: tuple[int, float]) -> list[str]:
    """The command of a step."""
    words = [sys.executable, "-P", "-m", "flows.cli.main", "cell", str(sweep.folder), step.cell]
    words += ["--parent", str(parent[0]), repr(parent[1])]
    if step.stop_after is not None:
        words += ["--stop-after", str(step.stop_after)]
    if step.source is not None:
        words += ["--from", step.source]
    return words


def sentence_of(log: Path, begun: int, code: int) -> str:
    """What a failed process said last, or how it ended."""
    with log.open("rb") as stream:
        stream.seek(begun)
        lines = stream.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("jko: ") for line in lines if line.startswith("jko: ")]
    if said:
        return said[-1]
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"its process {how}; see {log}"


def end_with(pid: int, started: float) -> None:
    """End this process soon after another one has ended, in the way a user would end it."""

    def watch() -> None:
        while is_alive(pid, started):
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-sweep", daemon=True).start()


def begin_worker(pid: int, started: float) -> None:
    """What a worker process of the task runner does first: Ctrl-C is the sweep's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(pid, started)


def stop_all(sweep: Sweep) -> None:
    """End the processes of a sweep that run now, by their pids."""
    processes = list(running_processes(sweep))
    for process in processes:
        process.terminate()
    for process in psutil.wait_procs(processes, timeout=GRACE_SECONDS)[1]:
        process.kill()


def await_leftovers(sweep: Sweep) -> int:
    """Wait for processes of a sweep that was killed; they see it themselves, else they are ended.

    Only for the holder of the sweep's lock.

    Returns:
        How many there were.
    """
    processes = list(running_processes(sweep))
    if psutil.wait_procs(processes, timeout=GRACE_SECONDS)[1]:
        stop_all(sweep)
    for path in sweep.running("any").parent.glob("*.json"):
        path.unlink(missing_ok=True)
    return len(processes)


def running_processes(sweep: Sweep) -> list[psutil.Process]:
    """The processes that are recorded as running and do."""
    found = []
    for path in sorted(sweep.running("any").parent.glob("*.json")):
        record = read_model(path, ProcessRecord)
        if record is not None and lives(record):
            found.append(psutil.Process(record.pid))
    return found
