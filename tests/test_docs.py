"""The pages: their Python runs, jko takes their commands, and the site of them has no broken link."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import click
import numpy as np
import pytest
import torch
from PIL import Image

import jko
from flows.cli.main import cli
from flows.settings import build_request
from jko.config import Config, flattened
from jko.config.sections import BlockOverride

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: a page that holds this takes long; its code runs in make test-all
SLOW = "<!-- slow -->"
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
    )
}


def code_of(path: Path) -> list[tuple[int, str]]:
    """Every Python block of a page with the line that its code begins at."""
    text = path.read_text()
    return [(text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in BLOCK.finditer(text)]


def run(path: Path) -> None:
    """All blocks of a page, one after the other in one namespace; a failure names the line of the page."""
    namespace: dict[str, object] = {"__name__": "docs"}
    for line, code in code_of(path):
        exec(compile("\n" * (line - 1) + code, str(path), "exec"), namespace)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


WITH_CODE = [
    pytest.param(name, marks=[pytest.mark.slow] if SLOW in path.read_text() else [])
    for name, path in PAGES.items()
    if code_of(path)
]


@pytest.mark.parametrize("name", WITH_CODE)
def test_the_code_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one thread: where tests run side by side, two that wait for one another take ten times as long."""
    monkeypatch.chdir(tmp_path)
    with one_thread():
        run(PAGES[name])


def test_no_python_is_passed_over() -> None:
    """A fence that is indented or has more words behind it would not run."""
    for path in PAGES.values():
        assert len(re.findall(r"(?:```|~~~) *\{?(?:code-block\} *)?py", path.read_text())) == len(
            code_of(path)
        ), path


def test_a_wrong_line_is_found_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\nThen\n\n```python\nassert x == 2\n```\n")
    assert [line for line, _ in code_of(page)] == [4, 10]
    with pytest.raises(AssertionError) as caught:
        run(page)
    assert caught.traceback[-1].lineno == 9  # from 0


