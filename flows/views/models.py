"""Use of a trained chain: draw samples; what rows it takes and where tables are written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from jko.build import start_law
from jko.chain.chain import Chain
from jko.chain.sampling import draw
from jko.columns.outside import told_outside
from jko.config import Config
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.core.seeds import counter_seed
from jko.disk.durable import replacing
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.given import LARGEST, Form
from jko.preparation.context import asked_columns, context_of, given_context
from jko.preparation.facts import DataFacts
from jko.preparation.prepare import dequantise
from jko.preparation.table import Array, Table
from tasks.adapters.store.arrays import read_some
from tasks.adapters.store.chains import load_chain
from tasks.adapters.system.output import csv_text
from tasks.adapters.system.spreadsheets import check_package, spreadsheet
from tasks.datasets.contexts import context_table
from tasks.datasets.kinds import has_names

WRITERS = (".csv", ".npy", ".parquet", ".feather", ".xlsx")


def open_chain(layout: Layout) -> tuple[Config, Chain, DataFacts]:
    """A complete chain from its folder, on its device if that is there, else on the CPU.

    Raises:
        InputError: no chain there, or blocks are missing.
    """
    config = stored_config(layout)
    fingerprints = required_manifest(layout).fingerprints
    torch.set_num_threads(config.runtime.threads)
    return config, load_chain(layout, config, fingerprints), read_facts(layout, fingerprints[0])


def draw_samples(
    layout: Layout,
    rows: int,
    seed: int,
    output: Path,
    *,
    given: Sequence[str] = (),
    raw: bool = False,
) -> str:
    """Write samples of a chain's model as rows of its table: in its columns, types, levels and grids.

    Those of a conditional chain have their context beside them, in the columns that ``jko score`` wants.

    Args:
        layout: the chain.
        rows: how many.
        seed: of the draws.
        output: the file.
        given: the context of all samples, as ``class=3``; contexts of training rows by default.
        raw: whether the chain's own numbers are written, data units, one column per dimension: neither led
            back to grids, nor to cells of other kinds.

    Returns:
        A sentence on what is outside the range of the training rows; empty where columns have no kinds.

    Raises:
        InputError: a context that the chain has not, or no place to write.
    """
    check_output(output)
    config, chain, facts = open_chain(layout)
    plain = facts.kinds is None or raw
    if not plain:
        check_numbers(_as_cells(np.zeros((1, facts.dim)), facts), output)
    law = start_law(config)
    context = sampled_contexts(layout, facts, rows, seed, given=given)
    if law is not None:
        drawn = draw(chain, law, rows, seed=seed).y
    else:
        drawn = chain.sample(rows, context=None if context is None else torch.from_numpy(context), seed=seed)
    values = drawn.double().cpu().numpy()
    frame = _as_numbers(values, facts, output, raw=raw) if plain else _as_cells(values, facts)
    said = "" if plain or facts.kinds is None else told_outside(facts.kinds, facts.kinds.decode(values))
    if context is not None:
        shown = context if given else true_digits(context, facts)
        frame = frame.join(context_table(shown, facts.context_columns))
    write_table(frame, output)
    return said


def _as_numbers(values: Array, facts: DataFacts, output: Path, *, raw: bool) -> pd.DataFrame:
    """Samples in columns of plain numbers; integers where whole grids are led back to."""
    frame = pd.DataFrame(values if raw else facts.on_grid(values), columns=list(facts.columns))
    if raw or output.suffix.lower() == ".npy":  # which has one type for all columns
        return frame
    whole = [name for name in facts.whole_columns if (frame[name].abs() < LARGEST).all()]
    return frame.astype(dict.fromkeys(whole, np.int64))


def _as_cells(values: Array, facts: DataFacts) -> pd.DataFrame:
    """Samples in the table's own columns, of its types."""
    assert facts.kinds is not None
    cells = facts.kinds.decode(values)
    return pd.DataFrame(Form("frame").cells(cells, facts.dtypes, facts.kinds))


def check_numbers(frame: pd.DataFrame, output: Path) -> None:
    """Refuse text for a file of plain numbers.

    Raises:
        InputError: a column holds something else than numbers.
    """
    other = [name for name, kind in frame.dtypes.items() if getattr(kind, "kind", "O") not in "biuf"]
    if other and output.suffix.lower() == ".npy":
        raise InputError(
            f"-o {output}: column {other[0]!r} holds no numbers, and .npy holds nothing else; give a .csv or "
            ".parquet, or --raw"
        )


