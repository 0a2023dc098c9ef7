"""``fit`` and ``load``: from rows to a flow, and from a folder to a flow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from jko.chain.defence import Defence
from jko.config import Config, parse_config
from jko.config.data_section import KINDS, Data
from jko.core.device import readable_here, require_device
from jko.core.errors import InputError
from jko.core.plain import Json, shortened
from jko.core.threads import all_threads
from jko.disk.chains import load_chain
from jko.disk.facts import read_facts
from jko.disk.flows import FlowFolder
from jko.disk.layout import Layout
from jko.disk.lock import writing
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.weights import chain_of
from jko.flow import Flow
from jko.given import Form, Named, Rows, is_frame, path_of
from jko.given_table import content_of, selected, table_of
from jko.preparation.made import MadeRows, made_rows
from jko.preparation.table import Table
from jko.preparation.whole import Whole
from jko.presets import merged, nested, read_preset
from jko.training.chain_trainer import Keeper, KeepsNothing, TrainedBlock, fit_chain
from jko.training.fit_progress import Line

#: the preset of rows of numbers, and of rows that are pictures
TABLE, PICTURES = "tabular", "digits"
#: what ``data`` says of files and drawn laws alone
FILES = (
    "source", "file", "context", "header", "separator", "decimal", "thousands", "encoding", "array", "rows",
    "mean", "std",
)  # fmt: skip
#: how a note begins that says what looks wrong
WARNING = "warning: "
#: the value of a setting, as users give it
Setting: TypeAlias = "Json | np.generic | NDArray[np.generic] | torch.Tensor"
OnBlock = Callable[[TrainedBlock], object]


def load(folder: str | Path, *, device: str | None = None) -> Flow:
    """A trained flow from its folder; every file is verified before it is used.

    Args:
        folder: one that :func:`fit` or :meth:`jko.Flow.save` wrote, or a chain of the ``jko`` command.
        device: where to compute, such as ``cuda``; by default where it was trained, else the CPU.

    Raises:
        InputError: there is no flow, or something of it is missing or damaged.
    """
    folder = path_of(folder)
    layout = Layout(folder)
    config = stored_config(layout)
    if device is not None:
        runtime = config.runtime.model_dump() | {"device": str(device)}
        config = parse_config({**config.model_dump(mode="json"), "runtime": runtime})
    config = readable_here(config)
    manifest = required_manifest(layout)
    made = load_chain(layout, config, manifest.fingerprints)
    return Flow(
        made,
        read_facts(layout, manifest.fingerprints[0]),
        config,
        data_digest=manifest.data_digest,
        folder=folder,
    )


def fit(
    x: Rows,
    *,
    context: Named | None = None,
    preset: str | None = None,
    settings: Mapping[str, Setting] | Config | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    on_block: OnBlock | None = None,
    progress: bool = True,
) -> Flow:
    """Train a flow on rows of numbers, block by block; each block is one JKO step.

    A tenth of the rows chooses the weights and another tenth is held out for figures, by seed. The same rows,
    settings and seed give the same weights, bit for bit, as ``jko train`` on a file of these rows.

    Args:
        x: rows in their own units, shape (rows, d): a tensor, an array, or a data frame of numbers. One
            column may be a series or have shape (rows,). Pictures have shape (rows, height, width).
        context: what the flow is conditioned on: columns of a data frame by name, or numbers of shape
            (rows,) or (rows, c), as an array, a data frame or a dict of columns. Integers of shape (rows,)
            without a name are classes.
        preset: named settings; ``tabular`` for rows, ``digits`` for pictures by default.
        settings: changes to them: nested, or with dotted keys as in ``{"training.iterations": 30}``;
            ``flow.config`` holds all of them. ``{"training.flow_matching_iterations": 100}`` is a quick try.
            ``data.columns`` chooses columns; ``data.missing_values`` and ``data.missing`` say what an empty
            cell is, and whether its row is dropped or its hole is part of the law.
        seed: of everything random.
        folder: where blocks are kept as they are done. The same call on the same folder goes on where the
            last one ended, however it ended, with the same bits.
        on_block: called with every :class:`jko.TrainedBlock`.
        progress: whether a line on standard error shows the progress.

    Returns:
        The flow. What looks wrong in the rows is a warning; ``flow.facts.notes`` says what was done to them.

    Example:
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> flow = fit(x, settings={"steps.sizes": [1.0], "training.iterations": 1,
        ...                         "training.flow_matching_iterations": 5,
        ...                         "data.standardise": "on", "data.augment.copies": 1}, progress=False)
        >>> flow.sample(3, seed=1).shape, flow.log_prob(x).shape
        (torch.Size([3, 2]), torch.Size([200]))

    Raises:
        InputError: rows or settings that cannot be used, or a folder that holds something else.
        NumericalError: the training left the range in which its numbers mean anything.
    """
    if on_block is not None and not callable(on_block):
        raise InputError(f"on_block = {shortened(on_block)} cannot be called; give a function of one block")
    place = None if folder is None else path_of(folder)
    given, form = table_of(x, context, kinds=wants_kinds(x, preset, settings))
    config = config_of(given, preset, settings, seed)
    table = selected(given, config, named=form.kind == "frame")
    require_device(config)
    with all_threads(config.runtime.threads), Line(config, shown=progress) as line:
        if place is None:
            made = _made(table, config, line)
            return _trained(made, config, KeepsNothing(), form, on_block=on_block, line=line)
        kept = FlowFolder(place, config)
        # before anything is written: rows that cannot be used leave nothing behind
        new = None if kept.begun else _made(table, config, line)
        with writing(kept.layout):
            made = kept.rows() or new or _made(table, config, line)
            kept.begin(made)
            flow = _trained(made, config, kept, form, on_block=on_block, line=line)
    flow.folder = place
    return flow


def _made(table: Table, config: Config, line: Line) -> MadeRows:
    """Prepared rows; what was done to them is said."""
    if config.data.left_open:
        line.say(config.data.left_open)
    made = made_rows(table, config)
    for note in (*made.facts.notes, *made.facts.choices):
        if not note.startswith(WARNING):  # these are warnings of Python
            line.say(note)
    return made


def _trained(
    made: MadeRows,
    config: Config,
    keeper: Keeper,
    form: Form,
    *,
    on_block: OnBlock | None,
    line: Line,
) -> Flow:
    _warn(made.facts.notes)
    trained: list[TrainedBlock] = []
    train, validation = (torch.from_numpy(made.arrays[part]) for part in ("train", "validation"))
    for done in fit_chain(config, train, validation, made.facts.dim, keeper=keeper, listener=line):
        trained.append(done)
        if on_block is not None:
            on_block(done)
    share = config.defence_share
    defence = Defence(share, made.law) if share and made.law is not None else None
    chain = chain_of(config, made.facts, [one.block for one in trained], defence=defence)
    return Flow(
        chain, made.facts, config, data_digest=made.digest, form=form, rows=made.arrays,
        results=[one.result for one in trained],
    )  # fmt: skip


def _warn(notes: tuple[str, ...]) -> None:
    """Show what looks wrong in the rows, as a value that stands for a missing one."""
    for note in notes:
        if note.startswith(WARNING):
            warnings.warn(note.removeprefix(WARNING), stacklevel=4)


def wants_kinds(x: Rows, preset: str | None, settings: Mapping[str, Setting] | Config | None) -> bool:
    """Whether columns of rows have kinds: those of a data frame, unless the settings take them for numbers.

    Raises:
        InputError: an unknown preset, setting or value, or kinds for columns without names.
    """
    asked = asked_settings(settings)
    if not is_frame(x):
        data = asked.get("data")
        kinds = data.get("kinds") if isinstance(data, Mapping) else None
        if kinds not in (None, False, *KINDS):
            raise InputError(f"data.kinds = {shortened(kinds)} is for data frames, whose columns have names")
        return False
    rows: dict[str, Json] = {"source": "rows", "content": "0" * 64, "file": None, "context": None}
    values = merged(read_preset(preset or TABLE), asked)
    return parse_config(merged(values, {"data": rows})).data.kinds_used != "off"


def config_of(
    table: Table | Whole, preset: str | None, settings: Mapping[str, Setting] | Config | None, seed: int
) -> Config:
    """The settings of a training.

    Raises:
        InputError: an unknown preset, setting or value, or settings that need the pipeline.
    """
    pictures = isinstance(table, Table) and table.image_shape is not None
    values = read_preset(preset or (PICTURES if pictures else TABLE))
    values = merged(values, {"seed": plain(seed)})
    asked = asked_settings(settings)
    own: dict[str, Json] = {"source": "rows", "content": content_of(table), "file": None, "context": None}
    if table.context_columns:
        classes = table.context_columns[0].startswith("class=")
        own["context"] = "class" if classes else list(table.context_columns)
    _refuse_files(asked.get("data"), own)
    if isinstance(table, Table):
        own["kinds"] = "off"
    config = parse_config(merged(merged(values, asked), {"data": own}))
    rules = config.stop.certificate, config.stop.movement, config.stop.bracket
    if any(rules) or not config.target.standard or config.start.weights:
        raise InputError(
            "stop rules, other targets and starts from other chains need the pipeline: flows.train"
        )
    return config


def asked_settings(settings: Mapping[str, Setting] | Config | None) -> dict[str, Json]:
    """Settings with dotted keys, or those of a flow, as nested ones.

    Raises:
        InputError: they are no mapping.
    """
    if isinstance(settings, Config):
        settings = settings.model_dump(mode="json")
    if not isinstance(settings or {}, Mapping):
        raise InputError(f"settings = {shortened(settings)}: give a dict, as in {{'steps.count': 3}}")
    asked: dict[str, Json] = {}
    for key, value in (settings or {}).items():
        asked = merged(asked, nested(str(key), plain(value)))
    return asked


def plain(value: Setting) -> Json:
    """Numbers of numpy and torch as those of Python, whatever they are nested in."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray | torch.Tensor) else value


def _refuse_files(asked: Json, own: Mapping[str, Json]) -> None:
    """Refuse settings of files and drawn laws, which would do nothing to rows.

    Raises:
        InputError: there is one that differs from its default.
    """
    given = asked if isinstance(asked, Mapping) else {}
    for name in FILES if given else ():
        value = given.get(name)
        usual = Data.model_fields[name].default
        if value is None or value in (usual, own.get(name)) or value == list(np.atleast_1d(usual)):
            continue
        way = "give the context to fit as context=" if name == "context" else "leave it out"
        raise InputError(f"data.{name} is a setting of files and drawn laws, not of rows; {way}")
