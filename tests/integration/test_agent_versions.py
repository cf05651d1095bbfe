"""The agent at both ends of the range of OpenTelemetry's releases, on each Python that there is: the
same requests as everywhere, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.capture import capturing
from support.installed import PYTHONS, environment_with, python_of
from support.services import FASTAPI, FLASK, Service, check_instances, check_requests, serve

pytestmark = pytest.mark.slow

OLDEST = ("opentelemetry-sdk==1.41.1", "opentelemetry-instrumentation==0.62b1")
RELEASES = {"oldest": OLDEST, "newest": ()}
SERVICES = {
    "fastapi": Service(FASTAPI, "python -m uvicorn shop:app --port {port}", "GET /items/{number}"),
    "flask": Service(
        FLASK, "gunicorn -w 2 -b 127.0.0.1:{port} shop:app", "GET /items/<int:number>"
    ),
}


@pytest.fixture(
    scope="module",
    params=[(version, release) for version in PYTHONS for release in RELEASES],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    version, release = request.param
    python = python_of(version)
    if python is None:
        pytest.skip(f"needs Python {version} (python{version} on PATH, or pyenv's)")
    packages = ["fastapi", "flask", "gunicorn", "requests", "uvicorn", *RELEASES[release]]
    return environment_with(tmp_path_factory.mktemp("environment"), packages, python)


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_requests_are_traced_logged_and_measured(
    service: Service, programs: Path, tmp_path: Path
) -> None:
    with capturing() as capture:
        serve(service, tmp_path, capture, programs)
    check_requests(capture, service.name)
    check_instances(capture)
    assert {str(span.resource["telemetry.sdk.version"]) for span in capture.spans}
