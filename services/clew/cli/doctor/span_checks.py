"""Checks of a service that read its spans: broken propagation, doubled spans, old conventions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from clew.cli.doctor.service import Run
from clew.cli.doctor.telemetry import CLIENT, SERVER, Span
from clew.cli.doctor.verdicts import Verdict

_SLACK = 50_000_000  # nanoseconds by which a server's span may end later than the caller's
_CONTRIB = "opentelemetry.instrumentation."
_OLD_NAMES = {
    "http.method": "http.request.method",
    "http.status_code": "http.response.status_code",
    "http.url": "url.full",
    "http.target": "url.path",
    "http.host": "server.address",
    "net.peer.name": "server.address",
    "db.statement": "db.query.text",
    "db.system": "db.system.name",
}
_URLS = ("url.full", "http.url")
_PATHS = ("url.path", "http.target")
_LOST_ROOTS = 3  # spans that lost their parent, before that is said


def _text(span: Span, names: tuple[str, ...]) -> str:
    return next((str(span.attributes[name]) for name in names if span.attributes.get(name)), "")


def _path(span: Span) -> str:
    if url := _text(span, _URLS):
        return urlsplit(url).path or "/"
    return _text(span, _PATHS).partition("?")[0]


def propagation(run: Run) -> Verdict:
    """Roots where a parent was expected."""
    spans = run.telemetry.spans
    propagators = run.environ.get("OTEL_PROPAGATORS", "tracecontext")
    if "tracecontext" not in propagators:
        mend = "set OTEL_PROPAGATORS=tracecontext,baggage, or unset it"
        return Verdict("fail", f"OTEL_PROPAGATORS={propagators}: no traceparent is sent", mend)
    for find in (_ignored_requests, _broken_calls, _lost_contexts):
        if verdict := find(run):
            return verdict
    entries = [span for span in spans if span.kind == SERVER]
    if not entries and not any(span.kind == CLIENT for span in spans):
        return Verdict("none", "no call was seen")
    joined = sum(bool(span.parent_id) for span in entries)
    return Verdict("ok", f"{joined} of {len(entries)} requests continue a trace")


def _ignored_requests(run: Run) -> Verdict | None:
    """Requests of the doctor's own, whose traceparent the service did not take."""
    known = {span.trace_id for span in run.telemetry.spans}
    roots = [span for span in run.telemetry.spans if span.kind == SERVER and not span.parent_id]
    for request in run.requests:
        if request.trace_id in known:
            continue
        path = urlsplit(request.url).path or "/"
        for root in roots:
            in_time = request.start <= root.start <= request.end
            if in_time and _path(root) in (path, ""):
                return Verdict(
                    "fail",
                    f"{root.name} began a trace of its own: the request's traceparent was ignored",
                    "look for a proxy or middleware that removes headers, and for code that starts "
                    "spans with a context of its own",
                )
    return None


def _broken_calls(run: Run) -> Verdict | None:
    """Requests that came without a parent while a client span called their path, of which nothing
    else came."""
    answered = {span.parent_id for span in run.telemetry.spans}
    calls = defaultdict(list)
    for span in run.telemetry.spans:
        if span.kind == CLIENT and span.span_id not in answered and (path := _path(span)):
            calls[path].append(span)
    broken = []
    for root in run.telemetry.spans:
        if root.kind == SERVER and not root.parent_id:
            callers = [call for call in calls[_path(root)] if call.contains(root, _SLACK)]
            broken += [(call, root) for call in callers[:1]]
    if not broken:
        return None
    call, root = broken[0]
    return Verdict(
        "fail",
        f"{len(broken)} requests came without the traceparent of their caller: {call.service} "
        f"{call.name} called {root.service} {root.name}",
        f"let the client's instrumentation ({call.scope.removeprefix(_CONTRIB)}) inject: look for "
        "headers that the code replaces, and for proxies that remove them",
    )


def _lost_contexts(run: Run) -> Verdict | None:
    """Client spans that are roots while their process answers a request: most likely work of that
    request on a thread that did not get its context."""
    entries = defaultdict(list)
    for span in run.telemetry.spans:
        if span.kind == SERVER:
            entries[span.process].append(span)
    calls = [span for span in run.telemetry.spans if span.kind == CLIENT]
    lost = [
        call
        for call in calls
        if not call.parent_id and any(entry.contains(call) for entry in entries[call.process])
    ]
    if len(lost) < max(_LOST_ROOTS, len(calls) / 10):
        return None
    return Verdict(
        "warn",
        f"{len(lost)} calls were made during a request and have no parent, such as {lost[0].name}",
        "hand the context to the thread: contextvars.copy_context().run(function)",
    )


def doubled_spans(run: Run) -> Verdict:
    """One call with two spans of different scopes: of a library's own and of an instrumentation."""
    pairs = Counter(_doubled(run.telemetry.spans))
    if not run.telemetry.spans:
        return Verdict("none", "no span was seen")
    if not pairs:
        return Verdict("ok", "none")
    (first, second), count = pairs.most_common(1)[0]
    contrib = next((scope for scope in (second, first) if scope.startswith(_CONTRIB)), "")
    name = contrib.removeprefix(_CONTRIB).replace("_", "-")
    return Verdict(
        "warn",
        f"{count} calls have two spans, of {first} and of {second}",
        f"switch one off: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={name}"
        if contrib
        else f"switch {second} off in the code",
    )


def _doubled(spans: list[Span]) -> Iterator[tuple[str, str]]:
    """Pairs of scopes, for each pair of spans that say the same."""
    groups = defaultdict(list)
    for span in spans:
        subject = _path(span) if span.kind == SERVER else _text(span, _URLS)
        if span.kind == CLIENT and not subject:
            subject = _text(span, ("db.query.text", "db.statement"))
        if subject and span.kind in (SERVER, CLIENT):
            groups[span.trace_id, span.process, span.kind, subject].append(span)
    for group in groups.values():
        group.sort(key=lambda span: (span.start, -span.end))
        for outer, inner in pairwise(group):
            is_related = inner.parent_id in (outer.span_id, outer.parent_id)
            if is_related and outer.scope != inner.scope and outer.contains(inner):
                yield outer.scope, inner.scope


def conventions(run: Run) -> Verdict:
    """Attributes of the old names. An instrumentation that has no others is only named."""
    spans = run.telemetry.spans
    old = {(span.scope, name) for span in spans for name in _OLD_NAMES if name in span.attributes}
    if not spans:
        return Verdict("none", "no span was seen")
    chosen = run.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")
    expected = {name.strip() for name in chosen.split(",")}
    for scope, name in sorted(old):
        kind = "database" if name.startswith("db.") else "http"
        text = f"{scope} writes {name}, which is {_OLD_NAMES[name]} now"
        if not scope.startswith(_CONTRIB):
            return Verdict("warn", text, "rename the attribute in that code")
        if kind not in expected and f"{kind}/dup" not in expected:
            mend = "unset OTEL_SEMCONV_STABILITY_OPT_IN, or set it to http,database"
            return Verdict("warn", text, mend)
    scopes = sorted({scope.removeprefix(_CONTRIB) for scope, _ in old})
    note = f" ({', '.join(scopes)} have only the old names)" if scopes else ""
    return Verdict("ok", f"the stable names{note}")
