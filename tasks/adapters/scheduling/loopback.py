"""Sockets and requests: a port that is ours from the start, an answer within a bounded time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from jko.core.errors import JkoError
from tasks.adapters.system.environment import first_line, without_password

T = TypeVar("T")
#: as Python's own servers have
BACKLOG = 128


class ServerError(JkoError):
    """A server did not start or does not answer."""


def listening(*ports: int) -> socket.socket:
    """A socket that listens at the first of these loopback ports that is free; 0 is any.

    The server that answers there gets the socket itself, so that no other program can take the port
    in between.

    Raises:
        ServerError: none of them is free.
    """
    for port in ports:
        own = socket.socket()
        # as servers do: a port that a closed connection still lingers on is free
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("127.0.0.1", port))
            own.listen(BACKLOG)
        except OSError:
            own.close()
            continue
        return own
    raise ServerError(f"another program listens at port {ports[0]} of this machine")


def is_free(port: int) -> bool:
    """Whether a server could listen at a loopback port now."""
    try:
        listening(port).close()
    except ServerError:
        return False
    return True


def free_port() -> int:
    """Any loopback port at which nobody listens now."""
    with listening(0) as own:
        return own.getsockname()[1]


def page_at(listener: socket.socket) -> str:
    """The address of what answers at a socket of :func:`listening`."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def ask(address: str, seconds: float, **headers: str) -> int:
    """The status of a server's answer, also where it is a refusal.

    Args:
        address: name and password in it are not sent.
        seconds: in which it must have answered in full.
        headers: of the request.

    Raises:
        OSError: it cannot be reached.
        TimeoutError: it has not answered in time.
    """

    def reply() -> int:
        request = urllib.request.Request(without_password(address), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                answer.read(1 << 16)
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else OSError(error.reason) from None
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"what answers there does not speak HTTP ({type(error).__name__})") from None

    return within(seconds, reply)


def unreachable(address: str, seconds: float) -> str:
    """Why a server does not answer, in words; empty if it does, whatever its answer."""
    try:
        ask(address, seconds)
    except TimeoutError:
        return f"did not answer within {seconds:.0f} s"
    except ssl.SSLError:
        return ""  # whom to trust is a setting of its own client
    except OSError as error:
        return f"cannot be reached: {error.strerror or first_line(error)}"
    return ""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call returns or raises, if it ends in time.

    A socket's own time limit is for every single byte: a server that trickles would never meet it.

    Raises:
        TimeoutError: it has not ended; it goes on in the background and is forgotten.
    """
    ended: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((call(), None))
        except BaseException as error:  # told to the one who waits
            ended.append((None, error))

    worker = threading.Thread(target=run, daemon=True, name="bounded call")
    worker.start()
    worker.join(seconds)
    if not ended:
        raise TimeoutError(f"no full answer within {seconds:.0f} s")
    value, error = ended[0]
    if error is not None:
        raise error
    return value
