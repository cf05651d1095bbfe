"""A signal of OTLP is known wherever something depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import pytest

from clew.api import models
from clew.cli import settings
from clew.collector import grpc, http, ids, otlp
from clew.storage import SIGNALS
from clew.storage.cluster import SHARDED
from clew.storage.ingest import OTLP_PROTO
from clew.storage.rights import EXPORTER_TABLES


@pytest.mark.parametrize(
    ("place", "signals"),
    [
        ("collector/http.py: SIGNAL_PATHS", http.SIGNAL_PATHS.values()),
        ("collector/grpc.py: METHODS", grpc.METHODS.values()),
        ("collector/otlp.py: MESSAGES", otlp.MESSAGES),
        ("collector/ids.py: VALID", ids.VALID),
        ("storage/rights.py: EXPORTER_TABLES", EXPORTER_TABLES.values()),
        ("cli/settings.py: SIGNALS", settings.SIGNALS),
        (
            "api/models.py: SignalAccount",
            get_args(models.SignalAccount.model_fields["signal"].annotation),
        ),
    ],
)
def test_a_place_knows_every_signal(place: str, signals: Iterable[str]) -> None:
    assert set(signals) == set(SIGNALS), place


def test_the_tables_of_a_signal_can_be_inserted_into_and_are_sharded() -> None:
    tables = {table for signal in SIGNALS.values() for table in signal.tables}
    assert tables == set(EXPORTER_TABLES)
    assert tables <= set(SHARDED)


def test_the_message_of_a_signal_is_declared_for_the_engine() -> None:
    for signal in SIGNALS.values():
        assert f"message {signal.message} {{" in OTLP_PROTO.read_text()
