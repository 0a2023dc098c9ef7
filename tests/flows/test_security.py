"""The servers of ``jko up`` answer their own pages and the holder of the project's password, nobody else."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.browser import browser
from tests.flows.schedules import ROOT, family, jko, new_project, up_record, wait_for

pytestmark = pytest.mark.slow
needs_chromium = pytest.mark.outside("chromium", "apt-get install chromium (or your system's package)")
EVIL = "evil.example"


@dataclass(frozen=True)
class Up:
    """What ``jko up`` started and said."""

    folder: Path
    own: dict[str, str]
    prefect: str
    mlflow: str
    credential: str
    said: str

    @property
    def login(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(self.credential.encode()).decode()}


def own_environment(folder: Path) -> dict[str, str]:
    """The environment of a user who has named no server."""
    new_project(folder)
    (folder / "profiles.toml").write_text("")
    return {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_HOME": str(folder / ".jko" / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/.jko/mlflow.db",
    }  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("guarded")
    own = own_environment(folder)
    said = jko(folder, "up", **own)
    try:
        record = up_record(folder)
        known = json.loads((folder / ".jko" / "server" / "credential.json").read_text())["credential"]
        yield Up(folder, own, record["prefect"], record["mlflow"], known, said)
    finally:
        jko(folder, "down", **own)


def asked(page: str, method: str, path: str, body: str = "{}", **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a request as a browser would send it."""
    wire = http.client.HTTPConnection(urlsplit(page).netloc, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    wire.request(method, path, body if method == "POST" else None, given)
    reply = wire.getresponse()
    reply.read()
    wire.close()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}


def test_the_password_is_told_once_and_kept_to_its_owner(up: Up) -> None:
    assert up.said.count(up.credential) == 1
    kept = up.folder / ".jko" / "server" / "credential.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert up.credential not in jko(up.folder, "up", "--json", **up.own)
    words = [word for process in family(up.folder) for word in process.cmdline()]
    keeper = psutil.Process(json.loads((up.folder / ".jko" / "server" / "keeper.json").read_text())["pid"])
    words += [word for process in (keeper, *keeper.children(recursive=True)) for word in process.cmdline()]
    assert not any(up.credential in word for word in words)
    secret = up.credential.partition(":")[2].encode()
    files = [path for path in (up.folder / ".jko").rglob("*") if path.is_file() and path != kept]
    assert [path for path in files if secret in path.read_bytes()] == []


def test_a_copied_project_has_a_password_of_its_own(tmp_path: Path) -> None:
    from tasks.adapters.scheduling.credential import credential, credential_file

    first, second = tmp_path / "first", tmp_path / "second"
    known = credential(first)
    credential_file(second).parent.mkdir(parents=True)
    credential_file(second).write_bytes(credential_file(first).read_bytes())
    credential_file(second).chmod(0o644)
    assert credential(first) == known
    assert credential(second) != known
    assert stat.S_IMODE(credential_file(second).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "path", ["flows/filter", "deployments/filter", "work_pools/", "flow_runs/", "admin/database/clear"]
)
def test_a_request_of_another_page_changes_nothing(up: Up, path: str) -> None:
    """What a form or a fetch without preflight can send, and what it could send if it knew more."""
    simple = {"Content_Type": "text/plain"}
    foreign = {"Origin": f"http://{EVIL}"}
    assert asked(up.prefect, "POST", f"/api/{path}", **simple)[0] in (401, 403)
    for headers in (foreign, {**foreign, **up.login}, {"Origin": "null", **up.login}):
        status, answer = asked(up.prefect, "POST", f"/api/{path}", **simple, **headers)
        assert status == 403
        assert "access-control-allow-origin" not in answer
        assert "access-control-allow-origin" not in asked(up.prefect, "OPTIONS", f"/api/{path}", **headers)[1]
    # the page's own origin and the password, but no token that only the page can have
    assert asked(up.prefect, "POST", f"/api/{path}", Origin=up.prefect, **up.login)[0] == 403


def test_a_name_that_points_here_is_refused(up: Up) -> None:
    for page, refusal in ((up.prefect, 400), (up.mlflow, 403)):
        port = urlsplit(page).port
        for host in (EVIL, f"10.{EVIL}", f"{EVIL}:{port}", f"127.0.0.1.{EVIL}:{port}", "0.0.0.0"):
            assert asked(page, "GET", "/", Host=host, **up.login)[0] == refusal
        assert asked(page, "GET", "/", Host=f"127.0.0.1:{port}")[0] == 200


def test_mlflow_refuses_requests_of_other_pages(up: Up) -> None:
    create = "/api/2.0/mlflow/experiments/create"
    for kind in ("application/json", "text/plain"):
        status, answer = asked(
            up.mlflow, "POST", create, '{"name": "attack"}', Origin=f"http://{EVIL}", Content_Type=kind
        )
        assert status == 403
        assert "access-control-allow-origin" not in answer


