"""docker-compose.yml: what it says holds together, with the files that it mounts. Whether it is valid
the official loader says (tests/interop/test_compose_loader.py); that its commands run,
tests/e2e/test_compose_processes.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from clew.access import Keys
from clew.cli.settings import SETTINGS
from provision import DEFAULTS
from support.compose import (
    FILE,
    ROOT,
    Machine,
    checkout,
    image_healthcheck,
    instructions,
    load,
    of,
    variables,
)

PROFILES = {"single", "cluster"}
PINNED = re.compile(r"[a-z0-9./-]+:\d[\w.-]*\.\d[\w.-]*")
# Of these the container cannot tell how it is: no port, or no program in the image that could ask.
UNCHECKED = {"migrate", "fulfilment", "load", "otelcol-1", "otelcol-2"}
CLICKHOUSE = ["clickhouse-1-1", "clickhouse-1-2", "clickhouse-2-1", "clickhouse-2-2"]
KEEPERS = ["keeper-1", "keeper-2", "keeper-3"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def project(directory: Path) -> dict[str, Any]:
    return load(directory)


def test_the_profiles_are_what_the_readme_says(project: dict[str, Any]) -> None:
    assert project["name"] == "clew"
    assert sorted(of(project, "single")) == ["clew", "grafana"]
    assert sorted(of(project, "cluster")) == sorted(
        [*CLICKHOUSE, *KEEPERS, "migrate", "balancer", "grafana"]
        + [f"{name}-{n}" for name in ("collect", "otelcol", "serve") for n in (1, 2)]
        + ["payments", "orders", "inventory", "storefront", "fulfilment", "load"]
    )


def test_every_service_is_pinned_bounded_and_watched(project: dict[str, Any]) -> None:
    for name, service in project["services"].items():
        assert PINNED.fullmatch(service["image"]), name
        assert "." not in service["image"].partition("/")[0] or "/" not in service["image"], name
        assert set(service["profiles"]) <= PROFILES, name
        assert service["restart"] in ("unless-stopped", "on-failure:5"), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        check = service.get("healthcheck", {})
        if "build" in service and not check:
            check = image_healthcheck(ROOT)
        assert ("test" in check) == (name not in UNCHECKED), name


def test_what_a_service_names_is_there(directory: Path, project: dict[str, Any]) -> None:
    used = set()
    for name, service in project["services"].items():
        for kind in ("networks", "secrets"):
            assert set(service.get(kind, ())) <= set(project[kind]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert volume.endswith(":ro"), volume
                assert (directory / source).exists(), volume
            else:
                used.add(source)
        for profile in service["profiles"]:
            for other, condition in service.get("depends_on", {}).items():
                if condition.get("required", True):
                    assert other in of(project, profile), name
                if condition["condition"] == "service_healthy":
                    assert other not in UNCHECKED, name
    assert used == set(project["volumes"])
    for secret in project["secrets"].values():
        assert (directory / secret["file"]).is_file()


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_nothing_is_published_but_on_this_machine(project: dict[str, Any], profile: str) -> None:
    published = [port for each in of(project, profile).values() for port in each.get("ports", ())]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    ports = [int(port.split(":")[1]) for port in published]
    assert len(ports) == len(set(ports))
    assert {3000, 4317, 4318, 4319, 8123} <= set(ports)


def test_settings_of_clew_are_settings(project: dict[str, Any]) -> None:
    known = {setting.variable for setting in SETTINGS}
    for name, service in project["services"].items():
        if "build" in service:
            given = {key for key in service.get("environment", {}) if key.startswith("CLEW_")}
            assert given <= known, name


def test_whoever_listens_for_others_asks_for_keys(project: dict[str, Any]) -> None:
    """clew would refuse to start otherwise."""
    for name, service in project["services"].items():
        environment = service.get("environment", {})
        listens = any(str(value).startswith("0.0.0.0:") for value in environment.values())
        if "build" in service and listens:
            assert environment["CLEW_API_KEYS"] == "/run/secrets/keys", name
            assert service["secrets"] == ["keys"], name


def test_secrets_are_made_once_and_kept_out_of_git(directory: Path) -> None:
    again = subprocess.run(
        ["sh", "deploy/secrets.sh"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "already" in again.stderr
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/secrets/"} <= set(ignored)
    assert (directory / ".env").stat().st_mode & 0o777 == 0o600
    assert (directory / "deploy/secrets").stat().st_mode & 0o777 == 0o700
    values = variables(directory)
    assert len(set(values.values())) == len(values)
    keys = Keys(directory / "deploy/secrets/keys")
    for variable, scopes in (("INGEST", "ingest"), ("READ", "read"), ("ADMIN", "read admin")):
        for scope in ("ingest", "read", "admin"):
            principal = keys.principal(values[f"CLEW_{variable}_KEY"])
            assert principal is not None
            assert principal.may(scope) == (scope in scopes.split())
    grafana = keys.principal(values["CLEW_READ_KEY"], "grafana")
    assert grafana is not None
    assert grafana.scopes == {"read"}


def test_the_image_is_of_what_is_there_and_runs_as_nobody_in_particular() -> None:
    lines = instructions(ROOT / "deploy" / "Dockerfile")
    assert all(PINNED.fullmatch(line[1]) for line in lines if line[0] == "FROM")
    copied = [word for line in lines if line[0] == "COPY" for word in line[1:-1]]
    admitted = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in admitted
    (user,) = (line[1] for line in lines if line[0] == "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_the_balancer_knows_the_services(project: dict[str, Any]) -> None:
    cluster = of(project, "cluster")
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    servers = re.findall(r"^    server (\S+) (\S+):(\d+)", text, re.MULTILINE)
    assert {host for _, host, _ in servers} == {
        name for name in cluster if re.match("collect|otelcol|serve|clickhouse", name)
    }
    assert all(name == host for name, host, _ in servers)
    bound = set(re.findall(r"^    bind :(\d+)", text, re.MULTILINE))
    published = {port.split(":")[2] for port in cluster["balancer"]["ports"]}
    assert bound == published | {"8404"}
    for service in ("collect-1", "serve-1"):
        listens = re.findall(r"0\.0\.0\.0:(\d+)", str(cluster[service]["environment"]))
        assert {port for _, host, port in servers if host == service} == set(listens)


def test_the_cluster_is_the_services(project: dict[str, Any]) -> None:
    cluster = of(project, "cluster")
    config = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "cluster.xml").getroot()
    shards = config.findall("remote_servers/clew/shard")
    named = [[host.text for host in shard.findall("replica/host")] for shard in shards]
    assert named == [CLICKHOUSE[:2], CLICKHOUSE[2:]]
    for number, hosts in enumerate(named, 1):
        for host in hosts:
            environment = cluster[str(host)]["environment"]
            assert environment["CLICKHOUSE_SHARD"] == str(number)
            assert environment["CLICKHOUSE_REPLICA"] == host
    keeper = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "keeper.xml").getroot()
    port = keeper.findtext("keeper_server/tcp_port")
    nodes = [
        (each.findtext("host"), each.findtext("port")) for each in config.find("zookeeper") or ()
    ]
    assert nodes == [(name, port) for name in KEEPERS]
    raft = keeper.findall("keeper_server/raft_configuration/server")
    members = {each.findtext("id"): each.findtext("hostname") for each in raft}
    assert members == {cluster[name]["environment"]["KEEPER_ID"]: name for name in KEEPERS}
    assert keeper.findtext("keeper_server/http_control/port") in str(
        cluster["keeper-1"]["healthcheck"]["test"]
    )


@pytest.mark.parametrize("file", ["cluster", "users", "keeper"])
def test_variables_of_the_configuration_are_given(project: dict[str, Any], file: str) -> None:
    text = (ROOT / "deploy" / "clickhouse" / f"{file}.xml").read_text()
    wanted = set(re.findall(r'from_env="(\w+)"', text))
    for name in KEEPERS if file == "keeper" else CLICKHOUSE:
        assert wanted <= set(project["services"][name]["environment"]), name


def test_grafana_is_given_what_the_provisioning_asks_for(project: dict[str, Any]) -> None:
    environment = project["services"]["grafana"]["environment"]
    assert set(DEFAULTS) <= set(environment)
    mounted = {
        each.split(":")[1]: each.split(":")[0] for each in project["services"]["grafana"]["volumes"]
    }
    assert mounted[environment["CLEW_DASHBOARDS"]] == "./dashboards/generated"
    for service in ("clew", "balancer"):
        assert project["services"][service]["networks"]["outside"]["aliases"] == [
            "api",
            "clickhouse",
        ]


# What the engine makes of the files: the one inside clew reads them as a server does.
ENGINE = """
import sys
from chdb import _chdb
engine = _chdb.connect(sys.argv[1])
for statement in sys.argv[2:]:
    print(engine.query(statement, "TSVRaw").bytes().decode().strip())
    print("--")
