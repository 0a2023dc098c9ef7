"""The pipeline from Python: train a chain in a folder, certify a flow, write its report."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jko
from flows.places import project_root
from flows.session import Job, nothing_to_do, run_job
from flows.settings import build_request
from jko.config import Config
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.threads import all_threads
from jko.disk.commit import COMMIT, committing
from jko.disk.flows import FlowFolder, require_folder, stored_rows
from jko.disk.identity import data_fingerprint, fingerprints
from jko.disk.layout import Layout
from jko.disk.lock import writing
from jko.disk.manifest import keep_manifest
from jko.disk.weights import BLOCK, save_weights, write_record
from jko.face import Setting, asked_settings, config_of, wants_kinds
from jko.flow import Flow
from jko.given import Context, Named, Rows, path_of
from jko.given_table import selected, table_of
from jko.preparation.facts import array_digest, data_digest
from jko.preparation.made import made_rows
from jko.preparation.prepare import dequantise, smoothed
from tasks.adapters.store.arrays import SAMPLES, read_arrays
from tasks.adapters.store.bare import write_block_0
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import make_plan


def train(
    x: Rows | str | Path,
    *,
    folder: str | Path,
    context: Named | None = None,
    preset: str | None = None,
    settings: Mapping[str, Setting] | Config | None = None,
    seed: int = 0,
) -> Flow:
    """Train, certify, evaluate and report a chain as ``jko train`` does, and return its flow.

    Called again with the same rows, settings and folder it goes on where it ended, or has nothing to do.

    Args:
        x: rows as of :func:`jko.fit`, or the path of a table or a picture.
        folder: the chain folder; the project is the nearest folder above the working directory with a
            ``dvc.yaml``, else the working directory.
        context: as of :func:`jko.fit`; of a file, name columns in ``data.context``.
        preset: named settings; by the kind of data where it is left out.
        settings: changes to them, nested or with dotted keys.
        seed: of everything random.

    Raises:
        JkoError: bad input, numerical failure, or the chain is in use.
    """
    root, layout = project_root(), Layout.of(path_of(folder), project_root())
    require_folder(layout.chain)
    command = f"flows.train(…, folder={str(folder)!r})"
    if isinstance(x, str | Path):
        if context is not None:
            raise InputError("context: of a file, name its columns in the setting data.context")
        words = [f"{key}={json.dumps(value)}" for key, value in asked_settings(settings).items()]
        request = build_request(root, preset=preset, file=str(x), assignments=words, seed=seed)
        _bring_up(Job(request.name, request.config, layout, root, command))
        return jko.load(folder)
    table, form = table_of(x, context, kinds=wants_kinds(x, preset, settings))
    config = config_of(table, preset, settings, seed)
    job = Job(layout.chain.name, config, layout, root, command)
    if make_plan(config, layout).data_digest is not None:
        _bring_up(job)
    else:
        with tempfile.TemporaryDirectory() as place, all_threads(config.runtime.threads):
            rows = FlowFolder(Path(place) / "rows", config)
            with writing(rows.layout):
                named = form.kind == "frame"
                rows.begin(made_rows(selected(table, config, named=named), config))
            _bring_up(replace(job, source=rows.layout))
    flow = jko.load(folder)
    flow.form = form
    return flow


def _bring_up(job: Job) -> None:
    if nothing_to_do(job, make_plan(job.config, job.layout)) is None:
        run_job(job)


def certify(flow: Flow, held_out: Rows | None = None, context: Context | None = None) -> dict[str, Any]:
    """What a flow guarantees, measured on held-out rows.

    Args:
        flow: the flow.
        held_out: rows in data units that no part of training saw; the test rows by default.
        context: of these rows, where the flow is conditional and they do not hold it themselves.

    Returns:
        The certificate, as ``jko certify --json`` prints it.

    Raises:
        InputError: rows of other columns, or a flow that was saved without its rows.
    """
    from tasks.certify import certificate

    given = None if held_out is None else _held_out(flow, held_out, context)
    with _built(flow, given) as store:
        return certificate(store).plain()


def report(flow: Flow, folder: Path) -> Path:
    """Write the report page of a flow into a folder; returns the page.

    Raises:
        InputError: the folder holds something already, or the flow was saved without its rows.
    """
    from tasks.certify import certify_chain
    from tasks.evaluate import evaluate_chain
    from tasks.report.make import PAGE, make_report

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: this is not empty; give a new folder")
    with _built(flow, None) as store:
        for step in (certify_chain, evaluate_chain, make_report):
            step.fn(store)
        shutil.copytree(store.layout.report, folder, dirs_exist_ok=True)
    (folder / COMMIT).unlink()
    return folder / PAGE


@contextmanager
def _built(flow: Flow, held_out: NDArray[np.float32] | None) -> Iterator[ChainStore]:
    """A flow as a measured chain in a folder that lasts as long as the body."""
    from tasks.measure import measure_block
    from tasks.push import push_block

    arrays = rows_of(flow)
    if held_out is not None:
        arrays = {**arrays, "validation": held_out, "test": held_out}
    facts = flow.facts
    digest = data_digest(arrays, facts.row_shift, facts.row_scale, facts.start, facts.kinds)
    chain = fingerprints(flow.config, digest)[: len(flow) + 1]
    law = None if flow.chain.defence is None else flow.chain.defence.law
    with tempfile.TemporaryDirectory() as place, all_threads(flow.config.runtime.threads):
        layout = Layout(Path(place) / "chain")
        with committing(layout.block(0, chain[0]), chain[0], {"data_digest": digest}) as folder:
            write_block_0(folder, arrays, facts, law)
        keep_manifest(layout, flow.config, digest, chain)
        store = ChainStore(flow.config, layout, chain)
        for k, block in enumerate(flow.chain, start=1):
            with committing(layout.staged(k, chain[k]), chain[k], {}) as folder:
                save_weights(folder, block)
                _keep_curve(flow, k, folder)
            push_block.fn(store, k)
            measure_block.fn(store, k)
        yield store


def _keep_curve(flow: Flow, k: int, folder: Path) -> None:
    """What is known of a block's training, beside its weights; a flow that was saved alone knows nothing."""
    if k <= len(flow.results) and (result := flow.results[k - 1]) is not None:
        write_record(folder, flow.config, k, result)
    elif flow.folder is not None:
        own = fingerprints(flow.config, flow.data_digest)[k]
        path = Layout(flow.folder).block(k, own) / BLOCK
        if path.is_file():
            shutil.copyfile(path, folder / BLOCK)


