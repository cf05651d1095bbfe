"""Every setting of the agent: its name, what it is when nobody sets it, and why.

A setting that the user made, in the environment, always wins. Names that start with OTEL_ are
OpenTelemetry's own and mean what its documentation says; names that start with CLEW_ are ours.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import NamedTuple
from urllib.parse import quote

from clew.agent import exporters


class Setting(NamedTuple):
    """One environment variable that the agent sets if it is unset."""

    name: str
    default: str
    doc: str


SETTINGS: tuple[Setting, ...] = (
    Setting("CLEW_ENABLED", "true", "`false` runs the service without the agent."),
    Setting("OTEL_TRACES_EXPORTER", "otlp", "How traces are exported: `otlp`, `console`, `none`."),
    Setting(
        "OTEL_METRICS_EXPORTER",
        "otlp",
        "How metrics are exported: `otlp`, `console`, `statsd`, `prometheus`, `none`.",
    ),
    Setting("OTEL_LOGS_EXPORTER", "otlp", "How log records are exported, as traces are."),
    Setting("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "grpc needs its own exporter."),
    Setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", "Where clew receives OTLP."),
    Setting("OTEL_PROPAGATORS", "tracecontext,baggage", "W3C trace context and baggage."),
    Setting(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "http,database",
        "The stable conventions; the libraries' own default is the old ones.",
    ),
    Setting("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", "Metric points name sampled traces."),
    Setting("OTEL_METRIC_EXPORT_INTERVAL", "10000", "Milliseconds between two readings."),
    Setting("OTEL_BSP_SCHEDULE_DELAY", "1000", "Milliseconds a span waits at most."),
    Setting("OTEL_BLRP_SCHEDULE_DELAY", "1000", "Milliseconds a log record waits at most."),
    Setting("OTEL_BSP_MAX_QUEUE_SIZE", "8192", "Spans in memory; the rest is dropped."),
    Setting("OTEL_BLRP_MAX_QUEUE_SIZE", "8192", "Log records in memory, likewise."),
    Setting(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "32768",
        "Characters of an attribute's text; the rest is cut off, so that a full queue has a bound.",
    ),
    Setting(
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        "process,host",
        "process.pid, host.name and so on; service.instance.id comes without asking.",
    ),
    Setting(
        "OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS",
        "process.runtime.*,system.network.connections",
        "The first are deprecated twins of process.*; the second reads every process of the host.",
    ),
    Setting(
        "OTEL_PYTHON_LOG_LEVEL",
        "info",
        "Lowest level that is exported from loggers whose level the service leaves alone.",
    ),
    Setting(
        "OTEL_PYTHON_LOG_CODE_ATTRIBUTES",
        "true",
        "Log records carry file, function and line of the call.",
    ),
    Setting(
        "CLEW_LOG_EXCLUDED",
        "uvicorn.access,gunicorn.access,hypercorn.access,granian.access,werkzeug,aiohttp.access,"
        "tornado.access,django.server,django.channels.server",
        "Loggers, with those below them, that are not exported; access logs only where a span says "
        "the same.",
    ),
    Setting(
        "CLEW_REDACT",
        "true",
        "`false` sends secrets as they are; other words are further names of what is secret.",
    ),
    Setting(
        "CLEW_STATSD",
        "127.0.0.1:8125",
        "Where the exporter `statsd` sends: host:port of UDP, or unix:PATH of a datagram socket.",
    ),
    Setting(
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "127.0.0.1",
        "Address at which the exporter `prometheus` can be scraped.",
    ),
    Setting(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "9464",
        "Its port in the first process of a host; others have the next free ones.",
    ),
    Setting(
        "CLEW_FAST_REQUESTS",
        "true",
        "`false` has contrib's own code record the requests that come in, at more cost.",
    ),
    Setting(
        "CLEW_BAGGAGE_HOSTS",
        "private",
        "Hosts that baggage may carry business context to: `private` (private and loopback "
        "addresses, names of one label, the domains that this host is in), names, `*.domain`, "
        "addresses, networks, `*`.",
    ),
    Setting(
        "CLEW_RULES_ENDPOINT",
        "otlp",
        "Where the rules of business context are fetched: the base address of clew's OTLP HTTP "
        "receiver. `otlp` is where telemetry is sent.",
    ),
    Setting(
        "CLEW_RULES_INTERVAL",
        "30",
        "Seconds between two looks for changed rules of business context; `0` fetches none.",
    ),
    Setting(
        "CLEW_FLUSH_TIMEOUT",
        "1.5",
        "Seconds that the end of the process may be held up to send what is still in memory.",
    ),
)


class PlainSetting(NamedTuple):
    """A variable of ours that stands for variables of OpenTelemetry's, which win where they are
    set. `expand` makes their values of its own; it raises ValueError for what it cannot be."""

    name: str
    variables: tuple[str, ...]
    expand: Callable[[str], tuple[str, ...]]
    doc: str


def _host_and_port(text: str) -> tuple[str, ...]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and int(port) < 65536):
        raise ValueError("host:port")
    return (host.strip("[]") or "127.0.0.1", port)


def _sampler(text: str) -> tuple[str, ...]:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError("a number from 0 to 1")
    return ("parentbased_traceidratio", text)


def _milliseconds(text: str) -> tuple[str, ...]:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ValueError("a number of seconds")
    return (str(max(1, int(seconds * 1000))),)


PLAIN_SETTINGS: tuple[PlainSetting, ...] = (
    PlainSetting(
        "CLEW_ENDPOINT",
        ("OTEL_EXPORTER_OTLP_ENDPOINT",),
        lambda text: (text,),
        "Where telemetry is sent: the base address of an OTLP HTTP receiver.",
    ),
    PlainSetting(
        "CLEW_API_KEY",
        ("OTEL_EXPORTER_OTLP_HEADERS",),
        lambda text: (f"authorization=Bearer%20{quote(text, safe='')}",),
        "The API key that is sent along, of scope `ingest`.",
    ),
    PlainSetting(
        "CLEW_SAMPLE",
        ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
        _sampler,
        "The share of traces that is recorded, from 0 to 1; a caller's decision is kept.",
    ),
    PlainSetting(
        "CLEW_METRICS_INTERVAL",
        ("OTEL_METRIC_EXPORT_INTERVAL",),
        _milliseconds,
        "Seconds between two readings of the metrics.",
    ),
    PlainSetting(
        "CLEW_EXPORTER",
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"),
        exporters.expand,
        "`otlp`, `console`, `statsd`, `prometheus`, also several with commas between them, or "
        "`none`. Each exports the signals that it has: StatsD and Prometheus have metrics alone.",
    ),
    PlainSetting(
        "CLEW_PROMETHEUS",
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"),
        _host_and_port,
        "Where metrics can be scraped, with the exporter `prometheus`: host and port.",
    ),
)

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def apply_defaults(environ: MutableMapping[str, str]) -> None:
    """Set every setting that is not in `environ`; an empty value counts as unset. Raises ValueError
    for one of the PLAIN_SETTINGS that cannot be what it says."""
    for plain in PLAIN_SETTINGS:
        text = environ.get(plain.name, "").strip()
        if not text or all(environ.get(variable) for variable in plain.variables):
            continue
        try:
            values = plain.expand(text)
        except ValueError as error:
            raise ValueError(f"{plain.name} is to be {error}, not {text!r}") from None
        for variable, default in zip(plain.variables, values, strict=True):
            if not environ.get(variable):
                environ[variable] = default
    for name, default in _DEFAULTS.items():
        if not environ.get(name):
            environ[name] = default


def value(environ: MutableMapping[str, str], name: str) -> str:
    """The value of one of the SETTINGS: from `environ`, else its default."""
    return environ.get(name) or _DEFAULTS[name]
