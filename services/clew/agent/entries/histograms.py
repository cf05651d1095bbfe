"""Histograms of requests.

For each measurement the SDK copies, cleans and hashes the attributes: 5 of 8 µs in 1.45. Requests
have few sets of attributes, which never change, so the aggregations that a set leads to are looked
up once.
"""

from __future__ import annotations

from time import time_ns
from typing import Any

from opentelemetry.sdk.metrics._internal.measurement import Measurement

from clew.agent.entries.request import CACHE_SIZE, guarded


class RequestHistogram:
    """Records into a histogram of the SDK."""

    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._consumer: Any = getattr(histogram, "_measurement_consumer", None)
        # By the id of a set of attributes, which is held so that no other gets its id.
        self._known: dict[int, tuple[dict[str, Any], list[Any], list[Any]]] = {}

    def has_readers(self) -> bool:
        """Whether anything reads what is recorded."""
        return bool(getattr(self._consumer, "_reader_storages", True))

    def record(self, amount: float, attributes: dict[str, Any], context: Any) -> None:
        """As the histogram's `record`. Nothing may change `attributes`, an amount is not below
        zero."""
        known = self._known.get(id(attributes))
        if known is None or known[1] != list(self._consumer._reader_storages.values()):
            self._histogram.record(amount, attributes, context)
            self._look_up(attributes)
            return
        measurement = Measurement(amount, time_ns(), self._histogram, context)
        object.__setattr__(measurement, "attributes", attributes)  # cleaned before
        is_sampled = self._consumer._sdk_config.exemplar_filter.should_sample(
            amount, measurement.time_unix_nano, attributes, context
        )
        for aggregation in known[2]:
            aggregation.aggregate(measurement, is_sampled)

    @guarded
    def _look_up(self, attributes: dict[str, Any]) -> None:
        if len(self._known) >= CACHE_SIZE or not hasattr(self._consumer, "_reader_storages"):
            return
        storages = list(self._consumer._reader_storages.values())
        streams = [
            stream
            for storage in storages
            for stream in storage._instrument_view_instrument_matches.get(self._histogram, ())
        ]
        aggregations = [
            aggregation
            for stream in streams
            for aggregation in stream._attributes_aggregation.values()
            if aggregation._attributes == attributes
        ]
        # A view may leave attributes out, and then several sets of them are one.
        if len(aggregations) == len(streams):
            self._known[id(attributes)] = (attributes, storages, aggregations)
