"""Commands that look after a chain on disk: plan, verify, prune."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from flows.cli.chains import requested, settings_options
from flows.places import chain_at
from flows.settings import project_root
from jko.errors import InputError
from tasks.adapters.plan import stored_config
from tasks.adapters.terminal import say


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def plan(*, folder: Path | None, chain: Path | None, file: Path | None, as_json: bool, **words: Any) -> None:
    """Show what is done and what would be trained, and why, for the chain in DIR or for settings."""
    from flows.planned import planned_work, show_plan

    root = project_root()
    if folder is not None:
        if chain or file or any(words.values()):
            raise InputError(
                f"jko plan {folder}: a chain's folder is planned with its own settings; leave one out"
            )
        layout = chain_at(folder, root)
        config = stored_config(layout)
    else:
        request, layout = requested(root, chain, file, **words)
        config = request.config
    found = planned_work(config, layout, root)
    say(json.dumps(found, indent=1)) if as_json else show_plan(layout, found)


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def verify(chain: Path, as_json: bool) -> None:
    """Hash every file of the chain in DIR again; check row identity and round trip of every block."""
    from flows.verify import show_checks, verified

    layout = chain_at(chain, project_root())
    checks = verified(layout)
    say(json.dumps(checks, indent=1)) if as_json else show_checks(layout, checks)
    failed = [check for check in checks if not check["holds"]]
    if failed:
        first = failed[0]
        raise InputError(
            f"{layout.chain}: {len(failed)} of {len(checks)} checks failed, "
            f"first {first['name']}: {first['how']}"
        )


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--samples", is_flag=True, help="Also samples that resume can push again, bit for bit.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
def prune(chain: Path, samples: bool, yes: bool, dry_run: bool) -> None:
    """Remove replaced blocks and leftovers of the chain in DIR; show the bytes before acting."""
    from tasks.adapters.lock import chain_lock
    from tasks.adapters.prune import removals, remove

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
