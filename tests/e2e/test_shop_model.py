"""bench/shop models the shop: its calls are those of the shop's processes under `clew run`."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from shop.model import Shop

from clew.shop.faults import KNOWN
from support.capture import Capture, capturing
from support.fleets import Fleet

pytestmark = pytest.mark.slow

Operation = tuple[str, str, int]  # service, name, kind
Edge = tuple[Operation, Operation | None]  # of a span and its parent
SECONDS, RATE = 8.0, 10.0
FLUSHED = 6.0  # seconds after which the agents have sent what there was
ADMIN = "PUT /admin/faults"
FEW = 12  # spans: of an operation with fewer, how often it calls what says nothing


class Calls:
    """How often spans of an operation call another."""

    def __init__(self, spans: Iterable[tuple[str, str, Operation]]) -> None:
        by_id = {}
        parents = {}
        for id, parent, operation in spans:
            by_id[id] = operation
            parents[id] = parent
        self.operations = Counter(by_id.values())
        self.edges: Counter[Edge] = Counter()
        for id, operation in by_id.items():
            self.edges[operation, by_id.get(parents[id])] += 1

    def rates(self) -> dict[Edge, float]:
        """By edge the calls of each parent, of parents with enough spans."""
        return {
            (operation, parent): count / self.operations[parent]
            for (operation, parent), count in self.edges.items()
            if parent is not None and self.operations[parent] >= FEW
        }


def of_model(fault: str) -> Calls:
    shop = Shop(1, 1.7e9, rate=10.0, plan=[(fault, 0, 10)])
    spans = [span for _ in range(10) for span in shop.minute().spans]
    return Calls(
        (span.id, span.parent, (span.process.service, span.name, span.kind)) for span in spans
    )


def of_shop(capture: Capture, since: int) -> Calls:
    return Calls(
        (
            span.proto.span_id.hex(),
            span.proto.parent_span_id.hex(),
            (span.service, span.proto.name, span.proto.kind),
        )
        for span in capture.spans[since:]
        if span.proto.name != ADMIN
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Capture, Path]]:
    directory = tmp_path_factory.mktemp("fleet")
    with capturing() as capture:
        fleet = Fleet(directory, capture.url)
        with fleet.running():
            fleet.load(rate=RATE, seconds=4, seed=2, report=directory / "load.json")
            yield fleet, capture, directory


@pytest.mark.parametrize("fault", ["", *KNOWN])
def test_the_model_calls_as_the_shop_does(fleet: tuple[Fleet, Capture, Path], fault: str) -> None:
    shop, capture, directory = fleet
    shop.switch(fault)
    time.sleep(FLUSHED)
    since = len(capture.spans)
    shop.load(rate=RATE, seconds=SECONDS, seed=3, report=directory / "load.json")
    shop.switch()
    time.sleep(FLUSHED)
    real, model = of_shop(capture, since), of_model(fault)
    assert set(real.edges) - set(model.edges) == set()
    usual, rates = model.rates(), real.rates()
    assert len(rates) >= 5
    wrong: dict[Edge, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for edge, rate in rates.items():
        # Where one of a hundred calls is another, a few seconds may have none of them, or two.
        if not usual[edge] / 2 - 0.3 <= rate <= usual[edge] * 2 + 0.3:
            wrong[edge] = rate, usual[edge]
    assert dict(wrong) == {}
