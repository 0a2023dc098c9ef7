"""The pipeline as one Prefect flow: prepare → train block by block → certify → evaluate → report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from prefect import flow

from jko.config import Config, flattened
from jko.core.errors import was_interrupted
from jko.disk.chains import CORRECTION
from jko.disk.identity import fingerprints
from jko.disk.layout import Layout, name_of
from tasks.adapters.dvc.versions import data_version
from tasks.adapters.mlflow.tracking import Tracker, git_commit
from tasks.adapters.prefect.prefect_artifacts import Shown
from tasks.adapters.prefect.prefect_loss import begin, leave
from tasks.adapters.prefect.prefect_runs import open_run
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import read_curve
from tasks.adapters.store.lock import one_at_a_time
from tasks.adapters.store.parent_chain import read_origin
from tasks.adapters.store.plan import arrange, planned, write_manifest
from tasks.adapters.system.events import timed
from tasks.certify import certify_chain
from tasks.compare.record import track_record
from tasks.evaluate import evaluate_chain
from tasks.headline import chain_headline, headline, nll_warning, step_headline
from tasks.measure import measure_block
from tasks.options import done
from tasks.prepare import prepare_data
from tasks.progress import Progress
from tasks.push import push_block
from tasks.report.make import make_report
from tasks.train import train_block

Stage = Literal["prepare", "train", "certify", "evaluate", "report"]
STAGES: tuple[Stage, ...] = ("prepare", "train", "certify", "evaluate", "report")
#: how often the record of a chain in training is sent to MLflow at most; its end is sent in any case
SECONDS_BETWEEN_RECORDS = 2.0


@dataclass(frozen=True)
class Run:
    """What the steps of one flow run share.

    Args:
        store: the chain.
        data_digest: digest of the prepared data.
        progress: what the user sees.
        tracker: MLflow's run.
    """

    store: ChainStore
    data_digest: str
    progress: Progress
    tracker: Tracker


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
) -> dict[str, Any]:
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
        shown = Shown(config, layout)
        progress.listeners.append(shown)
        try:
            digest = done(prepare_data, config, layout)
            if upto == "prepare":
                return {}
            chain_fingerprints = write_manifest(config, layout, digest)
            arrange(layout, chain_fingerprints)
            shown.started()
            # one tracked run for the settings, wherever a stop rule ends the chain
            tracker = Tracker(layout, fingerprints(config, digest)[-1], Path(root))
            run = Run(ChainStore(config, layout, chain_fingerprints), digest, progress, tracker)
            with tracked(run, name, Path(root), {**(tags or {}), "jko.prefect_run": flow_run}):
                result = run_stages(run, upto) if stop_after is None else run_blocks(run, stop_after)
        except Exception as error:
            if was_interrupted(error):
                raise
            leave(error)
            return shown.failed(error)
        leave(result)
        if stop_after is None:
            shown.finished(result, tracker.run_id)
        return result


@contextmanager
def tracked(run: Run, name: str, root: Path, tags: Mapping[str, str]) -> Iterator[None]:
    """Keep the chain's MLflow run open while the body runs; it ends as the body does."""
    try:
        open_tracking(run, name, root, tags)
        yield
    except BaseException as error:
        run.tracker.close("KILLED" if was_interrupted(error) else "FAILED")
        track_record(run.tracker, run.store.layout)
        raise
    run.tracker.close("FINISHED")


def run_stages(run: Run, upto: Stage) -> dict[str, Any]:
    """Train, evaluate and report, as far as asked."""
    result: dict[str, Any] = {}
    run = train_chain(run)
    run.tracker.tag("jko.state", "complete")
    store = run.store
    run.tracker.tag("jko.digest", store.digest or "")
    if upto in STAGES[STAGES.index("certify") :]:
        with timed(store.layout, "certify", of=store.fingerprints[-1]):
            certificate = done(certify_chain, store)
        run.progress.say(certificate.chain.mixed.says)
        run.tracker.final(chain_headline(certificate))
    if upto in ("evaluate", "report"):
        run.progress.say("evaluating on test rows …")
        with timed(store.layout, "evaluate", of=store.fingerprints[-1]):
            figures = done(evaluate_chain, store)
        result["metrics"], result["warning"] = headline(figures), nll_warning(figures)
        run.tracker.final(result["metrics"])
        run.tracker.tag("jko.test_digest", figures.test_digest)
    if upto == "report":
        with timed(store.layout, "report", of=store.fingerprints[-1]):
            result["report"] = done(make_report, store)
        run.tracker.artefacts(store.layout.report, "report")
        for k in range(1, len(store.fingerprints)):
            folder = store.folder(k)
            run.tracker.artefacts(folder / "weights.safetensors", f"blocks/{k}")
            if store.config.target.correction:
                run.tracker.artefacts(folder / CORRECTION, f"blocks/{k}")
    track_record(run.tracker, store.layout)
    return result


def run_blocks(run: Run, last: int) -> dict[str, Any]:
    """Bring blocks 1..last up and leave the chain partial."""
    train_chain(run, last)
    track_record(run.tracker, run.store.layout)
    return {}


def train_chain(run: Run, last: int | None = None) -> Run:
    """Blocks 1..N, or 1..last, in order: train, push (which commits), measure, track.

    Returns:
        The run with the blocks that the chain has: fewer than planned where a stop rule is met.
    """
    store, layout, chain = run.store, run.store.layout, run.store.fingerprints
    count, recorded = store.count, -math.inf
    for k in range(1, min(count, last or count) + 1):
        committed = store.folder(k).exists()
        with timed(layout, "train", k, chain[k], skipped=committed):
            done(train_block, store, k, progress=run.progress)
        with timed(layout, "push", k, chain[k]):
            done(push_block, store, k)
        with timed(layout, "measure", k, chain[k]):
            figures = done(measure_block, store, k)
        run.progress.block_done(k, count, figures, trained=not committed)
        run.tracker.step(k, step_headline(figures, store.facts.entropy))
        curve = read_curve(store.folder(k))
        if curve is not None:
            run.tracker.curve(k, name_of(k, chain[k]), curve)
        if time.monotonic() - recorded >= SECONDS_BETWEEN_RECORDS:
            track_record(run.tracker, layout)
            recorded = time.monotonic()
        kept, why = planned(store.config, layout, run.data_digest)
        if why:
            run.progress.say(f"the chain ends after block {k}: {why}")
            arrange(layout, write_manifest(store.config, layout, run.data_digest))
            return replace(run, store=replace(store, fingerprints=kept))
    return run


def open_tracking(run: Run, name: str, root: Path, tags: Mapping[str, str]) -> None:
    """Open MLflow's run with the settings, the data version and where it came from."""
    store = run.store
    facts = store.facts
    for note in (*facts.notes, *facts.choices):
        run.progress.say(f"{facts.name}: {note}")
    folder = store.folder(0)
    origin = read_origin(store.config, store.layout)
    own = {"jko.git_commit": git_commit(root), "jko.data": facts.name, "jko.state": "partial"}
    # a store that two runs open for the first time at once would be made twice
    with one_at_a_time(root / ".jko" / "tracking.lock"):
        run.tracker.open(
            name, flattened(store.config.model_dump(mode="json")), {**own, **tags, **origin.tags}
        )
    run.tracker.final(origin.figures)
    run.tracker.data(facts.name, data_version(folder), str(folder))
