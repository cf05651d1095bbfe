"""Occurrences, compared with a reference in plain Python, for spans and log records in any order."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.analysis.transactions import occurrences
from clew.analysis.transactions.contributions import extract, first_number
from clew.analysis.transactions.definitions import (
    Definition,
    Match,
    TransactionStep,
    read,
)
from clew.analysis.transactions.occurrences import Occurrences
from clew.analysis.transactions.sources import AttributeSource
from clew.storage import Ingest, StorageError, Store, statements
from support import occurrences_reference as reference
from support.traffic import (
    CONSUMER,
    ERROR,
    INTERNAL,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    UNSET,
    Loader,
    Log,
    Process,
    Span,
)

START_TIME = 1_780_308_000 * SECOND
HOUR = 60 * MINUTE
HOSTILE = "it's \\ {start:String} \"x\" \n\t -- '); DROP TABLE otel.otel_traces; \x00 [(.*+?^$|é"
SHOP, PAYMENTS, WORKER = (
    Process("shop", "shop-1"),
    Process("payments", "payments-1", "test"),
    Process("worker", "worker-1"),
)
SHOP_DEFINITIONS = b"""
transactions:
  - name: Checkout
    match: {service: shop, operation: POST /checkout}
    key: [order.id, {attr: url.path, pattern: "/orders/{}/pay"}]
    value: [total, amount]
    user: {header: X-User-Id}
    steps:
      - GET /cart
      - {name: pay, match: {service: payments}}
      - {name: ship, match: {service: worker, attr: {kind: parcel}}}
  - {name: Any shop, match: {service: shop}, value: total, steps: [GET /cart]}
  - {name: Paid, match: {operation: charge}, key: order.id}
  - name: Parcels
    match: {attr: {kind: parcel}}
    key: [parcel, service.name]
    user: [user.id, {attr: url.path, pattern: "/users/{}"}]
    steps: [work, charge]
"""
# Not validated: its id and name are not allowed.
HOSTILE_DEFINITION = Definition.model_construct(
    id=HOSTILE,
    name=HOSTILE,
    match=Match(operation=HOSTILE),
    key=(AttributeSource(attr=HOSTILE),),
)
DEFINITIONS = (*read(SHOP_DEFINITIONS), HOSTILE_DEFINITION)


class RandomTelemetry:
    """Random traces with log records."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._ids = iter(range(1, 1_000_000))

    def traces(self, count: int) -> tuple[list[Span], list[Log]]:
        spans: list[Span] = []
        logs: list[Log] = []
        for _ in range(count):
            trace = f"{self.random.getrandbits(128):032x}"
            start = START_TIME + self.random.randrange(-3 * HOUR, 30 * HOUR)
            trace_spans = [self._span(trace, start)]
            while self.random.random() < 0.75:
                parent = self.random.choice(trace_spans)
                trace_spans.append(self._span(trace, start, parent))
            spans += trace_spans
            while self.random.random() < 0.5:
                logs.append(self._log(trace, start))
        return spans, logs

    def _span(self, trace: str, trace_start: int, parent: Span | None = None) -> Span:
        pick = self.random.choice
        start = trace_start + self.random.choice((0, 1, 2, 5, 10)) * pick((0, MILLISECOND, SECOND))
        return Span(
            trace,
            f"{next(self._ids):016x}",
            parent.id if parent else pick(("", "", "f" * 16)),
            pick((SHOP, SHOP, PAYMENTS, WORKER)),
            pick(("POST /checkout", "POST /checkout", "GET /cart", "charge", "work", HOSTILE)),
            pick((SERVER, SERVER, CONSUMER, INTERNAL)),
            start,
            start + pick((0, 1, MILLISECOND, 3 * MILLISECOND, 4 * SECOND)),
            pick((UNSET, UNSET, UNSET, ERROR)),
            attributes=self._attributes(),
        )

    def _log(self, trace: str, trace_start: int) -> Log:
        offset = self.random.choice((0, MILLISECOND, SECOND, -4 * MINUTE, 4 * MINUTE, HOUR, -HOUR))
        # Two records with the same time would be ordered by their texts.
        time = trace_start + offset + self.random.randrange(MILLISECOND)
        return Log(time, SHOP, "INFO", "x", self._attributes(), trace)

    def _attributes(self) -> dict[str, Any]:
        pick = self.random.choice
        order = pick(("o-1", "o-2", "o-3", "x" * 256))
        attributes: dict[str, Any] = {
            "order.id": pick((order, order, "")),
            "url.path": pick((f"/api/orders/{order}/pay?x=1", "/orders//pay", "/users/u-9")),
            "total": pick((5, "1e2", "nan", "inf", "-7.25", "ten", "", ".5")),
            "amount": pick((11, "0x10")),
            "user.id": pick(("u-1", "u-2")),
            "kind": pick(("parcel", "letter")),
            "parcel": pick(("p-1", "p-2")),
            HOSTILE: pick((HOSTILE, "other")),
        }
        return {name: value for name, value in attributes.items() if self.random.random() < 0.2}


