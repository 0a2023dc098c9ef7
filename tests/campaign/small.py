"""A chain small enough to be made some thousand times, by the real flow without its servers.

The steps are those of ``flows/pipeline.py`` and ``flows/session.py``, in their order and with their lock;
the tasks are called as plain functions with Prefect's retries. Left out: what is shown (progress, Prefect,
MLflow), and the report, one more committed folder, whose pictures take longer than the chain.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from flows import pipeline
from flows.session import Job, check_input, finish, nothing_to_do, rearrange
from flows.views.planned import planned_work
from jko.config import Config, parse_config
from jko.disk.commit import file_digest, read_commit, remove_temporary
from jko.disk.durable import TEMPORARY
from jko.disk.layout import Layout
from jko.disk.manifest import read_manifest, required_manifest, stored_config
from tasks.adapters.store.chain_store import ChainStore, chain_digest
from tasks.adapters.store.lock import chain_lock
from tasks.adapters.store.parent_chain import adopt_start
from tasks.adapters.store.plan import arrange, make_plan, write_manifest
from tasks.adapters.store.prune import removals, remove
from tasks.adapters.system.events import EventLog
from tasks.listening import Result
from tasks.options import value_of
from tasks.verify import checks

TASKS = (
    "prepare_data", "train_block", "push_block", "measure_block", "certify_chain", "evaluate_chain"
)  # fmt: skip


def config(count: int = 2, **others: Any) -> Config:
    """The settings: two blocks in the plane, a checkpoint at every chance."""
    values: dict[str, Any] = {
        "data": {"source": "gaussian", "rows": 60},
        "steps": {"count": count, "first": 0.3},
        "network": {"hidden": [4]},
        "solver": {"steps": 1},
        "training": {
            "flow_matching_iterations": 2, "iterations": 2, "batch_size": 16, "validate_every": 2,
        },
        "measure": {
            "inversion_limit": 1e6, "rows": 16, "reference_rows": 16, "samples": 40, "resolutions": [0.5],
        },
        "evaluation": {"samples": 10, "mixture_components": [1]},
        "runtime": {"threads": 1, "checkpoint_seconds": 0.0},
    }  # fmt: skip
    return parse_config({**values, **others})


def plainly(task: Any, done: Callable[[], None]) -> Callable[..., Any]:
    """A task as a function that is called again after an ``OSError``, as often as Prefect would."""

    def call(*args: Any, **named: Any) -> Any:
        for left in range(task.retries, -1, -1):
            try:
                value = task.fn(*args, **named)
            except OSError:
                if not left:
                    raise
            else:
                done()
                return value
        raise AssertionError("not reached")

    return call


@dataclass(frozen=True)
class Made:
    """What a run came to.

    Args:
        digest: of the chain.
        trained: indices of the blocks that were committed by it.
        reason: why nothing was to do; empty if something was.
    """

    digest: str
    trained: tuple[int, ...]
    reason: str = ""


def layout_of(root: Path) -> Layout:
    return Layout.of(root / "chain", root)


def bring_up(
    root: Path,
    settings: Config | None = None,
    *,
    done: Callable[[], None] = lambda: None,
    source: Path | None = None,
    parent: Path | None = None,
    from_block: int | None = None,
    wait: float = 0.0,
) -> Made:
    """``jko train`` or, without settings, ``jko resume`` of the chain in a folder.

    Args:
        root: the project's folder.
        settings: those wanted; the chain's own if not given.
        done: called whenever something was acknowledged: a task has returned, or the run its end.
        source: the folder of a project whose chain blocks are taken from.
        parent: the same whose weights ``settings.start`` names.
        from_block: the first block to train again.
        wait: seconds to wait for another process that holds the chain.
    """
    layout = layout_of(root)
    settings = settings or stored_config(layout)
    job = Job(
        "small", settings, layout, root, "jko train", from_block=from_block, wait=wait,
        source=layout_of(source) if source else None, parent=layout_of(parent) if parent else None,
    )  # fmt: skip
    plan = make_plan(settings, layout, verify=True)
    found = nothing_to_do(job, plan)
    if found is not None:
        return Made(found.digest, (), found.reason)
    check_input(job, plan)
    with chain_lock(layout, job.command, wait), alone(root):
        remove_temporary(*layout.places)
        if job.parent is not None:
            adopt_start(settings, layout, job.parent, root)
        rearrange(job)
        before = committed(layout)
        with ExitStack() as stack:
            for name in TASKS:
                plain = plainly(getattr(pipeline, name), done)
                stack.enter_context(mock.patch.object(pipeline, name, plain))
            result = _flow(job)
        finished = finish(job, result, "report")
        done()
        after = committed(layout)
        trained = (k for k, name in after.items() if k and before.get(k) != name)
        return Made(finished.digest, tuple(sorted(trained)))


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """See that no other process works on a project: a lock that has nothing to do with the chain's own."""
    with root.with_name(f"{root.name}.writer").open("w") as witness:
        try:
            fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AssertionError(f"two writers work on {root}") from None
        yield


