"""How new data fare under a chain that was trained on older ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from flows.scheduling.drifted import Drift, Rows, compared, words
from flows.views.models import columns_of, open_chain, rows_of
from jko.chain.kinds import fixed_rows
from jko.columns.schema import Schema
from jko.config import Config
from jko.core.errors import InputError
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from jko.disk.identity import evaluation_fingerprint
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from jko.laws.smoothing import ornstein_uhlenbeck
from jko.preparation.facts import DataFacts
from jko.preparation.known_rows import known_rows
from jko.preparation.prepare import PARTS
from jko.preparation.table import Array, Marks
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import chain_digest
from tasks.adapters.store.evaluated import TEST_ROWS, evaluation_files
from tasks.datasets.sources import SOURCES
from tasks.datasets.whole import load_whole

#: rows that are scored at most
LARGEST = 10_000
#: decimals by which directions without their noise are compared
PLACES = 4
#: share of a chain's rows that must differ on their grid for a row to be recognised there
DISTINCT = 0.99


def drift(layout: Layout, config: Config) -> Drift:
    r"""New data under the last chain: their columns against its own rows, their −log q against its test rows.

    The alarm is decided by ranks, so no row far out can raise it or hide it: every column, and −log q as one
    more, has tests (:func:`jko.statistics.shift.shifts`) of new rows against the chain's own rows (against
    its test rows for −log q, since it knows the others by heart), with a probability of at most
    :data:`jko.statistics.shift.LEVEL` of any false alarm. Beside it stand medians, trimmed means and means
    of −log q,

    .. math:: change = NLL_{new} - NLL_{test}, \quad SE^2 = SE_{new}^2 + SE_{test}^2

    Rows that the chain has seen (in any part of its data) are left out, so the new rows and the others are
    independent samples, not paired ones; the errors are right for the chain as it is, and
    say nothing of the chance in its training. If fewer than two rows are new, as in a file that only lost
    rows, there is nothing to compare: only their number is told. Gridded columns are compared on their
    grid if hardly two rows are equal there, else with their noise, which a row has by its place in the file.
    Rows of a smoothed chain (``data.smoothing``) cannot be recognised, so all count, smoothed as the chain's
    own are; ``drift/seen_left_out`` is 0 then.

    Args:
        layout: the last chain, complete and evaluated.
        config: the settings of the new data.

    Returns:
        The figures of :func:`compared`, ``drift/seen_left_out``, and ``drift/rows``, the new rows; with fewer
        than two of these nothing but the last two.

    Raises:
        InputError: the data cannot be scored under that chain.
    """
    old, chain, facts = open_chain(layout)
    rows, name, origin = _chains_rows(config, old, facts)
    numbers = np.flatnonzero(unseen(rows, layout, facts, origin))
    recognised = {"drift/seen_left_out": 0.0 if facts.smoothing else 1.0}
    if len(numbers) < 2:
        found = {"drift/rows": float(len(numbers)), **recognised}
        return Drift(found, words(found))
    if len(numbers) > LARGEST:
        draw = np.random.default_rng(counter_seed(old.seed, "drift"))
        numbers = np.sort(draw.choice(numbers, LARGEST, replace=False))
    rows = rows[numbers]
    if facts.smoothing:
        draw = np.random.default_rng(counter_seed(old.seed, "smoothing", "drift"))
        started = facts.in_start_coordinates(rows)  # a smoothed chain has no context
        rows = facts.in_data_units(ornstein_uhlenbeck(started, facts.smoothing, draw))
    scores = -chain.log_prob(torch.from_numpy(rows), seed=old.seed)[0].double().cpu().numpy()
    scores = scores - facts.kinds_log_det(rows)
    tested = scored_rows(old, layout)
    if tested is None:
        raise InputError(f"{layout.chain}: it has no test NLL to compare with; run jko resume {layout.chain}")
    if np.isfinite(scores).sum() < 2:
        bad = int((~np.isfinite(scores)).sum())
        raise InputError(f"{name}: {bad} of {len(scores)} rows have no finite density under the chain")
    names = (*facts.columns, *facts.context_columns)
    new = Rows(numbers, scores, facts.in_data_units(as_stored(rows, facts)))
    return compared(new, Rows(*tested, own_rows(layout, facts)), names, recognised)


def _chains_rows(config: Config, old: Config, facts: DataFacts) -> tuple[Array, str, Array]:
    """New rows as a chain takes them, data units; what they are called, and a point of their grid.

    Of columns with kinds the kinds are those of the chain, and rows that do not fit them are left out.

    Raises:
        InputError: the data cannot be scored under that chain.
    """
    data = columns_of(config.data, facts)
    if facts.kinds is None:
        table = SOURCES[data.source](data.model_copy(update={"kinds": "off"}), old.seed + 1)
        return rows_of(table, facts, old.seed), table.name, table.rows[0]
    known = known_rows(load_whole(data, Marks(*facts.marks) if facts.marks else None), facts.kinds)
    given = np.flatnonzero(~known.empty)  # the noise of a row goes by its place among those without holes
    cells = {name: values[given] for name, values in known.cells.items()}
    beside = np.empty((len(given), 0)) if known.whole.context is None else known.whole.context[given]
    rows = np.concatenate([facts.kinds.encode(cells, old.seed).values, beside], axis=1)[known.usable[given]]
    if not len(rows):
        raise InputError(f"{known.whole.place}: no row fits the kinds of the chain's columns: {known.why}")
    return rows, known.whole.name, np.zeros(facts.dim)


def scored_rows(config: Config, layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Numbers and −log q of a chain's test rows, as its evaluation keeps them; ``None`` without one.

    Args:
        config: the chain's settings.
        layout: the chain.
    """
    chain = required_manifest(layout).fingerprints
    folder = evaluation_files(layout, evaluation_fingerprint(config, chain_digest(layout, chain) or ""))
    if folder is None:
        return None
    rows = pd.read_parquet(folder / TEST_ROWS, columns=["row", "log_density"])
    return rows["row"].to_numpy(), -rows["log_density"].to_numpy(dtype=float)


