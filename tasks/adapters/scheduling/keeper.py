"""Keeps a Prefect server alive exactly as long as some command uses it.

Run as ``python -m tasks.adapters.scheduling.keeper HOME FD`` with a listening socket as that file descriptor;
started by ``tasks.adapters.scheduling.server``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import filelock

from tasks.adapters.scheduling.credential import server_environment
from tasks.adapters.scheduling.loopback import page_at
from tasks.adapters.scheduling.server import STOP_SECONDS, live_users

LOOK_SECONDS = 0.5


def keep(home: Path, listener: socket.socket) -> int:
    """Run the server until no user is left, or until asked to stop.

    Args:
        home: folder with the users' records.
        listener: the socket at which the server will answer; held here, too, so that the port stays ours.

    Returns:
        The server's exit code if it ended by itself, else 0.
    """
    page, handle = page_at(listener), listener.fileno()
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    # its page would ask the default port; relative, it also works through a tunnel from elsewhere
    environment.setdefault("PREFECT_UI_API_URL", "/api")
    environment |= server_environment(home.parent.parent, page)
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "tasks.adapters.scheduling.guarded", str(handle)],
        stdin=subprocess.DEVNULL, env=environment, pass_fds=(handle,),
    )  # fmt: skip
    asked_to_stop = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while server.poll() is None and not asked_to_stop and not leave(home):
        time.sleep(LOOK_SECONDS)
    if server.poll() is not None:
        return server.returncode
    server.terminate()
    try:
        server.wait(STOP_SECONDS / 3)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    return 0


def leave(home: Path) -> bool:
    """Whether no user is left; decided under the users' lock, so that none can join meanwhile."""
    if live_users(home):
        return False
    try:
        with filelock.FileLock(home / "lock", timeout=0):
            if live_users(home):
                return False
            (home / "keeper.json").unlink(missing_ok=True)
            return True
    except filelock.Timeout:
        return False  # a command is joining, or waits for this process to end


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))
