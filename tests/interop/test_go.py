"""OpenTelemetry's SDK for Go, two ways (it has no JSON): what it sends is found, every field of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gobuild import program
from sending import check_found, send

HERE = Path(__file__).parent / "go"

pytestmark = pytest.mark.slow  # the first run fetches and compiles for a minute or two


@pytest.fixture(scope="session")
def sender() -> Path:
    return program(HERE)


def test_three_signals_two_ways(clew, sender: Path) -> None:
    sent = {way: send(clew, way, [str(sender)]) for way in ("http-protobuf", "grpc")}
    check_found(clew, "go", sent)
