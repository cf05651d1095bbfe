"""The services of docker-compose.yml as processes: each with its command, its environment and the files
that it mounts, until its own healthcheck says that it is well. Where a container would be, its
addresses and paths are ones of this machine. ClickHouse is the embedded engine, by its own protocol."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.capture import Process as Running
from support.capture import free_port
from support.compose import ROOT, Machine, checkout, variables
from support.processes import FREE_ADDRESSES, Clew
from support.traffic import SECOND, SERVER, Process, Span, spans_request

HAPROXY = shutil.which("haproxy")
WEB = ("payments", "orders", "inventory", "storefront")


def send(url: str, key: str, name: str) -> int:
    now = time.time_ns()
    span = Span("a" * 32, "b" * 16, "", Process(name, "1"), "work", SERVER, now, now + SECOND)
    return httpx.post(
        f"{url}/v1/traces",
        content=spans_request([span]).SerializeToString(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/x-protobuf"},
    ).status_code


class Doors:
    """What a profile publishes, as its users have it."""

    def __init__(self, machine: Machine, service: str) -> None:
        self.secrets = variables(machine.directory)
        self.otlp, self.api, self.clickhouse = (
            f"http://127.0.0.1:{machine.port(service, port)}" for port in (4318, 4319, 8123)
        )

    def get(self, path: str, key: str = "CLEW_READ_KEY") -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secrets[key]}"} if key else {}
        return httpx.get(f"{self.api}{path}", headers=headers, timeout=30)

    def names(self) -> set[str]:
        found = self.get("/api/v1/transactions").raise_for_status().json()["transactions"]
        return {each["name"] for each in found}

    def services(self) -> set[str]:
        found = self.get("/api/v1/services").raise_for_status().json()["services"]
        return {each["service"] for each in found}


def eventually(reached: Any) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_single(tmp_path: Path) -> None:
    machine = Machine(checkout(tmp_path), "single")
    with machine.run("clew") as clew:
        doors = Doors(machine, "clew")
        for key, status in (("CLEW_INGEST_KEY", 200), ("CLEW_READ_KEY", 403)):
            assert send(doors.otlp, doors.secrets[key], "web") == status
        assert doors.get("/api/v1/transactions", "").status_code == 401
        eventually(lambda: "web: work" in doors.names())
        grafana = machine.services["grafana"]["environment"]
        asked = httpx.post(
            machine.here(
                "grafana", "http://{CLEW_CLICKHOUSE_HOST}:{CLEW_CLICKHOUSE_PORT}/".format(**grafana)
            ),
            content="SELECT ServiceName FROM otel_traces",
            auth=(grafana["CLEW_CLICKHOUSE_USER"], grafana["CLEW_CLICKHOUSE_PASSWORD"]),
        )
        assert asked.text == "web\n"
        assert httpx.get(machine.here("grafana", grafana["CLEW_API_URL"]) + "/readyz").is_success
        assert clew.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("grafana"), reason="needs Grafana's program grafana")
def test_grafana(tmp_path: Path) -> None:
    directory = checkout(tmp_path)
    own = {
        "GF_PLUGINS_PREINSTALL_SYNC": "",  # would be fetched
        "GF_PATHS_PROVISIONING": str(directory / "dashboards" / "provisioning"),
        "GF_PATHS_DATA": str(tmp_path / "grafana"),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
    }
    machine = Machine(directory, "single", others=own)
    machine.others["GF_SERVER_HTTP_PORT"] = str(machine.port("grafana", 3000))
    with machine.run("grafana", ["grafana", "server", "--homepath", "/usr/share/grafana"]):
        url = machine.here("grafana", "http://127.0.0.1:3000/api/datasources")
        admin = ("admin", variables(directory)["GRAFANA_ADMIN_PASSWORD"])
        assert {each["uid"] for each in httpx.get(url, auth=admin).json()} == {
            "clew",
            "clew-jaeger",
        }


class ClickHouse(Clew):
    """What stands in for the nodes: clew's engine by ClickHouse's protocol, with the user `clew`."""

    command = "serve"

    def __init__(self, directory: Path, port: int, hashes: dict[str, str]) -> None:
        keys = directory / "stand-in-keys"
        keys.write_text(
            f"clew database sha256:{hashes['CLEW_PASSWORD_SHA256']}\n"
            f"otelcol ingest sha256:{hashes['OTELCOL_PASSWORD_SHA256']}\n"
            f"grafana read sha256:{hashes['GRAFANA_PASSWORD_SHA256']}\n"
        )
        self.addresses = [*FREE_ADDRESSES[:-1], f"127.0.0.1:{port}"]
        super().__init__(directory / "clickhouse", "--api-keys", str(keys))


@contextmanager
def database(directory: Path) -> Iterator[Machine]:
    """The machine of the profile `cluster` with ClickHouse, and the balancer where there is one."""
    checked_out = checkout(directory / "checkout")
    port = free_port()
    nodes = [f"clickhouse-{shard}-{replica}" for shard in (1, 2) for replica in (1, 2)]
    elsewhere = {(node, 8123): port for node in nodes}
    # One node is no cluster.
    machine = Machine(checked_out, "cluster", elsewhere, {"CLEW_CLUSTER": ""})
    if not HAPROXY:
        for door, service in ((4317, "collect-1"), (4318, "collect-1"), (4319, "serve-1")):
            machine.ports["balancer", door] = machine.port(service, door)
        machine.ports["balancer", 8123] = port
    stand_in = ClickHouse(directory, port, variables(checked_out))
    try:
        with ExitStack() as stack:
            if HAPROXY:
                stack.enter_context(machine.run("balancer", machine.haproxy()))
            yield machine
    finally:
        assert stand_in.stop() == 0


# What the image of a ClickHouse server has as its own, as far as the mounted files need it.
CONFIG = """<clickhouse>
<logger><console>1</console><level>warning</level></logger>
<path>{directory}/</path><tmp_path>{directory}/tmp/</tmp_path>
<user_files_path>{directory}/user_files/</user_files_path>
<format_schema_path>{directory}/format_schemas/</format_schema_path>
<listen_host>127.0.0.1</listen_host>
<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
<interserver_http_port>{interserver}</interserver_http_port>
<users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
</clickhouse>"""
USERS = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas>
<users><default><password/><profile>default</profile><quota>default</quota></default></users>
</clickhouse>"""


