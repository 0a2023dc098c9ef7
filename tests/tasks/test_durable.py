"""Names and files on disk: replaced in one step, synced with the folders that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jko.disk import durable
from jko.disk.durable import make_folder, move, put_in_place, write_bytes


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Everything that is synced, in order."""
    found: list[Path] = []
    real = durable.sync
    monkeypatch.setattr(durable, "sync", lambda path: (found.append(Path(path)), real(path))[1])
    return found


def folder_with(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def test_a_replaced_folder_is_there_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two names are exchanged: no step removes the old one first."""
    new, old = folder_with(tmp_path / "new", "new"), folder_with(tmp_path / "old", "old")

    def never(*words: object) -> None:
        raise AssertionError(words)

    monkeypatch.setattr(os, "rename", never)
    monkeypatch.setattr("shutil.rmtree", never)
    put_in_place(new, old)
    assert (old / "file").read_text() == "new"
    assert (new / "file").read_text() == "old"  # for the caller to remove


def test_where_names_cannot_be_exchanged_the_old_one_is_renamed_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_exchange", lambda one, other: False)
    new, old = folder_with(tmp_path / "new", "new"), folder_with(tmp_path / "old", "old")
    put_in_place(new, old)
    assert (old / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_a_link_gives_way_and_what_it_points_at_stays(tmp_path: Path) -> None:
    elsewhere, new = folder_with(tmp_path / "elsewhere", "kept"), folder_with(tmp_path / "new", "new")
    for target in (elsewhere, tmp_path / "nowhere"):
        (tmp_path / "link").symlink_to(target)
        put_in_place(new, tmp_path / "link")
        assert (tmp_path / "link" / "file").read_text() == "new"
        assert not (tmp_path / "link").is_symlink()
        move(tmp_path / "link", new)
    assert (elsewhere / "file").read_text() == "kept"


def test_every_new_name_is_synced_with_its_folder(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    synced.clear()
    write_bytes(tmp_path / "a" / "file", b"x")
    assert synced == [tmp_path / "a"]
    synced.clear()
    move(tmp_path / "a" / "file", tmp_path / "a" / "b" / "file")
    assert set(synced) == {tmp_path / "a", tmp_path / "a" / "b"}
    synced.clear()
    put_in_place(folder_with(tmp_path / "new", "x"), tmp_path / "c" / "d")
    assert set(synced) == {tmp_path, tmp_path / "c"}


def test_all_of_a_tree_is_synced(tmp_path: Path, synced: list[Path]) -> None:
    folder_with(tmp_path / "tree" / "deep", "x")
    durable.sync_tree(tmp_path / "tree")
    assert set(synced) == {tmp_path / "tree", tmp_path / "tree/deep", tmp_path / "tree/deep/file"}


def test_what_stands_in_the_way_of_a_move_goes(tmp_path: Path) -> None:
    for kind in ("folder", "file", "none"):
        source, target = folder_with(tmp_path / kind / "source", kind), tmp_path / kind / "target"
        if kind == "folder":
            folder_with(target, "old")
        elif kind == "file":
            target.write_text("old")
        move(source, target)
        assert (target / "file").read_text() == kind


def test_a_link_in_a_circle_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "loop")
