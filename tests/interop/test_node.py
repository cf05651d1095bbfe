"""OpenTelemetry's SDK for Node, three ways: what it sends is found, every field of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from npm import NODE, NPM, REASON, install
from sending import check_found, send

HERE = Path(__file__).parent / "node"
WAYS = ("http-protobuf", "http-json", "grpc")

pytestmark = [
    pytest.mark.slow,  # the first run fetches 90 MB
    pytest.mark.skipif(NODE is None or NPM is None, reason=REASON),
]


@pytest.fixture(scope="session")
def sender() -> Path:
    """The program, beside the packages that it imports."""
    return install(HERE) / "send.js"


def test_three_signals_three_ways(clew, sender: Path) -> None:
    sent = {way: send(clew, way, [str(NODE), str(sender)]) for way in WAYS}
    check_found(clew, "node", sent)
