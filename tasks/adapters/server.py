"""The embedded Prefect server: started on demand, shared, stopped by its last user.

A small keeper process (:mod:`tasks.adapters.keeper`) owns the server. Commands register as
users by pid and start time; when none is left alive, also after a kill, the keeper stops the
server and ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock

from jko.errors import JkoError
from tasks.adapters.commit import read_json, write_json
from tasks.adapters.environment import named_server, without_password
from tasks.adapters.processes import end_family, identity, lives

START_SECONDS = 180.0
STOP_SECONDS = 15.0


class ServerError(JkoError):
    """The embedded server did not start."""


@contextmanager
def prefect_server(root: Path, port: int = 0) -> Iterator[str]:
    """Use a Prefect server while the body runs; start it in the background if there is none.

    The address is set in the environment at once; call :func:`wait_until_healthy` before the
    first flow, so that heavy imports can run while the server comes up.

    Args:
        root: the project's folder.
        port: of a server that has to be started; 0 takes any free one.
    """
    if address := named_server():
        yield address
        return
    home = root.resolve() / ".jko" / "server"
    home.mkdir(parents=True, exist_ok=True)
    user = home / f"user-{os.getpid()}.json"
    with filelock.FileLock(home / "lock", timeout=60):
        write_json(user, identity())
        address = _running(home) or _start(home, port or free_port())
    os.environ["PREFECT_API_URL"] = address
    try:
        yield address
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        user.unlink(missing_ok=True)
        with filelock.FileLock(home / "lock", timeout=60):
            if not live_users(home):
                _await_stop(home)


def wait_until_healthy(address: str, root: Path, seconds: float = START_SECONDS) -> None:
    """Wait for the server to answer.

    Args:
        address: of its API.
        root: the project's folder, whose keeper is watched if the server is its own.
        seconds: how long to wait.

    Raises:
        ServerError: it does not within ``seconds``, or its keeper has ended.
    """
    home = root.resolve() / ".jko" / "server"
    own = (_keeper(home) or {}).get("address") == address
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except urllib.error.HTTPError:
            return  # it answers; what it refuses is Prefect's to tell
        except (urllib.error.URLError, OSError):
            if own and _keeper(home) is None:
                raise ServerError(f"the Prefect server ended at once; see {home / 'keeper.log'}") from None
            time.sleep(0.1)
    raise ServerError(
        f"the Prefect server at {without_password(address)} did not answer within {seconds:.0f} s"
    )


def revive(root: Path, address: str) -> bool:
    """Start the embedded server again, at the same address, if its keeper has ended.

    Only for a registered user of the server.

    Returns:
        Whether it had ended.
    """
    home = root.resolve() / ".jko" / "server"
    with filelock.FileLock(home / "lock", timeout=60):
        if _keeper(home) is not None:
            return False
        _start(home, urlsplit(address).port or free_port())
        return True


def stop_unused(root: Path) -> None:
    """End the embedded server if nobody uses it any more: what a killed user may have left."""
    home = root.resolve() / ".jko" / "server"
    if not (home / "keeper.json").exists():
        return
    with filelock.FileLock(home / "lock", timeout=60):
        if not live_users(home):
            _await_stop(home)


def running_server(root: Path) -> str | None:
    """The address of the embedded server, if it was started and its keeper lives."""
    return _running(root.resolve() / ".jko" / "server")


def free_port(*wanted: int) -> int:
    """The first of the wanted loopback ports that is free, or any free one."""
    for port in (*wanted, 0):
        with socket.socket() as probe:
            # as servers do: a port that a closed connection still lingers on is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise ServerError("no loopback port is free")


def live_users(home: Path) -> list[Path]:
    """Registered commands that still run; records of dead ones are removed."""
    alive = []
    for path in home.glob("user-*.json"):
        if lives(read_json(path)):
            alive.append(path)
        else:
            path.unlink(missing_ok=True)
    return alive


def _keeper(home: Path) -> dict[str, Any] | None:
    record = read_json(home / "keeper.json")
    return record if lives(record) else None


def _running(home: Path) -> str | None:
    record = _keeper(home)
    return record["address"] if record else None


def _start(home: Path, port: int) -> str:
    # a keeper that was killed leaves a server without one, on the same database
    end_family(read_json(home / "keeper.json"), STOP_SECONDS)
    with (home / "keeper.log").open("a") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.adapters.keeper", str(home), str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}/api"
    write_json(home / "keeper.json", {**identity(keeper.pid), "address": address})
    return address


def _await_stop(home: Path) -> None:
    """The keeper sees that no user is left; wait for it, and end it if it does not."""
    end_family(read_json(home / "keeper.json"), STOP_SECONDS)
    (home / "keeper.json").unlink(missing_ok=True)
