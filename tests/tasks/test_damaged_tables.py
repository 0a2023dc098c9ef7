"""Files of tables that are cut, changed or lie: one sentence, nothing of their size made, no code run."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from zarr.storage import ZipStore

from jko.core.errors import InputError
from tasks.datasets import room
from tasks.datasets.whole import read_whole

RNG = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {"a": RNG.normal(size=400), "b": RNG.integers(0, 50, 400), "c": RNG.choice(["x", "y"], 400)}
)
NUMBERS = FRAME[["a", "b"]].to_numpy()


def zipped(path: Path) -> None:
    with ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=NUMBERS)


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.bz2": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.xz": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.zst": lambda path: pa.CompressedOutputStream(str(path), "zstd").write(FRAME.to_csv().encode()),
    "t.parquet": lambda path: pq.write_table(pa.table(FRAME), path, write_page_checksum=True),
    "t.feather": FRAME.to_feather,
    "t.npz": lambda path: np.savez(path, x=NUMBERS),
    "t.zarr.zip": zipped,
}
#: kinds with a checksum over all their bytes: no changed number is taken for another
CHECKED = ("t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.npz", "t.zarr.zip")


def said(path: Path) -> str:
    """The refusal of a file; empty where it is read."""
    told = ""
    try:
        read_whole(path)
    except InputError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 600
    return told


@pytest.mark.parametrize("name", WRITERS)
def test_no_half_of_a_file_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    for part in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(content[: int(part * len(content))])
        assert str(path) in said(path)
        assert "damaged" in said(path)
    path.write_bytes(b"")
    assert "the file is empty" in said(path)
    path.write_bytes(b"nonsense, and more of it" * 9)
    assert str(path) in said(path)


@pytest.mark.parametrize("name", WRITERS)
def test_changed_bytes_are_found_or_harmless(name: str, tmp_path: Path) -> None:
    """Every refusal is one sentence; a file with checksums is either refused or the same."""
    path, draw = tmp_path / name, np.random.default_rng(8)
    WRITERS[name](path)
    content, found = path.read_bytes(), []
    whole = read_whole(path).frame if name in CHECKED else None
    for _ in range(60):
        changed = bytearray(content)
        changed[int(draw.integers(len(content)))] ^= int(draw.integers(1, 256))
        path.write_bytes(changed)
        found.append(said(path))
        if whole is not None and not found[-1]:
            pd.testing.assert_frame_equal(read_whole(path).frame, whole)
    assert sum(map(bool, found)) > 10


def test_a_changed_page_of_parquet_is_found_where_it_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": NUMBERS[:, 0]}), path, write_page_checksum=True, compression="none",
                   use_dictionary=False)  # fmt: skip
    content = bytearray(path.read_bytes())
    at = content.index(NUMBERS[200, 0].tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert "damaged" in said(path)


def tight(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A machine on which a table may take so many bytes."""
    monkeypatch.setattr(room, "memory", lambda: int(most / room.SHARE))


def feather_of_zeros(path: Path) -> None:
    pa.feather.write_feather(pa.table({"a": np.zeros(2_000_000)}), str(path), compression="zstd")


def cells_of_one_word(path: Path) -> None:
    """A long word in a dictionary, which every row names."""
    word = pa.DictionaryArray.from_arrays(np.zeros(5000, np.int32), ["x" * 5000])
    pq.write_table(pa.table({"a": word.cast(pa.string()), "b": np.zeros(5000)}), path)


def zarr_of_zeros(path: Path) -> None:
    with ZipStore(path, mode="w", compression=zipfile.ZIP_DEFLATED) as store:
        kept = {"write_empty_chunks": True}
        zarr.create_array(store, data=np.zeros((100_000, 20)), compressors=None, config=kept)


def npz_of_zeros(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros((100_000, 20)))


