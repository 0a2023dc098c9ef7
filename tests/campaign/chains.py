"""Small chains of every kind, made in this process by the project's own tasks, without a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.session import Finished, Job, check_input, finish, nothing_to_do
from flows.settings import build_request
from jko.disk.commit import remove_temporary
from jko.disk.layout import Layout
from jko.disk.manifest import resumed_config
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.lock import chain_lock
from tasks.adapters.store.plan import make_plan
from tasks.listening import Result

CHAIN = "chain"
#: a second or two for each chain
SMALL = (
    "data.rows=160", "network.hidden=[6]", "solver.steps=2", "steps={count: 2, first: 0.3}",
    "training.flow_matching_iterations=30", "training.iterations=4", "training.validate_every=4",
    "training.batch_size=32", "evaluation={samples: 40, mixture_components: [1]}", "runtime.threads=1",
    "measure.samples=200", "measure.resolutions=[0.3, 0.5]",
)  # fmt: skip
GAUSSIAN = (
    "data={source: gaussian, mean: [0, 0], std: [1, 1], rows: 160}", "data.standardise=off",
    "target={potential: correlated_gaussian, options: {condition: 4}}", "measure.inversion_limit=1",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of chain.

    Args:
        name: of the kind.
        settings: beside :data:`SMALL`, as ``--set`` takes them.
        table: whether its rows come from ``table.csv``.
        pruned: whether the samples between its blocks are dropped in the end.
    """

    name: str
    settings: tuple[str, ...] = ()
    table: bool = False
    pruned: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind("moons"),
        Kind("residual", ("network.kind=residual", "training.iterations=20")),
        Kind("conditional", ("data={source: file, file: table.csv, context: [age]}",), table=True),
        Kind("corrected", (*GAUSSIAN, "target.correction=0.2")),
        Kind("table", ("data={source: file, file: table.csv, columns: [grade, x]}",), table=True),
        Kind("stopped", ("steps.count=4", "stop.certificate=1000")),
        Kind("pruned", ("steps.count=3",), pruned=True),
    )
}


def write_table(path: Path, seed: int = 0) -> None:
    """160 rows of ``x`` given ``age``, with a ``grade`` that lies on a grid."""
    draw = np.random.default_rng(seed)
    age, grade = draw.normal(2, 3, 160), draw.integers(0, 8, 160)
    x = age / 2 + draw.normal(size=160)
    lines = [f"{a!r},{b!r},{c}" for a, b, c in zip(map(float, x), map(float, age), grade, strict=True)]
    path.write_text("\n".join(["x,age,grade", *lines]) + "\n")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With this working directory."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def job_of(kind: Kind, seed: int = 0, chain: str = CHAIN) -> Job:
    """The work that brings a chain of this kind up, in the project that is the working directory."""
    root = Path.cwd()
    settings = (*SMALL, *kind.settings)
    request = build_request(root, preset="smoke", assignments=settings, seed=seed)
    return Job(kind.name, request.config, Layout.of(chain, root), root, f"jko resume {chain}")


def resumed(kind: Kind, chain: str = CHAIN) -> Job:
    """The work of ``jko resume`` in the project that is the working directory.

    Raises:
        InputError: no settings can be read.
    """
    layout = Layout.of(chain, Path.cwd())
    return Job(kind.name, resumed_config(layout), layout, Path.cwd(), f"jko resume {chain}")


def bring_up(job: Job) -> Finished:
    """What ``jko train`` and ``jko resume`` do with a chain, without server and tracking.

    The decision whether there is anything to do is theirs, and so are the tasks, in their order.
    """
    plan = make_plan(job.config, job.layout, verify=True)
    done = nothing_to_do(job, plan)
    if done is not None:
        return done
    check_input(job, plan)
    with chain_lock(job.layout, job.command):
        remove_temporary(*job.layout.places)
        return finish(job, run_tasks(job), "report")


def run_tasks(job: Job) -> Result:
    """The tasks of the flow in their order, as plain functions."""
    from jko.training.listener import Listeners
    from tasks.adapters.store.plan import arrange, planned, write_manifest
    from tasks.certify import certify_chain
    from tasks.evaluate import evaluate_chain
    from tasks.headline import headline
    from tasks.measure import measure_block
    from tasks.options import value_of
    from tasks.prepare import prepare_data
    from tasks.push import push_block
    from tasks.report.make import make_report
    from tasks.train import train_block

    config, layout = job.config, job.layout
    digest = value_of(prepare_data.fn(config, layout))
    chain = write_manifest(config, layout, digest)
    arrange(layout, chain)
    k = 0
    while (k := k + 1) < len(chain):
        store = ChainStore(config, layout, chain)
        train_block.fn(store, k, listener=Listeners())
        push_block.fn(store, k)
        measure_block.fn(store, k)
        kept, why = planned(config, layout, digest)
        if why:
            chain = kept
            arrange(layout, write_manifest(config, layout, digest))
    store = ChainStore(config, layout, chain)  # a stop rule may have ended it
    certify_chain.fn(store)
    figures = value_of(evaluate_chain.fn(store))
    return Result(headline(figures), report=value_of(make_report.fn(store)))


def make(kind: Kind, folder: Path, seed: int = 0) -> Layout:
    """A finished chain of a kind in a project of its own."""
    from tasks.adapters.store.prune import removals, remove

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    if kind.table:
        write_table(folder / "table.csv")
    with inside(folder):
        job = job_of(kind, seed)
        bring_up(job)
        if kind.pruned:
            with chain_lock(job.layout, "jko prune"):
                remove(job.layout, removals(job.layout, samples=True))
        return job.layout