def server(machine: Machine, service: str) -> list[str]:
    """The command of a ClickHouse server with the files that are mounted into it."""
    home = machine.directory / "work" / service / "clickhouse-server"
    for name in ("config.d", "users.d"):
        machine.xml(service, f"/etc/clickhouse-server/{name}/clew.xml")
    ports = {"http": 8123, "tcp": 9000, "interserver": 9009}
    at = {name: machine.port(service, port) for name, port in ports.items()}
    data = machine.path(service, "/var/lib/clickhouse")
    (home / "config.xml").write_text(CONFIG.format(directory=data, **at))
    (home / "users.xml").write_text(USERS)
    return ["clickhouse", "server", f"--config-file={home / 'config.xml'}"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("clickhouse"), reason="needs ClickHouse's program clickhouse")
def test_the_nodes_are_a_cluster(tmp_path: Path) -> None:
    machine = Machine(checkout(tmp_path), "cluster")
    with ExitStack() as stack:
        keepers = {}
        for number in (1, 2, 3):
            config = machine.xml(f"keeper-{number}", "/etc/clickhouse-keeper/keeper_config.xml")
            argv = ["clickhouse", "keeper", f"--config-file={config}"]
            run = machine.run(f"keeper-{number}", argv, wait=False)
            keepers[f"keeper-{number}"] = stack.enter_context(run)
        for name, process in keepers.items():  # none is ready before two are there
            machine.wait_until_healthy(name, process)
        nodes = [name for name in machine.services if name.startswith("clickhouse-")]
        for node in nodes:
            stack.enter_context(machine.run(node, server(machine, node)))
        asked = httpx.post(
            f"http://127.0.0.1:{machine.port(nodes[0], 8123)}/",
            content="SELECT getMacro('replica') FROM clusterAllReplicas('clew', system.one) ORDER BY 1",
            auth=("clew", variables(machine.directory)["CLEW_PASSWORD"]),
        )
        assert asked.text.split() == nodes


