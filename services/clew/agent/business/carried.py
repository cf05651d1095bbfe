"""Business context on its way: taken where a request enters, stamped on spans and log records, and
carried in W3C baggage, but not to hosts of others.

What a body says comes after the request's context was made. It is added to the current context,
and remaining in a place of the request's context, which contexts that exist already see too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote_plus

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind

from clew.agent import settings
from clew.agent.business import bodies, requests, rules
from clew.agent.business.hosts import AllowedHosts, host_of_url, own_domains
from clew.agent.business.rules import KEY, MAX_LENGTH, TRANSACTION, USER, VALUE, Rule, RuleSet, Take

# In baggage a user has a name of ours: an entry `user.id` is the service's own, and goes anywhere.
BAGGAGE_USER = "business.user"
_BAGGAGE_KEYS = {TRANSACTION: TRANSACTION, KEY: KEY, VALUE: VALUE, USER: BAGGAGE_USER}
ENTRIES = tuple(_BAGGAGE_KEYS.values())
_ATTRIBUTES = {entry: attribute for attribute, entry in _BAGGAGE_KEYS.items()}
_PREFIX = "business."
_HEADER = "baggage"
_LONGEST = 512  # bytes of a value: a header then has room for all of them, quoted
# What W3C's recommendation has receivers take.
_LONGEST_HEADER, _MOST_ENTRIES = 8192, 180
_LONGEST_QUOTED = 12  # bytes of a character
_NOTHING: Mapping[str, Any] = {}

_Entries = dict[str, str]


class LateEntries:
    """What the body of a request says: entries of baggage. `transaction`: the one that the request
    belongs to; they hold where the context has this one, or none. `span`: of the request."""

    __slots__ = ("entries", "span", "transaction")

    def __init__(self, transaction: str | None) -> None:
        self.transaction = transaction
        self.entries: _Entries = {}
        self.span: Any = None


_LATE = context.create_key("clew-late-entries")


def entries_in(ctx: Context | None = None) -> Mapping[str, str]:
    """The entries of ours in a context, by default the current one, with those of the body."""
    return _entries(baggage.get_all(ctx), context.get_value(_LATE, ctx))


def attributes_in(ctx: Context | None = None) -> Mapping[str, Any]:
    """The attributes that spans and log records of a context, by default the current one, get: of
    ours, and of the service's baggage whose names begin with `business.`."""
    present, late = baggage.get_all(ctx), context.get_value(_LATE, ctx)
    if not present and late is None:
        return _NOTHING
    attributes = {
        _ATTRIBUTES[key]: _typed(key, text) for key, text in _entries(present, late).items()
    }
    for key, value in present.items():
        if str(key).startswith(_PREFIX) and key not in ENTRIES:
            attributes[key] = str(value)
    return attributes


def _entries(present: Mapping[str, object], late: Any) -> Mapping[str, str]:
    """`late`: LateEntries, or None."""
    if not present and (late is None or not late.entries):
        return _NOTHING
    entries = {key: str(present[key])[:MAX_LENGTH] for key in ENTRIES if key in present}
    if late is not None and entries.get(TRANSACTION) in (None, late.transaction):
        return {**late.entries, **entries}
    return entries


def _typed(key: str, text: str) -> str | float:
    number = _number(text) if key == VALUE else None
    return text if number is None else number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class BusinessSpans(SpanProcessor):
    """Stamps business context on spans; what a span has already, it keeps."""

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        try:
            late: Any = context.get_value(_LATE, parent_context)
            if late is not None and late.span is None and span.kind is SpanKind.SERVER:
                late.span = span
            _stamp(span, attributes_in(parent_context))
        except Exception as error:
            rules.complain(error)


class BusinessRecords(LogRecordProcessor):
    """Stamps business context on log records; what a record has already, it keeps."""

    def on_emit(self, log_record: Any) -> None:
        try:
            if attributes := attributes_in():
                record = log_record.log_record
                record.attributes = {**attributes, **(record.attributes or {})}
        except Exception as error:
            rules.complain(error)

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _stamp(span: Any, attributes: Mapping[str, Any]) -> None:
    if attributes and span.is_recording():
        present = span.attributes
        for key, value in attributes.items():
            if key not in present:
                span.set_attribute(key, value)


# ---- Taking


