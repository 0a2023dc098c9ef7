"""Data that DVC tracks: the version is told, another one is named, and what is absent says how to have it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import zarr

from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.content import absent, size_and_time
from jko.disk.identity import source_key
from tasks.adapters.dvc.versions import data_version
from tasks.datasets.files import load_file
from tasks.datasets.whole import read_whole

TABLE = "a,b\n" + "".join(f"{i / 7:.3f},{i * i % 11 / 3:.3f}\n" for i in range(30))


def track(path: Path, version: str) -> None:
    """What ``dvc add`` leaves beside a file or a folder."""
    path.with_name(f"{path.name}.dvc").write_text(f"outs:\n- md5: {version}\n  path: {path.name}\n")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_the_version_of_a_tracked_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    assert read_whole(path).notes == ()
    track(path, md5(TABLE))
    config = parse_config({"data": {"source": "file", "file": str(path)}, "steps": {"count": 1}})
    assert f"DVC tracks it: MD5 {md5(TABLE)}" in load_file(config.data).notes
    path.write_text(f"{TABLE}9,9\n")
    (note,) = read_whole(path).notes
    assert note.startswith(
        f"warning: it is not the version that t.csv.dvc records (MD5 {md5(TABLE)}, this is "
    )
    assert f"dvc add {path}" in note


def test_a_tracked_store_has_the_version_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "t.zarr"
    zarr.create_array(str(path), data=np.arange(20.0).reshape(10, 2))
    track(path, data_version(path))
    (note,) = read_whole(path).notes
    assert note.startswith("DVC tracks it: MD5 ")
    assert note.endswith(".dir")


@pytest.mark.parametrize("above", [False, True])
def test_an_absent_file_says_what_brings_it(above: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows" / "t.csv"
    path.parent.mkdir()
    assert absent(path) == "no such file"
    tracked = path.parent if above else path
    track(tracked, md5(TABLE))
    config = parse_config({"data": {"source": "file", "file": str(path)}, "steps": {"count": 1}})
    for read in (lambda: read_whole(path), lambda: load_file(config.data), lambda: source_key(config)):
        with pytest.raises(InputError, match=rf"no such file; DVC tracks it: dvc pull {tracked}$"):
            read()


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; the folder is no Zarr store of format 3"):
        read_whole(tmp_path)


def test_a_change_within_a_store_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.zarr"
    array = zarr.create_array(str(path), data=np.arange(20.0).reshape(10, 2))
    before = size_and_time(path)
    assert size_and_time(path) == before
    array[0, 0] = 7.5
    assert size_and_time(path) != before
