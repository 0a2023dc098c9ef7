"""Keeps a Prefect server, an MLflow server and the worker alive until it is asked to stop.

Run as ``python -m tasks.adapters.scheduling.supervisor ROOT PREFECT_PORT MLFLOW_PORT``, 0 for a port that
nobody asked for; started by ``tasks.adapters.scheduling.up``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock

from jko.disk.sealed import read_model, write_json
from tasks.adapters.scheduling.loopback import ServerError, listening, page_at
from tasks.adapters.scheduling.server import prefect_server, revive, running_server
from tasks.adapters.scheduling.up_state import ChildRecord, UpRecord, home_of, records_of_runs
from tasks.adapters.system.environment import (
    named_mlflow,
    named_server,
    platform_environment,
    without_password,
)
from tasks.adapters.system.processes import ProcessRecord, end_family, identity

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
MLFLOW_NAMES = "127.0.0.1,127.0.0.1:*,localhost,localhost:*"
LOOK_SECONDS = 0.5
#: before a child that ended is started again: 1, 2, 4 … seconds
LONGEST_PAUSE = 60.0
#: a child that lived this long is healthy: its next end counts as the first
HEALTHY_SECONDS = 60.0
#: for a scheduled run to end between two iterations and tell so
RUN_SECONDS = 20.0
WORKER_SECONDS = 10.0
MLFLOW_SECONDS = 5.0


class Pause:
    """When to try again what keeps ending: later every time."""

    def __init__(self) -> None:
        self.tries = 0
        self.until = 0.0

    def over(self) -> bool:
        """Whether the next try is due; counts it."""
        now = time.monotonic()
        if now < self.until:
            return False
        if now > self.until + HEALTHY_SECONDS:
            self.tries = 0
        self.until = now + min(2.0**self.tries, LONGEST_PAUSE)
        self.tries += 1
        return True


class Child:
    """A program to keep running.

    Args:
        words: its command line.
        environment: added to ours.
        log: file that takes its output.
        patience: seconds it gets to stop.
        listener: the socket that it finds as its standard input.
    """

    def __init__(
        self,
        words: list[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        patience: float,
        listener: socket.socket | None = None,
    ) -> None:
        self.words, self.environment, self.log, self.patience = words, dict(environment), log, patience
        self.listener = listener
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = Pause()
        self.record: ChildRecord | None = None

    def keep(self) -> bool:
        """Start it if it does not run and its pause is over; whether it was started."""
        if (self.process is not None and self.process.poll() is None) or not self.pause.over():
            return False
        end_family(self.record, self.patience)  # what a dead one left, such as its hold on a port
        source = subprocess.DEVNULL if self.listener is None else self.listener.fileno()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.words, stdin=source, stdout=log, stderr=log,
                env={**os.environ, **self.environment}, start_new_session=True,
            )  # fmt: skip
        own = identity(self.process.pid)
        self.record = ChildRecord(**dict(own), ended=self.pause.tries - 1)
        return True

    def stop(self) -> None:
        """End it and all that it started."""
        end_family(self.record, self.patience)
        if self.process is not None:
            self.process.wait()


def children_of(root: Path, api: str, mlflow: socket.socket | None) -> dict[str, Child]:
    """The worker, and MLflow's server where there is a socket for it to answer at."""
    python, home = [sys.executable, "-P", "-m"], home_of(root)
    worker = {
        "PREFECT_API_URL": api,
        # `python` in a deployment's command is this one
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "2"),
        "PREFECT_WORKER_PREFETCH_SECONDS": os.environ.get("PREFECT_WORKER_PREFETCH_SECONDS", "1"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    words = [*python, "tasks.adapters.scheduling.worker", str(root)]
    children = {"runner": Child(words, worker, home / "runner.log", patience=WORKER_SECONDS)}
    if mlflow is not None:
        store = {
            # by the environment: a database's address may hold a password
            "MLFLOW_BACKEND_STORE_URI": os.environ["MLFLOW_TRACKING_URI"],
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": (root / ".jko" / "mlartifacts").as_uri(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # its own list has every name that begins as a private address does, as 10.evil.example
            "MLFLOW_SERVER_ALLOWED_HOSTS": os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS", MLFLOW_NAMES),
        }
        # the socket is ours already, so that nobody can take its port: only MLflow's standard input
        # reaches the program that serves
        port = str(mlflow.getsockname()[1])
        words = [*python, "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
        children["mlflow"] = Child(
            [*words, "--uvicorn-opts", "--fd 0"], store, home / "mlflow.log",
            patience=MLFLOW_SECONDS, listener=mlflow,
        )  # fmt: skip
    return children


def supervise(root: Path, prefect_port: int, mlflow_port: int) -> int:
    """Keep all of it alive until SIGTERM.

    Returns:
        The exit code: 1 if another supervisor of the project lives.
    """
    platform_environment(root)
    home, asked = home_of(root), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    try:
        only_one = filelock.FileLock(home / "supervisor.lock").acquire(timeout=0)
    except filelock.Timeout:
        print("another supervisor of this project is alive", file=sys.stderr)
        return 1
    own, server_pause = named_server() is None, Pause()
    with (
        only_one,
        own_listener(mlflow_port) as mlflow,
        prefect_server(root, *(wanted(prefect_port, PREFECT_PORT))) as api,
    ):
        children = children_of(root, api, mlflow)
        about = UpRecord(
            **dict(identity()), api=without_password(api), prefect=page_of(api), prefect_own=own,
            mlflow=page_at(mlflow) if mlflow else without_password(named_mlflow() or ""), children={},
        )  # fmt: skip
        try:
            while True:
                for child in children.values():
                    if child.keep():
                        # one that was not started yet has nothing to tell
                        records = {name: one.record for name, one in children.items() if one.record}
                        up = about.model_copy(update={"children": records})
                        write_json(home / "up.json", up.plain())
                if asked.wait(LOOK_SECONDS):
                    return 0
                if own:
                    keep_server(root, api, server_pause)
        finally:
            # runs first: as long as the server answers, they say how they ended
            for path in records_of_runs(root).glob("*.json"):
                end_family(read_model(path, ProcessRecord), RUN_SECONDS)
            for child in children.values():
                child.stop()
            (home / "up.json").unlink(missing_ok=True)


def wanted(port: int, usual: int) -> tuple[int, ...]:
    """The ports to try: the one that was asked for, or the usual one and then any."""
    return (port,) if port else (usual, 0)


@contextmanager
def own_listener(port: int) -> Iterator[socket.socket | None]:
    """The socket of MLflow's server, as long as the body runs; none where the user named a server."""
    if named_mlflow() is not None:
        yield None
        return
    with listening(*wanted(port, MLFLOW_PORT)) as listener:
        yield listener


def keep_server(root: Path, api: str, pause: Pause) -> None:
    """Start the embedded Prefect server again if it has ended."""
    if running_server(root) is not None or not pause.over():
        return
    try:
        if revive(root, api):
            print(f"Prefect's server had ended; started again at {api}", file=sys.stderr, flush=True)
    except ServerError as error:  # tried again after a pause
        print(f"Prefect's server had ended: {error}", file=sys.stderr, flush=True)


def page_of(api: str) -> str:
    """The page that belongs to an API."""
    return without_password(api).rstrip("/").removesuffix("/api")


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
