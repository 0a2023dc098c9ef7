"""Entry point of ``jko``."""

from __future__ import annotations

import shlex
import sys

import click

from flows.cli.commands import Commands
from flows.failures import INTERRUPTED, end, reader_is_gone
from flows.limits import allow_files
from jko.core.errors import JkoError
from jko.version import __version__
from tasks.adapters.system.terminal import one_line, say, write_anything


class LostReader(Exception):
    """A pipe broke; click would end the process without asking which."""


class CommandLine(Commands):
    """All commands; what goes wrong in them is left to :func:`main`."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise LostReader(str(error)) from error


@click.group(
    cls=CommandLine,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    example="jko train --data rows.csv",
)
@click.version_option(__version__, prog_name="jko")
def cli() -> None:
    """Normalizing flows trained block by block as JKO steps: resumable, tracked, measured."""


def main() -> None:
    """Run the command line; every error ends as one sentence and an exit code."""
    write_anything()
    try:
        allow_files()
        try:
            cli(prog_name="jko", standalone_mode=False)
        finally:
            sys.stdout.flush()  # what cannot be written is an error of the command, not of its end
    except click.exceptions.Abort as error:
        asked = isinstance(error.__cause__, KeyboardInterrupt)
        sys.exit(end(error.__cause__ or error, again()) if asked else INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        say(f"jko: {one_line(sentence(error))}", err=True)
        sys.exit(2)
    except SystemExit:
        raise
    except JkoError as error:
        sys.exit(end(error, ""))
    except BaseException as error:
        sys.exit(1 if reader_is_gone() else end(error, again()))


def sentence(error: click.ClickException) -> str:
    """What is wrong with the words of a command: one sentence, with what was meant or where that stands."""
    meant: list[str] = getattr(error, "possibilities", None) or []
    said = " ".join((error.message if meant else error.format_message()).split()).removesuffix(".")
    said = said[:1].lower() + said[1:]
    if meant:
        return f"{said}; did you mean {' or '.join(meant)}?"
    context = getattr(error, "ctx", None)
    return said if context is None else f"{said}; see {context.command_path} --help"


def again() -> str:
    """The command of this process, as a shell takes it."""
    return shlex.join(["jko", *sys.argv[1:]])


if __name__ == "__main__":
    main()
