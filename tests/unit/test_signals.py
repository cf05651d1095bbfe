"""A signal of OTLP is known wherever something depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from clew.api.models import ledger as models
from clew.cli import settings
from clew.collector import grpc, http, ids, mending, otlp
from clew.storage import SIGNALS
from clew.storage.cluster import SHARDED
from clew.storage.messages import OTLP_PROTO
from clew.storage.rights import EXPORTER_TABLES
from support import every_field
from support.loading import seal_segment


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
            "api/models/ledger.py: SignalAccount",
            get_args(models.SignalAccount.model_fields["signal"].annotation),
        ),
        ("tests/support/every_field.py: REQUESTS", every_field.REQUESTS),
    ],
)
def test_a_place_knows_every_signal(place: str, signals: Iterable[str]) -> None:
    assert set(signals) == set(SIGNALS), place


def test_the_tables_of_a_signal_can_be_inserted_into_and_are_sharded() -> None:
    tables = {table for signal in SIGNALS.values() for table in signal.tables}
    assert tables == set(EXPORTER_TABLES)
    assert tables <= set(SHARDED)
    assert tables == set(every_field.TABLES)


def test_the_message_of_a_signal_is_declared_for_the_engine() -> None:
    for signal in SIGNALS.values():
        assert f"message {signal.message} {{" in OTLP_PROTO.read_text()


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_segment_with_several_requests_of_a_signal_is_intact(signal: str, tmp_path: Path) -> None:
    """The spool stores field 1 of a request. What a signal has in other fields, such as a dictionary
    that all resources share, must be written into the resources first."""
    body = every_field.REQUESTS[signal]("shop").SerializeToString()
    segment = seal_segment(tmp_path, signal, body, body)
    assert segment.without_damage() is segment
    assert sum(batch.items for batch in segment.batches()) == segment.items > 0


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_items_of_a_signal_can_be_mended_one_by_one(signal: str) -> None:
    request = every_field.REQUESTS[signal]("shop")
    body = request.SerializeToString()
    mender = mending.Mender(received_at=1)
    mending.mend_protobuf(type(request), body, mender)
    items = otlp.decode_protobuf(signal, body).items
    assert mender.parsed == items, "add the signal to mending.ITEMS and mending.CONTAINERS"
    assert mender.message() == ""


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_ids_of_a_signal_are_known(signal: str) -> None:
    fields = every_field.fields(otlp.MESSAGES[signal].request.DESCRIPTOR)
    names = {field.partition(".")[2] for field in fields if field.endswith("_id")}
    assert names <= set(ids.LENGTHS), "add its length to ids.LENGTHS"
    assert names <= mending.ID_FIELDS, "add it, and its name in JSON, to mending.ID_FIELDS"


@pytest.mark.parametrize("signal", SIGNALS)
def test_items_are_counted_without_being_parsed(signal: str) -> None:
    fields = every_field.fields(otlp.MESSAGES[signal].outline.DESCRIPTOR)
    parsed = {field for field in fields if field.endswith("time_unix_nano")}
    assert not parsed, "add the field of the items to otlp._declare_items_as_bytes"
