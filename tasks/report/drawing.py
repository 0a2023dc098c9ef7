"""What all pictures share: colours, style, rows as tiles or in a plane, PNG and pages."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

#: numbers beyond which axes are drawn in powers of ten
FAR = 1e12
#: of a small file
FEW_COLOURS = 256
DATA, MODEL, ACCENT, GREY = "#2f6690", "#d1495b", "#3d8361", "#8d99ae"
STYLE: Any = {
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "font.size": 9,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def unit_of(values: Array) -> float:
    """The power of ten in which numbers are drawn: 1, but for those that axes cannot hold.

    >>> unit_of(np.array([3e44])), unit_of(np.array([1200.0]))
    (1e+44, 1.0)
    """
    largest = float(np.abs(values).max(initial=0))
    plain = largest == 0 or 1 / FAR < largest < FAR
    return 1.0 if plain else float(f"1e{math.floor(math.log10(largest))}")


def labelled(name: str, unit: float) -> str:
    """The name of an axis in a unit."""
    name = plain_text(name)
    return name if unit == 1 else f"{name} / {unit:g}"


def short_name(name: str, letters: int = 14) -> str:
    """A name with at most so many letters.

    >>> short_name("worst concave points")
    'worst concave…'
    """
    return plain_text(name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…")


def plain_text(text: str) -> str:
    r"""Text in which no dollar begins mathematics; text that is plain already stays.

    >>> print(plain_text("price $ of $2"), plain_text(plain_text("$")))
    price \$ of \$2 \$
    """
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def tiles(rows: Array, shape: tuple[int, int], across: int = 10) -> Array:
    """Rows as pictures in a grid with a thin margin."""
    height, width = shape
    down = -(-len(rows) // across)
    low, high = np.percentile(rows, [1, 99])
    canvas = np.full((down * (height + 1), across * (width + 1)), low)
    for i, row in enumerate(np.clip(rows, low, high)):
        top, left = (i // across) * (height + 1), (i % across) * (width + 1)
        canvas[top : top + height, left : left + width] = row.reshape(shape)
    return canvas


def principal_directions(rows: Array) -> Array:
    """Coordinates for two dimensions or fewer; else the two leading principal directions."""
    dim = rows.shape[1]
    if dim <= 2:
        return np.eye(dim)
    return np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:2].T


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG, cut to what is drawn; equal figures give equal bytes.

    Its layout must be done: ``savefig`` would draw it once more to find the same box.
    """
    stream, renderer = io.BytesIO(), FigureCanvasAgg(figure).get_renderer()
    figure.set_layout_engine(None)
    box = figure.get_tightbbox(renderer).padded(rcParams["savefig.pad_inches"])
    figure.savefig(stream, format="png", bbox_inches=box, metadata={"Software": None})
    return stream.getvalue()


def small_png(figure: Figure) -> bytes:
    """A figure at its own size in :data:`FEW_COLOURS`; equal figures give equal bytes.

    Pictures side by side are equally large, and a file has about a third of the bytes.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    stream = io.BytesIO()
    few = drawn.quantize(FEW_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(stream, format="png", optimize=True)
    return stream.getvalue()


def data_uri(picture: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def page(template: str, folder: Path, values: dict[str, Any]) -> str:
    """A page as HTML.

    Args:
        template: name of the template.
        folder: where it is; what it includes may also lie beside this module.
        values: what it shows; text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )
    environment.filters["capitalise"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template(template).render(**values)