def sampled_contexts(
    layout: Layout, facts: DataFacts, rows: int, seed: int, *, given: Sequence[str]
) -> Array | None:
    """Contexts of samples, shape (rows, c), data units: one for all, or those of random training rows.

    Raises:
        InputError: words that name no context of the chain.
    """
    if given:
        return np.tile(given_context(given, facts.context_columns), (rows, 1))
    if not facts.context:
        return None
    fingerprint = required_manifest(layout).fingerprints[0]
    count = facts.rows["source"]
    stored = read_some(layout, 0, fingerprint, "train", slice(0, count))[:, facts.dim :].astype(float)
    chosen = np.random.default_rng(counter_seed(seed, "contexts")).integers(count, size=rows)
    return stored[chosen] * np.array(facts.context_scale) + np.array(facts.context_shift)


def true_digits(contexts: Array, facts: DataFacts) -> Array:
    """Contexts of training rows without the digits that single precision made, data units, (rows, c).

    They are stored standardised, so that a dose of 1 comes back as .99999999: six decimals of what a column
    is measured by are true.
    """
    size = np.maximum(np.abs(facts.context_scale), np.abs(facts.context_shift))
    unit = 10.0 ** (6 - np.floor(np.log10(size)))
    return np.round(contexts * unit) / unit + 0.0  # no −0


def columns_of(settings: Data, facts: DataFacts) -> Data:
    """The settings of other data with the columns that a chain was trained on, where they have names.

    An array holds the columns of the state, then those of the context.
    """
    if settings.file is None:
        return settings.model_copy(update={"columns": None})
    asked = asked_columns(facts.context_columns)
    named = has_names(settings.file)
    if not named:
        asked = tuple(f"x{facts.dim + i}" for i in range(len(asked)))
    return settings.model_copy(update={"columns": facts.names if named else None, "context": asked or None})


def rows_of(table: Table, facts: DataFacts, seed: int) -> Array:
    """The rows of a table as a chain takes them, dequantised as its own by their place, data units.

    Returns:
        Shape (rows, d + c), with the context where the chain has one.

    Raises:
        InputError: the table has another number of columns, or a class that the chain has not.
    """
    rows = plain_rows(table, facts)
    rows[:, : facts.dim] = dequantise(rows[:, : facts.dim], np.array(facts.grid), seed)
    return rows


def plain_rows(table: Table, facts: DataFacts) -> Array:
    """The rows of a table as they stand there, checked against what a chain takes, data units.

    Returns:
        Shape (rows, d + c), with the context where the chain has one.

    Raises:
        InputError: the table has another number of columns, or a class that the chain has not.
    """
    if table.rows.shape[1] != facts.dim:
        raise InputError(f"{table.name}: {table.rows.shape[1]} columns; the chain has {facts.dim}")
    context = context_of(table, facts.context_columns)
    if context.shape[1] != facts.context:
        raise InputError(
            f"{table.name}: a context of {context.shape[1]} columns; the chain has {facts.context} "
            f"({', '.join(asked_columns(facts.context_columns)) or 'it is not conditional'})"
        )
    return np.concatenate([table.rows, context], axis=1)


def check_output(path: Path) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    if path.suffix.lower() not in WRITERS:
        raise InputError(
            f"-o {path}: files of kind {path.suffix!r} are not written; allowed: {', '.join(WRITERS)}"
        )
    try:
        if path.suffix.lower() == ".xlsx":
            check_package()
    except InputError as error:
        raise InputError(f"-o {path}: {error}") from None
    try:
        check_place(path)
    except OSError as error:
        raise InputError(f"-o {path}: cannot be written ({error.strerror})") from None


def check_place(path: Path) -> None:
    """Refuse a place where no file can be made.

    Raises:
        InputError: a folder or a device is there, or there is no folder to write in.
        OSError: the path is none for the file system.
    """
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"-o {path}: this is a folder; name a file")
    if path.exists() and not path.is_file():
        raise InputError(f"-o {path}: this is no ordinary file; name another one")
    if not folder.is_dir():
        raise InputError(f"-o {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"-o {path}: the folder {folder} may not be written")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in one step; in a CSV or spreadsheet nothing begins as a formula does."""
    kind = path.suffix.lower()
    try:
        content = spreadsheet(frame) if kind == ".xlsx" else b""
    except InputError as error:
        raise InputError(f"-o {path}: {error}") from None
    try:
        with replacing(path) as stream:
            if kind == ".csv":
                stream.write(csv_text(frame).encode())
            elif kind == ".npy":
                np.save(stream, _as_array(frame), allow_pickle=False)
            elif kind == ".feather":
                frame.to_feather(stream)
            elif kind == ".xlsx":
                stream.write(content)
            else:
                frame.to_parquet(stream, index=False)
    except OSError as error:
        raise InputError(f"-o {path}: cannot be written ({error.strerror})") from None


def _as_array(frame: pd.DataFrame) -> Array:
    """The numbers of a table in one type; an empty cell is NaN."""
    found: Array = frame.to_numpy()
    return found if found.dtype.kind in "biuf" else frame.to_numpy(dtype=float, na_value=np.nan)
