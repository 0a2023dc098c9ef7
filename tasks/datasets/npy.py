"""NPY files: the header is judged before anything is made of it."""

from __future__ import annotations

import math
import os
import tokenize
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from jko.core.errors import InputError

#: bytes of a header at most; that of an array of numbers has about a hundred
LONGEST_HEADER = 10_000
#: what a header that is none can make of its reader
BROKEN = (
    ValueError, SyntaxError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, MemoryError,
    EOFError, OSError, tokenize.TokenError,
)  # fmt: skip


def read_npy(path: Path) -> NDArray[np.float64]:
    """The array of a file, shape (rows, d), float64.

    Raises:
        InputError: it is no NPY array of real numbers in one or two axes, its header promises other bytes
            than there are, or they do not fit into memory.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        shape, kind = _header(stream, path)
        _check(shape, kind, path)
        wanted, there = math.prod(shape) * kind.itemsize, size - stream.tell()
        if wanted != there:
            raise InputError(
                f"{path}: its header promises {wanted} bytes of numbers (shape {shape}, {kind}) and the file "
                f"holds {there}; it is cut short or damaged"
            )
        if 8 * math.prod(shape) > _memory():
            raise InputError(f"{path}: {math.prod(shape)} numbers do not fit into this machine's memory")
        stream.seek(0)
        try:
            values = npy.read_array(stream, allow_pickle=False, max_header_size=LONGEST_HEADER)
        except BROKEN:
            raise InputError(f"{path}: not a readable NPY array") from None
    return exact_floats(values.reshape(len(values), -1) if values.ndim == 1 else values, path)


def exact_floats(values: NDArray[np.generic], path: Path) -> NDArray[np.float64]:
    """Numbers as float64; integers that are the same there, but were not, are refused.

    Raises:
        InputError: numbers run together or are out of range.
    """
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, dtype=np.float64)
    if values.dtype.kind in "iu" and values.size and np.abs(found).max() >= 2**53:
        for number, (before, after) in enumerate(zip(values.T, found.T, strict=True), start=1):
            if len(np.unique(before)) > len(np.unique(after)):
                raise InputError(
                    f"{path}: column {number} holds integers beyond 2^53 that float64 cannot tell apart; "
                    "leave it out if it is a number of identity, or subtract an offset"
                )
    return found


def _header(stream: BinaryIO, path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Shape and dtype as the header has them; the stream is then where the numbers begin."""
    refusal = InputError(f"{path}: not a readable NPY array; give real numbers of shape (rows, d)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = npy.read_magic(stream)
            readers = {(1, 0): (npy.read_array_header_1_0, 2), (2, 0): (npy.read_array_header_2_0, 4)}
            if version not in readers:
                raise refusal
            reader, width = readers[version]
            start = stream.tell()
            if int.from_bytes(stream.read(width), "little") > LONGEST_HEADER:
                raise refusal
            stream.seek(start)
            shape, _, kind = reader(stream, max_header_size=LONGEST_HEADER)
    except BROKEN:
        raise refusal from None
    return shape, kind


def _check(shape: tuple[int, ...], kind: np.dtype[np.generic], path: Path) -> None:
    if kind.hasobject:
        raise InputError(
            f"{path}: not a readable NPY array: it holds Python objects, which may run code when they are "
            "read; save numbers only"
        )
    sizes = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in shape)
    if not sizes or len(shape) not in (1, 2) or kind.kind not in "fiu" or kind.shape:
        raise InputError(f"{path}: needs a real array of shape (rows, d), this is {kind} of shape {shape}")


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
