"""Every operation on files below one folder passes a function, which may record it or let it fail.

Python's own ways to the file system are replaced while :func:`watching` lasts: the functions of ``os``, and
``open``. Nothing below them (C, Rust) is seen; safetensors and Parquet, whose writers are single functions
there, write by Python meanwhile. That nothing is missed is tested: the recorded operations alone make the
folder again, byte for byte (``test_disk.py``).
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pandas as pd
import safetensors
import safetensors.torch

from jko.disk import durable

Kind = Literal[
    "open",
    "create",
    "truncate",
    "write",
    "fsync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "chmod",
    "read",
    "exchange",
]


@dataclass(frozen=True)
class Operation:
    """One operation on a file or folder.

    Args:
        kind: what is done.
        path: relative to the watched folder.
        other: the new name, for ``rename`` and ``link``; the other one for ``exchange``.
        offset: where ``write`` writes, bytes; the new length for ``truncate``.
        data: what ``write`` writes.
    """

    kind: Kind
    path: str
    other: str = ""
    offset: int = 0
    data: bytes = b""


TO_PARQUET: Any = pd.DataFrame.to_parquet
EXCHANGE = durable._exchange
#: gets an operation and what carries it out; for ``write``, that takes the bytes to write
Watcher = Callable[[Operation, Callable[..., Any]], Any]


class Watched:
    """The replaced functions; those of ``os`` have the names and arguments of their originals.

    Args:
        root: the folder below which operations are watched.
        watcher: called for each of them, one at a time.
    """

    def __init__(self, root: Path, watcher: Watcher) -> None:
        self.root, self.watcher = os.path.abspath(root), watcher
        self.lock = threading.RLock()
        self.names: dict[int, str] = {}  # open descriptors
        self.real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name)
            for name in (
                "open", "close", "write", "fsync", "rename", "replace", "link", "unlink", "remove", "mkdir",
                "rmdir", "chmod",
            )
        }  # fmt: skip
        self.real_open = io.open

    def inside(self, path: Any, folder: int | None = None) -> str | None:
        """A path relative to the root, or ``None`` if it is outside."""
        if isinstance(path, int):
            return self.names.get(path)
        text = os.fsdecode(path)
        if folder is not None:
            if folder not in self.names:
                return None
            return os.path.normpath(os.path.join(self.names[folder], text))
        whole = os.path.abspath(text)
        if whole != self.root and not whole.startswith(self.root + os.sep):
            return None
        return os.path.relpath(whole, self.root)

    def do(self, operation: Operation, act: Callable[..., Any]) -> Any:
        with self.lock:
            return self.watcher(operation, act)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def act() -> int:
            return self.real["open"](path, flags, mode, dir_fd=dir_fd)

        name = self.inside(path, dir_fd)
        if name is None:
            return act()
        there = os.path.exists(os.path.join(self.root, name))
        kind: Kind = "read"
        if flags & os.O_CREAT and not there:
            kind = "create"
        elif flags & os.O_TRUNC:
            kind = "truncate"
        elif flags & (os.O_WRONLY | os.O_RDWR):
            kind = "open"
        descriptor = self.do(Operation(kind, name), act)
        self.names[descriptor] = name
        return descriptor

    def close(self, descriptor: int) -> None:
        self.names.pop(descriptor, None)
        self.real["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        name = self.names.get(descriptor)
        if name is None:
            return self.real["write"](descriptor, data)
        content = bytes(data)
        return self.do(
            Operation("write", name, offset=os.lseek(descriptor, 0, os.SEEK_CUR), data=content),
            lambda part=content: self.real["write"](descriptor, part),
        )

    def fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        name = self.names.get(number)
        if name is None:
            return self.real["fsync"](number)
        return self.do(Operation("fsync", name), lambda: None)  # no power is lost here but in the model

    def one(self, name: str, kind: Kind) -> Callable[..., Any]:
        """A function of one path."""

        def call(path: Any, *args: Any, dir_fd: int | None = None, **named: Any) -> Any:
            def act() -> Any:
                return self.real[name](path, *args, dir_fd=dir_fd, **named)

            where = self.inside(path, dir_fd)
            return act() if where is None else self.do(Operation(kind, where), act)

        return call

    def two(self, name: str, kind: Kind) -> Callable[..., Any]:
        """A function of two paths."""

        def call(source: Any, target: Any, **named: Any) -> Any:
            def act() -> Any:
                return self.real[name](source, target, **named)

            one, other = self.inside(source), self.inside(target)
            if other is None:
                return act()
            assert one is not None, f"{source} is outside {self.root}"
            return self.do(Operation(kind, one, other), act)

        return call

    def exchange(self, one: Path, other: Path) -> bool:
        """Two names swapped by the system; a failure is told by ``False``, as the system does."""
        first, second = self.inside(one), self.inside(other)
        assert first is not None
        assert second is not None
        try:
            return self.do(Operation("exchange", first, second), lambda: EXCHANGE(one, other))
        except OSError:
            return False

    def open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        """``open``, whose files tell of every write that reaches the system."""
        name = self.inside(file)
        if name is None:
            return self.real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not set(mode) & set("wax+"):
            return self.do(
                Operation("read", name),
                lambda: self.real_open(file, mode, buffering, encoding, errors, newline, closefd, opener),
            )
        raw = RawFile(self, file, mode.replace("b", "").replace("t", ""), closefd, name)
        if buffering == 0:
            return raw
        stream: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)


class RawFile(io.FileIO):
    """A file whose writes are watched."""

    def __init__(self, watched: Watched, file: Any, mode: str, closefd: bool, name: str) -> None:
        self.watched, self.where, self.appends = watched, name, "a" in mode
        start = lambda: io.FileIO.__init__(self, file, mode, closefd)  # noqa: E731
        if isinstance(file, int):
            start()
        else:
            there = os.path.exists(file)
            kind: Kind = "truncate" if "w" in mode and there else "open" if there else "create"
            watched.do(Operation(kind, name), start)
        watched.names[self.fileno()] = name

    def write(self, data: Any) -> int:  # type: ignore[override]
        content = bytes(data)
        offset = os.fstat(self.fileno()).st_size if self.appends else self.tell()
        return self.watched.do(
            Operation("write", self.where, offset=offset, data=content),
            lambda part=content: io.FileIO.write(self, part),
        )

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        operation = Operation("truncate", self.where, offset=length)
        return self.watched.do(operation, lambda: io.FileIO.truncate(self, length))

    def close(self) -> None:
        if not self.closed:
            self.watched.names.pop(self.fileno(), None)
        super().close()


def write_tensors(tensors: Any, path: Any, metadata: Any = None) -> None:
    """What safetensors' ``serialize_file`` does in Rust."""
    with io.open(path, "wb") as stream:  # noqa: UP020 (the replaced one)
        stream.write(safetensors.serialize(tensors, metadata))


