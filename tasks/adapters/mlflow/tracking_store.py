"""The MLflow store: opened quietly, and put right after the project's folder was moved."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.adapters.scheduling.loopback import unreachable, within
from tasks.adapters.system.environment import named_mlflow, without_password

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: of the runs of chains, one each
EXPERIMENT = "jko"
#: of the training curves, one run a block, kept out of the chains' table
BLOCKS = "jko-blocks"
ARTEFACTS = "/.jko/mlartifacts"
#: in which a server must have answered in full, however slowly it sends single bytes
CALL_SECONDS = 20.0
#: in which one that the user named must have answered at all
REACH_SECONDS = 10.0
#: the same for a call that sends or fetches files
FILES_SECONDS = 300.0
T = TypeVar("T")


def local_store(root: Path) -> Path:
    """The file of a project's own store."""
    return root.resolve() / ".jko" / "mlflow.db"


def is_local(uri: str, root: Path) -> bool:
    """Whether a tracking address is the project's own store."""
    return uri == f"sqlite:///{local_store(root)}"


def has_store(root: Path) -> bool:
    """Whether there is anything to read: a store that the user named, or the project's own."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return bool(named and not is_local(named, root)) or local_store(root).is_file()


def open_client(root: Path) -> MlflowClient:
    """MLflow's client for the store of the environment, after :func:`follow_move` of the project's own.

    Args:
        root: the project's folder.

    Raises:
        OSError: the server that the user named cannot be reached; told at once, where MLflow would ask
            again and again.
    """
    if (named := named_mlflow()) and (why := unreachable(f"{named.rstrip('/')}/health", REACH_SECONDS)):
        raise OSError(f"MLflow's server at {without_password(named)} {why}")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.tracking import MlflowClient

    for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    client = MlflowClient()
    if is_local(client.tracking_uri, root):
        follow_move(root)
    return client


def bounded(seconds: float, call: Callable[[], T]) -> T:
    """A call of the store; one of a server must end in time.

    Raises:
        TimeoutError: it has not.
    """
    if named_mlflow() is None:
        return call()
    try:
        return within(seconds, call)
    except TimeoutError:
        where = without_password(named_mlflow() or "")
        raise TimeoutError(
            f"MLflow's server at {where} has not answered in full within {seconds:.0f} s"
        ) from None


def experiment(client: MlflowClient, name: str, root: Path) -> str:
    """The id of an experiment, made where it is missing.

    Artefacts of a database store go below ``.jko``, those of a server where it wants them.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    local = not client.tracking_uri.startswith("http")
    # MLflow's page takes an experiment of unknown kind for one about language models
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, artifact_location=_own(root) if local else None, tags=kind)


def now() -> str:
    """The time as text that sorts."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def told_as(name: str) -> str:
    """The name of a figure in MLflow, which takes no @."""
    return name.replace("@", ":")


def own_name(name: str) -> str:
    """The name of a figure that MLflow tells."""
    return name.replace(":", "@")


def is_there(client: MlflowClient, run_id: str) -> bool:
    """Whether the store holds a run and nobody deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def follow_move(root: Path) -> int:
    """Point the store's artefacts to the project's folder, if that was moved or copied.

    MLflow keeps the location of every experiment and run as an absolute address and cannot change
    it, so that after a move artefacts would be looked for, and written, at the old place. Addresses
    ending in ``.jko/mlartifacts`` of another folder can only come from such a move, as the store
    lies in ``.jko`` beside its artefacts; all others were chosen by somebody and stay. One
    transaction: a kill leaves all old or all new.

    Args:
        root: the project's folder.

    Returns:
        The number of addresses changed.
    """
    if not local_store(root).is_file() or not (root.resolve() / ".jko" / "mlartifacts").is_dir():
        return 0
    columns = (
        ("experiments", "experiment_id", "artifact_location"),
        ("runs", "run_uuid", "artifact_uri"),
    )
    with closing(sqlite3.connect(local_store(root), timeout=30, isolation_level=None)) as store:
        changes = []
        for table, key, column in columns:
            try:
                rows = store.execute(f"SELECT {key}, {column} FROM {table}").fetchall()
            except sqlite3.OperationalError:
                return 0  # a store that is only being made
            moved = [(_moved(address, root), row) for row, address in rows]
            changes += [(table, key, column, new, row) for new, row in moved if new is not None]
        if not changes:
            return 0
        store.execute("BEGIN IMMEDIATE")
        for table, key, column, new, row in changes:
            store.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (new, row))
        store.execute("COMMIT")
    return len(changes)


def _moved(address: str | None, root: Path) -> str | None:
    """Where an address of a moved project lies now; ``None`` if it need not change."""
    before, found, rest = (address or "").rpartition(ARTEFACTS)
    own = _own(root)
    if not found or rest[:1] not in ("", "/") or not before.startswith(("file:///", "/")):
        return None
    return None if before + found == own else own + rest


def _own(root: Path) -> str:
    return (root.resolve() / ".jko" / "mlartifacts").as_uri()
