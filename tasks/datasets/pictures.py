"""Grey pictures as densities."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from jko.config.data_section import PICTURES
from jko.core.errors import InputError
from jko.laws.densities import PictureDensity
from jko.preparation.checks import far_out, is_marker
from tasks.datasets.kinds import refuse_other_kinds

#: what is decoded: other kinds have readers that start programs, whatever the file is called
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
#: pixels at most: each is a Gaussian of the density
MOST_PIXELS = 4_000_000
#: a largest value so many times the median of the others is a mark and no grey value
FILL = 1e6
#: white of a picture of 16 bits
WHITE_16 = 65535.0
#: share of the pixels from which those of the largest value are paper
PAPER = 0.1
#: white of pictures of other numbers, as programs write it
WHITES = (1.0, 255.0, WHITE_16)
#: what a damaged picture can make of its reader
BROKEN = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError,
    OverflowError, MemoryError, struct.error, Image.DecompressionBombError,
)  # fmt: skip


def is_picture(path: str) -> bool:
    """Whether the file's ending is a picture's."""
    return Path(path).suffix.lower() in PICTURES


def load_picture(path: str) -> tuple[str, PictureDensity]:
    """The density whose weight is a picture's darkness, the picture turned as its EXIF data say.

    Raises:
        InputError: unreadable, smaller than 2 × 2, of too many pixels, nowhere dark, or with values that are
            no grey.
    """
    if Path(path).is_file():
        refuse_other_kinds(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture of too many pixels is refused below
            with Image.open(path, formats=FORMATS) as picture:
                _check_size(picture.size, path)
                grey = _grey(ImageOps.exif_transpose(picture), picture.format == "PNG", path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except BROKEN as error:
        raise InputError(f"{path}: not a readable picture ({_first_line(error)})") from None
    if not np.any(grey < 255):
        raise InputError(
            f"{path}: the picture is all white; its darkness is the density, so some must be dark"
        )
    return Path(path).stem, PictureDensity(255.0 - grey)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_size(size: tuple[int, int], path: str) -> None:
    """Refuse before anything is decoded."""
    width, height = size
    if min(size) < 2:
        raise InputError(f"{path}: a picture needs at least 2 × 2 pixels, this has {(height, width)}")
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{path}: the picture has {width} × {height} pixels, and {MOST_PIXELS} in all are allowed; "
            "scale it down"
        )


def _grey(picture: Image.Image, png: bool, path: str) -> NDArray[np.float64]:
    """Grey values from 0 (dark) to 255 (white); deeper pictures are scaled by their own maximum.

    One grey value all over has no maximum to be scaled by: it is grey where the white of its depth is known.
    """
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return np.asarray(_on_white(picture).convert("L"), dtype=float)
    deep = np.asarray(picture, dtype=float)
    known_white = png or picture.mode.startswith("I;16")
    _check_values(deep, path, whole=known_white)
    white = float(deep.max())
    if white == deep.min():
        if not known_white:
            raise InputError(f"{path}: every pixel has the value {white:g}; a picture needs light and dark")
        white = WHITE_16
    return 255.0 * deep / white


def _check_values(deep: NDArray[np.float64], path: str, *, whole: bool) -> None:
    """Refuse numbers that are no grey values.

    Args:
        deep: shape (height, width).
        path: of the picture.
        whole: whether its kind has a white of its own, so that the largest value may be far from others.
    """
    bad = ~np.isfinite(deep) | (deep < 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: pixel ({row}, {column}) holds {deep[row, column]:g}, as do {int(bad.sum())} in "
            "all that are no "
            "grey values (0 is dark, nothing is below); replace what marks missing pixels"
        )
    largest, others = float(deep.max()), deep[(deep < deep.max()) & (deep > 0)]
    if others.size and (largest > FILL * float(np.median(others)) or (not whole and _stands_alone(deep))):
        raise InputError(
            f"{path}: {int((deep == largest).sum())} pixels hold {largest:g}, and half of the others "
            "are below "
            f"{float(np.median(others)):g}: this marks missing pixels, so replace it"
        )


def _stands_alone(deep: NDArray[np.float64]) -> bool:
    """Whether the largest value is far from all others, as a column's mark is; white is none.

    The paper, or one bright pixel, is none either, if no program writes its number in place of a missing one.
    """
    largest = float(deep.max())
    if largest in WHITES:
        return False
    alone = dict(far_out(deep.ravel())).get(largest, 0)
    return alone > 0 and (is_marker(largest) or 1 < alone < PAPER * deep.size)


def _on_white(picture: Image.Image) -> Image.Image:
    """Transparent parts count as white."""
    if picture.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in picture.info:
        return picture
    coloured = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