def test_both_listen_on_loopback_only(up: Up) -> None:
    ports = {urlsplit(page).port for page in (up.prefect, up.mlflow)}
    found = {(one.laddr.ip, one.laddr.port) for one in psutil.net_connections("tcp")
             if one.status == psutil.CONN_LISTEN and one.laddr.port in ports}  # fmt: skip
    assert found == {("127.0.0.1", port) for port in ports}


def test_the_stream_of_events_is_for_the_holder_of_the_password(up: Up) -> None:
    wire = up.prefect.replace("http", "ws") + "/api/events/out"
    with pytest.raises(InvalidStatus, match="403"):
        connect(wire, origin=f"http://{EVIL}", subprotocols=["prefect"], proxy=None).close()  # type: ignore[arg-type,list-item]

    def first_answer(token: str | None) -> str:
        with connect(wire, subprotocols=["prefect"], proxy=None) as opened:  # type: ignore[list-item]
            opened.send(json.dumps({"type": "auth", "token": token}))
            return json.loads(opened.recv(timeout=20))["type"]

    assert first_answer(up.credential) == "auth_success"
    for wrong in (None, "", "jko:guess"):
        with pytest.raises(ConnectionClosed):
            first_answer(wrong)


def test_a_run_cannot_bring_its_command_along(up: Up) -> None:
    """Even with the password."""
    from tasks.adapters.scheduling.worker import client_at, pool_template

    assert json.loads((ROOT / "prefect-pool.json").read_text()) == pool_template()
    tiny = ("--preset", "smoke", "--set", "steps.count=1", "--interval", "300d", "--name", "never")
    jko(up.folder, "schedule", *tiny, **up.own)
    harm = up.folder / "harm"
    with client_at(f"{up.prefect}/api", up.folder) as client:
        deployment = client.read_deployment_by_name("jko-scheduled/never")
        assert "command" not in deployment.job_variables
        brought = {"command": f"touch {harm}", "env": {"PATH": str(up.folder)}}
        # a run that the flow itself refuses in its first seconds
        run = client.create_flow_run_from_deployment(
            deployment.id, job_variables=brought, parameters={**deployment.parameters, "name": "../no"}
        )
        ended = wait_for(
            lambda: (state := client.read_flow_run(run.id).state) and state.is_final() and state,
            "the end of the run",
        )
    assert ended.name == "Failed"
    assert "cannot name a schedule" in str(ended.message)
    assert not harm.exists()


def test_a_pool_of_earlier_versions_is_put_right(up: Up) -> None:
    from prefect.client.schemas.actions import WorkPoolUpdate
    from prefect.workers.process import ProcessWorker

    from tasks.adapters.scheduling.worker import client_at, ensure_pool, takes_commands

    old = WorkPoolUpdate(base_job_template=ProcessWorker.get_default_base_job_template())
    with client_at(f"{up.prefect}/api", up.folder) as client:
        client.update_work_pool("jko", old)
        assert takes_commands(client.read_work_pool("jko"))
        pool, _ = ensure_pool(client, up.folder)
        assert not takes_commands(pool)


ATTACK = """
(async () => {
  const said = {};
  const call = async (name, address, how) => {
    try { const reply = await fetch(address, how); said[name] = reply.type + " " + reply.status; }
    catch (error) { said[name] = "refused"; }
  };
  const api = "PAGE/api";
  const json = {method: "POST", headers: {"content-type": "application/json"}};
  const simple = {method: "POST", mode: "no-cors", headers: {"content-type": "text/plain"}};
  const flow = JSON.stringify({name: "attack"});
  await call("read", api + "/admin/version", {});
  await call("token", api + "/csrf-token?client=x", {});
  await call("post", api + "/flows/", {...json, body: flow});
  await call("simple", api + "/flows/", {...simple, body: flow});
  await call("mlflow", "MLFLOW/api/2.0/mlflow/experiments/create", {...simple, body: flow});
  said.socket = await new Promise(done => {
    const wire = new WebSocket("PAGE/api/events/out".replace("http", "ws"), "prefect");
    wire.onopen = () => done("open"); wire.onerror = () => done("refused");
  });
  return said;
})()
"""


