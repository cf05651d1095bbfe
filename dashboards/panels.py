"""The kinds of panels and variables in the dashboards, and their layout.

A board is rows of panels; those of a row are as high as each other and share its width, so that
nothing here has coordinates. Each panel's statement goes to the data source that the variable
`datasource` names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    nodegraph,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

PLUGIN = "grafana-clickhouse-datasource"
PLUGIN_VERSION = "4.20.0"
SOURCE = common_models.DataSourceRef(PLUGIN, "${datasource}")
SCHEMA_VERSION = (
    39  # of Grafana 11's dashboards; later versions of Grafana convert them when they load them
)
COLUMNS = 24  # of Grafana's grid
SHORTEST_STEP = "1m"  # the rollups' grain

BOTTOM, LIST = common_models.LegendPlacement.BOTTOM, common_models.LegendDisplayMode.LIST

TIME_SERIES, TABLE, LOGS, TRACES = range(4)  # the form in which the plugin returns a result
QUERY_TYPES = ("timeseries", "table", "logs", "traces")


@dataclass
class Query(Dataquery):
    """A statement for ClickHouse's data source, which the SDK has no builder for."""

    sql: str
    format: int
    ref: str = "A"

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref,
            "datasource": SOURCE,
            "editorType": "sql",
            "format": self.format,
            "queryType": QUERY_TYPES[self.format],
            "pluginVersion": PLUGIN_VERSION,
            "rawSql": tidy(self.sql),
        }


def tidy(sql: str) -> str:
    """The statement indented by its parentheses, because it is composed of pieces and people read it
    in Grafana."""
    lines, depth = [], 0
    for line in filter(None, map(str.strip, sql.splitlines())):
        closing = len(line) - len(line.lstrip(")"))
        lines.append("    " * max(0, depth - closing) + line)
        depth += line.count("(") - line.count(")")
    return "\n".join(lines)


@dataclass
class _Built(Builder[Any]):
    """A finished value, for places where the SDK expects a builder."""

    value: Any

    def build(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Panel:
    """One panel without its position; `width` is its share of the row's width."""

    builder: Any
    width: int = 1


@dataclass(frozen=True)
class Row:
    title: str
    height: int
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard. Users have links to the uid: it must not change."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Builder[models.VariableModel]] = ()
    annotations: Sequence[models.AnnotationQuery] = field(default_factory=tuple)

    def build(self) -> models.Dashboard:
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags(["clew"])
            .time("now-1h", "now")
            .refresh("1m")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(_Built(_other_boards()))
            .variables([data_source(), *self.variables])
            .annotations([_Built(each) for each in self.annotations])
            .build()
        )
        board.schema_version = SCHEMA_VERSION
        board.panels = list(_laid_out(self.rows))
        return board


def row(title: str, height: int, *panels: Panel) -> Row:
    return Row(title, height, panels)


def _laid_out(rows: Sequence[Row]) -> list[models.Panel | models.RowPanel]:
    placed: list[models.Panel | models.RowPanel] = []
    y = 0
    for each in rows:
        at = models.GridPos(h=1, w=COLUMNS, x=0, y=y)
        placed.append(models.RowPanel(title=each.title, grid_pos=at, id_val=len(placed) + 1))
        y += 1
        shares, x = sum(panel.width for panel in each.panels), 0
        for number, panel in enumerate(each.panels):
            taken = sum(before.width for before in each.panels[: number + 1])
            w = COLUMNS * taken // shares - x
            at = models.GridPos(h=each.height, w=w, x=x, y=y)
            placed.append(panel.builder.grid_pos(at).id(len(placed) + 1).build())
            x += w
        y += each.height
    return placed


def _other_boards() -> models.DashboardLink:
    return models.DashboardLink(
        title="clew",
        type_val=models.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=["clew"],
        as_dropdown=True,
        keep_time=True,
        include_vars=True,
    )


@dataclass(frozen=True)
class Limits:
    """From which value on a number is orange, and from which red (None: never); green before. If `red` is
    the lower one, lower numbers are worse: red below it, orange below `orange`."""

    orange: float
    red: float | None

    @property
    def steps(self) -> list[dict[str, object]]:
        """Grafana's thresholds: each colour holds from its value on."""
        if self.red is not None and self.red < self.orange:
            colors = {"red": None, "orange": self.red, "green": self.orange}
        else:
            colors = {"green": None, "orange": self.orange, "red": self.red}
            if self.red in (None, self.orange):
                del colors["red" if self.red is None else "orange"]
        return [{"color": color, "value": value} for color, value in colors.items()]

    @property
    def properties(self) -> list[models.DynamicConfigValue]:
        """The properties of a field that has these limits."""
        return [
            models.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": self.steps}),
            models.DynamicConfigValue("color", {"mode": "thresholds"}),
        ]


# Shares of requests in error, Apdex, and numbers that should be 0.
ERROR_SHARE = Limits(0.01, 0.05)
APDEX = Limits(0.85, 0.7)
NONE_AT_ALL = Limits(1, 1)

