"""NPY files: the header is judged before anything is made of it."""

from __future__ import annotations

import math
import tokenize
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from jko.core.errors import InputError
from tasks.datasets.room import memory

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
    with path.open("rb") as stream:
        return array_of(stream, path.stat().st_size, str(path))


def array_of(stream: IO[bytes], size: int, path: str) -> NDArray[np.float64]:
    """The array of a stream that can be sought, shape (rows, d), float64.

    Args:
        stream: at its first byte.
        size: bytes that it has.
        path: of the file, for sentences.

    Raises:
        InputError: as of :func:`read_npy`.
    """
    shape, kind = header_of(stream, path)
    check_kind(shape, kind, path)
    wanted, there = math.prod(shape) * kind.itemsize, size - stream.tell()
    if wanted != there:
        raise InputError(
            f"{path}: its header promises {wanted} bytes of numbers (shape {shape}, {kind}) and the file "
            f"holds {there}; it is cut short or damaged"
        )
    if 8 * math.prod(shape) > memory():
        raise InputError(f"{path}: {math.prod(shape)} numbers do not fit into this machine's memory")
    stream.seek(0)
    try:
        values = npy.read_array(stream, allow_pickle=False, max_header_size=LONGEST_HEADER)
    except BROKEN:
        raise InputError(f"{path}: not a readable NPY array") from None
    return in_columns(values, path)


def in_columns(values: NDArray[np.floating], path: str) -> NDArray[np.float64]:
    """Numbers of one or two axes as float64 of shape (rows, d)."""
    return exact_floats(values.reshape(len(values), -1) if values.ndim == 1 else values, path)


def exact_floats(values: NDArray[np.floating], path: str) -> NDArray[np.float64]:
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


def header_of(stream: IO[bytes], path: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
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


def check_kind(shape: tuple[int, ...], kind: np.dtype[np.generic], path: str) -> None:
    """Refuse arrays that hold other things than real numbers, or have other axes than rows and columns.

    Raises:
        InputError: this is such an array.
    """
    if kind.hasobject:
        raise InputError(
            f"{path}: not a readable NPY array: it holds Python objects, which may run code when they are "
            "read; save numbers only"
        )
    sizes = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in shape)
    if not sizes or len(shape) not in (1, 2) or kind.kind not in "fiu" or kind.shape:
        raise InputError(f"{path}: needs a real array of shape (rows, d), this is {kind} of shape {shape}")