def take_from(active: RuleSet, carrier: Any, ctx: Context) -> Context:
    """The context of an entry request with what the rules take from it. Its body, if a rule takes a
    field of it, is watched from now on."""
    request = requests.request_of(carrier)
    matching = active.matching(request.method, request.paths) if request is not None else []
    if request is None or not matching:
        return ctx
    carried = entries_in(ctx)
    applied, transaction = _applied(active, matching, request, carried)
    if not applied:
        return ctx
    entries = {TRANSACTION: transaction} if transaction is not None else {}
    if carried.get(TRANSACTION) not in (None, transaction):  # another one begins within that
        for key in (TRANSACTION, KEY, VALUE):
            ctx = baggage.remove_baggage(key, ctx)
        carried = {key: text for key, text in carried.items() if key == BAGGAGE_USER}
    takes = [take for rule in applied for take in rule.take if take.attribute != TRANSACTION]
    for take in takes:
        if take.part != "json" and _BAGGAGE_KEYS[take.attribute] not in entries:
            _put(entries, active, take, requests.value_of(request, take))
    for key, text in entries.items():
        if key not in carried:
            ctx = baggage.set_baggage(key, text, ctx)
    later = _later(applied, takes, transaction)
    if later:
        late = LateEntries(transaction)
        known = frozenset((*entries, *carried))
        name = applied[0].transaction

        def complete(document: Any) -> None:
            _add_late(late, _late_entries(active, later, document, known, name))

        if bodies.watch(carrier, request, complete):
            ctx = context.set_value(_LATE, late, ctx)
    return ctx


def _applied(
    active: RuleSet, matching: list[Rule], request: requests.Request, carried: Mapping[str, str]
) -> tuple[list[Rule], str | None]:
    """The rules that apply to a request, and its transaction: the first that begins with it, else
    the one that it was sent in, else the first that takes something from it. None: its body says
    it."""
    first = next((rule for rule in matching if rule.begins), None)
    if first is None:
        inside = carried.get(TRANSACTION)
        first = next((rule for rule in matching if inside in (None, rule.transaction)), None)
        if first is None:
            return [], None
    applied = [rule for rule in matching if rule.transaction == first.transaction]
    named: _Entries = {}
    for take in (take for rule in applied for take in rule.take if take.attribute == TRANSACTION):
        if take.part == "json":
            return applied, carried.get(TRANSACTION) if not first.begins else None
        _put(named, active, take, requests.value_of(request, take))
        if named:
            break
    return applied, named.get(TRANSACTION, first.transaction)


def _later(applied: list[Rule], takes: list[Take], transaction: str | None) -> list[Take]:
    later = [take for take in takes if take.part == "json"]
    if transaction is None:
        later += (
            take
            for rule in applied
            for take in rule.take
            if take.part == "json" and take.attribute == TRANSACTION
        )
    return later


def _put(entries: _Entries, active: RuleSet, take: Take, text: str) -> None:
    """Add a value, unless it holds a secret, or is no number where one is needed."""
    if not text or (take.attribute == VALUE and _number(text) is None):
        return
    censored = active.censor(take.attribute, text)
    if censored:
        encoded = censored.encode("utf-8", "replace")[:_LONGEST]
        entries[_BAGGAGE_KEYS[take.attribute]] = encoded.decode("utf-8", "ignore")


def _late_entries(
    active: RuleSet, later: Iterable[Take], document: Any, known: frozenset[str], name: str
) -> _Entries:
    entries: _Entries = {}
    for take in later:
        key = _BAGGAGE_KEYS[take.attribute]
        if key not in known and key not in entries:
            _put(entries, active, take, rules.text_of(rules.value_in(document, take.fields)))
    if TRANSACTION not in known:
        entries.setdefault(TRANSACTION, name)
    return entries


def _add_late(late: LateEntries, entries: _Entries) -> None:
    """The body was read. The current context, if it is one of the request, gets the entries too."""
    late.transaction = entries.get(TRANSACTION, late.transaction)
    late.entries = entries
    if late.span is not None:
        _stamp(late.span, {_ATTRIBUTES[key]: _typed(key, text) for key, text in entries.items()})
    current = context.get_current()
    if context.get_value(_LATE, current) is late:
        context.attach(_with(current, entries_in(current)))


def _with(ctx: Context | None, entries: Mapping[str, str]) -> Context:
    ctx = context.get_current() if ctx is None else ctx
    present = baggage.get_all(ctx)
    for key, text in entries.items():
        if key not in present:
            ctx = baggage.set_baggage(key, text, ctx)
    return ctx


# ---- Propagating


