"""The rules of findings: for each a trace that it must find, and traces that it must not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from clew.analysis.findings.cost import finding_id
from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.shapes import has_parameters, ids_of, statement_shape, url_shape
from clew.analysis.findings.trees import TraceTree
from clew.analysis.queries import FindingOperationsRow, FindingSpansRow

MS = 10**6
RULES = {rule.name: rule for rule in all_rules()}
SQL = "SELECT * FROM stock WHERE sku = ?"


@dataclass
class Drawing:
    """A trace that is drawn: `GET /list` of the service `shop` from 0 to 1000 ms, and what `add` puts
    into it. Times are milliseconds."""

    status: int = 200
    is_error: bool = False
    kind: str = "Server"
    rows: list[FindingSpansRow] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.root = self.add(
            "", "GET /list", 0, 1000, self.kind, self.is_error,
            http__response__status_code=str(self.status), url__path="/list", code__function__name="list_all",
        )  # fmt: skip

    def add(
        self, parent: str, name: str, start: float, end: float, kind: str = "Client", is_error: bool = False,
        service: str = "shop", scope: str = "", **attributes: str,
    ) -> str:  # fmt: skip
        id = f"{next(self.ids):016x}"
        names = {key.replace("__", "."): text for key, text in attributes.items()}
        self.rows.append(
            {
                "trace_id": "ab" * 16, "id": id, "parent": parent, "service": service, "name": name, "kind": kind,
                "start": int(start * MS), "end": int(end * MS), "is_error": is_error, "scope": scope,
                "attributes": names, "instance": "shop-1", "language": "",
            }
        )  # fmt: skip
        return id

    def query(self, start: float, end: float, text: str = SQL, **more: Any) -> str:
        system = more.pop("system", "postgresql")
        return self.add(self.root, text.split(" ")[0], start, end, db__system__name=system, db__query__text=text, **more)  # fmt: skip

    def request(self, start: float, end: float, url: str, method: str = "GET", **more: Any) -> str:
        return self.add(self.root, method, start, end, http__request__method=method, url__full=f"http://{url}", **more)  # fmt: skip

    @property
    def tree(self) -> TraceTree:
        return TraceTree("ab" * 16, self.rows)


Draw = Callable[[Drawing], object]


def queries(number: int, **more: Any) -> Draw:
    return lambda drawing: [drawing.query(40 * n, 40 * n + 30, **more) for n in range(number)]


def requests(urls: list[str], lasts: float = 30, **more: Any) -> Draw:
    return lambda drawing: [
        drawing.request(40 * n, 40 * n + lasts, url, **more) for n, url in enumerate(urls)
    ]


def both(*draws: Draw) -> Draw:
    return lambda drawing: [draw(drawing) for draw in draws]


def retried(gap: float) -> Draw:
    def draw(drawing: Drawing) -> None:
        drawing.request(0, 50, "bank/charge", "POST", is_error=True)
        drawing.request(50 + gap, 100 + gap, "bank/charge", "POST")

    return draw


def connected(lasts: float) -> Draw:
    return lambda drawing: drawing.add(drawing.root, "connect", 0, lasts, db__system__name="sqlite")


def consumed(drawing: Drawing) -> None:
    producer = drawing.add(drawing.root, "send", 0, 10, "Producer")
    drawing.add(producer, "work", 3010, 3060, "Consumer")


def cached(drawing: Drawing) -> None:
    drawing.query(0, 1, "GET product:1", system="redis")
    drawing.query(2, 300)


SHELVES = [f"stock/shelves/{name}" for name in ("wood", "wire", "wall")]
ITEMS = [f"stock/items/sku-{number}" for number in range(6)]
NUMBERS: dict[str, float | str] = {"names": 300.0, "records": 80.0, "service": "shop", "example": "x", "failed_share": "50%", "limit": 200e6, "usual": 5e6, "usual_ms": 10.0, "summary": "", "storm": 0.0, "metrics": "", "reads": "2.0", "before": "0.1", "reason": "slow", "middle": 1.0, "starts": 3, "instance shop-1": 0.0, "victims": 2, "wait_ms": 90.0, "instance": "shop-1", "growth": "6 MiB", "hours": 3.0, "share": "5%", "pause_ms": 60.0, "used": "97%", "full": 3, "slots": 12}  # fmt: skip
# By rule: what it must find, with the subject and the milliseconds that are saved.
MATCHES: dict[str, list[tuple[Draw, str, float]]] = {
    "n_plus_one_queries": [
        (queries(5), SQL, 123.2),
        (lambda drawing: [drawing.query(40 * n, 40 * n + 39, f"SELECT * FROM stock WHERE sku = 'a-{n}'") for n in range(6)], SQL, 199 + 1 / 6),
    ],
    "n_plus_one_requests": [
        (requests(ITEMS), "GET stock/items/{}", 150),
        (lambda drawing: [drawing.request(0, 120, url) for url in ITEMS], "GET stock/items/{}", 0),
    ],
    "serial_calls": [(lambda drawing: [drawing.request(100 * n, 100 * n + 80, url) for n, url in enumerate(SHELVES)], "GET stock/shelves/wood, GET stock/shelves/wire, GET stock/shelves/wall", 160)],
    "same_call_twice": [
        (requests([SHELVES[0], SHELVES[1], SHELVES[0]]), "GET stock/shelves/wood", 30),
        (queries(2, text="SELECT rate FROM vat WHERE land = 'de'"), "SELECT rate FROM vat WHERE land = ?", 30),
    ],
    "retries": [(retried(0), "POST bank/charge", 50), (retried(300), "POST bank/charge", 350)],
    "chatty": [
        (lambda drawing: [drawing.query(20 * n, 20 * n + 10, f"SELECT a FROM t{chr(97 + n)}") for n in range(20)], "databases and hosts", 0),
    ],
    "slow_statement": [(queries(1, text="SELECT a FROM b JOIN c"), "SELECT a FROM b JOIN c", 0)],
    "swallowed_errors": [(requests(SHELVES[:1], is_error=True), "GET stock/shelves/wood", 0)],
    "large_payload": [
        (requests(SHELVES[:1], 200, http__response__body__size="400000"), "GET stock/shelves/wood", 100),
    ],
    "connection_per_request": [
        (lambda drawing: [drawing.add(drawing.root, "tcp.connect", 0, 30, "Internal"), drawing.request(30, 60, "bank/x")], "tcp.connect", 30),
    ],
    "low_hit_rate": [(cached, SQL, 298)],
    "missing_timeout": [(requests(SHELVES[:1], 900), "GET stock/shelves/wood", 0)],
    "over_logging": [(queries(1), "log records", 0)],
    "high_cardinality_names": [(queries(1), "span names", 0)],
    "waits_before_work": [(lambda drawing: drawing.query(300, 400), "before the first call", 295)],
    "event_loop_blocked": [(queries(1), "event loop", 970)],
    "pool_full": [(connected(50), "connection pool of sqlite", 45)],
    "cpu_saturated": [(queries(1), "CPU", 0)],
    "gc_pauses": [(queries(1), "garbage collection", 0)],
    "memory_leak": [(queries(1), "memory", 0)],
    "queue_lag": [(consumed, "bank", 0)],
    "cacheable": [
        (requests(["bank/rates"], server__address="bank"), "GET bank/rates", 30),
        (lambda drawing: drawing.query(0, 30, "SELECT rate FROM vat WHERE land = 'de'", system="bank"), "SELECT rate FROM vat WHERE land = ?", 30),
    ],
    "third_party": [(requests(["bank/charge"], method="POST", server__address="bank"), "bank", 25)],
    "cold_start": [(queries(1), "first requests", 995)],
}  # fmt: skip
MATCHES["slow_statement"] = [
    (lambda drawing: drawing.query(0, 600, "SELECT a FROM b"), "SELECT a FROM b", 595)
]

OTHERS: dict[str, list[Draw]] = {
    "n_plus_one_queries": [
        queries(4),
        queries(8, is_error=True),
        queries(8, text="SELECT a FROM b OFFSET 10"),
        queries(8, text="COMMIT"),
        lambda drawing: [drawing.query(n, 100 + n) for n in range(8)],  # at the same time
        lambda drawing: [drawing.query(n, n + 0.1) for n in range(8)],  # 0.8 of 1000 ms
        requests(ITEMS),
    ],
    "n_plus_one_requests": [
        requests(ITEMS[:4]),
        requests([ITEMS[0]] * 8),  # polled
        requests([f"stock/health/{n}" for n in range(8)]),
        lambda drawing: [drawing.request(n, n + 1, url) for n, url in enumerate(ITEMS)],
    ],
    "serial_calls": [
        requests(SHELVES, method="POST"),
        requests(SHELVES[:1]),
        requests(ITEMS),
        lambda drawing: [drawing.request(0, 50, url) for url in SHELVES],
        # The second asks for what the first has answered.
        requests(["users/session", "users/people/u-77"]),
        both(lambda d: d.request(0, 30, SHELVES[0]), lambda d: d.request(30, 60, "a/b", "PUT"), lambda d: d.request(60, 90, SHELVES[1])),
        queries(3),
    ],
    "same_call_twice": [
        queries(3),  # the values are not in the text
        requests(SHELVES),
        requests([SHELVES[0]] * 2, method="POST"),
        both(lambda d: d.request(0, 30, SHELVES[0]), lambda d: d.request(30, 60, "a/b", "PUT"), lambda d: d.request(60, 90, SHELVES[0])),
        requests(["a/health"] * 3),
    ],
    "retries": [requests(["bank/charge"] * 3), requests(["bank/charge"], is_error=True), lambda d: [d.request(0, 50, "b/c", is_error=True) for _ in range(2)]],
    "chatty": [queries(12), requests(SHELVES)],
    "slow_statement": [queries(3)],
    "swallowed_errors": [
        requests(SHELVES[:1]),
        requests(SHELVES[:1], is_error=True, http__response__status_code="404"),
        both(lambda d: d.request(0, 30, "a/b", is_error=True), lambda d: d.request(40, 50, "a/b")),
    ],
    "large_payload": [requests(SHELVES[:1], 200, http__response__body__size="1000"), requests(SHELVES[:1], 20, http__response__body__size="400000")],
    "connection_per_request": [
        both(lambda d: d.add(d.root, "connect", 0, 30, "Internal", scope="opentelemetry.instrumentation.sqlalchemy"), queries(1)),
        both(lambda d: d.add(d.root, "tcp.connect", 0, 30, "Internal"), queries(3)),
    ],
    "low_hit_rate": [lambda d: d.query(0, 1, "GET product:1", system="redis"), queries(2)],
    "missing_timeout": [requests(SHELVES)],
    # What these say is known before a trace is read: see below.
    **{name: [] for name in ("over_logging", "high_cardinality_names", "cpu_saturated", "gc_pauses", "memory_leak", "cold_start")},
    "waits_before_work": [queries(3), lambda d: d.query(8, 400)],
    "event_loop_blocked": [lambda d: d.query(0, 950)],
    "pool_full": [connected(12), queries(1)],
    "queue_lag": [queries(1), lambda d: d.add(d.root, "work", 0, 10, "Consumer", service="other")],
    "cacheable": [
        requests(["bank/rates"], method="POST", server__address="bank"),
        requests(["other/rates"], server__address="other"),
        queries(1, system="bank"),  # the values are not in the text
    ],
    "third_party": [requests(["other/x"], server__address="other"), requests(["bank/x"], 6, server__address="bank")],
}  # fmt: skip


# What a candidate looks at, where it is more than a service.
TARGETS = {
    **dict.fromkeys(("waits_before_work", "event_loop_blocked"), "GET /list"),
    **dict.fromkeys(("queue_lag", "cacheable", "third_party"), "bank"),
}
WHOLE_SERVICE = ("log records", "span names", "CPU", "garbage collection", "memory", "connection pool of sqlite")  # fmt: skip


def examine(
    rule: Rule, drawing: Drawing, draw: Draw, target: str = "", **more: float | str
) -> list[Occurrence]:
    draw(drawing)
    target = target or TARGETS.get(rule.name, "")
    candidate = Candidate(("", "shop", "GET /list"), 10, (), 1, "shop", target, NUMBERS | more)
    return list(rule.examine(candidate, drawing.tree))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_what_it_is_for(name: str) -> None:
    rule = RULES[name]
    for draw, subject, saved_ms in MATCHES[name]:
        occurrences = examine(rule, Drawing(), draw)
        assert [one.subject for one in occurrences] == [subject]
        (one,) = occurrences
        assert one.service == "shop"
        if subject not in WHOLE_SERVICE and name != "queue_lag":
            assert (one.operation, one.place) == ("GET /list", "list_all")
        if saved_ms:
            assert one.saved_ns == pytest.approx(saved_ms * MS)
        numbers = dict.fromkeys(one.numbers, "7")
        text = rule.advice.format(operation=one.operation, subject=one.subject, **numbers)
        assert not re.search(r"[{}]", text.replace(subject, ""))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_silent_in_its_traps(name: str) -> None:
    for number, draw in enumerate(OTHERS[name]):
        assert examine(RULES[name], Drawing(), draw) == [], number


@pytest.mark.parametrize("name", RULES)
def test_every_rule_takes_any_trace(name: str) -> None:
    """Cycles, spans without ids and parents, texts of no kind, times that go back."""

    def draw(drawing: Drawing) -> None:
        for number, text in enumerate(("", "\0", "SELECT", "http://[", "é" * 3000, "9" * 40)):
            drawing.add(
                f"{number + 3:016x}", text, number, number - 1 + 1, http__request__method=text, url__full=text,
                http__response__body__size=text, http__response__status_code=text, db__system__name=text,
                db__query__text=text,
            )  # fmt: skip

    list(examine(RULES[name], Drawing(), draw))


def operation(name: str, kind: str = "Server", calls: int = 100) -> FindingOperationsRow:
    return {
        "environment": "", "entry_service": "shop", "entry_operation": "GET /", "service": "shop", "operation": name,
        "kind": kind, "traces": 100, "calls": calls, "self": 1, "repeating": 0, "repeated": [], "newest": [("a", 1)],
        "early_calls": 0, "early_self": 0, "late_calls": 0, "late_self": 0, "self_quantiles": (0.0, 0.0),
    }  # fmt: skip


def candidates(
    name: str, operations: list[FindingOperationsRow], records: float
) -> list[Candidate]:
    traffic = Traffic({}, operations, [], 100.0, {"shop": records})
    return list(RULES[name].candidates(traffic))


def test_records_are_counted_for_each_request() -> None:
    assert candidates("over_logging", [operation("GET /")], 50.0) == []
    (one,) = candidates("over_logging", [operation("GET /")], 51.0)
    assert one.numbers["records"] == pytest.approx(51)
    assert candidates("over_logging", [operation("GET /", calls=10)], 51.0) == []
    assert candidates("over_logging", [operation("GET /", "Client")], 99.0) == []


def test_names_are_counted_for_each_service() -> None:
    names = [operation(f"GET /{number}") for number in range(201)]
    assert candidates("high_cardinality_names", names[:200], 1.0) == []
    (one,) = candidates("high_cardinality_names", names, 1.0)
    assert (one.numbers["names"], one.numbers["example"]) == (201, "GET /0")


def test_jobs_and_failures_are_not_what_two_rules_mean() -> None:
    assert examine(RULES["n_plus_one_queries"], Drawing(kind="Internal"), queries(9)) == []
    failing = requests(SHELVES[:1], is_error=True)
    for drawing in (Drawing(is_error=True), Drawing(status=502)):
        assert examine(RULES["swallowed_errors"], drawing, failing) == []


def test_a_candidate_is_of_one_target() -> None:
    rule = RULES["swallowed_errors"]
    failing = requests(SHELVES[:1], is_error=True, server__address="stock")
    assert examine(rule, Drawing(), failing, "bank") == []
    assert len(examine(rule, Drawing(), failing, "stock")) == 1
    slow = MATCHES["slow_statement"][0][0]
    assert examine(RULES["slow_statement"], Drawing(), slow, summary="SELECT b") == []
    assert len(examine(RULES["slow_statement"], Drawing(), slow, summary="SELECT")) == 1


def test_longest_calls_that_end_at_one_value_have_a_timeout() -> None:
    rule = RULES["missing_timeout"]

    def lasting(*seconds: float) -> bool:
        return rule.accepts(
            [Occurrence("s", "o", "x", 0, {"longest_s": one, "usual_ms": 1}) for one in seconds]
        )

    assert lasting(31, 44, 70)
    assert not lasting(30.01, 30.02, 30.0)
    assert not lasting(31, 70)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("SELECT  a FROM b\n WHERE c = 'it''s' AND d = 4.5", "SELECT a FROM b WHERE c = ? AND d = ?"),
        ("SELECT a FROM b1 WHERE c IN (1, 2,3)", "SELECT a FROM b1 WHERE c IN (?)"),
        ("SELECT a FROM b WHERE c IN (%s, %s) AND d = :name", "SELECT a FROM b WHERE c IN (?) AND d = ?"),
        ("SELECT a::text FROM b WHERE c = $1", "SELECT a::text FROM b WHERE c = ?"),
        ("x" * 999, "x" * 300),
    ],
)  # fmt: skip
def test_statements_without_their_values(text: str, shape: str) -> None:
    assert statement_shape(text) == shape


def test_urls_without_their_ids() -> None:
    assert (
        url_shape("http://u:p@stock:8080/v2/items/sku-01/stock?x=1")
        == "stock:8080/v2/items/{}/stock"
    )
    assert url_shape("http://[") == "http://["
    assert url_shape("http://10.0.0.7:8080/items/7", "stock") == "stock/items/{}"
    assert ids_of("http://a/v1/items/7?user=u-9&page=two") == {"7", "u-9"}
    assert has_parameters("a = %(name)s")
    assert not has_parameters("a::text = 'x'")


def test_an_id_is_the_same_for_the_same_finding() -> None:
    assert finding_id("rule", "", "shop", "GET /", "SELECT") == "53a0725dc6199fac"
    assert finding_id("rule", "", "shop", "GET /", "\ud800") != finding_id(
        "rule", "", "shop", "GET", "/SELECT"
    )
