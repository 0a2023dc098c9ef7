"""Small real servers that behave badly: they hang, trickle, or are too busy to do what they are asked."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def hanging() -> Iterator[str]:
    """Takes every connection and never says a word."""
    with _accepting(lambda wire: wire.recv(1 << 16)) as address:
        yield address


@contextmanager
def trickling(beginning: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n") -> Iterator[str]:
    """Answers one byte a second, so that no time limit of a single read is ever met."""

    def trickle(wire: socket.socket) -> None:
        wire.recv(1 << 16)
        wire.sendall(beginning + b"Content-Length: 1000000\r\n\r\n")
        while True:
            wire.sendall(b" ")
            time.sleep(1)

    with _accepting(trickle) as address:
        yield address


@contextmanager
def _accepting(talk: Callable[[socket.socket], Any]) -> Iterator[str]:
    kept: list[socket.socket] = []

    def safely(wire: socket.socket) -> None:
        try:
            talk(wire)
        except OSError:  # the client has gone
            return

    def accept() -> None:
        while True:
            try:
                wire, _ = own.accept()
            except OSError:
                return
            kept.append(wire)  # open until the end
            threading.Thread(target=safely, args=(wire,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as own:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            for wire in kept:
                wire.close()


class Proxy(ThreadingHTTPServer):
    """Hands every request on to a server, or answers that it is busy.

    Args:
        address: of the server.
        busy: whether a path, asked for so often in all, is answered with 503.
    """

    daemon_threads = True

    def __init__(self, address: str, busy: Callable[[str, int], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Hand)
        self.behind, self.busy = urlsplit(address).netloc, busy
        self.count, self.refused = 0, 0
        #: a path that is answered at once, by nobody else
        self.quick = ""
        self.lock = threading.Lock()


class _Hand(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with server.lock:
            server.count += 1
            busy = server.busy(self.path, server.count)
            server.refused += busy
        if server.quick and self.path.endswith(server.quick):
            status, headers, reply = 200, [], b"OK"
        else:
            status, headers, reply = (
                (503, [], b'{"exception_message": "Service Unavailable"}') if busy else self._ask(body)
            )
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        server: Any = self.server
        wire = http.client.HTTPConnection(server.behind, timeout=60)
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "upgrade", "connection")
        }
        wire.request(self.command, self.path, body, kept)
        answer = wire.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        wire.close()
        return found

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = pass_on

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def busy(address: str, when: Callable[[str, int], bool]) -> Iterator[tuple[str, Proxy]]:
    """A server in front of another that answers 503 when told so; its address and itself."""
    with Proxy(address, when) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{urlsplit(address).path}", proxy
        finally:
            proxy.shutdown()
