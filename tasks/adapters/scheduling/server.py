"""The embedded Prefect server: started on demand, shared, stopped by its last user.

A small keeper process (:mod:`tasks.adapters.scheduling.keeper`) owns the server. Commands register as
users by pid and start time; when none is left alive, also after a kill, the keeper stops the
server and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from jko.core.errors import InputError
from jko.disk.sealed import read_model, write_json
from tasks.adapters.scheduling.credential import authorization, client_environment
from tasks.adapters.scheduling.loopback import ServerError, ask, listening, page_at, unreachable
from tasks.adapters.system.environment import named_server, without_password
from tasks.adapters.system.processes import ProcessRecord, end_family, identity, lives

START_SECONDS = 180.0
STOP_SECONDS = 15.0
#: for a server that the user named and that should run
NAMED_SECONDS = 10.0
#: for one answer of our own
HEALTH_SECONDS = 5.0
#: for events and logs that wait in this process when its use of the server ends
LAST_SECONDS = 5.0
#: Prefect's services that send them
SENDING = (("prefect.events.worker", "EventsWorker"), ("prefect.logging.handlers", "APILogWorker"))


@contextmanager
def prefect_server(root: Path, *ports: int) -> Iterator[str]:
    """Use a Prefect server while the body runs; start it in the background if there is none.

    The address is set in the environment at once; call :func:`wait_until_healthy` before the
    first flow, so that heavy imports can run while the server comes up.

    Args:
        root: the project's folder.
        ports: of a server that has to be started, the first that is free; 0, or none, takes any.

    Raises:
        InputError: the server that the user named cannot be reached.
        ServerError: none of the ports is free.
    """
    if address := named_server():
        require_named(address)
        yield address
        return
    home = root.resolve() / ".jko" / "server"
    home.mkdir(parents=True, exist_ok=True)
    user = home / f"user-{os.getpid()}.json"
    with filelock.FileLock(home / "lock", timeout=60):
        write_json(user, identity().plain())
        address = _running(home) or _start(home, *(ports or (0,)))
    own = client_environment(root, address)
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield address
    finally:
        _send_the_rest()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        user.unlink(missing_ok=True)
        with filelock.FileLock(home / "lock", timeout=60):
            if not live_users(home):
                _await_stop(home)


def _send_the_rest() -> None:
    """Send what waits while the server still answers; at exit Prefect would ask a stopped one for each."""
    for module, name in SENDING:
        if module in sys.modules:
            getattr(sys.modules[module], name).drain_all(timeout=LAST_SECONDS, at_exit=False)


def wait_until_healthy(address: str, root: Path, seconds: float | None = None) -> None:
    """Wait for the server to answer.

    Args:
        address: of its API.
        root: the project's folder, whose keeper is watched if the server is its own.
        seconds: how long to wait; by default long for a server that we started and has a database to
            make, and :data:`NAMED_SECONDS` for one that the user named.

    Raises:
        InputError: the server that the user named does not, or cannot be reached at all.
        ServerError: our own does not within ``seconds``, its keeper has ended, or what answers there is
            not this project's server.
    """
    home = root.resolve() / ".jko" / "server"
    if _running(home) != address:
        require_named(address, seconds or NAMED_SECONDS)
        return
    deadline = time.monotonic() + (seconds or START_SECONDS)
    while time.monotonic() < deadline:
        if is_ours(address, root):
            return
        if _keeper(home) is None:
            raise ServerError(f"the Prefect server ended at once; see {home / 'keeper.log'}")
        time.sleep(0.1)
    raise ServerError(
        f"the Prefect server at {address} did not answer within {seconds or START_SECONDS:.0f} s"
    )


def is_ours(address: str, root: Path) -> bool:
    """Whether the embedded server of this project answers at an address, by its credential.

    Raises:
        ServerError: another server answers.
    """
    try:
        status = ask(f"{address}/version", HEALTH_SECONDS, Authorization=authorization(root))
    except OSError:
        return False
    if status in (400, 401, 403, 404):
        raise ServerError(
            f"at {address} answers another server than that of {root}; run jko down, then jko up"
        )
    return status == 200


def require_named(address: str, seconds: float = NAMED_SECONDS) -> None:
    """Refuse a PREFECT_API_URL at which no server answers.

    Raises:
        InputError: why.
    """
    remedy = "unset PREFECT_API_URL to use the project's own"
    shown = without_password(address)
    if not is_address(address):
        raise InputError(
            f"PREFECT_API_URL = {shown!r} is no address, as http://127.0.0.1:4200/api is; {remedy}"
        )
    if why := unreachable(f"{address.rstrip('/')}/health", seconds):  # what it refuses is Prefect's to tell
        raise InputError(f"the Prefect server at {shown} (PREFECT_API_URL) {why}; start it, or {remedy}")


def is_address(text: str) -> bool:
    """Whether a server can be asked at an address."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def revive(root: Path, address: str) -> bool:
    """Start the embedded server again, at the same address, if its keeper has ended.

    Only for a registered user of the server.

    Returns:
        Whether it had ended.

    Raises:
        ServerError: another program has taken its port meanwhile.
    """
    home = root.resolve() / ".jko" / "server"
    with filelock.FileLock(home / "lock", timeout=60):
        if _keeper(home) is not None:
            return False
        _start(home, urlsplit(address).port or 0)
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


def live_users(home: Path) -> list[Path]:
    """Registered commands that still run; records of dead ones are removed."""
    alive = []
    for path in home.glob("user-*.json"):
        if lives(read_model(path, ProcessRecord)):
            alive.append(path)
        else:
            path.unlink(missing_ok=True)
    return alive


class KeeperRecord(ProcessRecord):
    """The process that keeps the server, and the server's address."""

    address: str


def _last_keeper(home: Path) -> KeeperRecord | None:
    return read_model(home / "keeper.json", KeeperRecord)


def _keeper(home: Path) -> KeeperRecord | None:
    record = _last_keeper(home)
    return record if lives(record) else None


def _running(home: Path) -> str | None:
    record = _keeper(home)
    return record.address if record else None


def _start(home: Path, *ports: int) -> str:
    # a keeper that was killed leaves a server without one, on the same database
    end_family(_last_keeper(home), STOP_SECONDS)
    with listening(*ports) as listener, (home / "keeper.log").open("a") as log:
        handle = listener.fileno()
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.adapters.scheduling.keeper", str(home), str(handle)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=(handle,),
        )  # fmt: skip
        address = f"{page_at(listener)}/api"
    write_json(home / "keeper.json", {**identity(keeper.pid).plain(), "address": address})
    return address


def _await_stop(home: Path) -> None:
    """The keeper sees that no user is left; wait for it, and end it if it does not."""
    end_family(_last_keeper(home), STOP_SECONDS)
    (home / "keeper.json").unlink(missing_ok=True)
