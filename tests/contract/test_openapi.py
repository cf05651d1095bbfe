"""The running server answers as its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
import schemathesis
from dataset import define, write
from day import Day
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from clew.api import create_app
from clew.api.reference import operations
from support.processes import Clew

DOCUMENT = create_app(cast(Any, None), lambda: True, registry=cast(Any, object())).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# Every edge of each parameter: tests/contract/test_openapi_thorough.py.
SCHEMA.config.phases.update(phases=["examples", "fuzzing"])
CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
)
EXAMPLES = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
OPERATIONS = dict(operations(DOCUMENT))


# Parameters without which there is nothing to answer.
NEEDED = {
    "/api/v1/metrics/query": {"name": "process.cpu.utilization"},
    "/api/v1/compare": {"slow": "true"},
    "/api/v1/traces/{trace_id}/spans": {"rows": "0"},
}


class Served(Clew):
    """clew with an hour of everything in it, and what it has: ids by the names of parameters."""

    known: Mapping[str, list[str]] = {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    clew = Served(tmp_path_factory.mktemp("served") / "data")
    try:
        fill(clew)
        yield clew
    finally:
        clew.stop()


def fill(clew: Served) -> None:
    define(clew.endpoints["api"])
    day = Day(4000, 1, 1, time.time_ns())
    write(day, clew.endpoints["otlp_http"], clew.endpoints["api"])
    wait_until_settled(clew)
    listed = clew.get("/api/v1/transactions").json()["transactions"]
    instances = clew.get("/api/v1/transactions/checkout/instances").json()["instances"]
    traces = clew.get("/api/v1/traces").json()["traces"]
    clew.known = {
        "transaction_id": ["checkout", *(each["id"] for each in listed)],
        "trace_id": [each["trace_id"] for each in traces],
        "key": [each["key"] for each in instances],
        "service_name": [each["service"] for each in listed if each["service"]],
    }


def wait_until_settled(clew: Clew) -> None:
    until = time.monotonic() + 120
    while not (
        clew.get("/api/v1/transactions/checkout/instances").json()["instances"]
        and clew.get("/api/v1/services/map").json()["edges"]
    ):
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("GET")])
def test_what_is_asked_plainly_is_answered_as_described(name: str, served: Served) -> None:
    _, template = name.split()
    path = template
    for each in served.known:
        path = path.replace(f"{{{each}}}", served.known[each][0])
    query = NEEDED.get(template, {})
    for more in (query, query | {"explain": "true"}):
        response = served.get(path, **more)
        # No alert fires in the seconds that this takes: a path with its id names nothing.
        assert response.status_code == (404 if "{" in path else 200), response.text
        SCHEMA[template]["GET"].validate_response(response)


@pytest.mark.sampled(3)
@SCHEMA.parametrize()
@settings(EXAMPLES, max_examples=4)
def test_answers_are_as_described(case: schemathesis.Case, served: Served) -> None:
    check(case, served)


def check(case: schemathesis.Case, served: Served) -> None:
    """Every second path names something that is in the database."""
    for name, value in case.path_parameters.items():
        known = served.known.get(name, ())
        if len(str(value)) % 2 and known:
            case.path_parameters[name] = known[len(str(value)) % len(known)]
    response = case.call(base_url=served.endpoints["api"], timeout=60)
    case.validate_response(response, checks=CHECKS)
