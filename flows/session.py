"""One run from the command line: lock, servers, flow, data version; then the short summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from jko.certify.records import Certificate
from jko.config import Config, parse_config
from jko.core.errors import InputError, was_interrupted
from jko.disk.commit import remove_temporary
from jko.disk.durable import TEMPORARY
from jko.disk.identity import certificate_fingerprint
from jko.disk.layout import Layout
from jko.disk.manifest import Manifest, known_manifest
from jko.disk.sealed import read_json, read_sealed
from tasks.adapters.store.chain_store import ChainStore, chain_digest
from tasks.adapters.store.parent_chain import adopt_start
from tasks.adapters.store.plan import Plan, make_plan, planned, stored_figures
from tasks.adapters.system.environment import check_settings, platform_environment
from tasks.adapters.system.starved import end_when_starved
from tasks.adapters.system.terminal import say, warn_on_stderr
from tasks.headline import stored_headline
from tasks.listening import Result
from tasks.report import REPORT
from tasks.report.identity import has_own_report

if TYPE_CHECKING:
    from flows.pipeline import Stage


@dataclass(frozen=True)
class Job:
    """A chain to bring up to a stage.

    Args:
        name: shown in Prefect and MLflow.
        config: the settings.
        layout: the chain.
        root: the project's folder.
        command: the command that continues it.
        stop_after: the last block to train now; the others, the evaluation and the report wait.
        from_block: the first block to train again although it is committed.
        source: a chain whose committed blocks are taken where they are those of this plan.
        parent: the chain whose weights ``config.start`` names, if they are not in the folder yet.
        tags: of its tracked run, beside those that every run has.
        wait: seconds to wait for another process that holds the chain.
    """

    name: str
    config: Config
    layout: Layout
    root: Path
    command: str
    stop_after: int | None = None
    from_block: int | None = None
    source: Layout | None = None
    parent: Layout | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0

    def __post_init__(self) -> None:
        """Refuse blocks that the chain does not have."""
        count = len(self.config.step_sizes)
        for option, block in (("--stop-after", self.stop_after), ("--from-block", self.from_block)):
            if block is not None and not 1 <= block <= count:
                raise InputError(f"{option} {block}: the chain has blocks 1..{count}")


@dataclass(frozen=True)
class Finished:
    """What a finished run tells.

    Args:
        metrics: headline figures.
        report: path of the page.
        digest: the chain's digest.
        reason: why there was nothing to do; empty if something was done.
    """

    metrics: Mapping[str, float]
    report: str
    digest: str
    reason: str = ""


def nothing_to_do(job: Job, plan: Plan) -> Finished | None:
    """What is there already, if the whole run is; decided from files, without heavy imports."""
    from tasks.adapters.dvc.versions import inside_stage, is_recorded

    if plan.data_digest is None or job.from_block is not None:
        return None
    if job.stop_after is not None:
        return stopped_already(job, plan, job.stop_after)
    if not plan.complete:
        return None
    chain, _ = planned(job.config, job.layout, plan.data_digest)
    digest = chain_digest(job.layout, chain) or ""
    metrics = stored_headline(ChainStore(job.config, job.layout, chain))
    if metrics is None or not is_current(job, chain, digest, metrics):
        return None
    if job.layout.owned_by_dvc and not inside_stage() and not is_recorded(job.layout, job.root, digest):
        return None
    count = len(chain) - 1
    reason = f"all {count} blocks, the evaluation and the report are committed under these settings"
    if plan.stopped:
        reason += f"; the chain ends after block {count}: {plan.stopped}"
    return Finished(metrics, str(job.layout.report / "report.html"), digest, reason)


def stopped_already(job: Job, plan: Plan, block: int) -> Finished | None:
    """What is there, if all blocks up to the one to stop after are."""
    chain, _ = planned(job.config, job.layout, plan.data_digest or "")
    manifest = known_manifest(job.layout)
    if any(own.index <= block for own in plan.missing) or not planned_so(job, manifest, chain):
        return None
    from tasks.adapters.dvc.versions import inside_stage, is_partially_recorded

    owned = job.layout.owned_by_dvc and not inside_stage()
    if owned and not plan.complete and not is_partially_recorded(job.layout, job.root):
        return None
    done = min(block, len(chain) - 1)
    if not all(stored_figures(ChainStore(job.config, job.layout, chain), k) for k in range(1, done + 1)):
        return None
    return Finished({}, "", "", f"blocks 1..{done} of {len(chain) - 1} are committed under these settings")


def is_current(job: Job, chain: tuple[str, ...], digest: str, metrics: Mapping[str, float]) -> bool:
    """Whether measures, certificate, metrics and report on disk are whole and belong to these blocks.

    Args:
        job: the chain and its settings.
        chain: fingerprints of blocks 0..N.
        digest: of the chain's content.
        metrics: the headline figures of its evaluation, which is whole.
    """
    layout = job.layout
    return (
        has_own_report(layout, chain)
        and read_json(layout.run / "finished.json") == finished_receipt(job, digest)
        and planned_so(job, known_manifest(layout), chain)
        and all(stored_figures(ChainStore(job.config, layout, chain), k) for k in range(1, len(chain)))
        and read_sealed(layout.certificate, Certificate, certificate_fingerprint(job.config, digest))
        is not None
        and read_json(layout.metrics) == metrics
    )


def planned_so(job: Job, manifest: Manifest | None, chain: tuple[str, ...]) -> bool:
    """Whether ``chain.json`` is of these blocks, and of the settings that no fingerprint holds."""
    if manifest is None or manifest.fingerprints != chain:
        return False
    known = parse_config(manifest.config)
    return (known.runtime, known.stop) == (job.config.runtime, job.config.stop)


def check_input(job: Job, plan: Plan) -> None:
    """Refuse bad data before a server is started or anything is written.

    Raises:
        InputError: the file cannot be used, the chain folder holds something else, or blocks are to be
            trained on a device that is not there.
    """
    check_folder(job.layout)
    if job.config.runtime.device != "cpu" and (plan.missing or job.from_block is not None):
        from jko.core.device import require_device

        require_device(job.config)
    if plan.data_digest is None and job.config.data.source == "file":
        from jko.preparation.prepare import prepare, unfitted
        from tasks.datasets.sources import SOURCES

        prepare(SOURCES["file"](job.config.data, job.config.seed), unfitted(job.config))


def check_folder(layout: Layout) -> None:
    """Refuse a folder that holds anything but a chain."""
    known = {"chain.json", "blocks", "measures", "start"}
    found = sorted(path.name for path in layout.chain.iterdir()) if layout.chain.is_dir() else []
    strange = [name for name in found if name not in known and not name.startswith(TEMPORARY)]
    if strange or (layout.chain.exists() and not layout.chain.is_dir()):
        what = f"it holds {strange[0]!r}" if strange else "it is a file"
        raise InputError(f"{layout.chain}: this is not a chain's folder ({what}); give a new or empty one")
    for path in (layout.chain / name for name in known - {"chain.json"}):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: this is a file, and the chain keeps a folder there; move it away")


def finished_receipt(job: Job, digest: str) -> dict[str, JsonValue]:
    """What a complete run leaves in the run folder: for which content and drawing it is done."""
    return {
        "digest": digest,
        "evaluation": job.config.evaluation.model_dump(mode="json"),
        "measure": job.config.measure.model_dump(mode="json"),
        "defence": job.config.defence_share,
        "report": REPORT,
    }


def run_job(job: Job, upto: Stage = "report") -> Finished:
    """Hold the chain, bring the servers up, run the flow, record the data version.

    Args:
        job: the chain and its settings.
        upto: the last stage to run.

    Raises:
        JkoError: bad input, numerical failure, or the chain is in use.
    """
    platform_environment(job.root)
    warn_on_stderr()
    from tasks.adapters.scheduling.server import prefect_server, wait_until_healthy
    from tasks.adapters.store.lock import chain_lock

    with chain_lock(job.layout, job.command, job.wait), prefect_server(job.root) as address:
        check_settings()
        remove_temporary(*job.layout.places)
        if job.parent is not None:
            adopt_start(job.config, job.layout, job.parent, job.root)
        # heavy imports run while the server comes up
        import_module("flows.pipeline")
        from tasks.adapters.prefect.prefect_runs import close_crashed_run, settings_of_environment

        wait_until_healthy(address, job.root)
        with settings_of_environment():
            if crashed := close_crashed_run(job.layout):
                say(f"took over the run {crashed}, whose process had ended", err=True)
            rearrange(job)
            end_when_starved(job.command)
            return finish(job, _flow_result(job, upto), upto)


def _flow_result(job: Job, upto: Stage) -> Result:
    """Run the flow; what it committed before an interrupt is known to DVC."""
    from flows.pipeline import jko_flow
    from tasks.adapters.prefect.prefect_loss import Ended, outlasting_server

    def call(flow: Callable[..., Ended]) -> Ended:
        given = job.name, str(job.layout.chain), str(job.root), job.config
        return flow(*given, upto=upto, stop_after=job.stop_after, tags=dict(job.tags))

    try:
        return outlasting_server(lambda: call(jko_flow), lambda: call(jko_flow.fn))
    except BaseException as error:
        if was_interrupted(error) and record_partial(job):
            say("the committed blocks are known to DVC: dvc push shares them", err=True)
        raise


def rearrange(job: Job) -> None:
    """Take blocks from another chain, set aside those to train again; only under the chain's lock."""
    from tasks.adapters.store.partial import set_aside, take_blocks

    if job.source is not None:
        taken = take_blocks(job.config, job.layout, job.source)
        blocks = [k for k in taken if k]
        said = f"blocks {blocks[0]}..{blocks[-1]}" if blocks else "the data" if taken else "nothing new"
        say(f"taken from {job.source.chain}: {said}", err=True)
    if job.from_block is not None:
        names = set_aside(job.layout, job.from_block)
        say(f"set aside, to be trained again: {', '.join(names) or 'nothing'}", err=True)


