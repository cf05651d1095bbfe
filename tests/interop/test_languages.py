"""docs/languages.md: the examples in Python, Node, Java and Go, configured by environment variables
alone. Each calls the next, over HTTP; the last is in Python again. clew has API keys."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import gobuild
import httpx
import maven
import npm
import pytest

from clew.access.keys import add_key, new_key
from support.capture import free_port
from support.processes import Clew

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "languages"
WITHIN = 300.0  # seconds
LANGUAGES = {
    "orders": "python",
    "prices": "nodejs",
    "taxes": "java",
    "stock": "go",
    "audit": "python",
}
SERVICES = list(LANGUAGES)
BUSINESS = {"business.key": "order-7", "business.transaction": "Checkout"}

pytestmark = [
    pytest.mark.slow,  # the first run fetches 150 MB and compiles; each needs five services
    pytest.mark.skipif(npm.NODE is None or npm.NPM is None, reason=npm.REASON),
    pytest.mark.skipif(maven.MAVEN is None or maven.JAVA is None, reason=maven.REASON),
]

Command = tuple[Sequence[str], Path]  # and the directory to start it in
Result = TypeVar("Result")


@pytest.fixture(scope="session")
def commands() -> dict[str, Command]:
    """By example: how it is started."""
    orders = [sys.executable, "-m", "clew.cli", "run", "--", sys.executable, "orders.py"]
    prices = npm.install(EXAMPLES / "node", "languages-node")
    taxes = maven.build(EXAMPLES / "java", "languages-java")
    stock = gobuild.program(EXAMPLES / "go", "languages-go")
    return {
        "python": (orders, EXAMPLES / "python"),
        "node": ([str(npm.NODE), "prices.js"], prices),
        "java": ([str(maven.JAVA), "-cp", "target/classes", "Taxes"], taxes),
        "go": ([str(stock)], stock.parent),
    }


class Chain:
    """A clew, and the five services that send to it over `protocol`."""

    def __init__(self, directory: Path, commands: Mapping[str, Command], protocol: str) -> None:
        self.directory, self.protocol = directory, protocol
        self.keys: dict[str, str] = {}
        for name, scope in (("services", "ingest"), ("reader", "read")):
            self.keys[name], line = new_key(name, [scope])
            add_key(directory / "keys", line)
        self.clew = Clew(directory / "data", "--api-keys", str(directory / "keys"))
        examples = ("python", "node", "java", "go", "python")
        ports = [free_port() for _ in examples]
        self.first = f"http://127.0.0.1:{ports[0]}"
        self.processes = {
            name: self._start(name, example, commands[example], ports[place : place + 2])
            for place, (name, example) in enumerate(zip(SERVICES, examples, strict=True))
        }

    def _start(
        self, name: str, example: str, command: Command, ports: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        """The port of the service, and that of the next one."""
        lines = (EXAMPLES / example / "clew.env").read_text()
        variables = dict(line.split("=", 1) for line in shlex.split(lines, comments=True))
        variables |= {
            "PORT": str(ports[0]),
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.clew.endpoints["otlp_http"],
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{self.keys['services']}",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        if len(ports) > 1:
            variables["NEXT"] = f"http://127.0.0.1:{ports[1]}"
        if self.protocol == "grpc" and example != "python":
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.clew.endpoints["otlp_grpc"]
            variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
        arguments, folder = command
        with (self.directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                arguments, cwd=folder, env=os.environ | variables, stdout=log, stderr=log
            )

    def ask(self, item: str) -> httpx.Response:
        """A request to the first service, as part of a business transaction."""
        baggage = ",".join(f"{key}={text}" for key, text in BUSINESS.items())
        return httpx.get(f"{self.first}/quotes/{item}", headers={"baggage": baggage}, timeout=30)

    def ask_until_it_answers(self, item: str) -> dict[str, Any]:
        def answer() -> dict[str, Any] | None:
            try:
                response = self.ask(item)
            except httpx.TransportError:
                return None
            return response.json() if response.is_success else None

        return self.wait_for(answer)

    def get(self, path: str, **parameters: str) -> Any:
        response = httpx.get(
            f"{self.clew.endpoints['api']}/api/v1{path}",
            headers={"authorization": f"Bearer {self.keys['reader']}"},
            params=parameters,
            timeout=30,
        )
        assert response.is_success, response.text
        return response.json()

    def trace(self, item: str, services: Sequence[str]) -> dict[str, Any]:
        """The newest trace about `item`, once all of these services have sent a span and a log record."""

        def whole() -> dict[str, Any] | None:
            traces = self.get("/traces", service="orders", attr=f"url.path=/quotes/{item}")[
                "traces"
            ]
            if not traces:
                return None
            trace: dict[str, Any] = self.get(f"/traces/{traces[0]['trace_id']}")
            entries = {span["service"] for span in trace["spans"] if span["kind"] == "Server"}
            complete = entries == {log["service"] for log in trace["logs"]} == set(services)
            return trace if complete else None

        return self.wait_for(whole)

    def wait_for(self, look: Callable[[], Result | None]) -> Result:
        deadline = time.monotonic() + WITHIN
        while (result := look()) is None:
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.3)
        return result

    def logs(self) -> str:
        files = [self.clew.log, *(self.directory / f"{name}.log" for name in SERVICES)]
        return "\n".join(f"== {file.name}\n{file.read_text()[-2000:]}" for file in files)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.clew.stop()


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def chain(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    commands: dict[str, Command],
) -> Iterator[Chain]:
    with ExitStack() as stack:
        running = Chain(tmp_path_factory.mktemp("chain"), commands, request.param)
        stack.callback(running.stop)
        running.ask_until_it_answers("warm")
        yield running


def calls(trace: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Service, kind and name of the spans between services, from the root to the last service."""
    spans = {span["span_id"]: span for span in trace["spans"]}
    last = next(span for span in trace["spans"] if span["service"] == "audit")
    chain = [last]
    while chain[-1]["parent_span_id"]:
        chain.append(spans[chain[-1]["parent_span_id"]])
    return [
        (span["service"], span["kind"], span["name"])
        for span in reversed(chain)
        if span["kind"] != "Internal"
    ]


