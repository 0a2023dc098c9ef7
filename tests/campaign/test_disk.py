"""The model of a disk: what is recorded makes the folder again, and what is not synced may be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.disk import Disk, Tree, build
from tests.campaign.forked import forked
from tests.campaign.power_cuts import record
from tests.campaign.watched import Operation


def tree_of(root: Path) -> Tree:
    paths = sorted(root.rglob("*"))
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in paths}


def left_by(root: Path, *operations: Operation) -> list[Tree]:
    """What a power cut may leave after these operations in a folder."""
    disk = Disk(root)
    for operation in operations:
        disk.apply(operation)
    return list(disk.trees())


@pytest.mark.parametrize("history", ["train", "other settings"])
def test_what_is_recorded_makes_the_folder_again(history: str, place: Path) -> None:
    """Nothing that the store does to its files passes the watch unseen."""
    root = place / "project"
    root.mkdir()
    recording = forked(record, root, place / "start", history).got()
    disk = Disk(recording.start)
    for operation in recording.operations:
        disk.apply(operation)
    tree = next(disk.trees())
    assert tree == tree_of(root)
    build(tree, place / "again")
    assert tree_of(place / "again") == tree


WRITTEN = (Operation("create", "new"), Operation("write", "new", data=b"text"))


def test_a_new_file_may_be_absent_empty_or_cut_off(tmp_path: Path) -> None:
    left = left_by(tmp_path, *WRITTEN)
    assert left[0] == {"new": b"text"}
    assert all(state in left for state in ({}, {"new": b""}, {"new": b"te"}))


def test_its_sync_keeps_the_bytes_and_not_the_name(tmp_path: Path) -> None:
    left = left_by(tmp_path, *WRITTEN, Operation("fsync", "new"))
    assert {"new": b"text"} in left
    assert {} in left
    assert {"new": b""} not in left


def test_with_the_folder_synced_nothing_is_lost(tmp_path: Path) -> None:
    left = left_by(tmp_path, *WRITTEN, Operation("fsync", "new"), Operation("fsync", "."))
    assert all(state == {"new": b"text"} for state in left)


def test_a_rename_happens_as_a_whole_or_not(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    rename = Operation("rename", "old", "folder/new")
    left = left_by(tmp_path, rename)
    assert {frozenset(state) for state in left} == {
        frozenset({"old", "folder"}),
        frozenset({"folder", "folder/new"}),
    }
    sure = left_by(tmp_path, rename, Operation("fsync", "folder"))
    assert all("folder/new" in state and "old" not in state for state in sure)


def test_a_rename_over_a_file_that_was_not_synced_may_leave_nothing_in_it(tmp_path: Path) -> None:
    """The well-known fault: names are written before the bytes."""
    (tmp_path / "file").write_bytes(b"before")
    made = (Operation("create", "aside"), Operation("write", "aside", data=b"after"))
    rename = Operation("rename", "aside", "file")
    assert {"file": b""} in left_by(tmp_path, *made, rename)
    safe = left_by(tmp_path, *made, Operation("fsync", "aside"), rename)
    assert {state["file"] for state in safe} == {b"before", b"after"}


def test_changes_of_names_are_lost_from_some_moment_on_or_alone(tmp_path: Path) -> None:
    left = left_by(tmp_path, Operation("mkdir", "a"), Operation("mkdir", "b"), Operation("mkdir", "b/c"))
    assert {frozenset(state) for state in left} == {
        frozenset(names) for names in ((), "a", "b", "ab", ("b", "b/c"), ("a", "b", "b/c"))
    }


def test_exchanged_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    left = left_by(tmp_path, Operation("exchange", "a", "b"))
    assert next(state for state in left if state["a"] == b"2") == {"a": b"2", "b": b"1"}
    assert {"a": b"1", "b": b"2"} in left
    assert all(len(set(state.values())) == 2 for state in left)
