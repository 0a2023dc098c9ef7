"""How new data fare under a chain that was trained on older ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flows.models import columns_of, open_chain, rows_of
from jko.config import Config
from jko.display import with_error
from jko.errors import InputError
from jko.seeds import counter_seed
from jko.smoothing import ornstein_uhlenbeck
from tasks.adapters.layout import Layout
from tasks.adapters.manifest import read_manifest
from tasks.adapters.store import DataFacts, read_samples
from tasks.datasets.prepare import PARTS
from tasks.datasets.sources import SOURCES
from tasks.datasets.table import Array
from tasks.headline import stored_headline

#: rows that are scored at most
LARGEST = 10_000
#: share of a chain's rows that must differ on their grid for a row to be recognised there
DISTINCT = 0.99


def drift(layout: Layout, config: Config) -> dict[str, float]:
    r"""The mean −log q of new data under the last chain, against that chain's own test NLL.

    .. math:: change = NLL_{new} - NLL_{test}, \quad SE^2 = SE_{new}^2 + SE_{test}^2

    Rows that the chain has seen (in any part of its data) are left out: it knows its training rows by
    heart. So the new rows and the test rows are two independent samples, not paired ones, and the
    standard error is that of a difference of two means; it is right for the chain as it is, and says
    nothing of the chance in its training. If fewer than two rows are new, as in a file that only lost
    rows, there is nothing to compare: only their number is told. Gridded columns are compared on their
    grid if hardly two rows are equal there, else with their noise, which a row has by its place in the file.
    Rows of a smoothed chain (``data.smoothing``) cannot be recognised, so all count, smoothed as the chain's
    own are; ``drift/seen_left_out`` is 0 then.

    Args:
        layout: the last chain, complete and evaluated.
        config: the settings of the new data.

    Returns:
        ``drift/nll``, ``drift/nll_se``, ``drift/test_nll``, ``drift/test_nll_se``, ``drift/change``,
        ``drift/change_se``, nats in data units, ``drift/seen_left_out``, and ``drift/rows``, the new rows;
        with fewer than two of these nothing but the last two.

    Raises:
        InputError: the data cannot be scored under that chain.
    """
    old, chain, facts = open_chain(layout)
    table = SOURCES[config.data.source](columns_of(config.data, facts), old.seed + 1)
    rows = unseen(rows_of(table, facts, old.seed), layout, facts, table.rows[0])
    recognised = {"drift/seen_left_out": 0.0 if facts.smoothing else 1.0}
    if len(rows) < 2:
        return {"drift/rows": float(len(rows)), **recognised}
    if len(rows) > LARGEST:
        draw = np.random.default_rng(counter_seed(old.seed, "drift"))
        rows = rows[np.sort(draw.choice(len(rows), LARGEST, replace=False))]
    if facts.smoothing:
        draw = np.random.default_rng(counter_seed(old.seed, "smoothing", "drift"))
        started = facts.in_start_coordinates(rows)  # a smoothed chain has no context
        rows = facts.in_data_units(ornstein_uhlenbeck(started, facts.smoothing, draw))
    values = -chain.log_prob(torch.from_numpy(rows), seed=old.seed)[0].double().cpu().numpy()
    tested = stored_headline(old, layout, (read_manifest(layout) or {})["fingerprints"])
    if tested is None:
        raise InputError(f"{layout.chain}: it has no test NLL to compare with; run jko resume {layout.chain}")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(f"{table.name}: {bad} of {len(values)} rows have no finite density under the chain")
    return compared(values, tested["test/nll"], tested["test/nll_se"]) | recognised


def words(figures: Mapping[str, float]) -> str:
    """What :func:`drift` found, as part of a sentence; of no figures, that the data cannot be scored."""
    if not figures:
        return "they cannot be scored under the last chain"
    if "drift/change" not in figures:
        count = int(figures["drift/rows"])
        return (
            f"no drift is known: {count or 'none'} of their rows is new to the last chain, and at least "
            "2 are needed"
        )
    change = with_error(figures["drift/change"], figures["drift/change_se"], "+.3g", ".2g")
    all_count = "" if figures["drift/seen_left_out"] else "; rows it has seen count, too: it is smoothed"
    return (
        f"NLL {with_error(figures['drift/nll'], figures['drift/nll_se'], '.4g', '.2g')} nats under the last "
        f"chain, {change} against its own test rows{all_count}"
    )


def compared(values: NDArray[Any], test_nll: float, test_nll_se: float) -> dict[str, float]:
    """The figures of :func:`drift` from −log q of every new row and the chain's test NLL."""
    nll, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    return {
        "drift/nll": nll,
        "drift/nll_se": error,
        "drift/test_nll": test_nll,
        "drift/test_nll_se": test_nll_se,
        "drift/change": nll - test_nll,
        "drift/change_se": math.hypot(error, test_nll_se),
        "drift/rows": float(len(values)),
    }


def unseen(rows: Array, layout: Layout, facts: DataFacts, origin: Array) -> Array:
    """The rows that are in no part of a chain's data.

    Args:
        rows: dequantised, data units, shape (rows, d + c).
        layout: the chain.
        facts: what is known of its data.
        origin: a point of the grid of the gridded columns, data units, shape (d,).
    """
    fingerprint = (read_manifest(layout) or {})["fingerprints"][0]
    seen = np.concatenate([read_samples(layout, 0, fingerprint, part) for part in PARTS])
    standard = facts.in_start_coordinates(rows).astype(np.float32)
    points, known = _on_grid(rows, standard, facts, origin), _on_grid(None, seen, facts, origin)
    if len(np.unique(known)) >= DISTINCT * len(np.unique(_as_bytes(seen))):
        new = ~np.isin(points, known)
    else:
        new = ~np.isin(_as_bytes(standard), _as_bytes(seen))
    return rows[new]


def _on_grid(
    rows: Array | None, standard: NDArray[np.float32], facts: DataFacts, origin: Array
) -> NDArray[Any]:
    """Every row as one value, gridded columns without their noise.

    Args:
        rows: data units; from ``standard`` by default.
        standard: the same, standardised.
        facts: what is known of the chain's data.
        origin: a point of the grid.
    """
    gridded = np.flatnonzero(facts.grid)
    if rows is None:
        rows = facts.in_data_units(standard)
    found = standard.astype(np.float64)  # float32 would not tell large numbers of steps apart
    found[:, gridded] = np.rint((rows[:, gridded] - origin[gridded]) / np.array(facts.grid)[gridded])
    return _as_bytes(found + 0.0)  # -0 is 0


def _as_bytes(rows: NDArray[Any]) -> NDArray[Any]:
    """Every row as one value that can be compared."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