class Settling:
    """Loads telemetry and settles the traces with new rows."""

    def __init__(
        self, store: Store, directory: Path, definitions: Sequence[Definition] = DEFINITIONS
    ) -> None:
        self._store = store
        self._loader = Loader(Ingest(store), directory)
        self.definitions = definitions
        self.occurrences = Occurrences(store, lambda: self.definitions)
        self._dirty: set[str] = set()
        self.spans: list[Span] = []
        self.logs: list[Log] = []

    def load(self, items: Iterable[Span | Log]) -> None:
        spans = [item for item in items if isinstance(item, Span)]
        logs = [item for item in items if isinstance(item, Log)]
        if spans:
            self._loader.spans(spans)
        if logs:
            self._loader.logs(logs)
        self.spans += spans
        self.logs += logs
        self._dirty |= {item.trace for item in items}

    def settle(self, traces: Iterable[str] | None = None) -> None:
        """Settle these traces, or else those with new rows."""
        traces = set(self._dirty if traces is None else traces)
        self._dirty -= traces
        times = [span.start for span in self.spans if span.trace in traces]
        if times:
            extent = (_parameter(min(times)), _parameter(max(times)))
            self.occurrences.settle(sorted(traces), *extent, time.time_ns())

    def rows(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The stored occurrences, by transaction and key."""
        rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        times = ("Timestamp", "Start", "End")
        with self._store.client() as client:
            answer = client.query(
                "SELECT * EXCEPT (Version, IsDeleted, InsertedAt) REPLACE ("
                + ", ".join(f"toUnixTimestamp64Nano({name}) AS {name}" for name in times)
                + ", arrayMap(t -> toUnixTimestamp64Nano(t), Step.Start) AS `Step.Start`)"
                " FROM otel.clew_occurrences FINAL"
            )
        for values in answer.result_rows:
            row = dict(zip(answer.column_names, values, strict=True))
            key = row.pop("Key")
            transaction = rows[row.pop("Transaction")]
            assert key not in transaction, "an occurrence has two rows"
            transaction[key] = row
        return rows

    def expected(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The rows that the reference computes, by transaction and key."""
        rows_by_id = {
            definition.id: reference.occurrences(definition, self.spans, self.logs)
            for definition in self.definitions
        }
        return {id: rows for id, rows in rows_by_id.items() if rows}


def _parameter(nanoseconds: int) -> str:
    from clew.api.parameters import sql_time

    return sql_time(nanoseconds)


@pytest.fixture
def settling(store: Store, tmp_path: Path) -> Settling:
    return Settling(store, tmp_path)


class Ways:
    """Which way a settling took: Python or the statements, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chosen: Callable[[], bool]) -> None:
        settle_few = Occurrences._settle_few
        self.python: list[bool] = []

        def settle(occurrences: Occurrences, *arguments: Any) -> bool:
            self.python.append(chosen() and settle_few(occurrences, *arguments))
            return self.python[-1]

        monkeypatch.setattr(Occurrences, "_settle_few", settle)


@pytest.mark.parametrize(
    ("seed", "way"),
    [(0, "statements"), (1, "small statements"), (0, "python"), (1, "python"), (2, "both")],
)
def test_every_column_equals_the_reference_in_any_order_of_arrival(
    settling: Settling, seed: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = random.Random(seed)
    ways = Ways(monkeypatch, lambda: way == "python" or (way == "both" and choice.random() < 0.5))
    if way == "small statements":  # many of them in one call
        monkeypatch.setattr(occurrences, "BATCH_TRACES", 30)
        monkeypatch.setattr(occurrences, "BATCH_SPANS", 200)
        monkeypatch.setattr(occurrences, "BATCH_CHARACTERS", 700)
    telemetry = RandomTelemetry(seed)
    spans, logs = telemetry.traces(60 if seed else 120)
    items: list[Span | Log] = [*spans, *logs]
    telemetry.random.shuffle(items)
    while items:
        size = telemetry.random.randint(30, 200)
        settling.load(items[:size])
        del items[:size]
        if telemetry.random.random() < 0.7:
            settling.settle()
    settling.settle()
    expected = settling.expected()
    assert all(expected.get(definition.id) for definition in DEFINITIONS)
    _compare(settling.rows(), expected)
    settling.settle({span.trace for span in spans})
    _compare(settling.rows(), expected)
    assert set(ways.python) == {"python": {True}, "both": {True, False}}.get(way, {False})


def test_a_backfill_applies_changed_definitions_to_stored_traces(
    settling: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "BATCH_TRACES", 40)
    spans, logs = RandomTelemetry(20).traces(100)
    settling.load([*spans, *logs])
    settling.settle()
    checkout, any_shop, paid, parcels, _ = DEFINITIONS
    settling.definitions = (
        checkout.model_copy(
            update={
                "match": Match(service="payments"),
                "key": (AttributeSource(attr="user.id"),),
                "steps": (),
            }
        ),
        any_shop.model_copy(update={"key": (AttributeSource(attr="order.id"),)}),
        parcels.model_copy(update={"key": ()}),
        paid.model_copy(update={"id": "new", "name": "New"}),
    )
    rows = settling.rows()
    all_time = ("1970-01-01 00:00:00", "2100-01-01 00:00:00")
    steps = list(settling.occurrences.backfill(*all_time, only="new"))
    assert steps[-1].traces == steps[-1].total == len({span.trace for span in spans})
    assert settling.rows() == rows | {"new": settling.expected()["new"]}
    for progress in settling.occurrences.backfill(*all_time):
        if progress.traces:
            break  # as a signal would stop it
    assert "paid" not in settling.rows()
    (*_, last) = settling.occurrences.backfill(*all_time)
    assert last.reached == all_time[0]
    _compare(settling.rows(), settling.expected())
    settling.definitions = ()
    assert len(list(settling.occurrences.backfill(*all_time))) == 2
    assert settling.rows() == {}


def test_a_backfill_of_a_window_leaves_older_traces_as_they_are(settling: Settling) -> None:
    spans, _ = RandomTelemetry(21).traces(60)
    settling.load(spans)
    middle = START_TIME + 10 * HOUR
    any_span = Match.model_construct()
    definition = DEFINITIONS[1].model_copy(update={"match": any_span, "steps": ()})
    settling.definitions = (definition,)
    list(settling.occurrences.backfill(_parameter(middle), "2100-01-01 00:00:00"))
    assert settling.rows()[definition.id] == {
        key: row
        for key, row in settling.expected()[definition.id].items()
        if row["Start"] >= middle
    }


@pytest.mark.parametrize("is_few", [False, True], ids=["statements", "python"])
def test_no_text_of_a_definition_or_of_telemetry_becomes_sql(
    settling: Settling, is_few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways(monkeypatch, lambda: is_few)
    hostile = Match(service=HOSTILE, operation=HOSTILE, attr={HOSTILE: HOSTILE})
    path = AttributeSource(attr="path", pattern=f"{HOSTILE}{{}}{HOSTILE}")
    settling.definitions = (
        HOSTILE_DEFINITION.model_copy(
            update={
                "match": hostile,
                "key": (AttributeSource(attr=f"{HOSTILE} key"), path),
                "value": (AttributeSource(attr=f"{HOSTILE} value"),),
                "user": (path,),
                "steps": (
                    TransactionStep(name=HOSTILE),
                    TransactionStep(name="by match", match=hostile),
                ),
            }
        ),
        Definition(name="By path", match=hostile, key=(path,)),
    )
    process = Process(HOSTILE, HOSTILE, HOSTILE)
    spans = [
        Span(
            f"{number:032x}",
            f"{number:016x}",
            "",
            process,
            HOSTILE,
            SERVER,
            START_TIME + number,
            START_TIME + number + 5,
            attributes={
                HOSTILE: HOSTILE,
                f"{HOSTILE} key": f"{HOSTILE} {number // 2}" if number < 6 else "",
                f"{HOSTILE} value": HOSTILE if number % 2 else 7,
                "path": f"x{HOSTILE}'); DROP{number}{HOSTILE}y",
            },
        )
        for number in range(2, 12)
    ]
    logs = [Log(START_TIME, process, "INFO", HOSTILE, {f"{HOSTILE} key": "'"}, spans[0].trace)]
    settling.load([*spans, *logs])
    settling.settle()
    expected = settling.expected()
    assert len(expected[HOSTILE]) == 2 + 6
    assert len(expected["by-path"]) == 10
    _compare(settling.rows(), expected)
    assert ways.python == [is_few]
    list(settling.occurrences.backfill("1970-01-01 00:00:00", "2100-01-01 00:00:00", HOSTILE))
    _compare(settling.rows(), expected)


@pytest.mark.parametrize("is_few", [False, True], ids=["statements", "python"])
def test_a_settling_that_was_cut_short_is_repeated(
    settling: Settling, is_few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ways(monkeypatch, lambda: is_few)
    settling.definitions = (DEFINITIONS[2],)
    (root,) = _traces("o-1", [1])
    child = replace(root, id="c" * 16, parent=root.id, attributes={})
    settling.load([child])
    settling.settle()
    assert list(settling.rows()["paid"]) == [root.trace]
    settling.load([root])
    owner: Any = settling.occurrences._statements if is_few else settling.occurrences
    name = "insert_rows" if is_few else "_insert"
    insert = getattr(owner, name)

    class Killed(BaseException):
        pass

    def insert_or_die(target: Any, *arguments: Any, **parameters: Any) -> None:
        if "clew_occurrences" in (target, getattr(target, "table", "")):
            raise Killed
        insert(target, *arguments, **parameters)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(owner, name, insert_or_die)
        settling.settle()
    settling.settle({root.trace})
    _compare(settling.rows(), settling.expected())


@pytest.mark.parametrize(
    ("query", "table", "columns"),
    [
        ("occurrence_records", "clew_occurrence_traces", "*"),
        ("occurrence_keys", "clew_occurrence_traces", "*"),
        ("occurrence_candidates", "clew_candidates", "*"),
        ("occurrence_traces", "clew_occurrence_traces", "* EXCEPT (InsertedAt)"),
        ("occurrences", "clew_occurrences", "* EXCEPT (InsertedAt)"),
    ],
)
def test_stop_ends_the_running_statement_and_no_other_one_starts(
    store: Store,
    settling: Settling,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    table: str,
    columns: str,
) -> None:
    is_few = query in ("occurrence_records", "occurrence_parts", "occurrence_keys")
    Ways(monkeypatch, lambda: is_few)
    settling.load(_traces("o-1", range(1, 5)))
    endless = f"""
        SELECT {columns} FROM otel.{table}
        WHERE (SELECT max(sipHash64(number)) FROM numbers(1000000000000)) = 0"""
    sql_of = statements.sql_of
    monkeypatch.setattr(
        statements,
        "sql_of",
        lambda package, name: endless if name == query else sql_of(package, name),
    )
    failures: list[str] = []

    def settle() -> None:
        with pytest.raises(StorageError, match=f"^{query}: "):
            settling.settle()
        failures.append(query)

    thread = threading.Thread(target=settle)
    thread.start()
    deadline = time.monotonic() + 30
    with store.client() as client:
        while "1000000000000" not in str(
            client.command(
                "SELECT groupArray(query) FROM system.processes WHERE query_id != queryID()"
            )
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    settling.occurrences.stop()
    thread.join(30)
    assert failures
    with pytest.raises(StorageError, match="clew is stopping"):
        settling.settle({f"{1:032x}"})


def _traces(key: str, numbers: Iterable[int]) -> list[Span]:
    return [
        Span(
            f"{number:032x}",
            f"{number:016x}",
            "",
            SHOP,
            "charge",
            SERVER,
            START_TIME + number * SECOND,
            START_TIME + number * SECOND + 5,
            attributes={"order.id": key},
        )
        for number in numbers
    ]


@pytest.mark.parametrize("is_few", [False, True], ids=["statements", "python"])
def test_an_occurrence_has_a_limit_of_traces_and_the_log_names_the_key(
    settling: Settling,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_few: bool,
) -> None:
    Ways(monkeypatch, lambda: is_few)
    monkeypatch.setattr(occurrences, "MAX_TRACES", 3)
    settling.definitions = (DEFINITIONS[2],)
    for first in (1, 3, 5, 7):
        settling.load(_traces("all", [first, first + 1]))
        settling.settle()
    row = settling.rows()["paid"]["all"]
    assert (row["Attempts"], row["SpanCount"], len(row["TraceIds"])) == (4, 4, 4)
    assert caplog.text.count("more than 3 traces have the key 'all'") == 1
    settling.load(_traces("another", [9]))
    settling.settle()
    assert settling.rows()["paid"]["another"]["Attempts"] == 1


def test_python_finds_values_in_attributes_as_the_statements_do(store: Store) -> None:
    choice = random.Random(1)

    def text(letters: str, length: int) -> str:
        return "".join(choice.choice(letters) for _ in range(choice.randint(0, length)))

    patterns = [f"{text('ab/?é', 2)}{{}}{text('ab/#.', 2)}" for _ in range(40)]
    texts = [text("aab/?#é.\n", 12) for _ in range(100)]
    numbers = [text("0123456789.eE+-", 12) for _ in range(300)]
    sources = [AttributeSource(attr="a", pattern=pattern) for pattern in patterns]
    with store.client() as client:
        ((extracted, floats),) = client.query(
            "SELECT arrayMap(text -> arrayMap(expression -> clew_taken(map('a', text), [('a', expression)]), "
            "{expressions:Array(String)}), {texts:Array(String)}), "
            "arrayMap(text -> toFloat64OrNull(text), {numbers:Array(String)})",
            parameters={
                "expressions": [source.expression for source in sources],
                "texts": texts,
                "numbers": numbers,
            },
        ).result_rows
    assert extracted == [[extract([source], {"a": text}) for source in sources] for text in texts]
    value = (AttributeSource(attr="a"),)
    assert [number if number is None or math.isfinite(number) else None for number in floats] == [
        first_number(value, {"a": text}) for text in numbers
    ]


def test_a_pattern_is_found_in_a_long_text_in_time_that_grows_with_it() -> None:
    source = AttributeSource(attr="a", pattern="x{}y")
    assert extract([source], {"a": "x" * 1_000_000}) == ""


def test_a_long_key_is_shortened_and_still_tells_occurrences_apart(settling: Settling) -> None:
    settling.load([*_traces("é" * 500_000, [1, 2]), *_traces("é" * 499_999 + "e", [3])])
    settling.settle()
    rows = settling.rows()["paid"]
    assert sorted(row["Attempts"] for row in rows.values()) == [1, 2]
    assert all(len(key.encode()) <= 256 and key.startswith("é" * 64) for key in rows)


def test_a_trace_with_many_keys_belongs_to_the_first_of_them(settling: Settling) -> None:
    many = _traces("", range(1, 1202))
    batch = [
        replace(span, trace="f" * 32, attributes={"order.id": f"o-{number:05}"})
        for number, span in enumerate(many)
    ]
    carried = [replace(span, trace="e" * 32, id=f"e{span.id[1:]}", name="x") for span in batch]
    settling.definitions = (DEFINITIONS[2],)
    settling.load([*batch, *carried])
    settling.settle()
    rows = settling.rows()["paid"]
    assert sorted(rows) == [f"o-{number:05}" for number in range(1000)]
    assert sum(len(row["TraceIds"]) == 2 for row in rows.values()) == 100


def _compare(stored: Any, expected: Any) -> None:
    assert stored.keys() == expected.keys()
    for id, rows in expected.items():
        assert stored[id].keys() == rows.keys(), id
        for key, row in rows.items():
            assert stored[id][key] == row, (id, key)