def test_one_trace_goes_through_all_languages(chain: Chain) -> None:
    answer = chain.ask("tea")
    assert answer.json() == {"services": ["python", "node", "java", "go", "python"]}
    trace = chain.trace("tea", SERVICES)
    assert calls(trace) == [
        ("orders", "Server", "GET /quotes/{item}"),
        ("orders", "Client", "GET"),
        ("prices", "Server", "GET /quotes/:item"),
        ("prices", "Client", "GET"),
        ("taxes", "Server", "GET /quotes/"),
        ("taxes", "Client", "GET"),
        ("stock", "Server", "GET /quotes/{item}"),
        ("stock", "Client", "HTTP GET"),
        ("audit", "Server", "GET /quotes/{item}"),
    ]
    assert trace["complete"]
    assert trace["error_count"] == 0
    assert trace["transaction"]["name"] == "orders: GET /quotes/{item}"
    resources = {span["service"]: span["resource"] for span in trace["spans"]}
    for service, language in LANGUAGES.items():
        assert resources[service]["telemetry.sdk.language"] == language
        assert resources[service]["service.version"] == "1.0.0"
        assert resources[service]["service.instance.id"]
        assert resources[service]["host.name"]


def test_logs_of_all_languages_carry_the_ids_of_their_spans(chain: Chain) -> None:
    chain.ask("salt")
    trace = chain.trace("salt", SERVICES)
    services = {span["span_id"]: span["service"] for span in trace["spans"]}
    assert {log["service"] for log in trace["logs"]} == set(SERVICES)
    for log in trace["logs"]:
        assert services[log["span_id"]] == log["service"]
        assert log["linked_by"] == "trace"
        assert log["severity"].upper() == "INFO"


def test_the_business_transaction_goes_along(chain: Chain) -> None:
    chain.ask("rice")
    trace = chain.trace("rice", SERVICES)
    for item in (*trace["spans"], *trace["logs"]):
        stamped = {key: text for key, text in item["attributes"].items() if key in BUSINESS}
        assert stamped == ({} if item["service"] == "prices" else BUSINESS), item


def test_an_error_is_seen_in_every_language(chain: Chain) -> None:
    assert chain.ask("unknown").status_code == 500
    services = ["orders", "prices", "taxes", "stock"]
    trace = chain.trace("unknown", services)
    entries = {
        span["service"]: span["status"] for span in trace["spans"] if span["kind"] == "Server"
    }
    assert entries == dict.fromkeys(services, "Error")
    errors = {log["service"] for log in chain.get("/logs", severity="error")["logs"]}
    assert errors == set(services)
    raised = {
        (group["service"], group["type"], group["message"])
        for group in chain.get("/exceptions")["exceptions"]
    }
    assert {
        ("prices", "Error", "no quote: #"),
        ("taxes", "java.lang.IllegalStateException", "no quote: #"),
        ("stock", "*errors.errorString", "no such item: unknown"),
    } <= raised


def test_the_map_has_the_calls_between_languages(chain: Chain) -> None:
    # Until a caller's span has arrived, the caller is unknown; Node's wait for up to 5 s.
    expected = {(f"service:{source}", f"service:{target}") for source, target in pairwise(SERVICES)}

    def drawn() -> bool | None:
        edges = chain.get("/services/map", environment="dev")["edges"]
        calls = {(edge["source"], edge["target"]) for edge in edges if edge["type"] == "service"}
        return True if calls == expected else None

    assert chain.wait_for(drawn)
    assert {
        service["service"] for service in chain.get("/services", environment="dev")["services"]
    } == set(SERVICES)


RUNTIME = {
    "orders": "process.memory.usage",
    "prices": "v8js.memory.heap.used",
    "taxes": "jvm.memory.used",
    "stock": "go.memory.used",
    "audit": "process.memory.usage",
}


def test_metrics_of_requests_and_of_the_runtime_arrive(chain: Chain) -> None:
    def measured() -> bool | None:
        metrics = chain.get("/metrics", limit="1000", environment="dev")["metrics"]
        services = {metric["name"]: set(metric["services"]) for metric in metrics}
        requests = services.get("http.server.request.duration", set())
        runtimes = all(name in services.get(metric, ()) for name, metric in RUNTIME.items())
        return True if requests >= set(SERVICES) and runtimes else None

    assert chain.wait_for(measured)
