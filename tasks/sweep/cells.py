"""The definition of a sweep on disk: its cells, their settings, and where their files lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from jko.config import NUMERICS, Config, flattened, parse_config
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.records import Record
from jko.disk.layout import Layout
from jko.disk.sealed import read_model, write_json

FORMAT: Literal[1] = 1


class CellRecord(Record):
    """A cell, as ``sweep.json`` holds it."""

    name: str
    config: dict[str, JsonValue]


class SweepRecord(Record):
    """``sweep.json``: what :class:`Sweep` says of each."""

    format: Literal[1] = FORMAT
    name: str
    base: dict[str, JsonValue]
    keys: tuple[str, ...]
    logs: tuple[str, ...]
    by: str
    cells: tuple[CellRecord, ...]


class FailureRecord(Record):
    """Why a cell has no result, and what that depends on."""

    identity: str
    sentence: str


@dataclass(frozen=True)
class Cell:
    """One chain of a sweep.

    Args:
        name: short and stable; names the chain's folder.
        config: its settings.
    """

    name: str
    config: Config

    @classmethod
    def of(cls, config: Config) -> Cell:
        """The cell of some settings."""
        return cls(digest_of(config.model_dump(mode="json"))[:8], config)


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Args:
        name: given by the user.
        folder: where everything of it lies.
        base: settings that the cells differ from.
        keys: settings that are varied.
        logs: those of them that are drawn, or better shown, on a logarithmic scale.
        cells: the chains.
        by: the figure that cells are compared by.
    """

    name: str
    folder: Path
    base: Config
    keys: tuple[str, ...]
    logs: tuple[str, ...]
    cells: tuple[Cell, ...]
    by: str

    def layout(self, cell: str) -> Layout:
        """The files of a cell's chain."""
        return Layout(self.folder / "chains" / cell)

    def log(self, cell: str) -> Path:
        """What a cell's processes said."""
        return self.folder / "logs" / f"{cell}.log"

    def running(self, cell: str) -> Path:
        """Names the process that works on a cell now."""
        return self.folder / "running" / f"{cell}.json"

    def failure(self, cell: str) -> Path:
        """Why a cell has no result."""
        return self.folder / "failed" / f"{cell}.json"

    def cell(self, name: str) -> Cell:
        """The cell of a name."""
        return next(cell for cell in self.cells if cell.name == name)

    def varied(self, cell: Cell) -> dict[str, JsonValue]:
        """The varied settings of a cell."""
        return {key: setting(cell.config, key) for key in self.keys}

    def label(self, cell: Cell) -> str:
        """A cell in words: its varied settings and its seed."""
        return described({**self.varied(cell), "seed": cell.config.seed})


def described(settings: Mapping[str, JsonValue]) -> str:
    """Settings as they would be given: ``training.iterations=20 seed=1``."""
    return " ".join(f"{key}={str(value).replace(' ', '')}" for key, value in settings.items())


def setting(config: Config, key: str) -> JsonValue:
    """The value of ``a.b.c``; ``None`` where it is not given."""
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(int(part) if part.isdecimal() else part, value.get(part))
    return value


def read_sweep(folder: Path) -> Sweep | None:
    """The stored definition; ``None`` if there is none.

    Raises:
        InputError: it is damaged or of another format.
    """
    path = folder / "sweep.json"
    if not path.exists():
        return None
    known = read_model(path, SweepRecord)
    if known is None:
        raise InputError(f"{path}: this is no sweep of format {FORMAT}; give the sweep another NAME")
    cells = [Cell(own.name, parse_config(own.config, where=f"{path}, {own.name}")) for own in known.cells]
    base = parse_config(known.base, where=str(path))
    return Sweep(known.name, folder, base, known.keys, known.logs, tuple(cells), known.by)


def stored_sweep(folder: Path) -> Sweep:
    """The definition of a sweep that is there.

    Raises:
        InputError: it is not.
    """
    sweep = read_sweep(folder)
    if sweep is None:
        raise InputError(f"{folder}: no sweep there (a sweep's folder holds a sweep.json)")
    return sweep


def write_sweep(sweep: Sweep) -> None:
    """Store the definition."""
    cells = tuple(
        CellRecord(name=cell.name, config=cell.config.model_dump(mode="json")) for cell in sweep.cells
    )
    record = SweepRecord(
        format=FORMAT, name=sweep.name, base=sweep.base.model_dump(mode="json"), keys=sweep.keys,
        logs=sweep.logs, by=sweep.by, cells=cells,
    )  # fmt: skip
    write_json(sweep.folder / "sweep.json", record.plain())


def joined(old: Sweep, new: Sweep) -> Sweep:
    """The cells of a stored sweep and those that a new definition adds.

    Raises:
        InputError: the settings that both start from are not the same.
    """
    before, after = (flattened(one.base.model_dump(mode="json", exclude={"seed"})) for one in (old, new))
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    if changed:
        key = changed[0]
        raise InputError(
            f"sweep {old.name} starts from other settings ({key} is {before.get(key)} there and "
            f"{after.get(key)} here), so its cells would not compare; give this sweep another NAME"
        )
    known = [cell.config for cell in old.cells]
    added = [cell for cell in new.cells if cell.config not in known]
    return replace(
        old,
        keys=_union(old.keys, new.keys),
        logs=_union(old.logs, new.logs),
        cells=(*old.cells, *added),
        by=new.by,
    )


def _union(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def failure_identity(cell: Cell, source_key: str) -> str:
    """What a numerical failure depends on: such a cell fails again as long as this is the same."""
    settings = cell.config.model_dump(mode="json")
    return digest_of({"config": settings, "data": source_key, "numerics": NUMERICS})


def known_failure(sweep: Sweep, cell: Cell, source_key: str) -> str | None:
    """The sentence of a numerical failure that would come again."""
    known = read_model(sweep.failure(cell.name), FailureRecord)
    same = known is not None and known.identity == failure_identity(cell, source_key)
    return known.sentence if known is not None and same else None


def remember_failure(sweep: Sweep, cell: Cell, source_key: str, sentence: str) -> None:
    """Keep a numerical failure: it is a result."""
    record = FailureRecord(identity=failure_identity(cell, source_key), sentence=sentence)
    write_json(sweep.failure(cell.name), record.plain())
