"""The dry run: what is done, what would be trained and why, from files and settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from flows.session import Job
from jko.certify.records import Certificate
from jko.config import Config
from jko.config.data_section import KINDS, PICTURES
from jko.core.step_sizes import shown, stored
from jko.disk.commit import FACTS, SAMPLES
from jko.disk.damage import damaged_in, is_whole
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint
from jko.disk.layout import Layout
from jko.disk.manifest import known_fingerprints
from jko.disk.sealed import is_damaged, read_model, read_sealed
from jko.disk.stored_facts import StoredFacts, StoredKinds
from tasks.adapters.store.chain_store import ChainStore, chain_digest
from tasks.adapters.store.plan import BlockPlan, checkpointed_iteration, make_plan, planned, stored_figures
from tasks.report.identity import has_own_report


class PlannedBlock(TypedDict):
    """A block of the plan, index 0 being the data; training goes on from the iteration ``checkpoint``."""

    index: int
    step_size: float | None
    fingerprint: str | None
    action: Literal["done", "train", "retrain", "take", "later"]
    reason: str
    measured: bool
    samples: bool
    checkpoint: int | None


class LaterStage(TypedDict):
    """Certificate, evaluation or report."""

    stage: str
    action: Literal["done", "make"]
    reason: str


class PlannedWork(TypedDict):
    """What a job would do, as ``jko plan --json`` prints it.

    ``choices`` says in sentences what was or will be chosen of the data's preparation by trials, and why.
    ``kinds`` are those of the columns by name, once they are known; ``start`` is the start map.
    """

    chain: str
    data_digest: str | None
    complete: bool
    stopped: str | None
    digest: str | None
    blocks: list[PlannedBlock]
    then: list[LaterStage]
    choices: list[str]
    kinds: dict[str, str] | None
    start: str | None


def planned_work(job: Job) -> PlannedWork:
    """What a job would do; nothing is written or trained.

    Args:
        job: the chain, its settings and the parts asked for.

    Raises:
        InputError: a file that is not prepared yet cannot be trained on.
    """
    config, layout = job.config, job.layout
    plan = make_plan(config, layout, verify=True)
    if plan.data_digest is None:
        check_table(config)
    before = known_fingerprints(layout)
    chain: tuple[str, ...] = ()
    if plan.data_digest is not None:
        chain, _ = planned(config, layout, plan.data_digest)
    blocks = [described(config, layout, chain, block, before) for block in plan.blocks]
    in_parts(job, blocks)
    stored = prepared_facts(job, chain, blocks)
    complete = all(block["action"] == "done" for block in blocks)
    digest = chain_digest(layout, chain) if chain and complete else None
    return {
        "chain": str(layout.chain),
        "data_digest": plan.data_digest,
        "complete": complete,
        "stopped": plan.stopped,
        "digest": digest,
        "blocks": blocks,
        "then": later_stages(config, layout, chain, digest),
        "choices": choices(job, stored),
        "kinds": kinds_of(job, stored),
        "start": stored.start_kind or job.config.data.standardise if stored else None,
    }


def check_table(config: Config) -> None:
    """Read the table that would be trained on; it takes no torch, as a plan does in all.

    Raises:
        InputError: it cannot be read, or its rows cannot be used.
    """
    data = config.data
    if data.source != "file" or Path(data.file or "").suffix.lower() in PICTURES:
        return
    from jko.preparation.split import split_rows
    from tasks.datasets.whole import load_table

    table = load_table(data, config.seed)
    split_rows(len(table.rows), data, config.seed, table.name)


def prepared_facts(job: Job, chain: tuple[str, ...], blocks: list[PlannedBlock]) -> StoredFacts | None:
    """What is known of the data, where they are prepared."""
    if not chain or blocks[0]["action"] != "done":
        return None
    return read_model(job.layout.block(0, chain[0]) / FACTS, StoredFacts)


def choices(job: Job, stored: StoredFacts | None) -> list[str]:
    """What was chosen when the data were prepared, or will be."""
    if stored is not None:
        return list(stored.choices)
    data = job.config.data
    kinds = "kinds of columns: told from the training rows" if data.kinds_used == "auto" else ""
    return [said for said in (kinds, data.left_open) if said]


def kinds_of(job: Job, stored: StoredFacts | None) -> dict[str, str] | None:
    """The kinds of columns by name: of the prepared data, or of the file that the settings name."""
    if stored is not None:
        return None if stored.kinds is None else {one.name: one.words for one in stored.kinds.columns}
    if job.config.data.kinds_used in KINDS:
        return None
    from jko.columns.written import read_schema

    plain = read_schema(Path(job.config.data.kinds_used)).plain()
    return {one.name: one.words for one in StoredKinds.model_validate(plain).columns}


def in_parts(job: Job, blocks: list[PlannedBlock]) -> None:
    """Put into a plan's blocks what ``--from``, ``--from-block`` and ``--stop-after`` change of them."""
    if job.source is not None:
        from tasks.adapters.store.partial import blocks_to_take

        chain, found = blocks_to_take(job.config, job.layout, job.source)
        for block in blocks:
            block["fingerprint"] = chain[block["index"]]
            if block["index"] in found:
                block["action"], block["reason"] = "take", f"as in {job.source.chain}"
                block["samples"] = True
            elif block["action"] == "train":
                block["reason"] = "not trained yet"
    for block in blocks:
        k, done = block["index"], block["action"] in ("done", "take")
        if job.from_block is not None and k >= job.from_block and done:
            block["action"], block["reason"] = "retrain", f"asked for by --from-block {job.from_block}"
        if job.stop_after is not None and k > job.stop_after and block["action"] != "done":
            block["action"], block["reason"] = "later", f"follows --stop-after {job.stop_after}"
            block["checkpoint"] = None


