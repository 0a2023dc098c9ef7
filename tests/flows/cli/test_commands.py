"""The help: every command in one group, in one line, with an example that its own parser takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flows.cli.commands import COMMANDS, GROUPS, HIDDEN
from flows.cli.main import cli

COLUMNS = 80


def all_commands(
    command: click.Command = cli, path: tuple[str, ...] = ("jko",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, the hidden ones, too."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in COMMANDS if command is cli else command.list_commands(context):
            own = command.get_command(context, name)
            assert own is not None, name
            yield from all_commands(own, (*path, name))


ALL = dict(all_commands())


def help_of(words: str) -> list[str]:
    """The lines of a command's help in a terminal of 80 columns."""
    found = CliRunner().invoke(
        cli, [*words.split()[1:], "--help"], prog_name="jko", terminal_width=COLUMNS, catch_exceptions=False
    )
    assert found.exit_code == 0
    return found.output.splitlines()


def test_the_groups_are_all_commands_once() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert list(GROUPS) == ["Train", "Look", "Use", "Schedule", "Compare", "Keep"]
    assert len(names) == len(set(names))
    assert set(names) == set(COMMANDS) - {"stage", "cell"}


def test_the_help_shows_every_group_and_command() -> None:
    lines = help_of("jko")
    for title, group in GROUPS.items():
        start = lines.index(f"{title}:")
        rows = [f"  {name:13}  {entry.says}" for name, entry in group.items()]
        assert lines[start + 1 : start + 1 + len(rows)] == rows
    assert not any(name in line.split()[:1] for name in HIDDEN for line in lines)


@pytest.mark.parametrize("words", ALL)
def test_nothing_in_a_help_is_cut(words: str) -> None:
    lines = help_of(words)
    assert not [
        line for line in lines if line.endswith("...") and "[ARGS]" not in line and "RUN..." not in line
    ]
    assert not [line for line in lines if len(line) > COLUMNS and not line.startswith("  jko ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    said = ALL[f"jko {name}"].help
    assert said is not None
    assert said.splitlines()[0] == f"{COMMANDS[name].says}."
    assert ALL[f"jko {name}"].hidden == (name in HIDDEN)


@pytest.mark.parametrize("words", ALL)
def test_every_help_ends_with_an_example_that_its_parser_takes(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = help_of(words)
    assert lines[-2] == "Example:"
    example = shlex.split(lines[-1])
    assert " ".join(example).startswith(words if words != "jko" else "jko train")
    monkeypatch.chdir(tmp_path)  # that there is such a folder is no matter of the parser
    command, rest = cli, example[1:]
    context = command.make_context("jko", list(rest))
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(command.name, list(rest), parent=context)
    assert words == "jko" or command is ALL[words] or words == "jko experiment"


def test_an_unknown_command_is_refused_with_the_one_that_was_meant() -> None:
    found = CliRunner().invoke(cli, ["trian"])
    assert found.exit_code == 2
    assert "No such command 'trian'" in found.output
