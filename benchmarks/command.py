"""What the commands of this room share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from jko.core.errors import JkoError

DATA = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the files that do not come with the project; benchmarks/README.md lists them.",
)


def sentences(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of the project end a command with one sentence and their exit code, 2 for bad input."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except JkoError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)

    return run