def own_rows(layout: Layout, facts: DataFacts) -> Array:
    """Rows of all parts of a chain's data without copies, data units, at most :data:`LARGEST`."""
    fingerprint = required_manifest(layout).fingerprints[0]
    most = {"train": facts.rows["source"]}
    parts = [read_samples(layout, 0, fingerprint, part, most.get(part)) for part in PARTS]
    return facts.in_data_units(at_most(np.concatenate(parts), LARGEST))


def as_stored(rows: Array, facts: DataFacts) -> NDArray[np.float32]:
    """Rows as a chain keeps them, rounded as they are: equal values stay equal to its own."""
    return facts.in_start_coordinates(rows).astype(np.float32)


def unseen(rows: Array, layout: Layout, facts: DataFacts, origin: Array) -> NDArray[np.bool_]:
    """Which rows are in no part of a chain's data, shape (rows,).

    Args:
        rows: dequantised, data units, shape (rows, d + c).
        layout: the chain.
        facts: what is known of its data.
        origin: a point of the grid of the gridded columns, data units, shape (d,).
    """
    fingerprint = required_manifest(layout).fingerprints[0]
    seen = np.concatenate([read_samples(layout, 0, fingerprint, part) for part in PARTS])
    standard = as_stored(rows, facts)
    points, known = _on_grid(rows, standard, facts, origin), _on_grid(None, seen, facts, origin)
    if len(np.unique(known)) >= DISTINCT * len(np.unique(_as_bytes(seen))):
        return ~np.isin(points, known)
    return ~np.isin(_as_bytes(standard), _as_bytes(seen))


def _on_grid(
    rows: Array | None, standard: NDArray[np.float32], facts: DataFacts, origin: Array
) -> NDArray[np.generic]:
    """Every row as one value, gridded columns without their noise.

    Args:
        rows: data units; from ``standard`` by default.
        standard: the same, standardised.
        facts: what is known of the chain's data.
        origin: a point of the grid.
    """
    if facts.kinds is not None:
        return _by_cells(standard, facts, facts.kinds)
    gridded = np.flatnonzero(facts.grid)
    if rows is None:
        rows = facts.in_data_units(standard)
    found = standard.astype(np.float64)  # float32 would not tell large numbers of steps apart
    found[:, gridded] = np.rint((rows[:, gridded] - origin[gridded]) / np.array(facts.grid)[gridded])
    return _as_bytes(found + 0.0)  # -0 is 0


def _by_cells(standard: NDArray[np.float32], facts: DataFacts, kinds: Schema) -> NDArray[np.generic]:
    """Every row as one value, cells that got noise without it."""
    cells = kinds.decode(facts.in_data_units(standard)[:, : facts.dim])
    noisy = np.array([column.exactness == "bound" for column in kinds.kept for _ in column.parts])
    found = standard.astype(np.float64)
    found[:, : facts.dim] = np.where(noisy, np.round(fixed_rows(kinds, cells), PLACES), found[:, : facts.dim])
    return _as_bytes(found + 0.0)


def _as_bytes(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Every row as one value that can be compared."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
