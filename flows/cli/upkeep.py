"""Commands that look after a chain on disk: plan, verify, prune."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

import click

from flows.cli.commands import Command
from flows.cli.jobs import (
    TrainWords,
    extend_option,
    partial_options,
    parts_of,
    resume_job,
    settings_options,
    start_option,
    train_job,
)
from flows.cli.kinds import CHAIN
from flows.places import chain_at, project_root
from jko.core.errors import InputError
from jko.disk.manifest import stored_config
from tasks.adapters.system.terminal import say


@click.command(cls=Command, example="jko plan --preset moons --set steps.count=3")
@click.argument("folder", type=CHAIN, metavar="[DIR]", required=False)
@settings_options
@partial_options
@extend_option
@start_option
def plan(*, folder: Path | None, as_json: bool, extend: int | None, **words: Unpack[TrainWords]) -> None:
    """Show what would be trained, and why.

    By jko train, or with DIR by jko resume DIR; it takes the options of that command.
    """
    from flows.views.planned import planned_work, show_plan

    root = project_root()
    if folder is None:
        if extend is not None:
            raise InputError(
                f"--extend {extend}: name the chain to extend, as in jko plan DIR --extend {extend}"
            )
        job = train_job(root, **words)
    else:
        others = {
            "preset": words["preset"], "file": words["file"], "chain": words["chain"],
            "seed": words["seed"], "start": words["start"],
        }  # fmt: skip
        given = [name for name, value in others.items() if value is not None]
        if given:
            option = {"file": "data", "start": "start-from"}.get(given[0], given[0])
            raise InputError(
                f"jko plan {folder}: a chain's folder is planned with its own settings, as by jko resume; "
                f"leave --{option} out, or the folder"
            )
        job = resume_job(
            root, chain=folder, extend=extend, assignments=words["assignments"], **parts_of(words)
        )
    found = planned_work(job)
    say(json.dumps(found, indent=1)) if as_json else show_plan(job.layout, found)


@click.command(cls=Command, example="jko verify data/chain")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def verify(chain: Path, as_json: bool) -> None:
    """Check every file and every block of a chain.

    Every file of the chain in DIR is hashed again. Of every block the rows' identity and the round trip are
    checked.
    """
    from flows.views.verify import show_checks, verified

    layout = chain_at(chain, project_root())
    checks = verified(layout)
    say(json.dumps([asdict(check) for check in checks], indent=1)) if as_json else show_checks(layout, checks)
    failed = [check for check in checks if not check.holds]
    if failed:
        first = failed[0]
        raise InputError(
            f"{layout.chain}: {len(failed)} of {len(checks)} checks failed, first {first.name}: {first.how}"
        )


@click.command(cls=Command, example="jko prune data/chain --dry-run")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("--samples", is_flag=True, help="Also samples that resume can push again, bit for bit.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
def prune(chain: Path, samples: bool, yes: bool, dry_run: bool) -> None:
    """Remove what a chain no longer needs.

    That is replaced blocks and leftovers of the chain in DIR. It shows their bytes and asks first.
    """
    from tasks.adapters.store.lock import chain_lock
    from tasks.adapters.store.prune import removals, remove

    layout = chain_at(chain, project_root())
    stored_config(layout)  # refuses what is no chain
    with chain_lock(layout, f"jko prune {layout.chain}"):
        found = removals(layout, samples=samples)
        for kind in dict.fromkeys(removal.kind for removal in found):
            sizes = [removal.size for removal in found if removal.kind == kind]
            say(f"{size_text(sum(sizes)):>10}  {len(sizes):4d} × {kind}")
        if not found:
            say(f"nothing to remove in {layout.chain}")
        if not found or dry_run:
            return
        total = size_text(sum(removal.size for removal in found))
        if not yes:
            if not sys.stdin.isatty():
                raise InputError(f"{total} would be removed; say so with --yes")
            click.confirm(f"remove {total}?", abort=True)
        remove(layout, found)
        say(f"{total} removed")


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
