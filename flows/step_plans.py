"""Planned steps for data, and chains that go on from a finished one with other steps."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from flows.places import new_chain_at
from jko.config import Config, parse_config
from jko.config.sections import SMALLEST_STEP
from jko.core.errors import ChainInUseError, InputError
from jko.disk.layout import Layout
from jko.disk.manifest import read_manifest, stored_config
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.lock import is_held
from tasks.adapters.store.plan import make_plan, planned, stored_figures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from flows.views.compare import Compared

Change = Literal["refine", "reparametrise"]


@dataclass(frozen=True)
class Changed:
    """A chain wanted from a finished one.

    Args:
        config: its settings: new steps, everything else as it was.
        old: step sizes of the finished chain.
        sources: for every new block the old block, 1..N, that it starts from.
        files: the weights that blocks 1, 2, … start from.
    """

    config: Config
    old: tuple[float, ...]
    sources: tuple[int, ...]
    files: tuple[bytes, ...]


class Wanted(TypedDict):
    """What is wanted of fitted steps, see :func:`jko.training.step_plan.fitted`."""

    count: int | None
    ratio: float
    maximum: float
    tolerance: float
    shape: Literal["any", "gaussian"]


class FittedStep(TypedDict):
    """A step: the time after it, and how wide a noise it blurs."""

    index: int
    step_size: float
    time: float
    blurs: float


class FittedPlan(TypedDict):
    """Fitted steps, as ``jko steps --json`` prints them; ``set`` gives them to jko train."""

    rows: int
    dim: int
    nearest: float
    dimension: float
    width: float
    time: float
    remainder: float
    steps: list[FittedStep]
    set: str


def fitted_plan(config: Config, **wanted: Unpack[Wanted]) -> FittedPlan:
    """Step sizes fitted to the training rows of some settings.

    Args:
        config: says which rows, and how they are prepared.
        wanted: number, growth, size and shape of the steps.

    Raises:
        InputError: the data cannot be used, or show no scale.
    """
    import numpy as np

    from jko.training.step_plan import fitted

    rows = training_rows(config)
    try:
        plan = fitted(rows, seed=config.seed, **wanted)
    except ValueError as error:
        raise InputError(f"no plan can be fitted: {error}") from None
    sizes = [float(f"{size:.4g}") for size in plan.sizes]
    ends = np.cumsum(np.log1p(sizes))
    words = ["--set", f"steps.sizes=[{','.join(map(str, sizes))}]", "--set", "steps.count=null"]
    return {
        "rows": len(rows),
        "dim": rows.shape[1],
        "nearest": plan.neighbours.distance,
        "dimension": plan.neighbours.dimension,
        "width": plan.neighbours.width,
        "time": plan.time,
        "remainder": plan.remainder,
        "steps": [
            {"index": k, "step_size": size, "time": float(end), "blurs": float(np.sqrt(-np.expm1(-2 * end)))}
            for k, (size, end) in enumerate(zip(sizes, ends, strict=True), start=1)
        ],
        "set": shlex.join(words),
    }


def training_rows(config: Config) -> NDArray[np.float64]:
    """The training rows without smoothed copies and context, standardised units, shape (rows, d).

    Raises:
        InputError: the data cannot be used.
    """
    import numpy as np

    from jko.disk.identity import source_key
    from jko.preparation.prepare import prepare
    from tasks.datasets.sources import SOURCES

    source_key(config)  # refuses a file that is not there
    table = SOURCES[config.data.source](config.data, config.seed)
    prepared = prepare(table, config)
    originals = len(np.unique(prepared.arrays["train_rows"]))
    return prepared.arrays["train"][:originals, : len(table.columns)].astype(float)


def changed_chain(change: Change, parent: Layout, layout: Layout) -> Changed:
    """The chain that a finished one becomes with other steps.

    Args:
        change: ``refine``: every step as two; ``reparametrise``: steps of equal movement.
        parent: the finished chain.
        layout: where the new one shall be.

    Raises:
        InputError: the chain is not finished or not measured, or the place is taken.
        ChainInUseError: a run works on the finished chain.
    """
    if parent.chain.resolve() == layout.chain.resolve():
        raise InputError(f"{layout.chain} is the chain itself; give the new one another folder by --chain")
    config = stored_config(parent)
    chain = finished_blocks(config, parent)
    old = config.step_sizes[: len(chain) - 1]
    if math.isinf(old[-1]):
        raise InputError(
            f"{parent.chain} ends with a free block, which has no step size to plan; "
            "train it without (steps.free = off) first"
        )
    sizes = CHANGES[change](config, parent, chain, old)
    if min(sizes) < SMALLEST_STEP:
        raise InputError(
            f"{parent.chain}: a step of {min(sizes):.3g} would come of it; the smallest is {SMALLEST_STEP:g}"
        )
    found = _started(config, parent, chain, sizes=sizes, old=old)
    before = read_manifest(layout)
    if before is not None and parse_config(before.config) != found.config:
        raise InputError(f"{layout.chain} holds a chain of other settings; name a new folder by --chain")
    return found


def finished_blocks(config: Config, layout: Layout) -> tuple[str, ...]:
    """Fingerprints of blocks 0..N of a chain, all of them committed.

    Raises:
        InputError: one is missing.
        ChainInUseError: a run works on it.
    """
    if is_held(layout):
        raise ChainInUseError(f"{layout.chain} is in use by a run; wait until it has ended, or stop it")
    plan = make_plan(config, layout, verify=True)
    if not plan.complete or plan.data_digest is None:
        first = plan.missing[0]
        name = f"block {first.index}" if first.index else "the data"
        raise InputError(
            f"{layout.chain} is not complete: {name} missing ({first.reason}); run jko resume {layout.chain}"
        )
    return planned(config, layout, plan.data_digest)[0]


def _halved(
    config: Config, parent: Layout, chain: tuple[str, ...], old: tuple[float, ...]
) -> tuple[float, ...]:
    from jko.training.step_plan import refined

    return refined(old)


def _evened(
    config: Config, parent: Layout, chain: tuple[str, ...], old: tuple[float, ...]
) -> tuple[float, ...]:
    from jko.training.step_plan import reparametrised

    movements = []
    for k in range(1, len(chain)):
        figures = stored_figures(ChainStore(config, parent, chain), k)
        if figures is None:
            raise InputError(
                f"{parent.chain}: block {k} is not measured under its settings; run jko resume {parent.chain}"
            )
        # test rows choose no step size
        own = figures.movement_validation
        movements.append(figures.movement if own is None else own)
    try:
        return reparametrised(old, movements)
    except ValueError:
        still = next(k for k, moved in enumerate(movements, start=1) if not moved > 0)
        raise InputError(
            f"{parent.chain}: block {still} moves nothing, so equal movement says nothing of its step"
        ) from None


CHANGES: dict[Change, Callable[..., tuple[float, ...]]] = {"refine": _halved, "reparametrise": _evened}


def _started(
    config: Config,
    parent: Layout,
    chain: tuple[str, ...],
    *,
    sizes: tuple[float, ...],
    old: tuple[float, ...],
) -> Changed:
    """New steps, each with the settings and the slowed weights of the old step that holds it."""
    from math import log1p

    from jko.training.step_plan import holders
    from tasks.adapters.system.start_slowed import StartingPoint, digests_of, slowed_weights

    sources = [source + 1 for source in holders(old, sizes)]
    points = [
        StartingPoint(source, log1p(size) / log1p(old[source - 1]))
        for source, size in zip(sources, sizes, strict=True)
    ]
    files = slowed_weights(config, parent, chain, points)
    values = config.model_dump(mode="json")
    values["steps"] |= {"sizes": list(sizes), "count": None}
    values["blocks"] = _overrides(config, sources)
    values["start"] = {"weights": list(digests_of(files))}
    return Changed(parse_config(values), old, tuple(sources), tuple(files))


def _overrides(config: Config, sources: Sequence[int]) -> dict[int, dict[str, JsonValue]]:
    """The blocks' own settings, beside their step sizes, under their new numbers."""
    own = {
        k: config.blocks[source].model_dump(mode="json", exclude_none=True, exclude={"step_size"})
        for k, source in enumerate(sources, start=1)
        if source in config.blocks
    }
    return {k: settings for k, settings in own.items() if settings}


def compared_json(done: Compared, parent: Layout, layout: Layout, found: Changed) -> dict[str, object]:
    """A changed chain and its comparison with the finished one, for scripts."""
    from flows.views.compare import as_json
    from flows.views.status import chain_status

    return {
        "parent": {"chain": str(parent.chain), "step_sizes": list(found.old)},
        "chain": {"chain": str(layout.chain), "step_sizes": list(found.config.step_sizes)},
        "sources": list(found.sources),
        "status": chain_status(layout),
        "comparison": as_json(done),
    }


def keep_start_of(found: Changed, layout: Layout, command: str) -> None:
    """Put the weights to start from where training reads them; no one else may work there meanwhile."""
    from tasks.adapters.store.lock import chain_lock
    from tasks.adapters.system.start_slowed import keep_start

    with chain_lock(layout, command):
        keep_start(layout, found.files)


def place_of(chain: Path, root: Path) -> Layout:
    """The layout of the folder for a new chain.

    Raises:
        InputError: it is the chain that DVC owns, whose settings are those of params.yaml.
    """
    layout = new_chain_at(chain, root)
    if layout.owned_by_dvc:
        raise InputError(f"{chain} is the chain of params.yaml; give the new one another folder by --chain")
    return layout
