"""Draw docs/pictures/columns.png: columns of a table beside samples that are wrong in some of them.

Usage: python docs/pictures/columns.py
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from jko.columns.infer import infer
from tasks.report.drawing import STYLE, small_png
from tasks.report.table.section import table_pictures

HERE = Path(__file__).resolve().parent
ACROSS = 3


def orders(rows: int, seed: int, *, wrong: bool = False) -> dict[str, np.ndarray]:
    """Counts, skewed amounts, zeros, categories, directions and days; in wrong ones some laws are others."""
    rng = np.random.default_rng(seed)
    zero, most = (0.3, 3) if wrong else (0.45, 4)
    channels = np.array(["online", "shop", "phone", "partner"], object)
    return {
        "visits": rng.poisson(4 if wrong else 3, rows),
        "amount_eur": np.round(np.exp(rng.normal(3, 1.2, rows)), 2),
        "discount_pct": np.where(rng.random(rows) < zero, 0, np.round(75 * rng.beta(1.3, 4, rows), 1)),
        "channel": channels[np.minimum(rng.geometric(0.45, rows) - 1, most - 1)],
        "wind_dir": np.degrees(rng.vonmises(1, 0.8 if wrong else 1.6, rows)) % 360,
        "order_date": np.datetime64("2025-01-01", "s") + (365 * rng.beta(2, 2, rows)).astype("m8[D]"),
    }


def draw(path: Path) -> None:
    """The pictures of the columns, three in a row."""
    data, samples = orders(4000, 0), orders(4000, 1, wrong=True)
    with matplotlib.rc_context(STYLE):
        made = table_pictures(infer(data), data, samples)
        panels = [small_png(one.figure) for one in made if one.name.startswith("column_")]
    drawn = [Image.open(io.BytesIO(one)).convert("RGB") for one in panels]
    wide, high = drawn[0].size
    sheet = Image.new("RGB", (ACROSS * wide, -(-len(drawn) // ACROSS) * high), "white")
    for place, one in enumerate(drawn):
        sheet.paste(one, (place % ACROSS * wide, place // ACROSS * high))
    sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    draw(HERE / "columns.png")
