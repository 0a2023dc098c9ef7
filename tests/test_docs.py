"""The code in docs/: blocks of Python under ``<!-- tested -->`` run, page by page, in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
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
