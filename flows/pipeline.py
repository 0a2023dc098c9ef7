"""The pipeline as one Prefect flow: prepare → train block by block → certify → evaluate → report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from jko.config import Config
from jko.core.errors import was_interrupted
from jko.disk.layout import Layout
from jko.training.listener import Listener, Listeners
from tasks.adapters.prefect.prefect_artifacts import Shown
from tasks.adapters.prefect.prefect_loss import begin, leave
from tasks.adapters.prefect.prefect_runs import open_run
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import arrange, planned, write_manifest
from tasks.adapters.system.events import EventLog, timed
from tasks.certify import certify_chain
from tasks.evaluate import evaluate_chain
from tasks.headline import headline, nll_warning
from tasks.listening import (
    BlockDone,
    Certified,
    ChainBegun,
    ChainDone,
    Evaluated,
    Failed,
    Finished,
    Reported,
    Result,
    Said,
)
from tasks.measure import measure_block
from tasks.options import done
from tasks.prepare import prepare_data
from tasks.progress import Progress
from tasks.push import push_block
from tasks.report.make import make_report
from tasks.tracking import Tracking
from tasks.train import train_block

Stage = Literal["prepare", "train", "certify", "evaluate", "report"]
STAGES: tuple[Stage, ...] = ("prepare", "train", "certify", "evaluate", "report")


@dataclass(frozen=True)
class Run:
    """What the steps of one flow run share.

    Args:
        store: the chain.
        data_digest: digest of the prepared data.
        listener: told what happens.
    """

    store: ChainStore
    data_digest: str
    listener: Listener


@flow(name="jko", flow_run_name="{name}", validate_parameters=False)
def jko_flow(
    name: str,
    chain: str,
    root: str,
    config: Config,
    *,
    upto: Stage = "report",
    stop_after: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> Result | State[Exception]:
    """Bring a chain up to a stage; what is committed is skipped.

    Args:
        name: shown in Prefect and MLflow.
        chain: the chain folder.
        root: the project's folder.
        config: validated settings.
        upto: the last stage to run.
        stop_after: the last block to train now; nothing comes after it.
        tags: of the tracked run, beside those that every run has.

    Returns:
        The headline figures if the chain was evaluated, and the report's path. A failure ends the flow
        run with a sentence that says how to go on, and is raised.
    """
    begin()
    layout = Layout.of(chain, Path(root))
    with Progress() as progress, open_run(layout) as flow_run:
        shown, tracking = Shown(config, layout), Tracking(Path(root))
        # a page that cannot be reached costs seconds, so it comes last
        listener = Listeners(progress, EventLog(layout), tracking, shown)
        try:
            digest = done(prepare_data, config, layout)
            if upto == "prepare":
                return Result()
            chain_fingerprints = write_manifest(config, layout, digest)
            arrange(layout, chain_fingerprints)
            run = Run(ChainStore(config, layout, chain_fingerprints), digest, listener)
            listener.tell(ChainBegun(run.store, digest, name, {**(tags or {}), "jko.prefect_run": flow_run}))
            result = run_stages(run, upto) if stop_after is None else run_blocks(run, stop_after)
            result = replace(result, run_id=tracking.run_id)
            leave(result)
            listener.tell(Finished(result, whole=stop_after is None))
        except BaseException as error:
            listener.tell(Failed(error))
            if not isinstance(error, Exception) or was_interrupted(error):
                raise
            leave(error)
            return shown.state_after(error)
        return result


def run_stages(run: Run, upto: Stage) -> Result:
    """Train, evaluate and report, as far as asked."""
    store, tell = train_chain(run), run.listener.tell
    result, last = Result(), store.fingerprints[-1]
    tell(ChainDone(store))
    if upto in STAGES[STAGES.index("certify") :]:
        with timed(run.listener, "certify", of=last):
            certificate = done(certify_chain, store)
        tell(Certified(certificate))
    if upto in ("evaluate", "report"):
        tell(Said("evaluating on test rows …"))
        with timed(run.listener, "evaluate", of=last):
            figures = done(evaluate_chain, store)
        result = Result(headline(figures), nll_warning(figures))
        tell(Evaluated(result.metrics, figures.test_digest))
    if upto == "report":
        with timed(run.listener, "report", of=last):
            result = replace(result, report=done(make_report, store))
        tell(Reported(store))
    return result


def run_blocks(run: Run, last: int) -> Result:
    """Bring blocks 1..last up and leave the chain partial."""
    train_chain(run, last)
    return Result()


def train_chain(run: Run, last: int | None = None) -> ChainStore:
    """Blocks 1..N, or 1..last, in order: train, push (which commits), measure.

    Returns:
        The chain with the blocks that it has: fewer than planned where a stop rule is met.
    """
    store, layout, chain, listener = run.store, run.store.layout, run.store.fingerprints, run.listener
    for k in range(1, min(store.count, last or store.count) + 1):
        committed = store.folder(k).exists()
        with timed(listener, "train", k, chain[k], skipped=committed):
            done(train_block, store, k, listener=listener)
        with timed(listener, "push", k, chain[k]):
            done(push_block, store, k)
        with timed(listener, "measure", k, chain[k]):
            figures = done(measure_block, store, k)
        listener.tell(BlockDone(store, k, figures, trained=not committed))
        kept, why = planned(store.config, layout, run.data_digest)
        if why and len(kept) == k + 1:  # a later block may be known by figures of another measurement
            listener.tell(Said(f"the chain ends after block {k}: {why}"))
            arrange(layout, write_manifest(store.config, layout, run.data_digest))
            return replace(store, fingerprints=kept)
    return store
