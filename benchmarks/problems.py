"""The rows of a set: the same prepared rows for every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.files import read_table
from benchmarks.generators import GENERATORS, drawn
from benchmarks.laws import PLANE, TUNING_PLANE
from benchmarks.presets import group_of, settings_of
from benchmarks.sets import SETS, Set, file_of, names
from jko.config import Config, parse_config
from jko.densities import Array, Density, PictureDensity, rose_picture
from jko.errors import InputError
from jko.rows import at_most
from jko.score import Score
from jko.seeds import counter_seed
from jko.start_fit import FITTED_ROWS, fit_start
from jko.start_map import StartMap
from tasks.adapters.commit import file_digest
from tasks.adapters.sealed import digest_of
from tasks.datasets.pictures import is_picture, load_picture
from tasks.datasets.prepare import PARTS, prepare
from tasks.datasets.sources import SOURCES
from tasks.datasets.table import Table

#: rows for training, validation and test of each kind of law
ROWS = {"plane": (50_000, 5_000, 10_000), "picture": (200_000, 5_000, 10_000)}
#: rows drawn anew for a set that a generator makes
FRESH_ROWS = 5000
#: how a peer's rows are standardised as it comes; and with the start of ours, or the monotone maps of the
#: columns where ours has none
AFFINE, SAME, MARGINALS = "on", "same", "marginals"


@dataclass(frozen=True)
class Problem:
    """Rows to fit a density to, and to judge it by.

    Args:
        name: of the set.
        kind: ``plane``, ``picture`` or ``table``.
        train: shape (rows, d), float32, in the coordinates in which a method works (standardised, or after a
            start map), as the next two; rows of the set first, then smoothed copies of them, where the
            project's own preset wants copies, each with dequantisation noise of its own.
        validation: rows for choosing weights and settings.
        test: rows for the figures; no method may look at them.
        shift: subtracted from the data, data units, shape (d,).
        scale: divided by, data units, shape (d,).
        log_density: log p of the test rows, nats, data units, where the law is known.
        score: ∇log p in standardised units, where it is known and smooth.
        notes: how the rows were prepared, as sentences.
        grid: step of the columns that were dequantised by uniform noise of one step, 0 where none, data
            units, shape (d,); ``None`` where no column was.
        own: how many of the training rows are rows of the set; all by default.
        start: the map from standardised units to a method's coordinates; ``None`` for the identity.
        log_dets: log|det| of the whole map from data units at the rows of ``validation`` and ``test``, nats,
            where there is one.
        fresh: new rows of the same law as they would stand in a file, data units, where they can be drawn.
    """

    name: str
    kind: str
    train: Tensor
    validation: Tensor
    test: Tensor
    shift: Array
    scale: Array
    log_density: Array | None = None
    score: Score | None = None
    notes: tuple[str, ...] = ()
    grid: Array | None = None
    own: int | None = None
    start: StartMap | None = None
    log_dets: Mapping[str, Tensor] | None = None
    fresh: Array | None = None

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.train.shape[1]

    @property
    def own_rows(self) -> Tensor:
        """The training rows without copies."""
        return self.train[: self.own]

    @property
    def group(self) -> str:
        """The group of sets whose settings it gets."""
        return group_of(self.kind, len(self.own_rows))

    @property
    def constant(self) -> float:
        """Nats to add to an NLL in standardised units to get it in data units."""
        return float(np.log(self.scale).sum())

    @property
    def measure(self) -> str:
        """The figure: ``gap`` to the known density, or NLL in data units, on test or on ``fresh`` rows."""
        if self.fresh is not None:
            return "fresh"
        return "nll" if self.log_density is None else "gap"

    def log_det(self, part: str) -> Tensor:
        """Log|det| of the map from data units, nats, at the rows of ``validation`` or ``test``."""
        if self.log_dets is not None:
            return self.log_dets[part]
        rows = len(self.validation if part == "validation" else self.test)
        return torch.full((rows,), -self.constant, dtype=torch.float64)

    def mapped(self, rows: Array) -> tuple[Tensor, Tensor]:
        """Rows in data units as a method sees them, float32, and log|det| of the map, nats."""
        standard = torch.from_numpy((rows - self.shift) / self.scale)
        log_det = torch.full((len(rows),), -self.constant, dtype=torch.float64)
        if self.start is None:
            return standard.float(), log_det
        moved, more = self.start(standard)
        return moved.float(), log_det + more


def load_problem(name: str, seed: int, data: Path | None = None, *, start: str | None = AFFINE) -> Problem:
    """A set by its name, or any picture or table by its path.

    Args:
        name: of a set, or a path.
        seed: of the draws, the split and the dequantisation.
        data: folder of the files that do not come with the project.
        start: how rows are standardised, as ``data.standardise``; :data:`SAME` for the start of ours, and
            ``None`` for what the project's own preset says.

    Raises:
        InputError: unknown name, missing or unreadable file.
    """
    known, path = SETS.get(name), file_of(name, data)
    if known is None and path is None:
        listed = ", ".join(SETS)
        raise InputError(f"{name}: neither a file nor a set; the sets are {listed}")
    if known is not None and known.source == "law":
        return law_problem(name, known.kind, law_of(name), seed, start=start)
    if path is not None and is_picture(str(path)):
        return picture_problem(name, path, seed, start=start)
    return table_problem(
        name, table_of(known or Set(name, "table", "file"), path, seed), seed, start=start, fresh=_fresh(name)
    )


def law_of(name: str) -> Density:
    """The law of a set that is one."""
    if name == "built_in_rose":
        return PictureDensity(rose_picture())
    return {**PLANE, **TUNING_PLANE}[name]()


def table_of(known: Set, path: Path | None, seed: int) -> Table:
    """A set's rows as its source has them.

    Raises:
        InputError: the file is no table that can be read.
    """
    if known.source == "generator":
        law = GENERATORS[known.name]
        return Table(known.name, drawn(known.name, law.rows, seed, "rows"), law.columns)
    return read_table(known, path)


def _fresh(name: str) -> int:
    return FRESH_ROWS if name in names("table") and SETS[name].source == "generator" else 0


def data_digest(name: str, seed: int, data: Path | None, start: str | None) -> dict[str, Any]:
    """What the rows of a set come from: the digest of its file, where it has one, and how they are prepared.

    Raises:
        InputError: the file is not there.
    """
    path, known = file_of(name, data), SETS.get(name)
    group = known.group if known else None
    prepared = preparation(group, seed, start) if known else None
    return {
        "file": None if path is None else file_digest(path),
        "set": None if known is None else digest_of([known.file, known.columns, known.places, known.group]),
        "prepared": None if prepared is None else prepared.data.model_dump(mode="json"),
    }


def preparation(group: str | None, seed: int, start: str | None) -> Config:
    """The settings by which tables of a group are prepared: those of the project's own preset.

    Args:
        group: of the set.
        seed: of noise, split and copies.
        start: as of :func:`load_problem`.
    """
    data = settings_of(group or "table", {}, seed).data
    if start == SAME:
        start = MARGINALS if data.standardise == AFFINE else None
    kept = {"augment": data.augment.model_dump(), "standardise": start or data.standardise}
    return parse_config({"seed": seed, "data": {"source": "digits", **kept}})


def picture_problem(name: str, path: Path, seed: int, *, start: str | None = AFFINE) -> Problem:
    """Draws of the density that is a picture's darkness.

    Raises:
        InputError: the file is no readable picture.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_picture(str(path)):
        raise InputError(f"{path}: not a picture; give a .png, .jpg or the like")
    return law_problem(name, "picture", load_picture(str(path))[1], seed, start=start)