def rows_of(flow: Flow) -> dict[str, NDArray[np.generic]]:
    """The prepared rows that a flow was trained on, by part.

    Raises:
        InputError: it was saved without them.
    """
    if flow.rows is not None:
        return dict(flow.rows)
    if flow.folder is not None:
        layout, data = Layout(flow.folder), data_fingerprint(flow.data_digest)
        found = stored_rows(layout, data)
        if found is not None:
            return dict(found)
        if (layout.block(0, data) / SAMPLES).exists():
            return read_arrays(layout.block(0, data) / SAMPLES)
    raise InputError("this flow was saved without its rows, and what it guarantees is measured on them")


def _held_out(flow: Flow, held_out: Rows, context: Context | None) -> NDArray[np.float32]:
    """Held-out rows in start coordinates, dequantised as the flow's own, shape (rows, d + c)."""
    values = flow.joined(held_out, context)[0].detach().cpu().double().numpy()
    if not np.isfinite(values).all() or len(values) < 2:
        raise InputError(
            f"held-out rows of shape {values.shape}; at least two rows of "
            f"{values.shape[1]} finite numbers are needed"
        )
    seed = int(digest_of([flow.config.seed, array_digest({"rows": values})])[:12], 16)
    state = dequantise(values[:, : flow.dim], np.array(flow.facts.grid), seed)
    # joined anew: the user's own memory may lie below the values
    rows = np.concatenate([state, values[:, flow.dim :]], axis=1)
    standard = flow.facts.in_start_coordinates(rows)
    # the model is of smoothed rows, where its own are
    return smoothed(standard, "test", flow.config).astype(np.float32)
