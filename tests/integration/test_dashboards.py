"""The dashboards of dashboards/: each statement on seeded data, and what its panel makes of the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

import build
from clew.analysis.watching.series import WatchedSeries
from clew.storage import Reader, Sessions, Store, queries
from clew.storage.statements import Statements
from support.grafana import ALL, Grafana, Value, filtered
from support.seeded import Seeded, seed

HOSTILE = "it's \\ $x {x:String} -- '); DROP TABLE otel.otel_traces; é"
BOARDS: dict[str, dict[str, Any]] = {
    name.removesuffix(".json"): json.loads(text) for name, text in build.documents()
}
PANELS = [
    pytest.param(uid, panel, id=f"{uid}: {panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
    if panel.get("targets")
]
NAMES = (
    *("overview", "transaction", "slo", "service", "traces", "logs", "calls"),
    *("infrastructure", "alerts", "self"),
)
WITHOUT_TIME = {  # tables of what is, not was
    *("clew_definitions", "clew_operations", "clew_alerts"),
    *("clew_findings", "clew_finding_states"),
}
NUMBER = r"(Nullable\()?(U?Int\d+|Float\d+|Decimal.*)\)?"
TEXT = r"(LowCardinality\()?(Nullable\()?String\)?\)?|Bool"
TIME = r"DateTime(64)?(\(.*\))?"
PAIRS = r"Array\(Map\((LowCardinality\(String\)|String), String\)\)"


@dataclass(frozen=True)
class Result:
    columns: list[str]
    types: list[str]
    rows: list[list[Any]]

    def of_type(self, pattern: str) -> list[str]:
        pairs = zip(self.columns, self.types, strict=True)
        return [name for name, type_ in pairs if re.fullmatch(pattern, type_)]

    def column(self, name: str) -> list[Any]:
        return [row[self.columns.index(name)] for row in self.rows]


@dataclass(frozen=True)
class Shop:
    store: Store
    sessions: Sessions
    seeded: Seeded

    def ask(
        self, sql: str, variables: dict[str, Value], *ad_hoc: str, end: int | None = None
    ) -> Result:
        """As clew's ClickHouse port answers Grafana. `ad_hoc`: a table and a condition on it; `end`: of
        the window, in seconds since 1970."""
        step = 120 if end is None else 60
        sql = Grafana(self.seeded.start, end or self.seeded.end, step, variables).expand(sql)
        if ad_hoc:
            sql = filtered(sql, *ad_hoc)
        with self.sessions.open(sql) as session:
            found = json.loads(b"".join(session.read("JSONCompact")))
        names, types = ([column[key] for column in found["meta"]] for key in ("name", "type"))
        return Result(names, types, found["data"])

    @cache  # noqa: B019
    def options(self, uid: str, name: str) -> list[str]:
        """What a variable of a board offers, where those before it stand as at first."""
        at_first: dict[str, Value] = {}
        for variable in BOARDS[uid]["templating"]["list"]:
            if variable["name"] == name:
                found = self.ask(variable["query"]["rawSql"], at_first)
                return [str(value) for value in found.column(found.columns[0])]
            at_first[variable["name"]] = self.at_first(uid, variable)
        raise KeyError(name)

    def at_first(self, uid: str, variable: dict[str, Any]) -> Value:
        if variable["name"] == "trace_id":
            return self.seeded.trace
        if variable["type"] != "query":
            return ""
        return ALL if variable["includeAll"] else self.options(uid, variable["name"])[0]

    def variables(self, uid: str) -> dict[str, Value]:
        listed = BOARDS[uid]["templating"]["list"]
        return {variable["name"]: self.at_first(uid, variable) for variable in listed}


# The hours of the watched series, and those beside them, in the four weeks before as well.
WEEKS_BEFORE = """
INSERT INTO otel.clew_watch_1h (Hour, Series, Kind, Environment, ServiceName, Name, Count, Errors, Levels, Version)
SELECT DISTINCT
    Hour - toIntervalWeek(arrayJoin([1, 2, 3, 4])) - toIntervalHour(arrayJoin([-1, 0, 1])),
    Series, Kind, Environment, ServiceName, Name, Count, Errors, Levels, 1