def described(
    config: Config, layout: Layout, chain: tuple[str, ...], block: BlockPlan, before: tuple[str, ...]
) -> PlannedBlock:
    """One block of the plan."""
    done, k = block.state == "done", block.index
    again = k < len(before) and k > 0
    folder = layout.block(k, block.fingerprint) if block.fingerprint else None
    return {
        "index": k,
        "step_size": stored(block.step_size),
        "fingerprint": block.fingerprint,
        "action": "done" if done else "retrain" if again and was_trained(layout, k, before[k]) else "train",
        "reason": block.reason,
        "measured": bool(done and k and stored_figures(ChainStore(config, layout, chain), k)),
        "samples": bool(done and folder and (folder / SAMPLES).exists()),
        "checkpoint": checkpointed_iteration(layout, k, block.fingerprint)
        if block.fingerprint and k and not done
        else None,
    }


def was_trained(layout: Layout, k: int, fingerprint: str) -> bool:
    """Whether the chain has or had a block k of the manifest's, also a damaged one."""
    return layout.block(k, fingerprint).exists()


def later_stages(
    config: Config, layout: Layout, chain: tuple[str, ...], digest: str | None
) -> list[LaterStage]:
    """What follows the blocks."""
    if digest is None:
        return [
            {"stage": stage, "action": "make", "reason": "follows the last block"}
            for stage in ("certificate", "evaluation", "report")
        ]
    damaged = {
        "certificate": is_damaged(layout.certificate),
        "evaluation": any(damaged_in(layout.evaluation)),
        "report": any(damaged_in(layout.report)),
    }
    known = read_sealed(layout.certificate, Certificate, certificate_fingerprint(config, digest))
    current = {
        "certificate": known is not None,
        "evaluation": is_whole(layout.evaluation, evaluation_fingerprint(config, digest)),
    }
    current["report"] = all(current.values()) and has_own_report(layout, chain)
    places = {"certificate": layout.certificate, "evaluation": layout.evaluation, "report": layout.report}
    reasons = {
        stage: "its stored files are damaged" if damaged[stage]
        else "made for other blocks or settings" if place.exists() else "not made yet"
        for stage, place in places.items()
    }  # fmt: skip
    return [
        {"stage": stage, "action": "done" if holds else "make", "reason": "" if holds else reasons[stage]}
        for stage, holds in current.items()
    ]


ACTIONS = {
    "done": "done", "train": "will train", "retrain": "will re-train", "take": "will be taken",
    "later": "waits", "make": "will be made",
}  # fmt: skip


def show_plan(layout: Layout, found: PlannedWork) -> None:
    """Print a plan for people."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    console = screen()
    table = Table(title=f"{layout.chain}", title_justify="left")
    for name, justify in (("block", "right"), ("γ", "right"), ("", "left"), ("because", "left"),
                          ("fingerprint", "left")):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for block in found["blocks"]:
        data = block["index"] == 0
        action = ACTIONS[block["action"]]
        if data and block["action"] == "train":
            action = "will be prepared"
        table.add_row(
            "data" if data else str(block["index"]),
            "" if data else shown(block['step_size']),
            action, because(block), (block["fingerprint"] or "")[:12],
        )  # fmt: skip
    for stage in found["then"]:
        table.add_row(stage["stage"], "", ACTIONS[stage["action"]], stage["reason"], "")
    console.print(table)
    if found["kinds"]:
        listed = ", ".join(f"{name} {kind}" for name, kind in found["kinds"].items())
        console.print(f"data: {listed}", markup=False)
    for sentence in found["choices"]:
        console.print(f"data: {sentence}", markup=False)
    if found["kinds"] and found["start"] and not found["choices"]:
        console.print(f"data: start {found['start']}")
    train = [block for block in found["blocks"] if block["index"] and block["action"] in ("train", "retrain")]
    if found["stopped"]:
        console.print(f"the chain ends there: {found['stopped']}")
    if train:
        console.print(f"{len(train)} of {len(found['blocks']) - 1} blocks to train")
    elif found["digest"] and all(stage["action"] == "done" for stage in found["then"]):
        console.print(f"all blocks are done, digest {found['digest'][:16]}")


def because(block: PlannedBlock) -> str:
    """The reason in words; what is worth knowing of a block that is done."""
    if block["action"] != "done" or not block["index"]:
        kept = block["checkpoint"]
        return block["reason"] + (f"; goes on from iteration {kept}" if kept else "")
    notes = [] if block["measured"] else ["will be measured"]
    notes += [] if block["samples"] else ["samples dropped, pushed again when needed"]
    return "; ".join(notes)
