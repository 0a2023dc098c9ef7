"""The same schedule with Prefect's and MLflow's servers on PostgreSQL."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tasks.adapters.scheduling.credential import credential
from tasks.adapters.scheduling.loopback import free_port
from tests.flows.schedules import (
    TINY,
    family,
    jko,
    new_project,
    runs_of,
    states_of,
    still_running,
    up_record,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.outside("initdb", "apt-get install postgresql")]


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server of the test.

    Args:
        port: on loopback.
        password: of its user ``jko``.
    """

    port: int
    password: str

    def url(self, database: str, driver: str = "postgresql") -> str:
        return f"{driver}://jko:{self.password}@127.0.0.1:{self.port}/{database}"


def unprivileged() -> str | None:
    """The account that PostgreSQL runs under: it refuses to be root's."""
    return "nobody" if os.getuid() == 0 else None


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # not below tmp_path, which other accounts cannot enter
    folder, account, programs = Path(tempfile.mkdtemp(prefix="jko-pg-")), unprivileged(), programs_folder()
    password, port = secrets.token_hex(12), free_port()
    (folder / "password").write_text(password)
    if account:
        for path in (folder, folder / "password"):
            shutil.chown(path, account)

    def call(program: str, *words: str) -> None:
        with (folder / "log.txt").open("a") as log:
            environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
            subprocess.run(
                [programs / program, *words], check=True, user=account, cwd=folder, timeout=120,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip

    data = str(folder / "data")
    call("initdb", "-D", data, "-U", "jko", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "-N")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=200"
    call("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "server.log"), "-w", "start")
    try:
        found = Cluster(port, password)
        for database in ("prefect", "mlflow"):
            create(found, database)
        yield found
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def programs_folder() -> Path:
    """Where initdb really is: pg_ctl and postgres are beside it."""
    return Path(str(shutil.which("initdb"))).resolve().parent


def create(cluster: Cluster, database: str) -> None:
    import psycopg2

    connection = psycopg2.connect(cluster.url("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create database {database}")
    connection.close()


def test_a_schedule_fires_on_postgres(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    folder = new_project(tmp_path)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", credential(folder))
    (tmp_path / "profiles.toml").write_text("")
    own = {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
        "PREFECT_HOME": str(tmp_path / ".jko" / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": cluster.url("prefect", "postgresql+asyncpg"),
        "MLFLOW_TRACKING_URI": cluster.url("mlflow"),
    }  # fmt: skip
    said = jko(folder, "up", **own)
    seen = family(folder)
    try:
        record = up_record(folder)
        api = record["api"]
        said += jko(folder, "schedule", *TINY, "--interval", "5s", "--name", "often", **own)
        wait_for(lambda: {"Completed", "Skipped"} <= set(states_of("often", api)), "both runs", 240)
        said += jko(folder, "schedule", "pause", "often", **own)
        runs = [run for run in runs_of("often", api) if run.state_name in ("Completed", "Skipped")]
        runs.sort(key=lambda run: run.start_time)
        assert [run.state_name for run in runs[:2]] == ["Completed", "Skipped"]
        tracked = MlflowClient(record["mlflow"])
        experiment = tracked.get_experiment_by_name("jko").experiment_id
        chain = folder / ".jko" / "chains" / "often"
        (run,) = tracked.search_runs([experiment], f"tags.`jko.chain` = '{chain.resolve()}'")
        assert run.info.status == "FINISHED"
        assert "test/nll" in run.data.metrics
        assert (chain / "chain.json").is_file()
        words = " ".join(word for process in family(folder) for word in process.cmdline())
        assert cluster.password not in words
    finally:
        seen += family(folder)
        said += jko(folder, "down", **own)
    assert not still_running([process for process in seen if psutil.pid_exists(process.pid)])
    assert rows(cluster, "prefect", "deployment") == 1
    assert rows(cluster, "mlflow", "runs") >= 1
    assert not (folder / ".jko" / "mlflow.db").exists()
    assert not (folder / ".jko" / "prefect" / "prefect.db").exists()
    logs = [*(folder / ".jko").rglob("*.log"), *(folder / ".jko").rglob("*.json")]
    assert cluster.password not in said
    assert [path for path in logs if cluster.password in path.read_text(errors="replace")] == []


def rows(cluster: Cluster, database: str, table: str) -> int:
    import psycopg2

    connection = psycopg2.connect(cluster.url(database))
    with connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        (count,) = cursor.fetchone()
    connection.close()
    return count