FROM otel.clew_watch_1h
"""


@pytest.fixture(scope="module")
def shop(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    store = emptied()
    seeded = seed(store, tmp_path_factory.mktemp("seed"))
    WatchedSeries(Statements(store)).fill_hours(seeded.start, seeded.end, 1)
    with store.client() as client:
        client.command(WEEKS_BEFORE)
    return Shop(store, Sessions(store), seeded)


def test_the_generated_files_are_what_the_code_makes() -> None:
    on_disk = {path.name: path.read_text() for path in build.GENERATED.iterdir()}
    assert on_disk == dict(build.documents()), "run: python dashboards/build.py"


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_a_panel_gets_the_rows_that_it_needs(shop: Shop, uid: str, panel: dict[str, Any]) -> None:
    variables = shop.variables(uid)
    results = [shop.ask(query["rawSql"], variables) for query in panel["targets"]]
    assert all(result.rows for result in results), "no rows"
    SHAPES[panel["type"]](panel, *results)
    names = {name for result in results for name in result.columns}
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        if override["matcher"]["id"] == "byName":
            assert override["matcher"]["options"] in names
        elif "label" not in names:
            pattern = override["matcher"]["options"].strip("/")
            assert any(re.search(pattern, name) for name in names)
    for field in re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)):
        assert field in names


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_a_panel_says_what_it_shows(uid: str, panel: dict[str, Any]) -> None:
    assert len(panel.get("description", "")) > 20


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_a_window_that_ends_on_a_full_minute_has_nothing_of_that_minute(
    shop: Shop, uid: str, panel: dict[str, Any]
) -> None:
    """The rollups' times are the starts of minutes: the one at the window's end lies outside. What is
    usual is drawn to the end, so an hour that begins there has its point."""
    middle = (shop.seeded.start + shop.seeded.end) // 120 * 60
    variables = shop.variables(uid)
    for query in panel["targets"]:
        result = shop.ask(query["rawSql"], variables, end=middle)
        if panel["type"] in ("timeseries", "heatmap"):
            last = middle if "usually_from" in result.columns else middle - 1
            end = f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M:%S}"
            assert all(row[0] <= end for row in result.rows)


def test_counts_of_a_window_are_those_of_the_stored_rows(shop: Shop) -> None:
    """Of a window that ends on a full minute with spans and items in it."""
    ends = shop.ask(
        "SELECT toUnixTimestamp(max(Minute)) AS minute FROM otel.clew_operations_1m", {}
    )
    end = int(ends.rows[0][0])
    stored = shop.ask(
        "SELECT countIf(At < toDateTime({end})) AS inside, count() AS total FROM (SELECT Timestamp AS At "
        "FROM otel.otel_traces WHERE ServiceName = 'payments' "
        "AND (clew_is_entry_kind(SpanKind) OR ParentSpanId = '')) "
        f"WHERE At >= toDateTime({shop.seeded.start})".replace("{end}", str(end)),
        {},
    )
    inside, total = map(int, stored.rows[0])
    assert inside > 0
    variables = shop.variables("clew-service") | {"service": "payments"}
    statement = panel_of("clew-service", "Operations")["targets"][0]["rawSql"]
    counted = shop.ask(statement, variables, end=end).column("count")
    assert sum(map(int, counted)) == inside
    counted = shop.ask(statement, variables, end=end + 60).column("count")
    assert sum(map(int, counted)) == total


def test_a_broken_promise_has_a_colour() -> None:
    """The columns that break a promise, and the value from which each is red (or orange, if no value
    is red). Of a share that must be high it is the value below which it is."""
    promises = {
        ("clew-overview", "All transactions", "errors"): 0.05,
        ("clew-overview", "All transactions", "apdex"): 0.7,
        ("clew-overview", "Automatic transactions", "error_share"): 0.05,
        ("clew-overview", "Automatic transactions", "apdex"): 0.7,
        ("clew-transaction", "The window", "errors"): 0.05,
        ("clew-service", "The window", "errors"): 0.05,
        ("clew-service", "Operations", "error_share"): 0.05,
        ("clew-slo", "Attained", "budget_left"): 0,
        ("clew-slo", "Burn rate", "1 hour"): 14.4,
        ("clew-slo", "Burn rate", "6 hours"): 6,
        ("clew-slo", "Burn rate", "3 days"): 1,
        ("clew-self", "What became of the items", "missing"): 1,
        ("clew-self", "What became of the items", "rejected"): 1,
        ("clew-infrastructure", "File systems", "full"): 0.95,
    }
    for (uid, title, column), limit in promises.items():
        (override,) = (
            override
            for override in panel_of(uid, title)["fieldConfig"]["overrides"]
            if override["matcher"]["options"] == column
        )
        properties = {each["id"]: each["value"] for each in override["properties"]}
        first, *steps = properties["thresholds"]["steps"]
        is_worse_below = first["color"] == "red"
        at = steps[0] if is_worse_below else steps[-1]
        assert at["value"] == limit, (uid, title, column)
        assert is_worse_below or at["color"] in ("red", "orange")


def test_records_are_counted_and_chosen_by_level(shop: Shop) -> None:
    levels = shop.options("clew-logs", "severity")
    assert set(levels) <= {"unknown", "trace", "debug", "info", "warn", "error", "fatal"}
    statement = panel_of("clew-logs", "By severity")["targets"][0]["rawSql"]
    for level in levels:
        chosen = {"severity": [level], "trace_id": ""}
        result = shop.ask(statement, shop.variables("clew-logs") | chosen)
        assert set(result.column("label")) == {level}


def test_an_automatic_transaction_has_the_panels_of_a_defined_one(shop: Shop) -> None:
    defined, *automatic = shop.options("clew-transaction", "transaction")
    assert defined == "checkout"
    assert all(re.fullmatch("[0-9a-f]{16}", id) for id in automatic)
    variables = shop.variables("clew-transaction")
    ids = shop.ask(
        panel_of("clew-overview", "Automatic transactions")["targets"][0]["rawSql"], variables
    )
    for panel in BOARDS["clew-transaction"]["panels"]:
        for query in panel.get("targets", ()):
            of_it = variables | {"transaction": ids.column("id")[0]}
            result = shop.ask(query["rawSql"], of_it)
            assert result.rows, panel["title"]
            if panel["title"] != "Value":
                SHAPES[panel["type"]](panel, result)


@pytest.mark.parametrize("uid", BOARDS)
def test_statements_hold_for_any_choice(shop: Shop, uid: str) -> None:
    """For the last option of each variable, and for a value that nobody thought of."""
    chosen: dict[str, Value] = {}
    hostile: dict[str, Value] = {}
    for variable in BOARDS[uid]["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "query":
            options = shop.options(uid, name)
            assert options, name
            chosen[name] = options[-1:] if variable["multi"] else options[-1]
            hostile[name] = [HOSTILE, "x"] if variable["multi"] else HOSTILE
        elif name in TYPED:
            chosen[name], hostile[name] = TYPED[name]
    for query in statements(BOARDS[uid]):
        shop.ask(query, chosen)
        shop.ask(query, hostile)


# What is typed: something sensible, and something that is not (of numbers the plugin's user has to
# see the engine's error).
TYPED = {
    "trace_id": ("0" * 32, HOSTILE),
    "status": ("Error", HOSTILE),
    "words": ("it's CHECKOUT", HOSTILE),
    "around": ("1700000000000", "0"),
    "min_ms": ("0.5", "1e3"),
    "max_ms": ("1000", "0"),
}


@pytest.mark.parametrize(
    ("uid", "table"), [("clew-traces", "otel_traces"), ("clew-logs", "otel_logs")]
)
def test_ad_hoc_filters_hold_of_the_table_that_they_are_for(
    shop: Shop, uid: str, table: str
) -> None:
    listed = {variable["name"]: variable for variable in BOARDS[uid]["templating"]["list"]}
    offered = shop.ask(listed["clickhouse_adhoc_query"]["query"], {})
    assert set(offered.column("ServiceName")) == {"storefront", "payments", "inventory"}
    variables = shop.variables(uid) | {"trace_id": ""}
    for query in statements(BOARDS[uid]):
        everything, some, none = (
            shop.ask(query, variables, f"otel.{table}", condition)
            for condition in ("1", "ServiceName = 'payments'", "ServiceName = 'it''s nobody'")
        )
        assert not none.rows
        assert bool(some.rows) == bool(everything.rows)


def test_a_trace_is_shown_whole_whatever_is_searched_for(shop: Shop) -> None:
    variables = shop.variables("clew-traces")
    (query,) = panel_of("clew-traces", "${trace_id}")["targets"]
    whole, filtered_ = (
        shop.ask(query["rawSql"], variables, "otel.otel_traces", condition)
        for condition in ("1", "ServiceName = 'nobody'")
    )
    assert whole.rows == filtered_.rows


def test_the_lists_say_what_the_api_says(shop: Shop) -> None:
    """Automatic and defined transactions, and a funnel."""
    seeded = shop.seeded
    reading = Reader(shop.store).begin()
    window = {"start": f"{seeded.start}.0", "end": f"{seeded.end}.0", "environment": None}
    minutes = {"first_minute": str(seeded.start), "last_minute": str(seeded.end)}
    no_hours = {"first_hour": str(seeded.start), "last_hour": str(seeded.start)}
    rows = reading.rows(
        queries.TRANSACTIONS,
        forms={"counted": "counted_all"},
        **window,
        **minutes,
        **no_hours,
        limit=100,
    )
    rows.sort(key=lambda row: (-row["count"], row["id"]))
    shown = panel_of("clew-overview", "Automatic transactions")
    result = shop.ask(shown["targets"][0]["rawSql"], shop.variables("clew-overview"))
    assert len(rows) > 3, "of traces without their roots, too"
    for column, of_api in (
        ("id", "id"),
        ("count", "count"),
        ("errors", "errors"),
        ("slowest", "max"),
    ):
        assert result.column(column) == [row[of_api] for row in rows]
    assert result.column("p95") == pytest.approx([row["quantiles"][2] for row in rows], rel=0.02)
    (_, *steps), *_ = (
        row["steps"]
        for row in reading.rows(
            queries.FUNNEL,
            **window,
            defined="checkout",
            unit=0,
            by_attribute=False,
            attribute="",
            most=1,
            limit=1,
        )
    )
    shown = panel_of("clew-slo", "Steps")
    result = shop.ask(shown["targets"][0]["rawSql"], shop.variables("clew-slo"))
    assert result.column("name") == ["Checkout", "pay", "stock"]
    assert result.column("reached")[1:] == [step["reached"] for step in steps]
    assert result.column("lost")[1:] == pytest.approx([step["lost"] or 0 for step in steps])


def panel_of(uid: str, title: str) -> dict[str, Any]:
    panels = (panel for panel in BOARDS[uid]["panels"] if panel.get("targets"))
    (panel,) = (panel for panel in panels if panel["title"] == title)
    return panel


@pytest.mark.parametrize("uid", BOARDS)
def test_variables_offer_each_value_once(shop: Shop, uid: str) -> None:
    for variable in BOARDS[uid]["templating"]["list"]:
        if variable["type"] == "query":
            options = shop.options(uid, variable["name"])
            assert options
            assert len(set(options)) == len(options)


@pytest.mark.parametrize("uid", BOARDS)
def test_annotations_have_a_time_and_a_text(shop: Shop, uid: str) -> None:
    for annotation in BOARDS[uid]["annotations"]["list"]:
        result = shop.ask(annotation["target"]["rawSql"], shop.variables(uid))
        assert result.rows
        assert "time" in result.of_type(TIME)
        assert "text" in result.of_type(TEXT)


@pytest.mark.parametrize("uid", BOARDS)
def test_statements_are_bounded_and_name_no_source(uid: str) -> None:
    board = BOARDS[uid]
    for query in statements(board):
        read = set(re.findall(r"otel\.(\w+)", query)) - WITHOUT_TIME
        assert not read or re.search(r"\$__(timeFilter|fromTime|toTime)|extent\.1", query)
        assert "SETTINGS" not in query.upper(), "ad hoc filters stand there"
    assert set(sources(board)) == {("grafana-clickhouse-datasource", "${datasource}")}
    assert "://" not in json.dumps(board)


def test_uids_are_those_that_users_have_links_to() -> None:
    assert list(BOARDS) == [f"clew-{name}" for name in NAMES]


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_lie_side_by_side(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in BOARDS[uid]["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARDS[uid]["panels"]:
        at = panel["gridPos"]
        assert at["w"] > 0
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) % 24 == 0, "a row is not as wide as the grid"


@pytest.mark.parametrize("uid", BOARDS)
def test_links_lead_to_boards_that_know_their_variables(uid: str) -> None:
    for address in re.findall(r'"url": "([^"]+)"', json.dumps(BOARDS[uid])):
        target, *variables = re.findall(r"/d/([\w-]+)|var-(\w+)", address)
        known = {variable["name"] for variable in BOARDS[target[0]]["templating"]["list"]}
        assert {name for _, name in variables} <= known, address


def sources(part: Any) -> Iterator[tuple[str, str]]:
    """Every data source that is named anywhere."""
    if isinstance(part, dict):
        if isinstance(part.get("datasource"), dict):
            yield part["datasource"]["type"], part["datasource"]["uid"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from sources(each)


def statements(board: dict[str, Any]) -> list[str]:
    queries = [query for panel in board["panels"] for query in panel.get("targets", ())]
    return [query["rawSql"] for query in queries]


# What a kind of panel needs


def is_time_series(panel: dict[str, Any], *results: Result) -> None:
    """One row for each time; or one for each time and label, which the line is called after."""
    for result in results:
        is_one_time_series(panel, result)


def is_one_time_series(panel: dict[str, Any], result: Result) -> None:
    assert result.types[0] == "DateTime"
    assert result.columns[0] == "time"
    texts, numbers = result.of_type(TEXT), result.of_type(NUMBER)
    assert numbers
    assert len(result.columns) == 1 + len(texts) + len(numbers)
    name = panel["fieldConfig"]["defaults"].get("displayName")
    assert (texts, name) in (([], None), (["label"], "${__field.labels.label}"))
    assert not texts or len(numbers) == 1
    assert result.rows == sorted(result.rows, key=lambda row: row[0]), "not in order of time"
    keys = list(zip(*(result.column(name) for name in ("time", *texts)), strict=True))
    assert len(set(keys)) == len(keys), "two rows for one point"


def is_heatmap(panel: dict[str, Any], result: Result) -> None:
    is_time_series(panel, result)
    assert not result.of_type(TEXT)
    ends = [float(re.findall(r"[\d.]+", name)[0]) for name in result.columns[1:]]
    assert ends == sorted(ends)
    assert sum(sum(row[1:]) for row in result.rows) > 0


def is_stat(panel: dict[str, Any], result: Result) -> None:
    assert len(result.rows) == 1
    assert result.of_type(NUMBER) == result.columns
    assert None not in result.rows[0]


def is_table(panel: dict[str, Any], result: Result) -> None:
    """Numbers, texts and times, which a cell can show."""
    assert len(result.of_type(f"{NUMBER}|{TEXT}|{TIME}")) == len(result.columns), result.types


def is_logs(panel: dict[str, Any], result: Result) -> None:
    assert result.columns == ["timestamp", "body", "level", "labels", "traceID"]
    assert "timestamp" in result.of_type(TIME)
    assert result.of_type(TEXT) == ["body", "level", "traceID"]
    assert result.types[3].startswith("Map(")
    assert result.rows == sorted(result.rows, key=lambda row: row[0], reverse=True)


def is_trace(panel: dict[str, Any], result: Result) -> None:
    strings = ["traceID", "spanID", "parentSpanID", "serviceName", "operationName"]
    assert set(strings) | {"kind", "statusMessage", "traceState"} == set(result.of_type(TEXT))
    assert {"startTime", "duration", "statusCode"} == set(result.of_type(NUMBER))
    assert {"tags", "serviceTags"} == set(result.of_type(PAIRS))
    assert set(result.columns) == {
        *result.of_type(f"{TEXT}|{NUMBER}|{PAIRS}"),
        *("logs", "references"),
    }
    assert set(result.column("statusCode")) <= {0, 2}
    assert len(set(result.column("traceID"))) == 1


def is_bars(panel: dict[str, Any], result: Result) -> None:
    assert len(result.of_type(TEXT)) == 1
    assert result.of_type(NUMBER) == result.columns[1:]


def is_graph(panel: dict[str, Any], nodes: Result, edges: Result) -> None:
    assert {"id", "title", "mainstat"} <= set(nodes.columns)
    assert {"id", "source", "target", "mainstat"} <= set(edges.columns)
    ids = nodes.column("id")
    assert len(set(ids)) == len(ids)
    assert len(set(edges.column("id"))) == len(edges.rows)
    assert {*edges.column("source"), *edges.column("target")} <= set(ids)


SHAPES: dict[str, Callable[..., None]] = {
    "timeseries": is_time_series,
    "heatmap": is_heatmap,
    "stat": is_stat,
    "table": is_table,
    "logs": is_logs,
    "traces": is_trace,
    "bargauge": is_bars,
    "nodeGraph": is_graph,
}