@contextlib.contextmanager
def page_elsewhere(folder: Path) -> Iterator[int]:
    """The port of a web server with a page of somebody else."""
    (folder / "web").mkdir()
    (folder / "web" / "index.html").write_text("<title>elsewhere</title>")
    handler = functools.partial(_Quiet, directory=str(folder / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_address[1]
        site.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        pass


def attacked(up: Up) -> list[str]:
    """The flows and experiments that an attack would have made."""
    from mlflow.tracking import MlflowClient

    from tasks.adapters.scheduling.worker import client_at

    with client_at(f"{up.prefect}/api", up.folder) as client:
        flows = [flow.name for flow in client.read_flows()]
    experiments = [one.name for one in MlflowClient(up.mlflow).search_experiments()]
    return [name for name in (*flows, *experiments) if name == "attack"]


@needs_chromium
def test_a_page_elsewhere_can_neither_read_nor_write(up: Up, tmp_path: Path) -> None:
    script = ATTACK.replace("PAGE", up.prefect).replace("MLFLOW", up.mlflow)
    with page_elsewhere(tmp_path) as port:
        # without Chromium's own guard of this machine: the servers must hold by themselves
        flags = (
            f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
            "--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessChecks",
        )
        with browser(tmp_path, *flags) as page:
            page.open(f"http://{EVIL}:{port}/")
            assert page.run("document.title") == "elsewhere"
            said = page.run(script)
            # no answer can be read; "opaque" is all that a page learns of a simple request
            assert said["read"] == said["token"] == said["post"] == said["socket"] == "refused"
            assert said["simple"] in ("opaque 0", "refused")
            assert said["mlflow"] in ("opaque 0", "refused")
            # the same page, whose name now points to our server (DNS rebinding)
            for target in (up.prefect, up.mlflow):
                page.open(f"http://{EVIL}:{urlsplit(target).port}/")
                assert "nvalid" in page.run("document.body.innerText")
    assert attacked(up) == []


@needs_chromium
def test_the_pages_can_be_used_in_a_browser(up: Up, tmp_path: Path) -> None:
    from tasks.adapters.scheduling.worker import client_at

    with client_at(f"{up.prefect}/api", up.folder) as client:
        client.create_flow_from_name("a-flow-to-see")
    port = urlsplit(up.prefect).port
    with browser(tmp_path) as page:
        # by the other name of this machine, too, as through a tunnel
        for number, host in enumerate(("127.0.0.1", "localhost")):
            page.open(f"http://{host}:{port}/flows")
            page.wait_for("document.querySelector('form input') !== null")
            page.run("document.querySelector('form input').focus()")
            page.type(up.credential)
            page.run("document.querySelector('form button').click()")
            page.wait_for("location.pathname.includes('login') === false")
            page.open(f"http://{host}:{port}/v2/flows")
            page.wait_for("document.body.innerText.includes('a-flow-to-see')")
            # the page itself changes something: its requests carry the token
            page.open(f"http://{host}:{port}/v2/variables")
            made = f"by_page_{number}"
            page.run(CREATE_VARIABLE.replace("NAME", made))
            with client_at(f"{up.prefect}/api", up.folder) as client:
                assert client.read_variable_by_name(made) is not None
        page.open(up.mlflow)
        page.wait_for("document.body.innerText.includes('Experiments')")


#: as Prefect's page does it: the token, then the request
CREATE_VARIABLE = """
(async () => {
  const login = {"Authorization": "Basic " + localStorage.getItem("prefect-password")};
  const reply = await fetch("/api/csrf-token?client=a-browser", {headers: login});
  const {token} = await reply.json();
  const made = await fetch("/api/variables/", {method: "POST", body: JSON.stringify({name: "NAME", value: 1}),
    headers: {...login, "content-type": "application/json",
              "Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "a-browser"}});
  if (!made.ok) throw new Error(made.status);
})()
"""


def test_two_projects_that_go_up_at_once_have_servers_of_their_own(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    own = {folder: own_environment(folder) for folder in folders}
    threads = [threading.Thread(target=jko, args=(folder, "up"), kwargs=own[folder]) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        from tasks.adapters.scheduling.server import is_ours
        from tasks.adapters.scheduling.worker import client_at

        records = [up_record(folder) for folder in folders]
        pages = {record[name] for record in records for name in ("prefect", "mlflow")}
        assert len(pages) == 4
        for folder, record in zip(folders, records, strict=True):
            assert is_ours(record["api"], folder)
            with client_at(record["api"], folder) as client:
                queues = [queue.name for queue in client.read_work_queues() if queue.name != "default"]
            assert len(queues) == 1
            assert queues[0].startswith(folder.name)
        from tasks.adapters.scheduling.loopback import ServerError

        with pytest.raises(ServerError, match="answers another server"):
            is_ours(records[0]["api"], folders[1])
    finally:
        for folder in folders:
            jko(folder, "down", **own[folder])


def test_a_port_is_held_from_the_start(tmp_path: Path) -> None:
    from tasks.adapters.scheduling.loopback import ServerError, is_free, listening

    with listening(0) as held:
        port = held.getsockname()[1]
        assert not is_free(port)
        with listening(port, 0) as other:
            assert other.getsockname()[1] != port
        with pytest.raises(ServerError, match=f"port {port}"):
            listening(port)
    begun = time.monotonic()
    assert is_free(port)
    assert time.monotonic() - begun < 1
