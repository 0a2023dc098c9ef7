"""Committed folders and atomic files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jko.disk.commit import committing, read_commit, remove_temporary
from jko.disk.durable import link_tree, write_text
from jko.disk.sealed import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]


def commit_one(folder: Path, text: str = "weights") -> Path:
    with committing(folder / "block", "abc", {"k": 1}) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "file").write_text(text)
    return folder / "block"


def test_a_committed_folder_says_what_it_holds(tmp_path: Path) -> None:
    commit = read_commit(commit_one(tmp_path), verify=True)
    assert commit is not None
    assert (commit.fingerprint, commit.record.plain(), list(commit.files)) == ("abc", {"k": 1}, ["sub/file"])


def test_equal_content_has_equal_digest_and_other_content_another(tmp_path: Path) -> None:
    digests = [
        read_commit(commit_one(tmp_path / name, text)).digest
        for name, text in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with committing(tmp_path / "block", "abc", {}) as temporary:
            (temporary / "file").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "no commit", "half a commit"])
def test_a_damaged_folder_is_not_committed(tmp_path: Path, harm: str) -> None:
    folder = commit_one(tmp_path)
    target = folder / "sub" / "file"
    if harm == "flip":
        target.write_text("Weights")
    elif harm == "truncate":
        target.write_text("")
    elif harm == "delete":
        target.unlink()
    elif harm == "no commit":
        (folder / "COMMIT.json").unlink()
    else:
        (folder / "COMMIT.json").write_text('{"fingerprint": "abc", "fi')
    assert read_commit(folder, verify=True) is None


@pytest.mark.parametrize("moment", ["os.rename", "os.fsync"])
def test_killed_while_publishing_leaves_nothing_that_counts(tmp_path: Path, moment: str) -> None:
    """A real SIGKILL at the last instruction before the rename."""
    script = f"""
import os, signal, pathlib
from jko.disk.commit import committing
{moment} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
with committing(pathlib.Path({str(tmp_path)!r}) / "block", "abc", {{}}) as folder:
    (folder / "file").write_text("x")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_commit(tmp_path / "block") is None
    assert len(list(tmp_path.iterdir())) == 1
    remove_temporary(tmp_path / "block")
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert os.listdir(path.parent) == ["file.json"]


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_linked_trees_survive_the_removal_of_their_source(tmp_path: Path) -> None:
    folder = commit_one(tmp_path)
    link_tree(folder, tmp_path / "copy")
    write_text(folder / "sub" / "file", "changed")
    assert (tmp_path / "copy" / "sub" / "file").read_text() == "weights"
