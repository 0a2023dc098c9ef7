"""Files that hold several arrays: which of them is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jko.core.errors import InputError
from jko.preparation.names import listed, shown


def chosen_of(path: Path, arrays: Mapping[str, str], name: str | None) -> str:
    """The array that is meant.

    Args:
        path: of the file.
        arrays: names with shapes in words.
        name: that is asked for.

    Raises:
        InputError: there is no such array, or there are several and none is asked for.
    """
    if not arrays:
        raise InputError(f"{path}: it holds no array")
    words = listed([f"{shown(one)} ({shape})" if shape else shown(one) for one, shape in arrays.items()])
    if name is not None and name not in arrays:
        raise InputError(f"{path}: no array {shown(name)}; it holds {words}")
    if name is None and len(arrays) > 1:
        raise InputError(
            f"{path}: it holds {len(arrays)} arrays, {words}; name one, as in data.array={next(iter(arrays))}"
        )
    return next(iter(arrays)) if name is None else name