BOMBS: dict[str, Callable[[Path], object]] = {
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * 4_000_000)),
    "t.csv.xz": lambda path: path.write_bytes(lzma.compress(b"a,b\n" + b"0,0\n" * 4_000_000, preset=0)),
    "t.npz": npz_of_zeros,
    "t.parquet": lambda path: pq.write_table(pa.table({"a": np.zeros(2_000_000)}), path),
    "words.parquet": cells_of_one_word,
    "t.feather": feather_of_zeros,
    "t.zarr.zip": zarr_of_zeros,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_too_much_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    BOMBS[name](path)
    assert path.stat().st_size < 200_000
    tight(monkeypatch, 8_000_000)
    tracemalloc.start()
    assert "it unpacks to more than 8000000 bytes" in said(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    if name != "words.parquet":
        tight(monkeypatch, 200_000_000)
        assert said(path) == ""


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap, sprung = Trap(tmp_path / "sprung"), tmp_path / "sprung"
    np.savez(tmp_path / "t.npz", x=np.array([trap], dtype=object))
    assert "Python objects" in said(tmp_path / "t.npz")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(pickle.dumps(trap)))
    (tmp_path / "t.parquet").write_bytes(pickle.dumps(trap))
    (tmp_path / "t.feather").write_bytes(pickle.dumps(trap))
    assert said(tmp_path / "t.csv.gz")
    assert said(tmp_path / "t.parquet")
    assert said(tmp_path / "t.feather")
    assert not sprung.exists()


def test_an_npz_is_judged_by_its_headers(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.save(tmp_path / "x.npy", NUMBERS)
    whole = (tmp_path / "x.npy").read_bytes()
    for name, content in (("short", whole[:-8]), ("long", whole + bytes(8)), ("none", b"hello")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
        assert ("array 'x': its header promises" in said(path)) == (name != "none")
        assert "array 'x'" in said(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/", "")
    assert "it holds no array" in said(path)
    np.savez(path, x=np.zeros((2, 3, 4)))
    assert "shape (rows, d), this is float64 of shape (2, 3, 4)" in said(path)


ZARR: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metadata": (lambda path: (path / "zarr.json").unlink(), "no Zarr store of format 3"),
    "other metadata": (lambda path: (path / "zarr.json").write_text("[]"), "not a readable Zarr store"),
    "a chunk less": (lambda path: (path / "c" / "1" / "0").unlink(), "1 of 4 chunks are missing"),
    "a chunk cut": (lambda path: (path / "c" / "1" / "0").write_bytes(b"\x28\xb5\x2f\xfd"), "not a readable"),
    "10^12 rows": (lambda path: changed(path, shape=[10**12, 2]), "it unpacks to more than"),
    "text": (lambda path: changed(path, data_type="string", fill_value=""), "path"),
    "another format": (lambda path: changed(path, zarr_format=2), "not a readable Zarr store of format 3"),
}


def changed(path: Path, **values: object) -> None:
    meta = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps({**meta, **values}))


@pytest.mark.parametrize("name", ZARR)
def test_a_store_that_lies_or_lacks_something_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.zarr"
    zarr.create_array(str(path), data=NUMBERS, chunks=(100, 2))
    assert said(path) == ""
    change, words = ZARR[name]
    change(path)
    assert (str(path) if words == "path" else words) in said(path)


def test_a_zip_without_an_array_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", "a,b\n1,2\n")
    assert "a ZIP archive without a Zarr array or group" in said(tmp_path / "t.zip")


def test_chunks_of_the_fill_value_that_were_left_out_are_named(tmp_path: Path) -> None:
    rows = np.vstack([NUMBERS, np.zeros((100, 2))])
    zarr.create_array(str(tmp_path / "t.zarr"), data=rows, chunks=(100, 2))
    assert "write it with write_empty_chunks" in said(tmp_path / "t.zarr")
    kept = {"write_empty_chunks": True}
    zarr.create_array(str(tmp_path / "u.zarr"), data=rows, chunks=(100, 2), config=kept)
    assert len(read_whole(tmp_path / "u.zarr").frame) == 500
