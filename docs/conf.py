"""How the site is built: ``make docs`` writes it into docs/_build/html."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import MathError, tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

LOGGER = logging.getLogger(__name__)

project = "jko-flow"
html_title = "jko-flow"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# settings and arguments share names such as rows and target; a type in a signature may then mean either
suppress_warnings = ["ref.python"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# every heading down to the third level can be linked to, as on other hosts of Markdown
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

napoleon_custom_sections = ["Source"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

pygments_style = "friendly"
pygments_dark_style = "monokai"


#: a literal, which stays as it is; or a bar, or the star of a shape that is unpacked
MARK = re.compile(r"(:\w+:`[^`]*`|``.*?``)|(\||(?<=[(\s])\*(?=[\w.]+[,)]))")


def escape_marks(lines: list[str]) -> list[str]:
    """Docstrings write |x| and (*shape, d) in words; reStructuredText takes these marks for its own."""
    found, formula = [], -1
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= formula:
            formula = -1
        if line.lstrip().startswith(".. math::"):
            formula = indent
        plain = formula < 0
        found.append(MARK.sub(lambda mark: mark[1] or f"\\{mark[2]}", line) if plain else line)
    return found


def read_docstring(*event: Any) -> None:
    """Change the lines of a docstring in place, as autodoc asks for."""
    lines: list[str] = event[-1]
    lines[:] = escape_marks(lines)


#: what docutils does not read, as it does: ½ without braces, dots, large brackets, a gap behind a function
SPELLED = (
    (r"\\t?frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\dots", r"\\ldots"),
    (r"\\Big", ""),
    (r"\\(log|det) *(?=[a-zA-Z\\])", r"\\\1\\,"),
)


def read_page(_: Sphinx, page: str, source: list[str]) -> None:
    """Put benchmarks/README.md in the place of its page, and the table of settings into theirs."""
    if page == "benchmarks":
        text = (ROOT / "benchmarks" / "README.md").read_text()
        source[0] = text.replace("](", "](../benchmarks/").replace("../benchmarks/http", "http")
    elif page == "settings":
        from settings_table import table

        source[0] = source[0].replace("<!-- all settings -->", table())
    source[0] = source[0].replace("../benchmarks/README.md", "benchmarks.md")


def mathml(node: nodes.Element, *, display: bool) -> str:
    """A formula as MathML, which browsers draw without a script from elsewhere."""
    text = node.astext()
    for pattern, plain in SPELLED:
        text = re.sub(pattern, plain, text)
    try:
        return str(tex2mathml(text, as_block=display))
    except MathError as error:
        LOGGER.warning("formula %s: %s", text, error, location=node)
        return f"<code>{html.escape(text)}</code>"


def show_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line."""
    translator.body.append(mathml(node, display=False))
    raise nodes.SkipNode


def show_display(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own."""
    translator.body.append(f'<div class="formula">{mathml(node, display=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Formulas by docutils, so that the site needs nothing from the network."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_display, None))
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", read_docstring)
