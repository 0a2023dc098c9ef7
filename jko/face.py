"""``fit`` and ``load``: from rows to a flow, and from a folder to a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from jko.chain.defence import Defence
from jko.config import Config, parse_config
from jko.core.device import readable_here
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.disk.chains import load_chain
from jko.disk.facts import read_facts
from jko.disk.flows import FlowFolder
from jko.disk.layout import Layout
from jko.disk.lock import writing
from jko.disk.manifest import read_manifest, stored_config
from jko.disk.weights import chain_of
from jko.flow import Flow
from jko.given import Form, is_frame, taken
from jko.preparation.context import conditioned
from jko.preparation.facts import array_digest
from jko.preparation.made import MadeRows, made_rows
from jko.preparation.table import Table
from jko.presets import merged, nested, read_preset
from jko.training.chain_trainer import KeepsNothing, TrainedBlock, fit_chain
from jko.training.fit_progress import Line

#: the preset of rows of numbers, and of rows that are pictures
TABLE, PICTURES = "tabular", "digits"
OnBlock = Callable[[TrainedBlock], Any]


def load(folder: str | Path, *, device: str | None = None) -> Flow:
    """A trained flow from its folder; every file is verified before it is used.

    Args:
        folder: one that :func:`fit` or :meth:`jko.Flow.save` wrote, or a chain of the ``jko`` command.
        device: where to compute, such as ``cuda``; by default where it was trained, else the CPU.

    Raises:
        InputError: there is no flow, or something of it is missing or damaged.
    """
    folder = Path(folder)
    layout = Layout(folder)
    config = stored_config(layout)
    if device is not None:
        runtime = config.runtime.model_dump() | {"device": device}
        config = parse_config({**config.model_dump(mode="json"), "runtime": runtime})
    config = readable_here(config)
    manifest = read_manifest(layout) or {}
    chain: tuple[str, ...] = tuple(manifest["fingerprints"])
    made = load_chain(layout, config, chain)
    return Flow(
        made, read_facts(layout, chain[0]), config, data_digest=manifest["data_digest"], folder=folder
    )


def fit(
    x: Any,
    *,
    context: Any = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    on_block: OnBlock | None = None,
    progress: bool = True,
) -> Flow:
    """Train a flow on rows of numbers, block by block; each block is one JKO step.

    A tenth of the rows chooses the weights and another tenth is held out for figures, by seed. The same rows,
    settings and seed give the same weights, bit for bit, as ``jko train`` on a file of these rows.

    Args:
        x: rows in their own units, shape (rows, d): a tensor, an array, or a data frame of numbers. Pictures
            of shape (rows, height, width) are taken, too.
        context: what the flow is conditioned on: columns of a data frame by name, or numbers of shape
            (rows,) or (rows, c); integers of shape (rows,) are classes.
        preset: named settings; ``tabular`` for rows, ``digits`` for pictures by default.
        settings: changes to them: nested, or with dotted keys as in ``{"training.iterations": 30}``.
        seed: of everything random.
        folder: where blocks are kept as they are done. The same call on the same folder goes on where the
            last one ended, however it ended, with the same bits.
        on_block: called with every :class:`jko.TrainedBlock`.
        progress: whether a line on standard error shows the progress.

    Returns:
        The flow.

    Raises:
        InputError: rows or settings that cannot be used, or a folder that holds something else.
        NumericalError: the training left the range in which its numbers mean anything.
    """
    table, form = table_of(x, context)
    config = config_of(table, preset, settings or {}, seed)
    with threads_of(config), Line(config, shown=progress) as line:
        if folder is None:
            return _trained(
                _made(table, config, line), config, KeepsNothing(), form, on_block=on_block, line=line
            )
        kept = FlowFolder(Path(folder), config)
        with writing(kept.layout):
            made = kept.rows() or _made(table, config, line)
            kept.begin(made)
            flow = _trained(made, config, kept, form, on_block=on_block, line=line)
    flow.folder = Path(folder)
    return flow


def _made(table: Table, config: Config, line: Line) -> MadeRows:
    """Prepared rows; what was done to them is said."""
    if config.data.left_open:
        line.say(config.data.left_open)
    made = made_rows(table, config)
    for note in (*made.facts.notes, *made.facts.choices):
        line.say(note)
    return made


def _trained(
    made: MadeRows,
    config: Config,
    keeper: Any,
    form: Form,
    *,
    on_block: OnBlock | None,
    line: Line,
) -> Flow:
    trained: list[TrainedBlock] = []
    train, validation = (torch.from_numpy(made.arrays[part]) for part in ("train", "validation"))
    for done in fit_chain(
        config, train, validation, made.facts.dim, keeper=keeper, on_begin=line.begin,
        on_iteration=line.iterate,
    ):  # fmt: skip
        trained.append(done)
        line.done(done)
        if on_block is not None:
            on_block(done)
    share = config.defence_share
    defence = Defence(share, made.law) if share and made.law is not None else None
    chain = chain_of(config, made.facts, [one.block for one in trained], defence=defence)
    return Flow(
        chain, made.facts, config, data_digest=made.digest, form=form, rows=made.arrays,
        results=[one.result for one in trained],
    )  # fmt: skip


def table_of(x: Any, context: Any = None) -> tuple[Table, Form]:
    """Rows with their context as a table, and the form in which they were given.

    Raises:
        InputError: no rows of finite numbers.
    """
    names: tuple[str, ...] = ()
    shape = None
    if not is_frame(x) and getattr(x, "ndim", 2) == 3:
        shape = (int(x.shape[1]), int(x.shape[2]))
        x = x.reshape(len(x), -1)
    if is_frame(x):
        wanted = _names(context)
        names = tuple(str(name) for name in x.columns if str(name) not in wanted)
        if wanted:
            context = _frame_context(x, wanted)
    rows, form = taken(x, names)
    values = rows.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise InputError(f"row {row} holds a number that is not finite; leave such rows out")
    columns = names or tuple(f"x{i}" for i in range(values.shape[1]))
    table = Table("rows", np.ascontiguousarray(values), columns, image_shape=shape)
    return _conditioned(table, context), form


def _names(context: Any) -> tuple[str, ...]:
    """Columns that a context names."""
    if isinstance(context, str):
        return (context,)
    named = isinstance(context, list | tuple) and all(isinstance(name, str) for name in context)
    return tuple(context) if named else ()


def _frame_context(frame: Any, names: tuple[str, ...]) -> Any:
    """The context columns of a data frame under their names."""
    rows, _ = taken(frame, names)
    return dict(zip(names, rows.numpy().T, strict=True))


def _conditioned(table: Table, context: Any) -> Table:
    """A table with the context that was given.

    Raises:
        InputError: a context of another number of rows, or with numbers that are not finite.
    """
    if context is None:
        return table
    if isinstance(context, dict):
        names, values = tuple(context), np.stack(list(context.values()), axis=1)
    else:
        integers = np.asarray(context).dtype.kind in "iu" and np.asarray(context).ndim == 1
        if integers:
            from jko.config.data_section import Data

            asked = Data(source="rows", content="0" * 64, context="class")
            return conditioned(table, asked, np.asarray(context))
        values = taken(context)[0].detach().cpu().double().numpy()
        names = tuple(f"u{i}" for i in range(values.shape[1]))
    if len(values) != len(table.rows) or not np.isfinite(values).all():
        raise InputError(
            f"a context of shape {values.shape}: one row of finite numbers for each row is needed"
        )
    return Table(
        table.name, table.rows, table.columns, image_shape=table.image_shape,
        context=np.ascontiguousarray(values), context_columns=names,
    )  # fmt: skip


def config_of(table: Table, preset: str | None, settings: Mapping[str, Any], seed: int) -> Config:
    """The settings of a training.

    Raises:
        InputError: an unknown preset, setting or value, or settings that need the pipeline.
    """
    values = read_preset(preset or (PICTURES if table.image_shape else TABLE))
    own: dict[str, Any] = {"source": "rows", "content": content_of(table), "file": None}
    if table.context_columns:
        classes = table.context_columns[0].startswith("class=")
        own["context"] = "class" if classes else list(table.context_columns)
    values = merged(values, {"data": own, "seed": seed})
    for key, value in settings.items():
        values = merged(values, nested(str(key), value))
    config = parse_config(values)
    if config.stop.certificate or config.stop.movement or not config.target.standard or config.start.weights:
        raise InputError(
            "stop rules, other targets and starts from other chains need the pipeline: flows.train"
        )
    return config


def content_of(table: Table) -> str:
    """SHA-256 of the rows of a table with their names and context."""
    arrays = {"rows": table.rows}
    if table.context is not None:
        arrays["context"] = table.context
    return str(digest_of([array_digest(arrays), table.columns, table.context_columns]))


@contextmanager
def threads_of(config: Config) -> Iterator[None]:
    """Compute with the settings' number of threads: bits must not depend on the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(config.runtime.threads)
    try:
        with threadpool_limits(config.runtime.threads):
            yield
    finally:
        torch.set_num_threads(before)
