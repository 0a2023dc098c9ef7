"""What may be on a disk after a power cut, by the log of what was done before.

The model is of those that "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014) tells about,
and weaker than any one of them:

* What is written to a file is sure when the file was synced. Before that the file may be empty, hold its
  first half, or all of it.
* A name in a folder (made, renamed, linked, removed) is sure when that folder was synced; syncing the file
  itself does not do. A rename happens as a whole or not at all, and is sure by the folder of the new name.
* Names that are not sure may be lost from some moment on, folder by folder, or any of them alone.

A process that is killed loses nothing of what it did; that case is the first of every moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jko.disk.durable import TEMPORARY
from tests.campaign.trees import UNREAD
from tests.campaign.watched import Operation

#: so many changes of names that are not sure are lost in every combination
ALL_SUBSETS = 5
Tree = dict[str, bytes | None]


@dataclass
class File:
    """A file's bytes: those now, and those that are sure."""

    now: bytes = b""
    sure: bytes = b""

    @property
    def versions(self) -> tuple[bytes, ...]:
        """What a power cut may leave of it, the present bytes first."""
        half = self.now[: len(self.now) // 2]
        return (
            tuple(dict.fromkeys((self.now, b"", half, self.sure))) if self.now != self.sure else (self.now,)
        )


@dataclass
class Folder:
    """A folder's names, as of now."""

    names: dict[str, File | Folder] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Change:
    """A change of names that is not sure.

    Args:
        home: the folder whose sync makes it sure.
        sets: folder, name and what it names from then on; ``None`` if nothing.
    """

    home: Folder
    sets: tuple[tuple[Folder, str, File | Folder | None], ...]

    @property
    def seen(self) -> bool:
        """Whether a start would see the difference."""
        return any(not hidden(name) for _, name, _ in self.sets)


def hidden(name: str) -> bool:
    """Whether a start removes what has this name, or never reads it."""
    return name.startswith(TEMPORARY) or name in UNREAD


class Disk:
    """A folder and what is sure of it.

    Args:
        root: an existing folder; all of it is sure.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.sure = Folder(), {}
        self.sure = {}
        self.changes: list[Change] = []
        self.files: list[File] = []
        self._load(root, self.root)

    def _load(self, path: Path, folder: Folder) -> None:
        for inner in sorted(path.iterdir()):
            if inner.is_dir():
                folder.names[inner.name] = Folder()
                self._load(inner, folder.names[inner.name])  # type: ignore[arg-type]
            else:
                content = inner.read_bytes()
                folder.names[inner.name] = File(content, content)
        self.sure[id(folder)] = dict(folder.names)

    def find(self, path: str) -> File | Folder:
        """What a path names now."""
        found: File | Folder = self.root
        for part in PurePosixPath(path).parts:
            assert isinstance(found, Folder)
            found = found.names[part]
        return found

    def place(self, path: str) -> tuple[Folder, str]:
        """The folder that a path is in, and the name there."""
        whole = PurePosixPath(path)
        folder = self.find(str(whole.parent))
        assert isinstance(folder, Folder)
        return folder, whole.name

    def apply(self, operation: Operation) -> None:
        """Do what was done."""
        act: Callable[[Operation], None] | None = getattr(self, f"_{operation.kind}", None)
        if act is not None:
            act(operation)

    def _change(self, home: Folder, *sets: tuple[Folder, str, File | Folder | None]) -> None:
        for folder, name, what in sets:
            put(folder.names, name, what)
        self.changes.append(Change(home, sets))

    def _create(self, operation: Operation) -> None:
        folder, name = self.place(operation.path)
        self._change(folder, (folder, name, File()))

    def _mkdir(self, operation: Operation) -> None:
        folder, name = self.place(operation.path)
        made = Folder()
        self.sure[id(made)] = {}
        self.files.append(made)  # type: ignore[arg-type]  # kept, so that its id is its own
        self._change(folder, (folder, name, made))

    def _truncate(self, operation: Operation) -> None:
        file = self.find(operation.path)
        assert isinstance(file, File)
        file.now = file.now[: operation.offset].ljust(operation.offset, b"\0")

    def _write(self, operation: Operation) -> None:
        file = self.find(operation.path)
        assert isinstance(file, File)
        before = file.now[: operation.offset].ljust(operation.offset, b"\0")
        file.now = before + operation.data + file.now[operation.offset + len(operation.data) :]

    def _fsync(self, operation: Operation) -> None:
        found = self.find(operation.path)
        if isinstance(found, File):
            found.sure = found.now
            return
        for change in self.changes:
            if change.home is found:
                for folder, name, what in change.sets:
                    put(self.sure[id(folder)], name, what)
        self.changes = [change for change in self.changes if change.home is not found]

    def _rename(self, operation: Operation) -> None:
        source, old = self.place(operation.path)
        target, new = self.place(operation.other)
        self._change(target, (source, old, None), (target, new, source.names[old]))

    def _exchange(self, operation: Operation) -> None:
        source, old = self.place(operation.path)
        target, new = self.place(operation.other)
        one, other = source.names[old], target.names[new]
        self._change(target, (source, old, other), (target, new, one))

    def _link(self, operation: Operation) -> None:
        target, new = self.place(operation.other)
        self._change(target, (target, new, self.find(operation.path)))

    def _unlink(self, operation: Operation) -> None:
        folder, name = self.place(operation.path)
        self._change(folder, (folder, name, None))

    _rmdir = _unlink

    def trees(self) -> Iterator[Tree]:
        """Every state that a power cut may leave now; bytes by path, ``None`` for a folder."""
        for kept in self._kept():
            names = {key: dict(value) for key, value in self.sure.items()}
            for change in self.changes:
                if change in kept or not change.seen:
                    for folder, name, what in change.sets:
                        put(names[id(folder)], name, what)
            yield from self._contents(names)

    def _kept(self) -> Iterator[frozenset[Change]]:
        """Sets of unsure changes that a power cut may leave done; all of them first."""
        unsure = [change for change in self.changes if change.seen]
        every, found = frozenset(unsure), [frozenset(unsure), frozenset[Change]()]
        for home in {id(change.home): change.home for change in unsure}.values():
            own = [change for change in unsure if change.home is home]
            for length in range(len(own)):  # in order, folder by folder
                found += [every - frozenset(own[length:]), frozenset(own[:length])]
        for change in unsure:  # one alone
            found += [every - {change}, frozenset({change})]
        if len(unsure) <= ALL_SUBSETS:
            sizes = range(len(unsure) + 1)
            found += [frozenset(own) for size in sizes for own in itertools.combinations(unsure, size)]
        yield from dict.fromkeys(found)

    def _contents(self, names: dict[int, dict[str, File | Folder]]) -> Iterator[Tree]:
        """The trees that these names may lead to: with all bytes, without unsure ones, or without one's."""
        found = dict(self._reached(names, self.root, ""))
        unsure = [
            path for path, what in found.items()
            if isinstance(what, File) and len(what.versions) > 1
            and not any(map(hidden, path.split("/")))
        ]  # fmt: skip
        whole: Tree = {path: what.now if isinstance(what, File) else None for path, what in found.items()}
        yield whole
        for number in range(1, 4):
            yield whole | {path: found[path].versions[: number + 1][-1] for path in unsure}  # type: ignore[union-attr]
        for path in unsure:
            for version in found[path].versions[1:]:  # type: ignore[union-attr]
                yield whole | {path: version}

    def _reached(
        self, names: dict[int, dict[str, File | Folder]], folder: Folder, path: str
    ) -> Iterator[tuple[str, File | Folder]]:
        for name, what in names[id(folder)].items():
            inner = f"{path}/{name}" if path else name
            yield inner, what
            if isinstance(what, Folder):
                yield from self._reached(names, what, inner)


def put(names: dict[str, File | Folder], name: str, what: File | Folder | None) -> None:
    """Let a name mean something, or nothing."""
    if what is None:
        names.pop(name, None)
    else:
        names[name] = what


def build(tree: Tree, root: Path) -> None:
    """Make a folder of a state."""
    root.mkdir()
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