class BusinessPropagator(TextMapPropagator):
    """Another propagator, which takes business context from entry requests, and withholds it from
    hosts that are not allowed."""

    def __init__(self, inner: TextMapPropagator, allowed: AllowedHosts) -> None:
        self._inner = inner
        self._allowed = allowed

    def extract(
        self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter
    ) -> Context:
        extracted = self._inner.extract(carrier, context, getter=getter)
        active = rules.current()
        if active is not None:
            try:
                extracted = take_from(active, carrier, extracted)
            except Exception as error:
                rules.complain(error)
        if requests.is_aiohttp(carrier):
            requests.extracted.set(extracted)
        return extracted

    def inject(
        self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter
    ) -> None:
        is_withheld, outgoing = False, context
        try:
            if entries := entries_in(context):
                outgoing = _with(context, entries)
                span = trace.get_current_span(context)
                is_withheld = not may_go(span, self._allowed) or not _fits(outgoing)
                outgoing = _without(context) if is_withheld else outgoing
        except Exception as error:
            rules.complain(error)
            outgoing = baggage.clear(context)
        self._inner.inject(carrier, outgoing, setter=setter)
        if is_withheld:
            withhold(carrier)

    @property
    def fields(self) -> set[str]:
        return self._inner.fields


def set_up() -> AllowedHosts:
    """Have the global propagator, and any that the service sets, carry business context; gives the
    hosts that it may go to."""
    allowed = AllowedHosts(settings.value(os.environ, "CLEW_BAGGAGE_HOSTS"), own_domains())
    set_global = propagate.set_global_textmap

    def set_global_textmap(http_text_format: TextMapPropagator) -> None:
        is_ours = isinstance(http_text_format, BusinessPropagator)
        set_global(http_text_format if is_ours else BusinessPropagator(http_text_format, allowed))

    set_global_textmap(propagate.get_global_textmap())
    propagate.set_global_textmap = set_global_textmap
    return allowed


def _without(ctx: Context | None) -> Context:
    result = context.get_current() if ctx is None else ctx
    present = baggage.get_all(result)
    for key in ENTRIES:
        if key in present:
            result = baggage.remove_baggage(key, result)
    return result


def _fits(ctx: Context) -> bool:
    """Whether receivers take the baggage of a context: they may drop a header that is too long, and
    with it the service's own entries."""
    present = baggage.get_all(ctx)
    texts = [text for pair in present.items() for text in map(str, pair)]
    if len(texts) <= _MOST_ENTRIES and sum(map(len, texts)) * _LONGEST_QUOTED <= _LONGEST_HEADER:
        return True
    length = sum(len(quote_plus(text)) + 1 for text in texts)
    return len(present) <= _MOST_ENTRIES and length <= _LONGEST_HEADER


def may_go(span: Any, allowed: AllowedHosts) -> bool:
    """Whether what a span sends may carry business context: to a queue of the service's own, or to
    a host that is allowed. A span that is not recorded does not say."""
    attributes: Mapping[str, Any] | None = getattr(span, "attributes", None)
    kind = getattr(span, "kind", None)
    if attributes is None or kind not in (SpanKind.CLIENT, SpanKind.PRODUCER):
        return False
    if kind is SpanKind.PRODUCER:
        system = str(attributes.get("messaging.system", "")).lower()
        if not system.startswith(_HOSTED):
            return True
    host = _host(attributes)
    return host is not None and allowed.allows(host)


_HOSTED = ("aws", "amazon", "azure", "gcp", "servicebus", "eventhubs")  # queues of a provider
_HOST_NAMES = ("server.address", "net.peer.name")
_URL_NAMES = ("url.full", "http.url", "messaging.url")


def _host(attributes: Mapping[str, Any]) -> str | None:
    for name in _HOST_NAMES:
        if host := attributes.get(name):
            return str(host)
    for name in _URL_NAMES:
        if url := attributes.get(name):
            return host_of_url(str(url))
    return None


def withhold(headers: Any) -> None:
    """Take business context out of headers that were copied from another request."""
    if not isinstance(headers, MutableMapping):
        return
    try:
        for name in [name for name in headers if str(name).lower() == _HEADER]:
            text = headers[name]
            if isinstance(text, str) and _PREFIX in text:
                remaining = [member for member in text.split(",") if _key(member) not in ENTRIES]
                if remaining:
                    headers[name] = ",".join(remaining)
                else:
                    del headers[name]
    except Exception as error:
        rules.complain(error)


def _key(member: str) -> str:
    return member.partition("=")[0].strip()
