"""Environment of the embedded systems; set before Prefect, MLflow or DVC are imported."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from jko.core.errors import InputError

NO_PROXY = ("no_proxy", "NO_PROXY")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def platform_environment(root: Path, *, writes: bool = True) -> None:
    """Keep state under ``.jko``, telemetry off, logs quiet; what the user set stays.

    Args:
        root: the project's folder.
        writes: whether state will be kept there; a command that only reads makes no folder.
    """
    home = root.resolve() / ".jko"
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
        # it writes whole events where one cannot be sent
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_CLI_PROMPT": "false",
        # a lost or busy server is asked again for 14 s (2 + 4 + 8), not for a minute
        "PREFECT_CLIENT_MAX_RETRIES": "3",
        # one that does not answer costs this much each time
        "PREFECT_API_REQUEST_TIMEOUT": "30",
        # several commands write to one SQLite file: waiting for it is better than "database is locked"
        "PREFECT_SERVER_DATABASE_TIMEOUT": "30",
        # a turn to run must outlive a restart of the server; in memory it would be lost, and never end
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # "true" and not "1": MLflow accepts only the word
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "DVC_NO_ANALYTICS": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        # threads that spin at barriers make small matrices a hundred times slower on a busy machine
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if named_server() is None:
        defaults["PREFECT_HOME"] = str(home / "prefect")
    for key, value in defaults.items():
        os.environ.setdefault(key, value)
    loopback_without_proxy()
    if writes:
        home.mkdir(parents=True, exist_ok=True)


def loopback_without_proxy() -> None:
    """Keep what is asked of this machine from going through a proxy, here and in every child."""
    known = ",".join(os.environ.get(name, "") for name in NO_PROXY)
    names = dict.fromkeys(name.strip() for name in known.split(",") if name.strip())
    # every client reads one of the two, some the one and some the other
    os.environ.update(dict.fromkeys(NO_PROXY, ",".join(dict.fromkeys([*names, *LOOPBACK]))))


def check_settings() -> None:
    """Refuse settings of Prefect that it does not understand, from the environment or a file of its own.

    Imports Prefect.

    Raises:
        InputError: which setting, what it holds and what is wrong with it.
    """
    try:
        from prefect.settings import get_current_settings

        get_current_settings()
    except ValueError as error:  # pydantic's, raised while Prefect is imported
        raise InputError(_setting_in_words(error)) from None


def _setting_in_words(error: ValueError) -> str:
    details: list[dict[str, Any]] = getattr(error, "errors", list)()
    if not details:
        return f"Prefect's settings cannot be read: {first_line(error)}"
    found = details[0]
    where, value = ".".join(str(part) for part in found["loc"]), found.get("input")
    # Prefect names a setting by its sections or by one of its variables
    words = [name for name in os.environ if name.startswith("PREFECT_") and os.environ[name] == str(value)]
    name = words[0] if words else f"Prefect's setting {where}"
    return f"{name} = {without_password(str(value))!r}: {found['msg'][:1].lower()}{found['msg'][1:]}"


def named_server() -> str | None:
    """The Prefect server the user chose, in the environment or the active profile."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", Path.home() / ".prefect" / "profiles.toml"))
    try:
        values = tomllib.loads(profiles.read_text())
        active = os.environ.get("PREFECT_PROFILE", values.get("active", ""))
        return values["profiles"][active].get("PREFECT_API_URL")
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def named_mlflow() -> str | None:
    """The MLflow server the user named, if it is one."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    return address if urlsplit(address).scheme in ("http", "https") else None


def first_line(error: BaseException, most: int = 200) -> str:
    """The beginning of what an outside system says of a failure, without names and passwords in addresses."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"//[^/@\s]*@", "//", line)[:most]


def without_password(address: str) -> str:
    """An address that may be shown and stored."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
