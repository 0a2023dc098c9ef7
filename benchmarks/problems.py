"""The rows of a set: the same prepared rows for every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.files import read_table
from benchmarks.generators import GENERATORS, drawn
from benchmarks.laws import PLANE, TUNING_PLANE
from benchmarks.preparation import AFFINE, SAME, Chosen, chosen_for, kept_choice, own_rows, preparation
from benchmarks.presets import group_of, settings_of
from benchmarks.problem import Problem
from benchmarks.sets import SETS, Set, file_of, names
from jko.config import parse_config
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from jko.disk.commit import file_digest
from jko.laws.densities import Array, Density, PictureDensity, rose_picture
from jko.maps.start_fit import FITTED_ROWS, fit_start
from jko.maps.start_map import StartMap
from jko.preparation.prepare import PARTS, prepare
from jko.preparation.table import Table
from tasks.datasets.pictures import is_picture, load_picture
from tasks.datasets.sources import SOURCES

#: rows for training, validation and test of each kind of law
ROWS = {"plane": (50_000, 5_000, 10_000), "picture": (200_000, 5_000, 10_000)}
#: rows drawn anew for a set that a generator makes
FRESH_ROWS = 5000


def load_problem(
    name: str,
    seed: int,
    data: Path | None = None,
    *,
    start: str | None = AFFINE,
    choices: Path | None = None,
) -> Problem:
    """A set by its name, or any picture or table by its path.

    Args:
        name: of a set, or a path.
        seed: of the draws, the split and the dequantisation.
        data: folder of the files that do not come with the project.
        start: how rows are standardised, as ``data.standardise``; :data:`SAME` for the start of ours, and
            ``None`` for what the project's own preset says.
        choices: folder where is kept what the preset left open and trials settled.

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
    table = table_of(known or Set(name, "table", "file"), path, seed)
    chosen = None
    if choices is not None and known is not None:
        chosen = kept_choice(table, seed, data_digest(name, data), choices / f"choice-{name}-{seed}.json")
    return table_problem(name, table, seed, start=start, fresh=_fresh(name), chosen=chosen)


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


def data_digest(name: str, data: Path | None) -> dict[str, Any]:
    """What the rows of a set come from: the digest of its file, where it has one, and what is taken of it.

    Raises:
        InputError: the file is not there.
    """
    path, known = file_of(name, data), SETS.get(name)
    return {
        "file": None if path is None else file_digest(path),
        "set": None if known is None else digest_of([known.file, known.columns, known.places, known.group]),
    }


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
    own = settings_of(kind, {}, seed).data.standardise
    word = own if start is None else AFFINE if own == AFFINE and start == SAME else start
    if word in (AFFINE, SAME, "off"):
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
    chosen: Chosen | None = None,
) -> Problem:
    """Rows of a table, prepared as those of a chain: dequantised, split, copied, standardised.

    Args:
        name: of the set.
        table: its rows.
        seed: of the dequantisation, the split and the copies.
        start: as of :func:`load_problem`.
        fresh: how many new rows are drawn to judge by, where the set is a generator's.
        chosen: what the preset left open; settled here by default.
    """
    chosen = chosen or chosen_for(table, seed)
    group = group_of("table", own_rows(table))
    prepared = prepare(table, preparation(group, chosen, seed, start))
    train, validation, test = (torch.from_numpy(np.array(prepared.arrays[part])) for part in PARTS)
    log_dets = None
    if prepared.start is not None:
        constant = float(np.log(prepared.scale).sum())
        held_out = (("validation", validation), ("test", test))
        log_dets = {part: prepared.start.log_det_at(rows) - constant for part, rows in held_out}
    return Problem(
        name, "table", train, validation, test, prepared.shift, prepared.scale,
        notes=(*prepared.notes, *chosen.notes), grid=prepared.grid, choice_s=chosen.seconds,
        own=len(np.unique(prepared.arrays["train_rows"])),
        start=prepared.start, log_dets=log_dets,
        fresh=drawn(name, fresh, seed, "fresh") if fresh else None,
    )  # fmt: skip


def file_table(settings: Mapping[str, Any]) -> Table:
    """The table that settings of the section ``data`` describe, as the project reads it.

    Raises:
        InputError: it cannot be read.
    """
    config = parse_config({"data": {"source": "file", "kinds": "off", **settings}})
    return SOURCES["file"](config.data, config.seed)
