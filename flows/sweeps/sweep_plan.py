"""What a sweep consists of and how far it is: from options, settings and files; loads nothing heavy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from flows.session import Job, check_input, nothing_to_do
from flows.settings import build_request
from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.disk.identity import source_key
from jko.disk.layout import Layout
from jko.presets import merged, nested
from tasks.adapters.store.plan import find_data, make_plan
from tasks.sweep.axes import Range, Values, combinations, draws, grid_axis, random_axis
from tasks.sweep.cells import Cell, Sweep, described, joined, known_failure, read_sweep
from tasks.sweep.prefixes import Chain, Step, parts_of, plan_steps

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MOST_CELLS = 100_000
#: letters of a name that leave room for what is put behind it
LONGEST = 100
#: what cells can be compared by; less is better in all of them
FIGURES = (
    "test/nll", "test/nll_median", "test/nll_trimmed", "test/gap_to_entropy", "epsilon", "kl_bound",
    "kl_estimate", "inversion_error_chain", "cpu_s",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """The options of ``jko sweep`` that define it.

    Args:
        preset: named settings.
        file: a data file.
        assignments: ``KEY=VALUE`` texts for all cells.
        grid: ``KEY=v1,v2,…`` texts.
        random: ``KEY=lo:hi[:log]`` or ``KEY=v1,v2,…`` texts.
        draws: number of random combinations.
        seeds: every combination is trained with each of them; empty for the seed of the settings.
        sweep_seed: of the random combinations.
        by: the figure that cells are compared by; ``None`` for the stored or usual one.
    """

    preset: str | None = None
    file: str | None = None
    assignments: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    draws: int | None = None
    seeds: tuple[int, ...] = ()
    sweep_seed: int = 0
    by: str | None = None

    @property
    def stored(self) -> bool:
        """Whether nothing is defined, so that a stored definition is meant."""
        base, draws = self.preset or self.file or self.assignments, self.random or self.draws
        return not (base or draws or self.grid or self.seeds)

    def axes(self) -> tuple[Values | Range, ...]:
        """The varied settings.

        Raises:
            InputError: unreadable, named twice, or options that exclude each other.
        """
        if self.grid and self.random:
            raise InputError("--grid and --random exclude each other; give values to --random to choose from")
        if bool(self.random) != (self.draws is not None):
            raise InputError("--random and --draws belong together, as in --random KEY=0.1:1 --draws 20")
        axes = [*(grid_axis(text) for text in self.grid), *(random_axis(text) for text in self.random)]
        keys = [axis.key for axis in axes]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise InputError(f"{twice} is varied twice; give all its values at once")
        if not axes and not self.seeds:
            raise InputError("nothing is varied; give --grid KEY=v1,v2, --random KEY=lo:hi or --seeds 0,1,2")
        return tuple(axes)

    def settings(self) -> Iterator[dict[str, JsonValue]]:
        """The combinations of the varied settings."""
        axes = self.axes()
        if self.random:
            yield from draws(axes, self.draws or 0, self.sweep_seed)
        else:
            yield from combinations([axis for axis in axes if isinstance(axis, Values)])


def sweep_folder(root: Path, name: str) -> Path:
    """Where a sweep lies.

    Raises:
        InputError: the name is no name of a folder.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise InputError(
            f"{shortened(name)} cannot name a sweep; use letters, digits, dots, dashes, underscores"
        )
    return root / ".jko" / "sweeps" / name


def find_sweep(root: Path, folder: Path, name: str, wanted: Wanted) -> tuple[Sweep, str]:
    """The sweep that is asked for: new, stored, or stored and with more cells.

    Returns:
        The sweep and what to say of it.

    Raises:
        InputError: a bad definition, or one that does not go with the stored one.
    """
    old = read_sweep(folder)
    if old is not None and wanted.stored:
        return replace(old, by=wanted.by or old.by), ""
    if old is None and wanted.stored:
        raise InputError(
            f"there is no sweep {name} yet; say what to vary, as in "
            f"jko sweep {name} --grid training.learning_rate=0.001,0.003"
        )
    new = define(root, folder, name, wanted)
    if old is None:
        return new, ""
    both = joined(old, replace(new, by=wanted.by or old.by))
    added, kept = len(both.cells) - len(old.cells), len(old.cells)
    elsewhere = sum(cell.config not in [own.config for own in new.cells] for cell in old.cells)
    if not added and not elsewhere:
        return both, ""
    return both, f"sweep {name}: {added} cells added, {kept} cells of earlier definitions kept"