def migrated(machine: Machine) -> None:
    with machine.run("migrate", wait=False) as migrate:
        assert migrate.popen.wait(60) == 0, migrate.output.read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with database(tmp_path_factory.mktemp("cluster")) as machine, ExitStack() as stack:
        migrated(machine)
        for service in ("collect-1", "collect-2", "serve-1", "serve-2"):
            stack.enter_context(machine.run(service))
        yield machine


@pytest.fixture
def standard(cluster: Machine) -> Iterator[Path | None]:
    """The standard collectors, where one was built (tests/interop/test_otelcol.py builds it)."""
    program = _otelcol()
    with ExitStack() as stack:
        if program and HAPROXY:
            for service in ("otelcol-1", "otelcol-2"):
                argv = [str(program), *cluster.command(service)]
                process = stack.enter_context(cluster.run(service, argv, wait=False))
                health = cluster.here(service, "http://0.0.0.0:13133")
                eventually(lambda at=health, of=process: _answers(at, of))
        yield program if HAPROXY else None


def _otelcol() -> Path | None:
    manifest = ROOT / "collector" / "otelcol" / "manifest.yaml"
    if not manifest.is_file():
        return None
    name = yaml.safe_load(manifest.read_bytes())["dist"]["name"]
    version = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    program = Path(sys.prefix) / "interop" / "otelcol" / f"{name}-{version}"
    return program if program.is_file() else None


def _answers(url: str, process: Running) -> bool:
    assert process.popen.poll() is None, process.output.read_text()
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_cluster_takes_the_shop_in(cluster: Machine, standard: Path | None) -> None:
    doors = Doors(cluster, "balancer")
    assert send(doors.otlp, doors.secrets["CLEW_READ_KEY"], "web") == 403
    with ExitStack() as stack:
        for service in (*WEB, "fulfilment"):
            stack.enter_context(cluster.run(service))
        load = stack.enter_context(cluster.run("load"))
        eventually(lambda: "storefront: GET /" in doors.names())
        # payments sends through the standard collectors.
        expected = {"orders", "inventory", "storefront", "fulfilment"}
        expected |= {"payments"} if standard else set()
        eventually(lambda: expected <= doors.services())
        assert load.stop(signal.SIGTERM, 60) == 0, load.output.read_text()
    if not standard:
        pytest.skip("without the standard collectors: needs haproxy, and the one that go builds")


@pytest.mark.slow
@pytest.mark.skipif(not HAPROXY, reason="needs the Debian package haproxy")
def test_one_api_of_two_is_stopped(tmp_path: Path) -> None:
    """As an upgrade does it: whoever reads meanwhile is answered."""
    with database(tmp_path) as machine, machine.run("serve-2"):
        doors = Doors(machine, "balancer")
        with machine.run("serve-1") as first:
            eventually(lambda: doors.get("/readyz", "").is_success)
            assert [doors.get("/api/v1/services").status_code for _ in range(20)] == [200] * 20
            first.popen.send_signal(signal.SIGTERM)
            answers = []
            while first.popen.poll() is None:
                answers.append(doors.get("/api/v1/services").status_code)
        answers += [doors.get("/api/v1/services").status_code for _ in range(20)]
        assert set(answers) == {200}


@pytest.mark.slow
@pytest.mark.skipif(not HAPROXY, reason="needs the Debian package haproxy")
def test_the_standard_collectors_are_behind_the_key(cluster: Machine) -> None:
    url = f"http://127.0.0.1:{cluster.port('balancer', 5318)}"
    assert send(url, "clew_wrong", "web") == 401
    # Nobody is there just now, which is for the client to try again.
    assert send(url, variables(cluster.directory)["CLEW_INGEST_KEY"], "web") == 503
