"""What the pages show: Python under ``<!-- tested -->`` runs; commands of jko are ones that it takes."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise, takewhile
from pathlib import Path

import click
import pytest

from flows.cli.main import cli
from flows.settings import build_request

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"<!-- tested -->\n```python\n(.*?)```", re.DOTALL)
PAGES = {str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*.md"))}


def code_of(path: Path) -> list[tuple[int, str]]:
    """Every tested block of a page with the line that its code begins at."""
    text = path.read_text()
    return [(text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("name", [name for name, path in PAGES.items() if code_of(path)])
def test_the_code_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One namespace a page; a failure names the line of the page."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "docs"}
    for line, code in code_of(PAGES[name]):
        exec(compile("\n" * (line - 1) + code, str(PAGES[name]), "exec"), namespace)


def test_every_mark_is_followed_by_python() -> None:
    """A mark before anything else would be passed over."""
    for path in PAGES.values():
        assert path.read_text().count("<!-- tested -->") == len(code_of(path)), path


def test_a_wrong_line_is_found_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- tested -->\n```python\nx = 1\nassert x == 2\n```\n")
    ((line, code),) = code_of(page)
    assert line == 5
    with pytest.raises(AssertionError):
        exec(compile(code, "page", "exec"), {})


#: a command in a line of its own, perhaps behind a prompt, or in backticks
COMMAND = re.compile(r"(?:^\$ |^|`)(jko [a-z][^`\n]*)", re.MULTILINE)
SHOWN = sorted(
    {
        (str(path.relative_to(ROOT)), found.group(1).strip())
        for path in (ROOT / "README.md", ROOT / "benchmarks" / "README.md", *PAGES.values())
        for found in COMMAND.finditer(path.read_text())
    }
)


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words begin with, and the other words; some groups are commands themselves."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        if command.invoke_without_command and (not words or words[0].startswith("-")):
            break
        context = click.Context(command)
        found = command.get_command(context, words[0])
        assert found is not None, f"{words[0]}: there are {', '.join(command.list_commands(context))}"
        command, words = found, words[1:]
    return command, words


def validate(words: list[str]) -> None:
    """Refuse settings of ``--preset``, ``--set`` and the ends of every ``--grid`` that do not go together."""
    values: dict[str, list[str]] = {"--preset": [], "--set": [], "--grid": []}
    for option, value in pairwise(words):
        values.get(option, []).append(value)
    preset = next((name for name in values["--preset"] if name.islower()), None)  # P is a placeholder
    axes = [axis.partition("=") for axis in values["--grid"]]
    for end in (0, -1):
        cell = [f"{key}={choices.split(',')[end]}" for key, _, choices in axes]
        build_request(ROOT, preset=preset, assignments=[*values["--set"], *cell])


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[f"{page}: {text[:60]}" for page, text in SHOWN])
def test_a_command_on_a_page_is_one_that_jko_takes(page: str, text: str) -> None:
    """Its name, its options, and that its settings go together; files and folders are placeholders."""
    words = list(takewhile(lambda word: word not in ("|", ">", "&", "&&"), shlex.split(text, comments=True)))
    command, words = command_of(words[1:])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word not in {*known, "-h", "--help"}]
    assert not unknown, f"{unknown} of {sorted(known)}"
    if "--set" in words or "--preset" in words:
        validate(words)
