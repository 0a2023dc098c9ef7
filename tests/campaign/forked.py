"""A function in a process of its own, forked from one that has everything imported and one thread."""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.forks import FORKS

SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Args:
        code: its exit code; negative for a signal, as ``subprocess`` has it.
        value: what the function returned.
        error: the exception that ended it.
    """

    code: int
    value: Any = None
    error: Exception | None = None

    def got(self) -> Any:
        """What was returned.

        Raises:
            Exception: what ended the function.
        """
        if self.error is not None:
            raise self.error
        assert self.code == 0, f"ended with {self.code}"
        return self.value


class Started:
    """A function that runs in a process of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.receiver, sender = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_call, args=(sender, function, args), daemon=True)
        self.process.start()
        sender.close()

    def outcome(self, seconds: float = SECONDS) -> Outcome:
        """Wait for the end; a process that takes longer is killed, and that is an error."""
        value, error = None, None
        if not self.receiver.poll(seconds):
            self.process.kill()
            raise AssertionError(f"{self.process} did not end in {seconds:g} s")
        with suppress(EOFError):  # it was killed
            value, error = pickle.loads(self.receiver.recv_bytes())
        self.process.join()
        return Outcome(int(self.process.exitcode or 0), value, error)


def forked(function: Callable[..., Any], *args: Any) -> Outcome:
    """Call a function of a module in a process of its own, to its end."""
    return Started(function, *args).outcome()


def quiet_and_in_order() -> None:
    """Say nothing of failures that are waited for, and write files in the same order every time."""
    import torch
    import zarr

    logging.disable()
    warnings.simplefilter("ignore")
    zarr.config.set({"async.concurrency": 1})
    torch.set_num_threads(1)


def _call(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    value, error = None, None
    quiet_and_in_order()
    try:
        value = function(*args)
    except Exception as problem:  # what it is is judged by the caller
        error = problem
    try:
        sender.send_bytes(pickle.dumps((value, error)))
    except Exception:  # an exception that cannot be sent
        sender.send_bytes(pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"))))
    sender.close()
    os._exit(0)  # no clean-up of libraries: the caller has what it wants
