"""The command line asked in this process."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from pathlib import Path

from flows.cli.main import main as jko

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> tuple[int, str, str]:
    """The command line in this process: exit code, standard output and error."""
    out, said = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["jko", *words]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            jko()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Exception as error:
        code = 1
        said.write(f"Traceback: {type(error).__name__}: {error}{where(error)}")
    finally:
        sys.argv = before
    return code, out.getvalue(), said.getvalue()


def where(error: BaseException) -> str:
    """The last line of this project that an exception came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame[0].startswith(str(ROOT))]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
