"""Schedules as Prefect deployments: validated, registered, listed, paused, removed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Interval
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule
from pydantic import JsonValue

from jko.core.errors import InputError
from tasks.adapters.scheduling.run_upkeep import GRACE_SECONDS
from tasks.adapters.scheduling.worker import COMMAND, POOL, ensure_pool, takes_commands

FLOW = "jko-scheduled"
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
P = ParamSpec("P")
R = TypeVar("R")
#: one day more than a leap year: rarer runs are cron's
LONGEST = 367 * SECONDS["d"]
#: runs that began: a cancelled one, as overdue ones are, tells nothing
WORKED = ["RUNNING", "COMPLETED", "FAILED", "CRASHED"]


@dataclass(frozen=True)
class When:
    """When a schedule fires: by a cron line or every so many seconds.

    Args:
        cron: five fields or a name such as ``@daily``.
        seconds: between two runs.
        timezone: IANA name.
    """

    cron: str | None
    seconds: float | None
    timezone: str

    def __str__(self) -> str:
        return self.cron if self.cron is not None else f"every {in_words(self.seconds or 0)}"

    def coming(self, count: int = 1, anchor: datetime | None = None) -> list[datetime]:
        """The next times, by Prefect's own reckoning.

        Args:
            count: how many.
            anchor: a time at which an interval fired.
        """
        if self.cron is not None:
            own: Any = CronSchedule(cron=self.cron, timezone=self.timezone)
        else:
            anchored: dict[str, Any] = {"anchor_date": anchor} if anchor else {}
            own = IntervalSchedule(
                interval=timedelta(seconds=self.seconds or 0), timezone=self.timezone, **anchored
            )
        return asyncio.run(own.get_dates(n=count))


def parse_when(cron: str | None, interval: str | None, timezone: str) -> When:
    """Validate what the user gave, by Prefect's own classes.

    Raises:
        InputError: what is wrong with it, and what is allowed.
    """
    if (cron is None) == (interval is None):
        raise InputError('give either --cron "0 3 * * *" or --interval 1h')
    when = When(cron, None if interval is None else parse_interval(interval), timezone)
    if cron is not None and len(cron.split()) != 5 and not cron.startswith("@"):
        raise InputError(
            f"--cron {cron!r}: five fields are expected (minute, hour, day, month, weekday), "
            'as in "0 3 * * *", or a name such as @daily'
        )
    try:
        IntervalSchedule(interval=timedelta(days=1), timezone=timezone)
    except ValueError:
        raise InputError(f"--timezone {timezone!r}: an IANA name is expected, as in Europe/Berlin") from None
    try:
        if not when.coming():
            raise ValueError
    except (ValueError, KeyError):
        raise InputError(f'--cron {cron!r}: not a cron line that ever fires; as in "0 3 * * *"') from None
    return when


def parse_interval(text: str) -> float:
    """Seconds of ``30s``, ``10m``, ``1h`` or ``1d``.

    Raises:
        InputError: another form, below one second or above a year.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])", text.strip())
    if found is None:
        raise InputError(f"--interval {text!r}: a number and s, m, h or d are expected, as in 30s or 1h")
    seconds = float(found[1]) * SECONDS[found[2]]
    if not 1 <= seconds <= LONGEST:
        raise InputError(f"--interval {text!r}: between 1s and {LONGEST / SECONDS['d']:.0f}d is allowed")
    return seconds


def in_words(seconds: float) -> str:
    """``90`` as ``90s``, ``3600`` as ``1h``."""
    unit = next(unit for unit in "dhms" if seconds % SECONDS[unit] == 0 or unit == "s")
    return f"{seconds / SECONDS[unit]:g}{unit}"


def parse_name(name: str) -> str:
    """A name that Prefect and a folder can have.

    Raises:
        InputError: it cannot be one.
    """
    if re.fullmatch(r"\w[\w .()+-]{0,99}", name) is None or name != name.strip():
        raise InputError(
            f"{name!r} cannot name a schedule: it begins with a letter or digit, and letters, digits, "
            "spaces and . _ - + ( ) may follow, 100 at most"
        )
    return name


class LastRun(TypedDict):
    """The last run of a schedule that began."""

    id: str
    started: str
    state: str | None
    message: str | None


class Entry(TypedDict):
    """A schedule, as ``jko schedule list --json`` prints it; times in ISO 8601."""

    name: str
    when: str | None
    cron: str | None
    interval_seconds: float | None
    timezone: str | None
    on_change: str
    data: str | None
    paused: bool
    next_run: str | None
    last_run: LastRun | None


