"""What is checked of a service: one row each in CHECKS, with a function of the run.

To add a check: a function that returns a Verdict, its row, its row in docs/doctor.md, and a test of
a service that has the fault and of one that has not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from clew.agent.instrumentations import OUTSIDE, TABLE
from clew.cli.doctor.service import SIGNALS, Run
from clew.cli.doctor.span_checks import conventions, doubled_spans, propagation
from clew.cli.doctor.verdicts import Line, Verdict

_INFO = 20
_LIBRARY_SHARE = 0.2  # of the time in which the service's own code was busy
_LIBRARY_SECONDS = 0.5
_SAMPLED_SHARE = 0.5  # of the requests that were counted, at least so many are spans
_FEWEST_REQUESTS = 10


class Check(NamedTuple):
    """A row: its name in the output, and what finds the verdict."""

    name: str
    examine: Callable[[Run], Verdict]


def _service(run: Run) -> Verdict:
    if run.exit_status is None:
        return Verdict("ok", f"ran for {run.seconds:.0f} s")
    text = f"ended by itself after {run.seconds:.1f} s with status {run.exit_status}"
    if run.exit_status == 0:
        return Verdict("ok", text)
    words = f": {run.last_lines[-1]}" if run.last_lines else ""
    return Verdict(
        "fail", f"{text}{words}"[:300], "start it without clew, to see whose fault it is"
    )


def _agent(run: Run) -> Verdict:
    problems = [line for line in run.words if "not instrumented, going on" in line]
    problems += [line for line in run.words if line.startswith("clew: not instrumented: ")]
    if problems:
        return Verdict("fail", problems[0].removeprefix("clew: "), "do what the line says")
    if not run.reports:
        if run.environ.get("CLEW_ENABLED", "").lower() == "false":
            return Verdict("fail", "CLEW_ENABLED=false", "unset CLEW_ENABLED")
        return Verdict(
            "fail",
            "the agent did not start in any process",
            "start Python without -I, -E and -S, which hide PYTHONPATH and sitecustomize; a "
            "service in another language needs OpenTelemetry's agent of its own",
        )
    services = ", ".join(sorted(run.telemetry.services)) or "?"
    clash = [line for line in run.words if "of another release" in line]
    if clash:
        return Verdict("warn", clash[0].removeprefix("clew: "), "install what the line says")
    return Verdict("ok", f"started, service {services}")


def _workers(run: Run) -> Verdict:
    """Processes of multiprocessing, gunicorn and the like, each with an agent of its own."""
    reporting = {report["pid"] for report in run.reports}
    silent = [process for process in run.processes if process.pid not in reporting]
    if not run.reports:
        return Verdict("none", "no process has the agent")
    if silent:
        examples = "; ".join(f"{process.pid} ({process.command})" for process in silent[:3])
        return Verdict(
            "fail",
            f"{len(silent)} of {len(run.processes)} processes run without the agent: {examples}",
            "let them inherit PYTHONPATH, and install clew in the environment of their Python",
        )
    return Verdict("ok", f"{len(reporting)} with the agent, {len(run.telemetry.processes)} sent")


def _other_exporter(run: Run, signal: str) -> Verdict | None:
    """What is to be said of a signal that is not sent over OTLP."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    exporters = run.environ[name]
    if "otlp" in exporters:
        return None
    if exporters in ("none", "console"):
        return Verdict("warn", f"not sent: {name}={exporters}", f"unset {name} and CLEW_EXPORTER")
    return Verdict("none", f"not sent over OTLP: {name}={exporters}")


def _traces(run: Run) -> Verdict:
    if verdict := _other_exporter(run, "traces"):
        return verdict
    if count := run.telemetry.items["traces"]:
        return Verdict("ok", f"{count} spans")
    answered = sum(1 for request in run.requests if request.response.status)
    if answered or run.telemetry.requests:
        return Verdict(
            "fail",
            "requests were answered, and no span came",
            "look at `sampling` here, at OTEL_PYTHON_EXCLUDED_URLS, and at `clew run --explain`, "
            "whether the framework is instrumented",
        )
    return Verdict("none", "no span: send it requests meanwhile, or use --request URL")


def _logs(run: Run) -> Verdict:
    if verdict := _other_exporter(run, "logs"):
        return verdict
    if run.environ.get("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true").lower() != "true":
        name = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"
        return Verdict("warn", f"not sent: {name}={run.environ[name]}", f"unset {name}")
    if count := run.telemetry.items["logs"]:
        return Verdict("ok", f"{count} records")
    return Verdict("none", "no record: nothing was logged")


def _metrics(run: Run) -> Verdict:
    if verdict := _other_exporter(run, "metrics"):
        return verdict
    if count := run.telemetry.items["metrics"]:
        return Verdict("ok", f"{count} points")
    if run.seconds < 5 or not run.reports:
        return Verdict("none", "no point: it did not run for long")
    return Verdict(
        "fail",
        "no point, not even of the process itself",
        "unset OTEL_PYTHON_DISABLED_INSTRUMENTATIONS; let the service end by SIGTERM",
    )


