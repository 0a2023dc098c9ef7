"""Kinds of files that hold tables, told from their names; loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jko.config.data_section import UNNAMED
from jko.core.errors import InputError

Kind = Literal["text", "npy", "npz", "parquet", "arrow", "zarr"]
#: endings of each kind
ENDINGS: dict[str, Kind] = {
    ".csv": "text", ".tsv": "text", ".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".feather": "arrow",
    ".arrow": "arrow", ".zarr": "zarr", ".zip": "zarr",
}  # fmt: skip
#: endings of text that is packed, with the names of what packs it
PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
#: how files begin that are something else than a table of text, and what to do then
BEGINNINGS: dict[bytes, tuple[str, Kind | Literal[""]]] = {
    b"version https://git-lfs.github.com": ("a Git LFS pointer in place of the data; run git lfs pull", ""),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet; save it as CSV", ""),
    b"\x1f\x8b": ("compressed by gzip; name it .csv.gz", ""),
    b"PAR1": ("a Parquet file; name it .parquet", "parquet"),
    b"ARROW1": ("a Feather or Arrow file; name it .feather", "arrow"),
    b"FEA1": ("a Feather file; name it .feather", "arrow"),
    b"\x93NUMPY": ("an NPY array; name it .npy", "npy"),
    b"\x89HDF": ("an HDF5 file; save its table as CSV or Parquet", ""),
}
#: kinds of files that are ZIP archives
ZIPPED: tuple[Kind, ...] = ("npz", "zarr")
#: what a refusal lists
READ = ".csv and .tsv (also .gz, .bz2, .xz, .zst), .parquet, .feather, .arrow, .npy, .npz, .zarr, pictures"


@dataclass(frozen=True)
class Form:
    """What a file's name says.

    Args:
        kind: what it holds.
        ending: of its name without that of packing, as ``.csv``.
        packing: what packs it, as ``gzip``; empty for nothing.
    """

    kind: Kind
    ending: str
    packing: str = ""


def form_of(path: Path) -> Form:
    """What a file holds, by its name; a folder is a store of Zarr.

    Raises:
        InputError: files of this kind are not read.

    >>> form_of(Path("a.tsv.gz"))
    Form(kind='text', ending='.tsv', packing='gzip')
    """
    if path.is_dir():
        return Form("zarr", ".zarr")
    ending = path.suffix.lower()
    packing = PACKED.get(ending, "")
    inner = Path(path.stem).suffix.lower() if packing else ending
    kind = ENDINGS.get(inner)
    if kind is None or (packing and kind != "text"):
        if ending == ".dvc":
            raise InputError(f"{path}: this is DVC's record of a file; give the file, {path.with_suffix('')}")
        shown = path.suffix if not packing else "".join(path.suffixes[-2:])
        raise InputError(f"{path}: files of kind {shown!r} are not read; allowed: {READ}")
    return Form(kind, inner, packing)


def refuse_other_kinds(path: Path) -> None:
    """Refuse a file that is plainly something else than its name says.

    Raises:
        InputError: a Git LFS pointer, an archive, a spreadsheet.
    """
    with path.open("rb") as stream:
        start = stream.read(64)
    own = ENDINGS.get(path.suffix.lower())
    if start.startswith(b"PK\x03\x04") and own in ZIPPED:
        return
    packed = PACKED.get(path.suffix.lower()) == "gzip"
    for beginning, (words, kind) in BEGINNINGS.items():
        right = own == kind or (packed and beginning == b"\x1f\x8b")
        if start.startswith(beginning) and not right:
            raise InputError(f"{path}: this is {words}")


def has_names(path: str | Path) -> bool:
    """Whether the columns of a file have names; those of arrays are x0, x1 and so on."""
    path = Path(path)
    return not path.is_dir() and path.suffix.lower() not in UNNAMED


def table_name(path: str | Path) -> str:
    """What a table is called: its file's name without endings.

    >>> table_name("a/rows.csv.gz"), table_name("rows.parquet"), table_name("rows.zarr.zip")
    ('rows', 'rows', 'rows')
    """
    path = Path(path)
    stem = Path(path.stem)
    double = path.suffix.lower() in (*PACKED, ".zip") and stem.suffix.lower() in ENDINGS
    return stem.stem if double else path.stem