def law_problem(
    name: str,
    kind: str,
    law: Density,
    seed: int,
    *,
    rows: tuple[int, int, int] | None = None,
    start: str | None = AFFINE,
) -> Problem:
    """Fresh draws of a law with a known density.

    Args:
        name: of the set.
        kind: ``plane`` or ``picture``.
        law: what is drawn from.
        seed: of the draws.
        rows: for training, validation and test; those of the kind by default.
        start: as of :func:`load_problem`; behind a start map the score is not known.
    """
    train, validation, test = (
        law.sample(count, np.random.default_rng(counter_seed(seed, "benchmark", part)))
        for part, count in zip(PARTS, rows or ROWS[kind], strict=True)
    )
    shift, scale = train.mean(axis=0), train.std(axis=0)

    def standard(values: Array) -> Tensor:
        return torch.from_numpy(((values - shift) / scale).astype(np.float32))

    def score(x: Tensor) -> Tensor:
        return torch.from_numpy(scale * law.score(x.numpy() * scale + shift)).to(x)

    parts = standard(train), standard(validation), standard(test)
    made = Problem(name, kind, *parts, shift, scale, log_density=law.log_prob(test), score=score)
    word = preparation(kind, seed, start).data.standardise
    if word in (AFFINE, "off"):
        return made
    mapping = fit_start(word, at_most((train - shift) / scale, FITTED_ROWS), min(len(train), FITTED_ROWS))
    return started(made, mapping, {"train": train, "validation": validation, "test": test})


def started(made: Problem, mapping: StartMap, rows: Mapping[str, Array]) -> Problem:
    """A problem behind a start map.

    Args:
        made: in standardised units.
        mapping: the map.
        rows: of all parts, data units.
    """
    behind = replace(made, start=mapping, score=None)
    moved = {part: behind.mapped(values) for part, values in rows.items()}
    train, validation, test = (moved[part][0] for part in PARTS)
    log_dets = {part: log_det for part, (_, log_det) in moved.items()}
    return replace(behind, train=train, validation=validation, test=test, log_dets=log_dets)


def table_problem(
    name: str,
    table: Table,
    seed: int,
    *,
    start: str | None = AFFINE,
    fresh: int = 0,
    config: Config | None = None,
) -> Problem:
    """Rows of a table, prepared as those of a chain: dequantised, split, copied, standardised.

    Args:
        name: of the set.
        table: its rows.
        seed: of the dequantisation, the split and the copies.
        start: as of :func:`load_problem`.
        fresh: how many new rows are drawn to judge by, where the set is a generator's.
        config: settings by which it is prepared; those of its group by default.
    """
    held = parse_config({}).data.split
    own = round(len(table.rows) * (1 - held.validation - held.test))
    prepared = prepare(table, config or preparation(group_of("table", own), seed, start))
    train, validation, test = (torch.from_numpy(np.array(prepared.arrays[part])) for part in PARTS)
    log_dets = None
    if prepared.start is not None:
        constant = float(np.log(prepared.scale).sum())
        held_out = (("validation", validation), ("test", test))
        log_dets = {part: prepared.start.log_det_at(rows) - constant for part, rows in held_out}
    return Problem(
        name, "table", train, validation, test, prepared.shift, prepared.scale,
        notes=prepared.notes, grid=prepared.grid, own=len(np.unique(prepared.arrays["train_rows"])),
        start=prepared.start, log_dets=log_dets,
        fresh=drawn(name, fresh, seed, "fresh") if fresh else None,
    )  # fmt: skip


def file_table(settings: Mapping[str, Any]) -> Table:
    """The table that settings of the section ``data`` describe, as the project reads it.

    Raises:
        InputError: it cannot be read.
    """
    config = parse_config({"data": {"source": "file", **settings}})
    return SOURCES["file"](config.data, config.seed)