def _delivery(run: Run) -> Verdict:
    if not run.is_handed_on or not run.telemetry.items:
        return Verdict("none", "nothing was handed on")
    if not run.refused:
        return Verdict("ok", "the receiver took everything")
    status, count = Counter(run.refused).most_common(1)[0]
    reason = f"answered {status}" if status else "not answered"
    mends = {
        413: "lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        429: "the receiver is busy: look at its --in-flight-limit",
        503: "the receiver has no room: look at its disk and --spool-limit",
    }
    mend = mends.get(status, "see `endpoint` and `key` here")
    return Verdict("fail", f"{sum(run.refused.values())} requests, {count} {reason}", mend)


def _log_level(run: Run) -> Verdict:
    for name in ("OTEL_PYTHON_LOG_LEVEL", "OTEL_PYTHON_LOG_HANDLER_LEVEL"):
        value = run.environ.get(name, "").upper()
        if value in ("WARN", "WARNING", "ERROR", "CRITICAL"):
            text = f"{name}={value}: records below it are not sent"
            return Verdict("warn", text, f"unset {name}")
    for report in run.reports:
        level, disabled = report["root_level"], report["disabled_level"]
        if disabled >= _INFO:
            mend = "call logging.disable(logging.NOTSET)"
            return Verdict("warn", f"logging.disable({disabled}) drops records", mend)
        if level > _INFO and not report["root_level_is_ours"]:
            return Verdict(
                "warn",
                f"the root logger's level is {_level_name(level)}: records below it do not exist",
                "set it to INFO: logging.getLogger().setLevel(logging.INFO); handlers can have a "
                "level of their own",
            )
    return Verdict("ok", "INFO and above") if run.reports else Verdict("none", "unknown")


def _level_name(level: int) -> str:
    names = {30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
    return names.get(level, str(level))


def _libraries(run: Run) -> Verdict:
    """Libraries without instrumentation in which the service's own code spends its time."""
    seconds: Counter[str] = Counter()
    instrumented: set[str] = set()
    for report in run.reports:
        for library, samples in report["samples"].items():
            seconds[library] += samples * report["interval_s"]
        instrumented.update(report["instrumented"])
    busy = sum(seconds.values())
    heavy = [
        (library, spent)
        for library, spent in seconds.most_common()
        if library and library not in instrumented
        if spent >= _LIBRARY_SECONDS and spent >= _LIBRARY_SHARE * busy
    ]
    if not run.reports:
        return Verdict("none", "unknown")
    if not heavy:
        return Verdict("ok", f"none without instrumentation takes long ({busy:.1f} s busy)")
    text = ", ".join(f"{library} {spent:.1f} s" for library, spent in heavy[:3])
    library = heavy[0][0]
    mend = f"put a span around the calls: with clew.agent.span({library!r}): …"
    if library in _instrumentable():
        mend = "clew run --install"
    elif library == "http":
        mend = "call by urllib, requests or httpx, which are instrumented and send the traceparent"
    return Verdict("warn", f"without instrumentation, of {busy:.1f} s busy: {text}", mend)


def _instrumentable() -> set[str]:
    rows = (*TABLE, *(row.instrumentation for row in OUTSIDE))
    return {row.trigger.partition(".")[0] for row in rows}


def _sampling(run: Run) -> Verdict:
    sampler = run.environ.get("OTEL_TRACES_SAMPLER", "")
    argument = run.environ.get("OTEL_TRACES_SAMPLER_ARG", "1")
    setting = f"OTEL_TRACES_SAMPLER={sampler}" + (f" ({argument})" if "ratio" in sampler else "")
    mend = "set CLEW_SAMPLE=1, or unset OTEL_TRACES_SAMPLER"
    if sampler.endswith("always_off") or ("ratio" in sampler and _number(argument) == 0):
        return Verdict("fail", f"no trace is recorded: {setting}", mend)
    if "ratio" in sampler and _number(argument) < 1:
        return Verdict("ok", f"{100 * _number(argument):g} % of the traces ({setting})")
    entries = sum(1 for span in run.telemetry.spans if span.kind == 2)
    counted = run.telemetry.requests
    if counted >= _FEWEST_REQUESTS and entries < _SAMPLED_SHARE * counted:
        return Verdict(
            "warn",
            f"{counted} requests were counted and {entries} recorded",
            "callers decide (the flag of their traceparent): raise their sampling, or set "
            "OTEL_TRACES_SAMPLER=always_on here",
        )
    return Verdict("ok", "every trace, unless a caller decides otherwise")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


CHECKS: tuple[Check, ...] = (
    Check("service", _service),
    Check("agent", _agent),
    Check("workers", _workers),
    *(
        Check(signal, examine)
        for signal, examine in zip(SIGNALS, (_traces, _metrics, _logs), strict=True)
    ),
    Check("delivery", _delivery),
    Check("log level", _log_level),
    Check("propagation", propagation),
    Check("libraries", _libraries),
    Check("doubled spans", doubled_spans),
    Check("conventions", conventions),
    Check("sampling", _sampling),
)


def examine_service(run: Run) -> list[Line]:
    """The verdict of every check."""
    return [Line(check.name, check.examine(run)) for check in CHECKS]