# How the edges of a band are drawn: not at all, but for what is between them.
BAND = [
    models.DynamicConfigValue("custom.lineWidth", 0),
    models.DynamicConfigValue("custom.spanNulls", True),
    models.DynamicConfigValue("custom.stacking", {"mode": "none"}),
    models.DynamicConfigValue("custom.showPoints", "never"),
    models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "text"}),
]

# Kinds of panels


def timeseries_of(
    title: str,
    sql: str,
    unit: str,
    *,
    about: str,
    stacked: bool = False,
    links: Sequence[tuple[str, str]] = (),
    colors: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    least: float | None = 0,
    band: str | None = None,
    width: int = 1,
) -> Panel:
    """Lines over time: `time`, then a column of numbers for each line. `colors` are by line, `limits`
    are drawn as dashed lines, `least` is where the axis begins at the latest. `band`: a statement of
    `time`, `usually_from` and `usually_to`, between which the panel is shaded."""
    queries = [Query(text, TIME_SERIES, ref) for ref, text in (("A", sql), ("B", band)) if text]
    panel = (
        _common(timeseries.Panel(), title, about, *queries)
        .unit(unit)
        .interval(SHORTEST_STEP)
        .fill_opacity(30 if stacked else 10)
        .show_points(common_models.VisibilityMode.AUTO)
        .span_nulls(False)
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        .legend(common.VizLegendOptions().show_legend(True).placement(BOTTOM).display_mode(LIST))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if least is not None:
        panel.min(least)
    if links:
        panel.data_links(_links(links))
    for line, color in (colors or {}).items():
        fixed = {"mode": "fixed", "fixedColor": color}
        # A line's name may have the column's in front of the label.
        name = rf"/(^|\s){line}$/"
        panel.override_by_regexp(name, [models.DynamicConfigValue("color", fixed)])
    if band:
        panel.override_by_regexp(r"/usually_(from|to)$/", BAND)
        panel.override_by_regexp(
            r"/usually_to$/", [models.DynamicConfigValue("custom.fillBelowTo", "usually_from")]
        )
    if limits:
        panel.thresholds(_thresholds(limits)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        )
    return Panel(panel, width)


def lines_of(title: str, sql: str, unit: str, **more: Any) -> Panel:
    """Lines over time: `time`, `label`, and one number; a line for each label. As timeseries_of."""
    panel = timeseries_of(title, sql, unit, **more)
    panel.builder.display_name("${__field.labels.label}")
    return panel


def stat_of(
    title: str,
    sql: str,
    unit: str | Mapping[str, str],
    *,
    about: str,
    limits: Mapping[str, Limits] | None = None,
    width: int = 1,
) -> Panel:
    """One number, or one for each column of the only row; of one unit, or each of its own. `limits` are
    by column: others have no colour."""
    panel = _common(stat.Panel(), title, about, Query(sql, TABLE))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(common_models.BigValueGraphMode.NONE)
    panel.color_mode(common_models.BigValueColorMode.VALUE).thresholds(_thresholds(None))
    units = {} if isinstance(unit, str) else unit
    if isinstance(unit, str):
        panel.unit(unit)
    for column in dict.fromkeys((*units, *(limits or {}))):
        properties = [models.DynamicConfigValue("unit", units[column])] if column in units else []
        if limits and column in limits:
            properties += limits[column].properties
        panel.override_by_name(column, properties)
    return Panel(panel, width)


def table_of(
    title: str,
    sql: str,
    *,
    about: str,
    units: Mapping[str, str] | None = None,
    links: Mapping[str, tuple[str, str]] | None = None,
    hidden: Sequence[str] = (),
    gauges: Sequence[str] = (),
    limits: Mapping[str, Limits] | None = None,
    width: int = 1,
) -> Panel:
    """Rows. `units`, `links` (title and address) and `limits` are by column, `hidden` columns are there
    for links, `gauges` are drawn as bars."""
    panel = _common(table.Panel(), title, about, Query(sql, TABLE)).filterable(True)
    changed: dict[str, list[models.DynamicConfigValue]] = {}

    def change(column: str, property_: str, value: object) -> None:
        changed.setdefault(column, []).append(models.DynamicConfigValue(property_, value))

    for column, unit in (units or {}).items():
        change(column, "unit", unit)
    for column, (text_, address) in (links or {}).items():
        change(column, "links", [{"title": text_, "url": address}])
    for column in hidden:
        change(column, "custom.hidden", True)
    for column in gauges:
        change(column, "custom.cellOptions", {"type": "gauge", "mode": "basic"})
        change(column, "min", 0)
    for column, its in (limits or {}).items():
        changed.setdefault(column, []).extend(its.properties)
        if column not in gauges:
            change(column, "custom.cellOptions", {"type": "color-text"})
    for column, properties in changed.items():
        panel.override_by_name(column, properties)
    return Panel(panel, width)


def heatmap_of(title: str, sql: str, *, about: str, width: int = 1) -> Panel:
    """`time`, then a column of counts for each bucket, the lowest first, named by its upper end."""
    panel = _common(heatmap.Panel(), title, about, Query(sql, TIME_SERIES))
    panel.interval(SHORTEST_STEP).calculate(False)
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return Panel(panel.color(colors), width)


def logs_of(title: str, sql: str, *, about: str, width: int = 1) -> Panel:
    """`timestamp`, `body`, `level`, `labels`, `traceID`: newest first."""
    panel = _common(logs.Panel(), title, about, Query(sql, LOGS))
    panel.show_time(True).wrap_log_message(True).enable_log_details(True)
    panel.sort_order(common_models.LogsSortOrder.DESCENDING)
    panel.dedup_strategy(common_models.LogsDedupStrategy.NONE)
    link = [{"title": "Trace ${__value.raw}", "url": to_trace("${__value.raw}")}]
    panel.override_by_name("traceID", [models.DynamicConfigValue("links", link)])
    return Panel(panel, width)


def trace_of(title: str, sql: str, *, about: str, width: int = 1) -> Panel:
    """The spans of one trace, under the names that Grafana's trace view has for them."""
    panel = dashboard.Panel().type("traces")
    return Panel(_common(panel, title, about, Query(sql, TRACES)), width)


def bars_of(title: str, sql: str, unit: str, *, about: str, width: int = 1) -> Panel:
    """A bar for each row: a text column, then a number."""
    panel = _common(bargauge.Panel(), title, about, Query(sql, TABLE)).unit(unit).min(0)
    panel.orientation(common_models.VizOrientation.HORIZONTAL)
    panel.reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
    return Panel(panel, width)


def graph_of(title: str, nodes: str, edges: str, *, about: str, width: int = 1) -> Panel:
    """Nodes (`id`, `title`, `mainstat`, …), and edges between them (`id`, `source`, `target`, …)."""
    panel = _common(
        nodegraph.Panel(), title, about, Query(nodes, TABLE, "nodes"), Query(edges, TABLE, "edges")
    )
    return Panel(panel, width)


def _common(panel: Any, title: str, about: str, *queries: Query) -> Any:
    panel.title(title).description(about).datasource(SOURCE)
    return panel.targets([_Built(query) for query in queries])


def _thresholds(limits: Limits | None) -> Builder[models.ThresholdsConfig]:
    """Without limits no colour."""
    steps = limits.steps if limits else [{"color": "text", "value": None}]
    return _Built(
        models.ThresholdsConfig(
            models.ThresholdsMode.ABSOLUTE,
            [models.Threshold(step["value"], str(step["color"])) for step in steps],  # type: ignore[arg-type]
        )
    )


def _links(links: Sequence[tuple[str, str]]) -> list[Builder[models.DashboardLink]]:
    """Links of a panel's data; the SDK's type is that of a dashboard's links, which have more members."""
    return [_Built({"title": title, "url": address}) for title, address in links]


# Variables


def data_source() -> Builder[models.VariableModel]:
    return dashboard.DatasourceVariable("datasource").label("Data source").type(PLUGIN)


def choice(name: str, label: str, sql: str, *, several: bool = True) -> dashboard.QueryVariable:
    """Of the rows of a statement (one column; or a value, and the text for it): any number of them,
    at first all; or exactly one."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"refId": name, "editorType": "sql", "rawSql": tidy(sql)})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(several)
        .include_all(several)
    )
    if several:
        made.current(models.VariableOption(text="All", value="$__all"))
    return made


def typed(name: str, label: str, about: str) -> dashboard.TextBoxVariable:
    """A text that the user types; empty at first."""
    return dashboard.TextBoxVariable(name).label(label).description(about).default_value("")


def ad_hoc(table_: str, time: str, *columns: str) -> list[Builder[models.VariableModel]]:
    """Filters that a user adds; they hold of every statement that reads the table. These columns
    and their values are offered; `SpanAttributes['user.id']` can be typed as well."""
    # The plugin offers what the statement in a variable of this name returns. Without a statement
    # it would look for the table in each panel's, with a parser that does not know ClickHouse's SQL.
    offered = dashboard.ConstantVariable("clickhouse_adhoc_query").value(
        f"SELECT DISTINCT {', '.join(columns)} FROM otel.{table_} WHERE {time} >= $__fromTime AND {time} < $__toTime LIMIT 1000"
    )
    offered.build().hide = models.VariableHide.HIDE_VARIABLE
    return [offered, dashboard.AdHocVariable("filters").label("Filters").datasource(SOURCE)]


# Links from one board to another; they keep the time range.


def to_board(uid: str, **variables: str) -> str:
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?${{__url_time_range}}{chosen}"


def to_trace(trace_id: str) -> str:
    return to_board("clew-traces", trace_id=trace_id)
