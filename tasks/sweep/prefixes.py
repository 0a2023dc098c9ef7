"""Which cells of a sweep share their first blocks, and who trains them: a tree, walked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jko.config import NUMERICS, Config
from jko.core.digest import digest_of
from jko.disk.identity import block_settings


@dataclass(frozen=True)
class Chain:
    """What the planner knows of a cell.

    Args:
        name: of the cell.
        parts: identities of the data and of blocks 1..N; cells with equal leading parts share these.
            Of a chain that a stop rule has ended they end with it.
        have: how many leading parts are committed already.
        finished: nothing is to be done for it.
        limits: of its stop rules, 0 where there is none; the larger, the earlier they may end it.
    """

    name: str
    parts: tuple[str, ...]
    have: int = 0
    finished: bool = False
    limits: tuple[float, ...] = ()


@dataclass(frozen=True)
class Step:
    """One process of a sweep: a cell brought up to its end or up to a block.

    Args:
        cell: the cell's name.
        stop_after: the last block to train, 0 for the data alone; ``None`` for the whole cell.
        source: a cell whose committed blocks are taken first.
        shared: how many leading parts the source and this cell have in common.
        after: the step that must have ended before; ``None`` if it can begin at once.
    """

    cell: str
    stop_after: int | None = None
    source: str | None = None
    shared: int = 0
    after: str | None = None

    @property
    def name(self) -> str:
        """Unique in a sweep, readable in Prefect."""
        if self.stop_after is None:
            return self.cell
        return f"{self.cell}, data" if self.stop_after == 0 else f"{self.cell}, blocks 1..{self.stop_after}"


def parts_of(config: Config, source_key: str) -> tuple[str, ...]:
    """Identities of a chain's data and blocks, each without those before it.

    Args:
        config: the settings.
        source_key: of the data, by :func:`tasks.adapters.store.plan.source_key`.
    """
    blocks = [block_settings(config, k) for k in range(1, len(config.step_sizes) + 1)]
    return (source_key, *(digest_of({"block": own, "numerics": NUMERICS}) for own in blocks))


def plan_steps(chains: Sequence[Chain], *, split: bool) -> list[Step]:
    """The steps of a sweep, each after the one it waits for.

    Cells with equal leading parts have one of them train these parts; the others take them. That one
    is the cell that has most of them already, then the one that no stop rule ends early, then the first.

    Args:
        chains: the cells, in the order wanted.
        split: shared parts get a step of their own, so that what follows can run side by side; else
            the cell that trains them is trained to its end first, which saves starts of processes.
    """
    steps: list[Step] = []
    for group in _grouped(chains, 0):
        _visit(group, None, 0, None, split=split, steps=steps)
    return steps


def _visit(
    group: Sequence[Chain], source: str | None, shared: int, after: str | None,
    *, split: bool, steps: list[Step],
) -> None:  # fmt: skip
    """Add the steps of cells that agree in ``shared`` leading parts, which ``source`` has after ``after``."""
    lead = min(group, key=lambda chain: (-chain.have, chain.limits))  # the first of equal ones

    def step(name: str, stop_after: int | None = None) -> Step:
        if source is None or source == name:
            return Step(name, stop_after, None, 0, after)
        return Step(name, stop_after, source, shared, after)

    if len(group) == 1:
        if not lead.finished:
            steps.append(step(lead.name))
        return
    common = _common(group)
    missing = lead.have < common
    if missing and split:
        steps.append(step(lead.name, common - 1))
        after = steps[-1].name
    branches = sorted(_grouped(group, common), key=lambda branch: lead not in branch)
    if missing and not split:
        _visit(branches[0], source, shared, after, split=split, steps=steps)
        after = lead.name
        branches = branches[1:]
    elif not missing:
        after = None
    for branch in branches:
        _visit(branch, lead.name, common, after, split=split, steps=steps)


def _common(group: Sequence[Chain]) -> int:
    """How many leading parts all cells have in common."""
    columns = zip(*(chain.parts for chain in group), strict=False)
    count = 0
    for column in columns:
        if len(set(column)) > 1:
            break
        count += 1
    return count


def _grouped(chains: Sequence[Chain], place: int) -> list[list[Chain]]:
    """Cells by their part at a place, in order of appearance; one that ends before it is on its own."""
    groups: dict[str, list[Chain]] = {}
    for chain in chains:
        key = chain.parts[place] if place < len(chain.parts) else f"ends {chain.name}"
        groups.setdefault(key, []).append(chain)
    return list(groups.values())
