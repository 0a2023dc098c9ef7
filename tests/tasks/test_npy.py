"""NPY files: their headers are judged before anything is made of them."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.core.errors import InputError
from tasks.datasets.npy import read_npy


def headed(header: bytes, body: bytes = b"\0" * 16, version: tuple[int, int] = (1, 0)) -> bytes:
    """A file with any header."""
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(header)) + header + body


def described(shape: str, kind: str = "'<f8'", body: bytes = b"\0" * 16) -> bytes:
    return headed(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode(), body)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "14 TiB": (described("(2000000000000,)"), "promises 16000000000000 bytes"),
    "overflow": (described("(4294967296, 4294967296)"), "promises"),
    "negative": (described("(-1, 2)"), "shape (-1, 2)"),
    "huge axis": (described("(1" + "0" * 40 + ",)"), "promises"),
    "no integer": (described("(2.5,)"), "not a readable NPY"),
    "truth as size": (described("(True, 2)"), "NPY|real array"),
    "cut short": (described("(5, 2)"), "promises 80 bytes"),
    "too long": (described("(1, 1)"), "promises 8 bytes"),
    "open bracket": (headed(b"{'descr': (((((((("), "not a readable NPY"),
    "deep": (headed(b"[" * 9000), "not a readable NPY"),
    "no dictionary": (headed(b"__import__('os').system('true')"), "not a readable NPY"),
    "wrong keys": (headed(b"{'a': 1}"), "not a readable NPY"),
    "unreadable text": (headed(b"\xff\xfe\x00"), "not a readable NPY"),
    "length of 4 GiB": (b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + b"{", "not a readable NPY"),
    "version 9": (b"\x93NUMPY\x09\x00" + b"\0" * 50, "not a readable NPY"),
    "zip": (b"PK\x03\x04" + b"\0" * 60, "not a readable NPY"),
    "nothing but magic": (b"\x93NUMPY", "not a readable NPY"),
    "objects": (described("(2,)", "'|O'"), "Python objects"),
    "fields": (described("(2,)", "[('a', '<f8')]"), "real array"),
    "inner shape": (described("(1,)", "('<f8', (2,))"), "real array|NPY"),
    "complex": (described("(1,)", "'<c16'"), "real array"),
    "text": (described("(2,)", "'<U2'"), "real array"),
    "three axes": (described("(1, 1, 2)"), "real array"),
    "no axis": (described("()"), "real array"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_one_sentence_and_allocates_nothing(name: str, tmp_path: Path) -> None:
    content, says = HOSTILE[name]
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=says.replace("(", r"\(").replace(")", r"\)")) as raised:
        read_npy(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "pickle" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.arange(6.0).reshape(3, 2),
        lambda: np.arange(6.0).reshape(3, 2).astype(">f8"),
        lambda: np.arange(6, dtype=np.int16).reshape(3, 2),
        lambda: np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        lambda: np.arange(6, dtype=np.float16).reshape(3, 2),
        lambda: np.arange(6, dtype=np.uint8).reshape(3, 2),
    ],
    ids=["float64", "big endian", "int16", "Fortran", "float16", "uint8"],
)
def test_arrays_of_real_numbers_are_read(make: Callable[[], np.ndarray], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", make())
    found = read_npy(tmp_path / "x.npy")
    assert found.dtype == np.float64
    assert found.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_integers_that_float64_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1, 2**53], [2, 2**53 + 1]]))
    with pytest.raises(InputError, match="column 2 holds integers beyond"):
        read_npy(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array([[1, 2**60], [2, 2**61]]))
    assert read_npy(tmp_path / "x.npy")[:, 1].tolist() == [2.0**60, 2.0**61]


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(1, 400))
def test_a_damaged_file_is_an_array_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, cut: int
) -> None:
    path = tmp_path_factory.mktemp("d") / "x.npy"
    np.save(path, np.arange(20.0).reshape(10, 2))
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content[:cut])
    said, found = "", None
    try:
        found = read_npy(path)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said or (found is not None and found.ndim == 2)