def built(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """The site of a folder of pages, by the project's settings, warnings as errors."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        str(DOCS),
        "-d",
        str(target / "trees"),
    ]
    return subprocess.run(
        [*command, str(source), str(target / "html")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )


class Links(HTMLParser):
    """What a page of the site leads to, and the places in it that can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.add(value)
            elif name == "id" and value:
                self.places.add(value)


def broken_links(site: Path) -> list[str]:
    """Links to files or places that the site has not, each with its page."""
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not file.is_file() or (file in pages and unquote(parts.fragment) not in pages[file].places):
                broken.append(f"{page.relative_to(site)}: {target}")
    return sorted(broken)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_every_link_in_it_leads_somewhere(tmp_path: Path) -> None:
    done = built(DOCS, tmp_path)
    assert not done.returncode, done.stderr
    assert broken_links(tmp_path / "html") == []


#: a link to no page, to no heading, a name that is not there, a formula that cannot be set
WRONG = {
    "page": ("[there](nopage.md)", "nopage.md"),
    "heading": ("[there](#noheading)", "noheading"),
    "name": ("```{eval-rst}\n.. autofunction:: jko.laws.gaussian.noname\n```", "noname"),
    "formula": ("$$\\noformula{x}$$", "noformula"),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the build says of a site whose every page but the first is wrong in another way."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "pages").mkdir()
    for name, (text, _) in WRONG.items():
        (folder / "pages" / f"{name}.md").write_text(f"# Page\n\n{text}\n")
    pages = "\n".join(WRONG)
    (folder / "pages" / "index.md").write_text(f"# Pages\n\n```{{toctree}}\n{pages}\n```\n")
    done = built(folder / "pages", folder)
    assert done.returncode
    return done.stderr.splitlines()


@pytest.mark.parametrize("name", WRONG)
def test_the_build_fails_for(name: str, failed: list[str]) -> None:
    """By a warning, of which each one is an error."""
    assert any("WARNING" in line and WRONG[name][1] in line for line in failed), failed


def test_the_build_fails_for_nothing_else(failed: list[str]) -> None:
    assert not [line for line in failed if "WARNING" in line and "index.md" in line]


def test_a_broken_link_of_the_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there"></a><a href="c.html"></a><a href="#here"></a>'
    )
    (tmp_path / "b.html").write_text('<p><a href="a.html#here"></a><a href="https://example.org"></a>')
    assert broken_links(tmp_path) == ["a.html: b.html#there", "a.html: c.html"]


def test_the_page_of_commands_names_every_one() -> None:
    """But for those that only other commands call."""
    page, context = (DOCS / "commands.md").read_text(), click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    shown = [name for name, command in commands.items() if command is not None and not command.hidden]
    assert len(shown) > 20
    assert [name for name in shown if f"jko {name}" not in page] == []


#: a file or folder of the project, as a page names it
NAMED = re.compile(
    r"(?:`|pytest )((?:jko|tasks|flows|tests|benchmarks|docs|data)/[\w./-]*?(?:/|\.py|\.yaml|\.md))(?=[`\s])"
)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def slug(heading: str) -> str:
    """The name of the place that a heading makes."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", list(PAGES))
def test_the_files_that_a_page_names_are_there(name: str) -> None:
    """Of the project; and what the two pages outside the site lead to, which its build does not look at."""
    text = PAGES[name].read_text()
    assert [path for path in NAMED.findall(text) if not (ROOT / path).exists()] == []
    for target in LINK.findall(text) if "/" not in name else []:
        path, _, place = target.partition("#")
        assert (ROOT / path).exists(), target
        assert not place or place in map(
            slug, re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
        )


def program(name: str) -> ModuleType:
    """A program of the pages, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, DOCS / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_settings_has_every_one_with_what_is_allowed_and_its_default() -> None:
    lines = program("settings_table.py").table().splitlines()
    own = {f"blocks.K.{name}" for name in BlockOverride.model_fields}
    wanted = {name for name in flattened(Config().model_dump(mode="json")) if name != "blocks"} | own
    assert [line.split("`")[1] for line in lines[2:] if line.split("`")[1] not in wanted] == [
        "target.options"
    ]
    assert len(lines) - 2 == len(wanted) + 1  # an empty mapping is flattened to nothing
    for line in (
        "| `scheme` | `backward_euler`, `forward_euler`, `forward_backward` | `backward_euler` |",
        "| `network.lipschitz` | number > 0, < 1 | `0.9` |",
        "| `steps.sizes` | list of number > 0 or null | `null` |",
        "| `blocks.K.clip` | number > 0 or null | as the others |",
    ):
        assert line in lines


def test_the_pictures_are_drawn_from_a_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of the pages are, from a flow of one block."""
    noise, theory = program("pictures/noise.py"), program("pictures/theory.py")
    few = {"steps.count": 1, "training.flow_matching_iterations": 5, "training.iterations": 1}
    rows = np.random.default_rng(0).standard_normal((300, 2))
    flow = jko.fit(rows, preset="smoke", settings=few, progress=False)

    for name, value in {"POINTS": 50, "FRAMES": 2, "REST": 1}.items():
        monkeypatch.setattr(noise, name, value)
    frames = noise.animation(flow)
    noise.save(frames, tmp_path / "noise.gif")
    with Image.open(tmp_path / "noise.gif") as picture:
        assert picture.n_frames > 1
    assert len(frames) == 2 * (1 + 2) + 1  # two ways of a rest and two frames, and a rest
    way = noise.between(np.arange(12.0).reshape(3, 2, 2))
    assert [float(step[0, 0]) for step in way] == [0, 2, 4, 6, 8]

    theory.draw_steps(tmp_path / "steps.png")
    theory.draw_paths(tmp_path / "paths.png", flow.trajectory(rows).numpy(), theory.upper_half(rows))
    for name in ("steps.png", "paths.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert theory.upper_half(np.array([[0.0, 1.0], [1.0, -0.5]])).tolist() == [True, False]


def test_the_picture_of_columns_is_drawn(tmp_path: Path) -> None:
    program("pictures/columns.py").draw(tmp_path / "columns.png")
    with Image.open(tmp_path / "columns.png") as drawn, Image.open(DOCS / "pictures" / "columns.png") as kept:
        assert drawn.size == kept.size
        assert len(np.unique(np.asarray(drawn.convert("L")))) > 50


def test_the_readme_is_short_and_its_picture_small() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700
    assert (DOCS / "pictures" / "noise.gif").stat().st_size < 1_000_000


#: a command in a line of its own, perhaps behind a prompt, or in backticks
COMMAND = re.compile(r"(?:^\$ |^|`)(jko [a-z][^`\n]*)", re.MULTILINE)
SHOWN = sorted(
    {
        (str(path.relative_to(ROOT)), found.group(1).strip())
        for path in (ROOT / "benchmarks" / "README.md", *PAGES.values())
        for found in COMMAND.finditer(re.sub(r"\\\n *", "", path.read_text()))
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
    file = next((word for word in words if word.endswith(".csv")), None)
    axes = [axis.partition("=") for axis in values["--grid"]]
    for end in (0, -1):
        # a comma within brackets is one of a list
        cell = [f"{key}={re.split(r',(?![^[]*])', choices)[end]}" for key, _, choices in axes]
        build_request(ROOT, preset=preset, file=file, assignments=[*values["--set"], *cell])


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