def write_rows(frame: pd.DataFrame, path: Any, **named: Any) -> None:
    """What pandas' ``to_parquet`` does in C++."""
    with io.open(path, "wb") as stream:  # noqa: UP020 (the replaced one)
        stream.write(TO_PARQUET(frame, None, **named))


@contextmanager
def watching(root: Path, watcher: Watcher) -> Iterator[None]:
    """Let the operations below a folder pass a function while the body runs."""
    watched = Watched(root, watcher)
    replaced = {
        "open": watched.open, "close": watched.close, "write": watched.write, "fsync": watched.fsync,
        "rename": watched.two("rename", "rename"), "replace": watched.two("replace", "rename"),
        "link": watched.two("link", "link"), "unlink": watched.one("unlink", "unlink"),
        "remove": watched.one("remove", "unlink"), "mkdir": watched.one("mkdir", "mkdir"),
        "rmdir": watched.one("rmdir", "rmdir"), "chmod": watched.one("chmod", "chmod"),
    }  # fmt: skip
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(mock.patch.object(os, name, function))
        for module in (builtins, io):
            stack.enter_context(mock.patch.object(module, "open", watched.open_file))
        # copies pass Python's files, too, and trees are removed by the functions above
        stack.enter_context(mock.patch.object(shutil, "_USE_CP_SENDFILE", False))
        stack.enter_context(mock.patch.object(safetensors.torch, "serialize_file", write_tensors))
        stack.enter_context(mock.patch.object(durable, "_exchange", watched.exchange))
        stack.enter_context(mock.patch.object(pd.DataFrame, "to_parquet", write_rows))
        yield
