"""A real browser without a window, told what to do through its debugging protocol."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
)  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire, self.count = wire, itertools.count(1)

    def call(self, method: str, **words: Any) -> Any:
        number = next(self.count)
        self.wire.send(json.dumps({"id": number, "method": method, "params": words}))
        while (told := json.loads(self.wire.recv(timeout=60))).get("id") != number:
            pass
        return told["result"]

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script: str, seconds: float = 40.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"{script} in {self.run('document.body.innerText')[:800]}"
            time.sleep(0.2)
        return found

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Page]:
    """A browser with an own, empty profile."""
    profile = folder / "profile"
    words = [
        "chromium",
        *FLAGS,
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        *flags,
        "about:blank",
    ]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline, place = time.monotonic() + 60, profile / "DevToolsActivePort"
        while not place.exists() or not place.read_text().strip():
            assert process.poll() is None, (folder / "chromium.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        port = place.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as reply:
            tab = next(one for one in json.load(reply) if one["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as wire:
            yield Page(wire)
    finally:
        process.terminate()
        process.wait(30)
