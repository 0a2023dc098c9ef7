"""The jobs that options ask for: what training does and what planning shows of it are the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import click

from flows.cli.kinds import BLOCKS, CHAIN, PLACE, PRESET, SECONDS, SEED
from flows.places import chain_at, new_chain_at
from flows.session import Job
from flows.settings import Request, build_request, extended, with_assignments
from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.disk.layout import Layout
from jko.disk.manifest import known_manifest, resumed_config, stored_config
from tasks.adapters.store.parent_chain import started_from
from tasks.adapters.store.plan import make_plan


def chain_folder(request: Request, root: Path, chain: Path | None) -> Layout:
    """Where a run's chain lives: the folder given, DVC's own if there is a project, or ``.jko/chains``."""
    if chain is None:
        owned = request.default and (root / "dvc.yaml").is_file()
        chain = root / "data" / "chain" if owned else root / ".jko" / "chains" / request.name
    return new_chain_at(chain, root)


def refuse_other_settings(layout: Layout, config: Config, root: Path) -> None:
    """Keep the chain that DVC owns to the settings that DVC records with it.

    Raises:
        InputError: other settings than params.yaml's are wanted for ``data/chain``.
    """
    if layout.owned_by_dvc and config != build_request(root).config:
        raise InputError(
            f"{layout.chain} is the chain of params.yaml, and other settings are asked for; "
            "edit params.yaml and run jko train, or give another --chain"
        )


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose settings and a chain, the same for every command that takes them."""
    options = (
        click.option("--preset", type=PRESET, help="Named settings, such as digits, rose, moons or tabular."),
        click.option("--data", "file", type=PLACE, help="A table (CSV, Parquet, NPY, …) or a grey picture."),
        click.option(
            "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override one setting."
        ),
        click.option("--chain", type=CHAIN, help="Folder of the chain."),
        click.option("--seed", type=SEED, help="Seed of everything random."),
    )
    for option in reversed(options):
        command = option(command)
    return command


class SettingsWords(TypedDict):
    """What :func:`settings_options` choose settings by, beside the file."""

    preset: str | None
    assignments: tuple[str, ...]
    seed: int | None


class Parts(TypedDict):
    """What :func:`partial_options` add, beside ``as_json``."""

    stop_after: int | None
    from_block: int | None
    source: Path | None
    wait: float


class TrainWords(SettingsWords, Parts):
    """The options of ``jko train``."""

    chain: Path | None
    file: Path | None
    start: Path | None


class ResumeWords(Parts):
    """The argument and the options of ``jko resume``."""

    chain: Path
    extend: int | None
    assignments: tuple[str, ...]


def parts_of(words: Parts) -> Parts:
    """Those of the options that bring a chain up in parts."""
    return Parts(
        stop_after=words["stop_after"], from_block=words["from_block"], source=words["source"],
        wait=words["wait"],
    )  # fmt: skip


def partial_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that bring a chain up in parts."""
    options = (
        click.option("--stop-after", type=BLOCKS, metavar="K", help="Train up to block K, not the rest."),
        click.option("--from-block", type=BLOCKS, metavar="K", help="Train block K and later ones again."),
        click.option(
            "--from", "source", type=CHAIN, metavar="DIR",
            help="Take the blocks of this chain that have the same settings.",
        ),
        click.option(
            "--wait", type=SECONDS, default=0.0, metavar="SECONDS",
            help="Wait so long for another process that holds the chain.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def requested(
    root: Path,
    chain: Path | None,
    file: Path | None,
    *,
    base: Config | None = None,
    **words: Unpack[SettingsWords],
) -> tuple[Request, Layout]:
    """The settings and the chain that the options of :func:`settings_options` ask for."""
    request = build_request(root, file=str(file) if file else None, base=base, **words)
    return request, chain_folder(request, root, chain)


def rows_from_python(root: Path, source: Path | None) -> Config | None:
    """The settings of a folder whose rows came from Python: no file holds them, so ``--from`` brings them.

    Returns:
        ``None`` where ``--from`` names no such folder.
    """
    if source is None:
        return None
    known = known_manifest(chain_at(source, root))
    config = None if known is None else parse_config(known.config)
    return config if config is not None and config.data.source == "rows" else None


def start_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option that gives every block weights to start from."""
    option = click.option(
        "--start-from", "start", type=CHAIN, metavar="DIR",
        help="Start every block from the weights of that block in DIR.",
    )  # fmt: skip
    return option(command)


def extend_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option that makes a chain longer."""
    return click.option("--extend", type=BLOCKS, metavar="N", help="Add N steps at the end.")(command)


def train_job(root: Path, **words: Unpack[TrainWords]) -> Job:
    """What ``jko train`` is asked for.

    Raises:
        InputError: settings, folders or parts that cannot be.
    """
    file, start = words["file"], words["start"]
    taken = rows_from_python(root, words["source"]) if not (file or words["preset"]) else None
    request, layout = requested(
        root, words["chain"], file, base=taken,
        preset=words["preset"], assignments=words["assignments"], seed=words["seed"],
    )  # fmt: skip
    parent = chain_at(start, root) if start else None
    config = started_from(request.config, layout, parent) if parent else request.config
    refuse_other_settings(layout, config, root)
    job = Job(request.name, config, layout, root, resuming(layout), parent=parent)
    return in_parts(job, parts_of(words))


def resume_job(root: Path, **words: Unpack[ResumeWords]) -> Job:
    """What ``jko resume`` is asked for.

    Raises:
        InputError: no chain there, or settings or parts that cannot be.
    """
    layout, extend = chain_at(words["chain"], root), words["extend"]
    config = with_assignments(resumed_config(layout), words["assignments"])
    if extend is not None:
        stopped = make_plan(config, layout).stopped
        if stopped:
            raise InputError(
                f"--extend {extend}: the chain was ended by its stop rule ({stopped}); "
                "add --set stop.certificate=null --set stop.movement=null to go on"
            )
        config = extended(config, extend)
    refuse_other_settings(layout, config, root)
    return in_parts(Job(layout.chain.name, config, layout, root, resuming(layout)), parts_of(words))


def resuming(layout: Layout) -> str:
    """The command that continues a chain."""
    return f"jko resume {shlex.quote(str(layout.chain))}"


def in_parts(job: Job, parts: Parts) -> Job:
    """A job with the options of :func:`partial_options`.

    Raises:
        InputError: there is nothing to take blocks from, or nothing to train again.
    """
    source, from_block = parts["source"], parts["from_block"]
    other = None if source is None else chain_at(source, job.root)
    if other is not None:
        stored_config(other)  # refuses what is no chain
        if other.chain.resolve() == job.layout.chain.resolve():
            raise InputError(f"--from {source}: this is the chain itself; name another one")
    if from_block is not None and not job.layout.manifest.exists():
        raise InputError(f"--from-block {from_block}: there is no chain in {job.layout.chain} yet")
    return replace(
        job, source=other, from_block=from_block, stop_after=parts["stop_after"], wait=parts["wait"]
    )