def finish(job: Job, result: Result, upto: Stage) -> Finished:
    """Record the data version and leave the receipt of a complete run."""
    from jko.disk.sealed import write_json
    from tasks.adapters.dvc.versions import commit_stages, inside_stage
    from tasks.adapters.store.partial import compare_aside

    plan = make_plan(job.config, job.layout)
    chain, _ = planned(job.config, job.layout, plan.data_digest or "")
    digest = chain_digest(job.layout, chain) or ""
    if upto == "report" and job.stop_after is None and not digest:
        raise InputError(
            f"{job.layout.chain}: blocks that were just committed cannot be read; look after the disk, then "
            f"start again"
        )
    for k, same in compare_aside(job.layout).items():
        what = "bit for bit as before" if same else "not as before (other hardware, threads or libraries?)"
        say(f"block {k}, trained again, is {what}", err=True)
    if job.stop_after is not None:
        record_partial(job)
    elif upto == "report":
        if job.layout.owned_by_dvc and not inside_stage():
            commit_stages(job.layout, job.root, digest)
        write_json(job.layout.run / "finished.json", finished_receipt(job, digest))
    return Finished(result.metrics, result.report, digest)


def record_partial(job: Job) -> bool:
    """Let DVC know the unfinished chain it owns, so that it can be pushed and continued elsewhere."""
    from tasks.adapters.dvc.versions import commit_partial, inside_stage

    if not job.layout.owned_by_dvc or inside_stage() or not job.layout.manifest.is_file():
        return False
    return commit_partial(job.layout, job.root)