def register(
    flow: Flow[P, R], name: str, when: When, root: Path, parameters: Mapping[str, JsonValue]
) -> Entry:
    """Create or replace a schedule.

    Args:
        flow: what runs; found again by its module path.
        name: of the schedule.
        when: it fires.
        root: the project's folder.
        parameters: of the flow, as JSON; ``root`` and ``name`` are added.

    Returns:
        Its entry of :func:`listed`.

    Raises:
        InputError: the name is taken by another project on the same server.
    """
    schedule = (
        Cron(when.cron, timezone=when.timezone)
        if when.cron is not None
        else Interval(timedelta(seconds=when.seconds or 0), timezone=when.timezone)
    )
    with get_client(sync_client=True) as client:
        known = _read(client, name)
        if known is not None and (owner := known.parameters.get("root")) != str(root):
            raise InputError(f"the schedule {name!r} on this server belongs to {owner}; give another --name")
        pool, queue = ensure_pool(client, root)
        variables = {"working_dir": str(root), **({"command": COMMAND} if takes_commands(pool) else {})}
        deployment = RunnerDeployment.from_flow(
            flow, name=name, entrypoint_type=EntrypointType.MODULE_PATH, schedule=schedule,
            parameters={**parameters, "name": name, "root": str(root)}, enforce_parameter_schema=True,
            work_pool_name=POOL, work_queue_name=queue,
            job_variables=variables,
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE,
                grace_period_seconds=GRACE_SECONDS,
            ),
            description=f"Scheduled by jko: {when} ({when.timezone}).", tags=["jko"],
        )  # fmt: skip
        made: Any = deployment.apply()
        return _described(client, client.read_deployment(made))


def listed(root: Path) -> list[Entry]:
    """The schedules of a project, by name: what ``jko schedule list --json`` prints."""
    with get_client(sync_client=True) as client:
        return [_described(client, found) for found in _of_project(client, root)]


def set_paused(root: Path, name: str, paused: bool) -> None:
    """Pause or resume a schedule.

    Raises:
        InputError: there is none of that name.
    """
    with get_client(sync_client=True) as client:
        found = _find(client, root, name)
        (client.pause_deployment if paused else client.resume_deployment)(found.id)


def remove(root: Path, name: str) -> None:
    """Forget a schedule; its runs and its chain stay.

    Raises:
        InputError: there is none of that name.
    """
    with get_client(sync_client=True) as client:
        client.delete_deployment(_find(client, root, name).id)


def _read(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        return None


def _of_project(client: SyncPrefectClient, root: Path) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    ours = FlowFilter.model_validate({"name": {"any_": [FLOW]}})
    while page := client.read_deployments(flow_filter=ours, limit=100, offset=len(found)):
        found += page
    own = [deployment for deployment in found if deployment.parameters.get("root") == str(root)]
    return sorted(own, key=lambda deployment: deployment.name)


def _find(client: SyncPrefectClient, root: Path, name: str) -> DeploymentResponse:
    own = {deployment.name: deployment for deployment in _of_project(client, root)}
    if name not in own:
        raise InputError(f"no schedule {name!r} here; there is {', '.join(own) if own else 'none'}")
    return own[name]


def _described(client: SyncPrefectClient, deployment: DeploymentResponse) -> Entry:
    config = deployment.parameters.get("config", {})
    data = config.get("data", {})
    entry: Entry = {
        "name": deployment.name, "when": None, "cron": None, "interval_seconds": None, "timezone": None,
        "on_change": deployment.parameters.get("on_change", "retrain"),
        "data": data.get("file") or data.get("source"), "paused": deployment.paused,
        "next_run": None, "last_run": _last_run(client, deployment),
    }  # fmt: skip
    for schedule in deployment.schedules[:1]:
        own: Any = schedule.schedule
        interval = getattr(own, "interval", None)
        when = When(
            getattr(own, "cron", None), interval.total_seconds() if interval else None, own.timezone or "UTC"
        )
        coming = when.coming(anchor=getattr(own, "anchor_date", None))
        entry |= {
            "when": str(when), "cron": when.cron, "interval_seconds": when.seconds, "timezone": when.timezone,
            "next_run": coming[0].isoformat() if coming and not deployment.paused else None,
        }  # fmt: skip
    return entry


def _last_run(client: SyncPrefectClient, deployment: DeploymentResponse) -> LastRun | None:
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment.id]}}),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": WORKED}}}),
        sort=FlowRunSort.START_TIME_DESC, limit=1,
    )  # fmt: skip
    if not runs or runs[0].state is None or runs[0].start_time is None:
        return None
    state = runs[0].state
    return {
        "id": str(runs[0].id), "started": runs[0].start_time.isoformat(), "state": state.name,
        "message": state.message,
    }  # fmt: skip
