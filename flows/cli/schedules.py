"""Commands that keep servers and schedule runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from flows.cli.commands import Command, Group
from flows.cli.kinds import PLACE, PRESET
from flows.places import project_root
from flows.settings import build_request
from jko.config import Config
from jko.core.errors import InputError
from jko.disk.layout import Layout
from tasks.adapters.scheduling.credential import credential, credential_file
from tasks.adapters.scheduling.up import bring_up, take_down
from tasks.adapters.scheduling.up_state import state_of
from tasks.adapters.system.environment import check_settings, first_line, named_server, platform_environment
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.adapters.scheduling.schedules import Entry


class Wish(TypedDict):
    """The options of ``jko schedule``."""

    preset: str | None
    file: Path | None
    assignments: tuple[str, ...]
    name: str | None
    cron: str | None
    interval: str | None
    timezone: str | None
    on_change: str | None


PORT = click.IntRange(1, 65535)

#: MLflow opens with a page about language models; here are the runs
RUNS_PAGE = "/?workflowType=machine_learning"


@click.command(cls=Command, example="jko up")
@click.option("--port", type=PORT, help="Of Prefect's page; default: 4200, or any free one.")
@click.option("--mlflow-port", type=PORT, help="Of MLflow's page; default: 5000, or any free one.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON.")
def up(port: int | None, mlflow_port: int | None, as_json: bool) -> None:
    """Start the servers and the runner that schedules need.

    The servers are Prefect's and MLflow's; the runner trains what is due.
    """
    root = ready()
    if state_of(root) is None:
        say("starting (about half a minute the first time) …", err=True)
    record, before = bring_up(root, port, mlflow_port)
    pages = {"prefect": record.prefect, "mlflow": record.mlflow}
    own = record.prefect_own
    if as_json:
        # what a script prints is kept somewhere: the file and not what is in it
        kept = str(credential_file(root)) if own else None
        known = {**pages, "credential_file": kept, "pid": record.pid, "already_up": before}
        say(json.dumps(known, indent=1))
        return
    say("up already" if before else "up")
    say(f"  Prefect  {pages['prefect']}")
    if own:
        say(f"           its page asks for this project's password: {credential(root)}")
    say(f"  MLflow   {pages['mlflow']}{RUNS_PAGE}")
    say("to stop: jko down")


@click.command(cls=Command, example="jko down")
def down() -> None:
    """Stop what jko up started."""
    root = project_root()
    platform_environment(root)
    stopped = take_down(root)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was up")


@click.group(
    cls=Group, invoke_without_command=True, example='jko schedule --preset digits --cron "0 3 * * *"'
)
@click.option("--preset", type=PRESET, help="Named settings, as for jko train.")
@click.option("--data", "file", type=PLACE, help="A table (CSV, Parquet, NPY, …) or a grey picture.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override one setting.")
@click.option(
    "--name", help="Of the schedule and its chain .jko/chains/NAME; default: of the preset or file."
)
@click.option("--cron", metavar='"M H D M W"', help='When: a cron line, as in "0 3 * * *".')
@click.option("--interval", metavar="TIME", help="When: every so often, as in 30s, 10m, 1h, 1d.")
@click.option("--timezone", metavar="ZONE", help="IANA name, as in Europe/Berlin; default: UTC.")
@click.option(
    "--on-change", type=click.Choice(["retrain", "warm", "score"]),
    help="What new data lead to: training from scratch (default), from the last chain, or scores only.",
)  # fmt: skip
@click.pass_context
def schedule(context: click.Context, **wish: Unpack[Wish]) -> None:
    """Train by the clock.

    Without a command it makes a schedule, or replaces the one of that name.
    """
    if context.invoked_subcommand is None:
        create(wish)
    elif given := [name for name, value in wish.items() if value]:
        option = {"file": "data", "assignments": "set"}.get(given[0], given[0]).replace("_", "-")
        raise InputError(f"--{option} does not go with jko schedule {context.invoked_subcommand}")


def create(wish: Wish) -> None:
    """Validate everything, then create the schedule or replace the one of that name."""
    root, file = project_root(), wish["file"]
    request = build_request(
        root, preset=wish["preset"], file=str(file) if file else None, assignments=wish["assignments"]
    )
    ready()
    from tasks.adapters.scheduling.schedules import parse_name, parse_when, register

    when = parse_when(wish["cron"], wish["interval"], wish["timezone"] or "UTC")
    name = parse_name(wish["name"] or request.name)
    config = with_absolute_file(request.config)
    check_data(name, config, root)
    with prefect(root):
        from flows.scheduled import jko_scheduled

        parameters: dict[str, JsonValue] = {
            "config": config.model_dump(mode="json"),
            "on_change": wish["on_change"] or "retrain",
        }
        made = register(jko_scheduled, name, when, root, parameters)
    coming = "paused" if made["paused"] else f"next {clock(made['next_run'])}"
    say(f"scheduled {name}: {made['when']} ({made['timezone']}), {coming}")
    if state_of(root) is None:
        say("nothing runs it yet: run `jko up` so that it fires")


@schedule.command("list", example="jko schedule list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_schedules(as_json: bool) -> None:
    """Show the schedules of this project."""
    root = ready()
    from tasks.adapters.scheduling.schedules import listed

    with prefect(root):
        found = listed(root)
    if as_json:
        say(json.dumps(found, indent=1))
    elif not found:
        say('no schedules here; as in: jko schedule --preset digits --cron "0 3 * * *"')
    else:
        show(found)


@schedule.command(example="jko schedule pause digits")
@click.argument("name")
def pause(name: str) -> None:
    """Let the schedule NAME rest."""
    root = ready()
    from tasks.adapters.scheduling.schedules import set_paused

    with prefect(root):
        set_paused(root, name, paused=True)
    say(f"paused {name}; to go on: jko schedule resume {name}")


@schedule.command(example="jko schedule resume digits")
@click.argument("name")
def resume(name: str) -> None:
    """Wake the paused schedule NAME."""
    root = ready()
    from tasks.adapters.scheduling.schedules import set_paused

    with prefect(root):
        set_paused(root, name, paused=False)
    say(f"resumed {name}")


@schedule.command(example="jko schedule remove digits")
@click.argument("name")
def remove(name: str) -> None:
    """Forget the schedule NAME; its chain stays."""
    root = ready()
    from tasks.adapters.scheduling import schedules

    with prefect(root):
        schedules.remove(root, name)
    say(f"removed {name}; its chain stays")


def ready() -> Path:
    """The project's folder, with the environment set and found good before Prefect's modules are loaded."""
    root = project_root()
    platform_environment(root)
    check_settings()
    return root


@contextmanager
def prefect(root: Path) -> Iterator[None]:
    """A Prefect server that answers: the named one, the one that is up, or one for the moment."""
    from tasks.adapters.scheduling.server import ServerError, prefect_server, wait_until_healthy

    if state_of(root) is None and named_server() is None:
        say("starting Prefect's server for the moment …", err=True)
    with prefect_server(root) as address:
        import httpx
        from prefect.settings import temporary_settings

        from tasks.adapters.scheduling.worker import settings_of

        wait_until_healthy(address, root)
        try:
            with temporary_settings(settings_of(address, root)):  # Prefect may have been imported before
                yield
        except httpx.HTTPError as error:
            raise ServerError(f"Prefect's server did not do what it was asked: {first_line(error)}") from None


def with_absolute_file(config: Config) -> Config:
    """Settings that mean the same file from every working directory."""
    if config.data.file is None:
        return config
    data = config.data.model_copy(update={"file": str(Path(config.data.file).absolute())})
    return config.model_copy(update={"data": data})


def check_data(name: str, config: Config, root: Path) -> None:
    """Refuse bad data before anything is scheduled."""
    from flows.session import Job, check_input
    from tasks.adapters.store.plan import make_plan

    layout = Layout.of(root / ".jko" / "chains" / name, root)
    check_input(Job(name, config, layout, root, ""), make_plan(config, layout))


def clock(moment: str | None) -> str:
    """``2026-01-31 03:00:00`` of an ISO time; a dash for none."""
    return "–" if moment is None else moment[:19].replace("T", " ")


def show(found: list[Entry]) -> None:
    """Print the schedules as a table."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    table = Table()
    for column in ("name", "when", "timezone", "on change", "data", "next run", "last run"):
        table.add_column(column, overflow="fold")
    for entry in found:
        last = entry["last_run"]
        said = f"{clock(last['started'])} UTC {last['state']}" if last else "–"
        coming = "paused" if entry["paused"] else clock(entry["next_run"])
        table.add_row(entry["name"], entry["when"], entry["timezone"], entry["on_change"], entry["data"],
                      coming, said)  # fmt: skip
    screen().print(table)
