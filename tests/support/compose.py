"""docker-compose.yml as what it says: its services, and how one of them is run here, as a process."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from support.capture import Process, free_port, running

ROOT = Path(__file__).parents[2]
FILE = "docker-compose.yml"
PARTS = (FILE, "deploy", "dashboards", "collector/otelcol")
VARIABLE = re.compile(r"\$\{(?P<name>\w+):\?[^}]*\}")  # the one form that the file has
PATIENCE = 60.0  # seconds


def checkout(directory: Path) -> Path:
    """A copy of what the file needs, with secrets of its own."""
    for part in PARTS:
        source, target = ROOT / part, directory / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            skipped = shutil.ignore_patterns("secrets", "__pycache__")
            shutil.copytree(source, target, ignore=skipped)
        elif source.is_file():
            shutil.copy(source, target)
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=directory, check=True, capture_output=True)
    return directory


def variables(directory: Path) -> dict[str, str]:
    lines = (directory / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def load(directory: Path) -> dict[str, Any]:
    """The file with its variables put in; KeyError for one that has no value."""
    values = variables(directory)

    def put_in(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: put_in(value) for key, value in part.items()}
        if isinstance(part, list):
            return [put_in(value) for value in part]
        if not isinstance(part, str):
            return part
        return VARIABLE.sub(lambda found: values[found["name"]], part)

    return dict(put_in(yaml.safe_load((directory / FILE).read_text())))


def of(project: Mapping[str, Any], profile: str) -> dict[str, Any]:
    return {name: each for name, each in project["services"].items() if profile in each["profiles"]}


class Machine:
    """Services of the file as processes here: a container's paths are directories, and its ports free
    ones. `elsewhere` has the ports of what stands in for a service."""

    def __init__(
        self,
        directory: Path,
        profile: str,
        elsewhere: Mapping[tuple[str, int], int] | None = None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.project = load(directory)
        self.services = of(self.project, profile)
        self.ports = dict(elsewhere or {})
        self.others = dict(others or {})  # further variables, for every service
        self._names = {
            alias: name for name, each in self.services.items() for alias in [name, *_aliases(each)]
        }

    def port(self, service: str, port: int) -> int:
        """Where this port of a service is here."""
        return self.ports.setdefault((self._names[service], port), free_port())

    def path(self, service: str, path: str) -> Path | None:
        """Where a path inside a service's container is here."""
        each = self.services[service]
        for volume in each.get("volumes", ()):
            source, target = volume.split(":")[:2]
            if path == target or path.startswith(f"{target}/"):
                mounted = self.directory / (
                    source if source.startswith(".") else f"volumes/{source}"
                )
                if not source.startswith("."):
                    mounted.mkdir(parents=True, exist_ok=True)
                return mounted / path.removeprefix(target).lstrip("/")
        for secret in each.get("secrets", ()):
            if path == f"/run/secrets/{secret}":
                return self.directory / self.project["secrets"][secret]["file"]
        return None

    def here(self, service: str, text: str) -> str:
        """A value with the addresses and paths of containers replaced by those that they have here."""
        text = re.sub(
            r"\b(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)",
            lambda found: f"127.0.0.1:{self.port(service, int(found[1]))}",
            text,
        )
        text = re.sub(
            r"'127\.0\.0\.1', (\d+)",
            lambda found: f"'127.0.0.1', {self.port(service, int(found[1]))}",
            text,
        )
        hosts = "|".join(sorted(map(re.escape, self._names), key=len, reverse=True))
        text = re.sub(
            rf"(?<![\w-])({hosts}):(\d+)",
            lambda found: f"127.0.0.1:{self.port(found[1], int(found[2]))}",
            text,
        )
        return re.sub(r"(?<![\w:/.])/[\w./-]+", lambda found: self._path(service, found[0]), text)

    def _path(self, service: str, path: str) -> str:
        return str(self.path(service, path) or path)

    def environment(self, service: str) -> dict[str, str]:
        given = self.services[service].get("environment", {})
        mapped = {name: self.here(service, value) for name, value in given.items()}
        return mapped | self.others

    def haproxy(self) -> list[str]:
        """The balancer's own command, with its configuration."""
        text = (self.directory / "deploy" / "haproxy.cfg").read_text()
        text = re.sub(r"bind :(\d+)", r"bind 0.0.0.0:\1", text)
        # Health is asked on another port of the same server.
        text = re.sub(
            r"^(    server (\S+) .* port )(\d+)",
            lambda found: f"{found[1]}{self.port(found[2], int(found[3]))}",
            text,
            flags=re.MULTILINE,
        )
        path = self.directory / "haproxy-here.cfg"
        path.write_text(self.here("balancer", text))
        return ["haproxy", "-W", "-db", "-f", str(path)]

    def xml(self, service: str, path: str) -> Path:
        """A file of ClickHouse's configuration that is mounted there, as it is to be here."""
        mounted = self.path(service, path)
        assert mounted is not None
        tree = ElementTree.parse(mounted)
        for element in tree.iter():
            host = next((each for each in element if each.tag in ("host", "hostname")), None)
            owner = service if host is None else str(host.text)
            for each in element:
                if each.tag.endswith("port"):
                    each.text = str(self.port(owner, int(str(each.text))))
                elif each is host or each.tag in ("listen_host", "interserver_http_host"):
                    each.text = "127.0.0.1"
                    each.attrib.clear()
                elif here := self.path(service, str(each.text)):
                    each.text = f"{here}/" if str(each.text).endswith("/") else str(here)
        written = self.directory / "work" / service / Path(path).relative_to("/etc")
        written.parent.mkdir(parents=True, exist_ok=True)
        tree.write(written)
        return written

    def command(self, service: str) -> list[str]:
        """What the container runs; clew and Python are those of the tests."""
        each = self.services[service]
        entrypoint = each.get("entrypoint", ["clew"] if "build" in each else [])
        argv = [*entrypoint, *each.get("command", [])]
        programs = {"clew": [sys.executable, "-m", "clew.cli"], "python": [sys.executable]}
        words = [programs.get(word, [word]) for word in argv]
        replaced = [self.here(service, word) for group in words for word in group]
        # A web service of the shop is told its port with nothing around it.
        for at, word in enumerate(replaced[1:], 1):
            if replaced[at - 1] == "--port":
                replaced[at] = str(self.port(service, int(word)))
        return ["127.0.0.1" if word == "0.0.0.0" else word for word in replaced]

    @contextmanager
    def run(
        self, service: str, argv: list[str] | None = None, *, wait: bool = True
    ) -> Iterator[Process]:
        """The service, once it is healthy."""
        workplace = self.directory / "work" / service
        workplace.mkdir(parents=True, exist_ok=True)
        environment = _outside() | {"CLEW_DATA": str(workplace / "data")}
        if data := self.path(service, "/var/lib/clew"):
            environment["CLEW_DATA"] = str(data)
        environment |= self.environment(service)
        command = argv or self.command(service)
        with running(command, environment, workplace, service) as process:
            if wait:
                self.wait_until_healthy(service, process)
            yield process

    def wait_until_healthy(self, service: str, process: Process) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.healthy(service):
            assert process.popen.poll() is None, process.output.read_text()
            assert time.monotonic() < deadline, process.output.read_text()
            time.sleep(0.1)

    def healthy(self, service: str) -> bool:
        """Whether its own healthcheck says so, or the image's."""
        check = self.services[service].get("healthcheck") or image_healthcheck(self.directory)
        if check.get("disable"):
            return True
        argv = [self.here(service, word) for word in check["test"][1:]]
        if argv[0] == "wget":
            argv = ["python", "-c", _WGET, argv[-1]]
        assert argv[0] == "python"
        ran = subprocess.run(
            [sys.executable, *argv[1:]], capture_output=True, timeout=30, check=False
        )
        return ran.returncode == 0


_WGET = "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=4)"


def image_healthcheck(directory: Path) -> dict[str, Any]:
    """What the Dockerfile says, in the compose file's form."""
    text = (directory / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", text, re.MULTILINE)
    return {"test": ["CMD", *yaml.safe_load(line)]}


def _aliases(service: Mapping[str, Any]) -> list[str]:
    networks = service["networks"]
    if isinstance(networks, list):
        return []
    return [alias for each in networks.values() for alias in each.get("aliases", ())]


def _outside() -> dict[str, str]:
    """The environment of the tests without any setting of clew's or OpenTelemetry's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OTEL_", "SHOP_"))
    }


def instructions(dockerfile: Path) -> list[list[str]]:
    """Its instructions, a line each, as words."""
    text = dockerfile.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return [shlex.split(line) for line in lines]