def _flow(job: Job) -> Result:
    """``jko_flow`` without its servers."""
    digest = value_of(pipeline.prepare_data(job.config, job.layout))
    chain = write_manifest(job.config, job.layout, digest)
    arrange(job.layout, chain)
    run = pipeline.Run(ChainStore(job.config, job.layout, chain), digest, EventLog(job.layout))
    return pipeline.run_stages(run, "evaluate")


def committed(layout: Layout) -> dict[int, str]:
    """Names of the blocks that are whole and in the chain, by index."""
    folders = (layout.chain / "blocks").glob("[0-9]*-*")
    return {int(path.name.split("-")[0]): path.name for path in folders if read_commit(path, verify=True)}


def prune(root: Path) -> None:
    """``jko prune --samples --yes``."""
    layout = layout_of(root)
    with chain_lock(layout, "jko prune"), alone(root):
        remove(layout, removals(layout, samples=True))


def planned(root: Path, settings: Config) -> tuple[int, ...]:
    """The blocks that ``jko plan`` says will be trained."""
    found = planned_work(Job("small", settings, layout_of(root), root, "jko train"))
    return tuple(block["index"] for block in found["blocks"] if block["index"] and block["action"] != "done")


def digest_of_chain(root: Path) -> str | None:
    layout = layout_of(root)
    manifest = read_manifest(layout)
    return None if manifest is None else chain_digest(layout, manifest.fingerprints)


def verified(root: Path) -> list[str]:
    """The checks of ``jko verify`` that do not hold, in words."""
    layout = layout_of(root)
    found = checks(stored_config(layout), layout, required_manifest(layout))
    return [f"{check.name}: {check.how}" for check in found if not check.holds]


def left_behind(root: Path) -> list[str]:
    """Temporary names that nobody will finish."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(f"{TEMPORARY}*"))


def standing(root: Path) -> dict[str, str]:
    """Digests of everything whole that a project holds, by name; a block may be in the chain or set aside."""
    layout, found = layout_of(root), {}
    places: Iterable[tuple[str, Path]] = [
        *(("", path) for path in sorted(layout.superseded.glob("*"))),
        *(("", path) for path in sorted((layout.chain / "blocks").glob("*"))),
        *(("staged ", path) for path in sorted((layout.run / "staging").glob("*"))),
        ("", layout.evaluation),
    ]
    for prefix, folder in places:
        commit = read_commit(folder, verify=True)
        if commit is not None:
            found[prefix + folder.name.removesuffix(".aside")] = commit.digest
    files = [*layout.chain.glob("measures/*.json"), *layout.chain.glob("start/[0-9]*"), layout.manifest]
    for path in [*files, layout.certificate, layout.metrics, layout.run / "finished.json"]:
        if path.is_file():
            found[str(path.relative_to(root))] = file_digest(path)
    return found


def taken_for_whole(root: Path) -> list[str]:
    """Folders that a reader who trusts their names takes for committed, though their bytes are others."""
    layout = layout_of(root)
    folders = [*(layout.chain / "blocks").glob("*"), *(layout.run / "staging").glob("*"), layout.evaluation]
    return [
        str(path.relative_to(root))
        for path in folders
        if read_commit(path) is not None and read_commit(path, verify=True) is None
    ]


@dataclass(frozen=True)
class Healed:
    """What a start after a fault came to.

    Args:
        made: its result.
        standing: what it left.
        failed: checks of ``jko verify`` that do not hold, temporary names left, blocks still to train.
    """

    made: Made
    standing: dict[str, str]
    failed: tuple[str, ...]


def heal(root: Path, settings: Config | None = None) -> Healed:
    """Start again with nothing done by hand, and look at everything."""
    return looked_at(root, bring_up(root, settings), settings)


def looked_at(root: Path, made: Made, settings: Config | None = None) -> Healed:
    """What a start has left; ``settings`` are those wanted, if not the chain's own."""
    failed = [f"left behind: {name}" for name in left_behind(root)]
    failed += [f"taken for whole: {name}" for name in taken_for_whole(root)]
    again = planned(root, settings or stored_config(layout_of(root)))
    failed += [f"still to train: {again}"] if again else []
    return Healed(made, standing(root), (*failed, *verified(root)))


def note(path: Path, value: Any) -> None:
    """Append a line that survives the death of this process."""
    with path.open("a") as stream:
        stream.write(json.dumps(value) + "\n")


def noted(path: Path) -> list[Any]:
    """The lines of :func:`note`."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
