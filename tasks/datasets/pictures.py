"""Grey pictures as densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from jko.densities import PictureDensity
from jko.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")


def is_picture(path: str) -> bool:
    """Whether the file's ending is a picture's."""
    return Path(path).suffix.lower() in PICTURES


def load_picture(path: str) -> tuple[str, PictureDensity]:
    """The density whose weight is a picture's darkness.

    Raises:
        InputError: unreadable, smaller than 2 × 2, or nowhere dark.
    """
    try:
        with Image.open(path) as picture:
            grey = _grey(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a readable picture ({error})") from None
    if min(grey.shape) < 2:
        raise InputError(f"{path}: a picture needs at least 2 × 2 pixels, this has {grey.shape}")
    if not np.any(grey < 255):
        raise InputError(
            f"{path}: the picture is all white; its darkness is the density, so some must be dark"
        )
    return Path(path).stem, PictureDensity(255.0 - grey)


def _grey(picture: Image.Image) -> NDArray[np.float64]:
    """Grey values from 0 (dark) to 255 (white); deeper pictures are scaled by their own maximum."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        deep = np.asarray(picture, dtype=float)
        return 255.0 * deep / max(float(deep.max()), 1e-12)
    return np.asarray(_on_white(picture).convert("L"), dtype=float)


def _on_white(picture: Image.Image) -> Image.Image:
    """Transparent parts count as white."""
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return picture
    coloured = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
