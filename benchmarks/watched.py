"""One run of the command line as a process of its own, with its times and its memory."""

from __future__ import annotations

import functools
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.budget import peak_memory_mb
from jko.core.errors import JkoError

PROJECT = Path(__file__).resolve().parents[1]
#: what a run computes: the name of its part, and where that is called
NUMERICS = (
    ("prepare", "tasks.prepare", "made_rows"),
    ("train", "tasks.train", "fit_next"),
    ("push", "tasks.push", "push_samples"),
    ("push", "tasks.push", "write_arrays"),  # which has the training rows made, piece by piece
    ("measure", "tasks.measure", "measured"),
    ("certify", "tasks.certify", "certificate"),
    ("evaluate", "tasks.evaluate", "evaluate"),
    ("report", "tasks.report.make", "write_pictures"),
)
#: what a run imports while it goes, shown apart
IMPORTS = ("flows.pipeline", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "matplotlib.figure")
#: seconds between two looks at the memory
PAUSE = 0.02


def environment(server: str | None = None) -> dict[str, str]:
    """Of a process: one thread, the project's own code, and a server if one is up."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    own |= {"PREFECT_API_URL": server} if server else {}
    return {**os.environ, **own}


def run(folder: Path, *words: str, server: str | None = None) -> dict[str, Any]:
    """Run ``jko`` in a project's folder; what its process wrote down of itself.

    Raises:
        JkoError: it failed.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.json"
        started = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.watched", str(out), repr(started), *words],
            cwd=folder, env=environment(server), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise JkoError(f"jko {' '.join(words)} failed: {done.stderr.strip()[-400:]}")
        return {**json.loads(out.read_text()), "total_s": time.time() - started}


def jko(folder: Path, *words: str) -> dict[str, Any]:
    """What a command of ``jko`` in a project's folder prints with ``--json``.

    Raises:
        JkoError: it failed.
    """
    found: dict[str, Any] = json.loads(said(folder, *words, "--json"))
    return found


def said(folder: Path, *words: str) -> str:
    """What a command of ``jko`` in a project's folder prints.

    Raises:
        JkoError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main", *words],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise JkoError(f"jko {' '.join(words)} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def seconds_of_children() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Watch:
    """Seconds and memory of the parts of a run, from wrappers around what they call."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}
        self.base = _resident_mb()
        self._inside: list[str] = []

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for a part; inside another part it counts for that."""

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return function(*arguments, **options)
            part = self.parts.setdefault(name, {"wall_s": 0.0, "cpu_s": 0.0, "peak_mb": 0.0})
            wall, cpu = time.perf_counter(), time.process_time()
            self._inside.append(name)
            try:
                return function(*arguments, **options)
            finally:
                self._inside.pop()
                part["wall_s"] += time.perf_counter() - wall
                part["cpu_s"] += time.process_time() - cpu

        return timed

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Look at the resident memory while the body runs."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(PAUSE):
                for name in self._inside[-1:]:
                    self.parts[name]["peak_mb"] = max(self.parts[name]["peak_mb"], _resident_mb())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _resident_mb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> None:
    """Arguments: where to write, when the process was started, and those of ``jko``."""
    out, started, *words = sys.argv[1:]
    wall, cpu = time.time(), time.process_time()
    from flows.cli.main import main as jko

    for module in IMPORTS:
        importlib.import_module(module)
    imports = {"wall_s": time.time() - wall, "cpu_s": time.process_time() - cpu}
    watch = Watch()
    for name, module, function in NUMERICS:
        place = importlib.import_module(module)
        setattr(place, function, watch.wrap(name, getattr(place, function)))
    sys.argv = ["jko", *words]
    code, wall, cpu = 0, time.time(), time.process_time()
    try:
        with watch.memory():
            jko()
    except SystemExit as end:
        code = int(end.code or 0)
    found: Mapping[str, Any] = {
        "start_s": wall - imports["wall_s"] - float(started),
        "imports": imports,
        "run": {"wall_s": time.time() - wall, "cpu_s": time.process_time() - cpu},
        "parts": watch.parts,
        "base_mb": watch.base,
        "peak_mb": peak_memory_mb(),
    }
    Path(out).write_text(json.dumps(found))
    sys.exit(code)


if __name__ == "__main__":
    main()