def define(root: Path, folder: Path, name: str, wanted: Wanted) -> Sweep:
    """A sweep from options; every combination is validated.

    Raises:
        InputError: a bad option or an impossible combination, which is named.
    """
    request = build_request(
        root, preset=wanted.preset, file=wanted.file, assignments=wanted.assignments
    )  # fmt: skip
    axes, base = wanted.axes(), request.config
    sizes = [len(axis.values) for axis in axes if isinstance(axis, Values)]
    count = (wanted.draws or 0 if wanted.random else math.prod(sizes)) * max(1, len(wanted.seeds))
    if count > MOST_CELLS:  # counted before any is made
        raise InputError(f"sweep {name}: {count} combinations; give values for at most {MOST_CELLS}")
    cells = [
        Cell.of(combined(base, {**settings, "seed": seed}))
        for settings in wanted.settings()
        for seed in wanted.seeds or (base.seed,)
    ]
    return Sweep(
        name, folder, base,
        keys=tuple(axis.key for axis in axes),
        logs=tuple(axis.key for axis in axes if axis.log),
        cells=tuple({cell.name: cell for cell in cells}.values()),
        by=wanted.by or FIGURES[0],
    )  # fmt: skip


def combined(base: Config, settings: dict[str, JsonValue]) -> Config:
    """The settings of one cell."""
    values: dict[str, Any] = base.model_dump(mode="json")
    for key, value in settings.items():
        values = merged(values, nested(key, value))
    return parse_config(values, where=f"combination {described(settings)}")


@dataclass(frozen=True)
class Standing:
    """How far a cell is.

    Args:
        cell: the cell.
        chain: its parts and how many are committed.
        source_key: identity of its data.
        failure: the sentence of a numerical failure that would come again; empty if there is none.
    """

    cell: Cell
    chain: Chain
    source_key: str
    failure: str = ""


def cell_job(sweep: Sweep, cell: Cell, root: Path) -> Job:
    """The job that trains a cell."""
    return Job(
        f"{sweep.name}-{cell.name}", cell.config, sweep.layout(cell.name), root, f"jko sweep {sweep.name}",
        tags={"jko.sweep": sweep.name, "jko.sweep_cell": cell.name},
    )  # fmt: skip


def step_job(sweep: Sweep, name: str, root: Path, *, stop_after: int | None, source: str | None) -> Job:
    """The job of one step: a cell, or its first blocks, with what another cell has of them.

    Args:
        sweep: the sweep.
        name: of the cell.
        root: the project's folder.
        stop_after: the last block to train; 0 and ``None`` train none and all.
        source: the cell to take blocks from; one that has no data yet is left out.
    """
    job = cell_job(sweep, sweep.cell(name), root)
    other = None if source is None else sweep.layout(source)
    if other is not None and find_data(other, source_key(job.config)) is None:
        other = None
    return replace(job, stop_after=stop_after or None, source=other)


def survey(sweep: Sweep, root: Path, *, retry: bool = False) -> list[Standing]:
    """How far every cell is, from files.

    Args:
        sweep: the sweep.
        root: the project's folder.
        retry: do not count numerical failures.
    """
    keys: dict[str, str] = {}
    found = []
    for cell in sweep.cells:
        data = f"{cell.config.data!r} {cell.config.seed}"
        key = keys.get(data) or keys.setdefault(data, source_key(cell.config))
        failure = "" if retry else known_failure(sweep, cell, key) or ""
        found.append(Standing(cell, chain_of(sweep, cell, root, key, failed=bool(failure)), key, failure))
    return found


def chain_of(sweep: Sweep, cell: Cell, root: Path, key: str, *, failed: bool = False) -> Chain:
    """What the planner needs to know of a cell; a failed one gives what it has and gets nothing."""
    parts, stop = parts_of(cell.config, key), cell.config.stop
    limits = (stop.certificate or 0.0, stop.movement or 0.0)
    have, ended, finished = 0, failed, failed
    layout = sweep.layout(cell.name)
    if layout.chain.exists():
        plan = make_plan(cell.config, layout)
        done = [block.state == "done" for block in plan.blocks]
        have = done.index(False) if False in done else len(done)
        ended = failed or bool(plan.stopped)
        finished = failed or nothing_to_do(cell_job(sweep, cell, root), plan) is not None
    return Chain(cell.name, parts[:have] if ended else parts, have, finished, limits)


def steps_of(standings: Sequence[Standing], jobs: int) -> list[Step]:
    """The processes that bring all cells up, given how many run side by side."""
    return plan_steps([standing.chain for standing in standings], split=jobs > 1)


def check_cells(sweep: Sweep, root: Path, standings: Sequence[Standing]) -> None:
    """Refuse bad data before anything is trained; each kind of data is looked at once.

    Raises:
        InputError: the data of a cell cannot be used; the cell is named.
    """
    seen = set()
    for standing in standings:
        if standing.chain.have or standing.chain.finished or standing.source_key in seen:
            continue
        seen.add(standing.source_key)
        job = cell_job(sweep, standing.cell, root)
        try:
            check_input(job, make_plan(job.config, Layout(job.layout.chain)))
        except InputError as error:
            raise InputError(f"combination {sweep.label(standing.cell)}: {error}") from None