"""
STARTING = """<clickhouse>
<profiles><default/></profiles>
<users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile>
<quota>default</quota><access_management>1</access_management></default></users>
<quotas><default/></quotas>
</clickhouse>"""


def test_the_engine_reads_the_servers_configuration(
    directory: Path, tmp_path: Path, project: dict[str, Any]
) -> None:
    deployed = directory / "deploy" / "clickhouse"
    (tmp_path / "config.d").mkdir()
    (tmp_path / "users.d").mkdir()
    (tmp_path / "users.xml").write_text(STARTING)
    (tmp_path / "config.xml").write_text(
        f"<clickhouse><users_config>{tmp_path}/users.xml</users_config></clickhouse>"
    )
    cluster = (deployed / "cluster.xml").read_text()
    (tmp_path / "config.d" / "clew.xml").write_text(
        cluster.replace("/backups/", f"{tmp_path}/backups/")
    )
    # The user that asks here is the one that is removed there.
    users = (deployed / "users.xml").read_text().replace('<default remove="remove"/>', "")
    (tmp_path / "users.d" / "clew.xml").write_text(users)
    ran = subprocess.run(
        [
            *(sys.executable, "-c", ENGINE, f"{tmp_path}/db?config-file={tmp_path}/config.xml"),
            "SELECT shard_num, host_name, port, internal_replication FROM system.clusters WHERE cluster = 'clew' ORDER BY ALL",
            "SELECT getMacro('shard'), getMacro('replica'), timezone()",
            "SELECT arraySort(groupArray(name)) FROM system.users WHERE name != 'default'",
            "SELECT name, path FROM system.disks WHERE name != 'default'",
            "SHOW GRANTS FOR otelcol",
            "SHOW GRANTS FOR grafana",
            "SHOW GRANTS FOR clew",
            "SELECT setting_name, value FROM system.settings_profile_elements WHERE profile_name IN ('default', 'reading')",
        ],
        env=project["services"]["clickhouse-2-1"]["environment"] | {"TZ": "UTC"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    clusters, here, named, disks, otelcol, grafana, clew, settings = (
        each.strip() for each in ran.stdout.split("--\n")[:-1]
    )
    assert [line.split("\t") for line in clusters.splitlines()] == [
        [name.split("-")[1], name, "9000", "1"] for name in CLICKHOUSE
    ]
    assert here.split("\t") == ["2", "clickhouse-2-1", "UTC"]
    assert named == "['clew','grafana','otelcol']"
    assert disks.startswith("backups\t")
    assert otelcol.splitlines() == [
        "GRANT SHOW TABLES, SHOW COLUMNS, INSERT ON otel.* TO otelcol",
        "GRANT SHOW TABLES, SHOW COLUMNS, SELECT, INSERT ON otel_local.* TO otelcol",
    ]
    assert "INSERT" not in grafana
    assert "SELECT" in grafana
    assert clew.startswith("GRANT ALL ON *.*") or "SELECT" in clew, clew
    assert "distributed_foreground_insert\t1" in settings
    assert "insert_quorum\tauto" in settings
    assert "distributed_product_mode\tglobal" in settings
    assert "readonly\t2" in settings


def test_the_files_of_a_node_can_be_run_elsewhere(directory: Path) -> None:
    """What the tests of the processes make of them: no name and no path of a container is left."""
    machine = Machine(directory, "cluster")
    keeper = machine.xml("keeper-2", "/etc/clickhouse-keeper/keeper_config.xml")
    node = machine.xml("clickhouse-1-2", "/etc/clickhouse-server/config.d/clew.xml")
    for written in (keeper, node):
        text = written.read_text()
        assert "127.0.0.1" in text
        assert not re.search("keeper-[123]<|clickhouse-[12]|>/var/lib|>/backups", text)
    assert f"<port>{machine.port('keeper-3', 9181)}</port>" in node.read_text()
    assert f"<tcp_port>{machine.port('keeper-2', 9181)}</tcp_port>" in keeper.read_text()


def test_the_file_has_no_secret_and_no_address() -> None:
    text = (ROOT / FILE).read_text()
    assert not re.search(r"(PASSWORD|KEY|SECRET)\w*: (?!\$\{|/run/)\S", text)
    assert all(
        "://" not in str(each.get("image")) for each in yaml.safe_load(text)["services"].values()
    )
