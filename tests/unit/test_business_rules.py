"""Business context: what is taken from requests by which rules, and where it goes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from clew.agent.business import bodies, carried, censoring, rules
from clew.agent.business.bodies import LONGEST, PLACE, BodyWatch, WatchedInput, WatchedReceive
from clew.agent.business.carried import BusinessPropagator, BusinessSpans
from clew.agent.business.hosts import AllowedHosts
from clew.agent.business.rules import RuleSet

ALL: list[dict[str, str]] = [
    {"as": "business.key", "header": "X-Order-Id"},
    {"as": "business.key", "path": "/orders/{}"},
    {"as": "business.value", "query": "total"},
    {"as": "user.id", "json": "customer.id"},
]


def _rule(*take: dict[str, str], **fields: Any) -> dict[str, Any]:
    rule = {"transaction": "Checkout", "begins": True, "method": "POST", "take": [*take]}
    return rule | fields


def _put(*listed: dict[str, Any]) -> RuleSet:
    active = censoring.without_secrets(rules.read({"rules": [*listed]}, "shop"))
    rules.put_in_force(active)
    return active


@pytest.fixture(autouse=True)
def no_rules() -> Iterator[None]:
    yield
    rules.put_in_force(None)


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    token = context.attach(Context())
    yield
    context.detach(token)


PROPAGATOR = BusinessPropagator(W3CBaggagePropagator(), AllowedHosts("private"))


def _scope(path: str = "/", query: str = "", **headers: str) -> dict[str, Any]:
    listed = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": listed,
        "root_path": "",
    }


def _environ(path: str = "/", body: bytes = b"", **more: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        **more,
    }


def _baggage_of(scope: dict[str, Any], carrying: str = "") -> dict[str, Any]:
    class Getter:
        def get(self, carrier: Any, key: str) -> list[str] | None:
            return [carrying] if carrying else None

        def keys(self, carrier: Any) -> list[str]:
            return ["baggage"]

    return dict(baggage.get_all(PROPAGATOR.extract(scope, getter=Getter())))


def test_the_first_part_that_a_request_has_becomes_the_value() -> None:
    _put(_rule(*ALL))
    assert _baggage_of(_scope("/orders/o-1", "a=1&total=9.50", x_order_id=" o-2 ")) == {
        "business.transaction": "Checkout",
        "business.key": "o-2",
        "business.value": "9.50",
    }
    assert _baggage_of(_scope("/orders/o-1/items"))["business.key"] == "o-1"
    assert _baggage_of(_scope("/carts")) == {"business.transaction": "Checkout"}


def test_wsgi_is_read_as_asgi_is() -> None:
    _put(_rule(*ALL))
    environ = _environ("/orders/\u00c3\u00a9", QUERY_STRING="total=1%2E5", SCRIPT_NAME="/api")
    assert _baggage_of(environ) == {
        "business.transaction": "Checkout",
        "business.key": "é",
        "business.value": "1.5",
    }
    assert _baggage_of(_environ(HTTP_X_ORDER_ID="o"))["business.key"] == "o"


@pytest.mark.parametrize(
    ("route", "path", "matches"),
    [
        ("/orders/{number}", "/orders/7", True),
        ("/orders/{number}", "/orders/7/items", False),
        ("orders/<int:number>", "/orders/7", True),
        ("/files/{rest:path}", "/files/a/b", True),
        ("/files/<path:rest>", "/files/a/b", True),
        ("/a.b", "/axb", False),
        ("", "/anything", True),
    ],
)
def test_routes_are_read_as_frameworks_write_them(route: str, path: str, matches: bool) -> None:
    active = _put(_rule(route=route))
    assert bool(active.matching("POST", (path,))) is matches
    assert not active.matching("GET", (path,))


def test_rules_are_for_one_service_and_what_nobody_knows_is_passed_over() -> None:
    listed = [
        *(
            _rule(service="other"),
            _rule(service="shop"),
            _rule(method=""),
            "x",
            {},
            _rule(method=5),
        ),
        _rule(
            {"as": "business.key", "cookie": "x"}, {"as": "else", "header": "x"}, {"as": "user.id"}
        ),
    ]
    active = rules.read({"version": 7, "rules": listed, "more": 1}, "shop")
    assert [rule.take for rule in active.rules] == [(), (), ()]
    for document in (None, [], {}, {"rules": {}}, "x"):
        with pytest.raises(ValueError, match="no document of rules"):
            rules.read(document, "shop")


def test_what_is_carried_already_stays_and_another_transaction_begins_anew() -> None:
    _put(_rule(*ALL))
    scope = _scope("/orders/o-1")
    same = "business.transaction=Checkout,business.key=o-0,user.id=theirs"
    assert _baggage_of(scope, same) == {
        "business.transaction": "Checkout",
        "business.key": "o-0",
        "user.id": "theirs",
    }
    other = "business.transaction=Browse,business.key=b,business.value=1,business.user=u,color=red"
    assert _baggage_of(scope, other) == {
        "business.transaction": "Checkout",
        "business.key": "o-1",
        "business.user": "u",
        "color": "red",
    }


def test_requests_inside_belong_to_the_transaction_that_they_were_sent_in() -> None:
    _put(_rule(*ALL, begins=False), _rule(ALL[0], transaction="Browse", begins=False))
    scope = _scope("/orders/o-1", x_order_id="o-2")
    assert _baggage_of(scope)["business.transaction"] == "Checkout"
    assert _baggage_of(scope, "business.transaction=Browse") == {
        "business.transaction": "Browse",
        "business.key": "o-2",
    }
    assert _baggage_of(scope, "business.transaction=Other") == {"business.transaction": "Other"}


def test_a_part_of_a_request_can_name_the_transaction() -> None:
    _put(_rule({"as": "business.transaction", "header": "X-Flow"}, ALL[0]))
    assert _baggage_of(_scope(x_flow="Refund"))["business.transaction"] == "Refund"
    assert _baggage_of(_scope())["business.transaction"] == "Checkout"


def test_values_have_bounds_and_must_be_what_they_are_for() -> None:
    _put(_rule(*ALL))
    assert _baggage_of(_scope(x_order_id="x" * 1000))["business.key"] == "x" * 256
    key = _baggage_of(_scope(f"/orders/{'語' * 1000}"))["business.key"]
    assert 0 < len(key.encode()) <= 512
    for query in ("total=many", "total=nan", "total=1e999", "total="):
        assert "business.value" not in _baggage_of(_scope("/", query))


@pytest.mark.parametrize(
    "take",
    [
        {"as": "business.key", "header": "Authorization"},
        {"as": "business.key", "query": "code"},
        {"as": "business.key", "json": "user.password"},
        {"as": "business.key", "path": "/token/{}"},
    ],
)
def test_what_is_named_like_a_secret_is_not_taken(
    take: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert _put(_rule(take)).rules[0].take == ()
    assert "named like a secret" in caplog.text


def test_what_is_formed_like_a_secret_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = _scope(x_order_id="4111 1111 1111 1111")
    _put(_rule(ALL[0]))
    assert "business.key" not in _baggage_of(scope)
    monkeypatch.setenv("CLEW_REDACT", "false")
    _put(_rule(ALL[0]))
    assert "business.key" in _baggage_of(scope)


# ---- Bodies


def _request(scope: dict[str, Any]) -> tuple[Any, Context]:
    """The entry span of a request, and the context that handles it."""
    tracer = _provider().get_tracer("t")
    ctx = PROPAGATOR.extract(scope)
    span = tracer.start_span("request", ctx, kind=SpanKind.SERVER)
    return span, trace.set_span_in_context(span, ctx)


def _provider(**options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(BusinessSpans())
    return provider


def _business(span: Any) -> dict[str, Any]:
    return dict(span.attributes)


ORDER = json.dumps({"customer": {"id": 7}, "total": 9.5, "items": [{"sku": "a"}]}).encode()
BODY = [
    {"as": "user.id", "json": "customer.id"},
    {"as": "business.value", "json": "total"},
    {"as": "business.key", "json": "items.0.sku"},
]
FROM_BODY = {"user.id": "7", "business.value": 9.5, "business.key": "a"}
NAMED = {"business.transaction": "Checkout"}


def _receiving(*chunks: bytes) -> tuple[Callable[[], Any], list[str]]:
    """A `receive` of these chunks, and what was called so far."""
    calls: list[str] = []

    async def receive() -> dict[str, Any]:
        calls.append("receive")
        chunk = chunks[len(calls) - 1]
        return {"type": "http.request", "body": chunk, "more_body": len(calls) < len(chunks)}

    return receive, calls


def test_a_body_is_seen_as_the_service_reads_it_and_never_before() -> None:
    _put(_rule(*BODY))
    plain, calls = _receiving(ORDER[:10], b"", ORDER[10:])
    scope = _scope(content_type="application/json")
    span, ctx = _request(scope)
    receive = WatchedReceive(WatchedReceive(plain, scope[PLACE]), scope[PLACE])  # a middleware
    token = context.attach(ctx)

    async def handle() -> None:
        for _ in range(2):
            await receive()
        assert len(calls) == 2
        assert _business(span) == NAMED
        assert (await receive())["body"] == ORDER[10:]
        assert baggage.get_baggage("business.key") == "a"

    assert calls == []
    asyncio.run(handle())
    context.detach(token)
    assert _business(span) == NAMED | FROM_BODY
    # A context from before the body was read has what it says, too.
    child = _provider().get_tracer("t").start_span("child", ctx)
    assert _business(child) == NAMED | FROM_BODY


def _through_a_buffer(stream: Any) -> bytes:
    buffer = bytearray(len(ORDER))
    return bytes(buffer[: stream.readinto(buffer)])


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(),
        lambda stream: stream.read(len(ORDER)),
        lambda stream: b"".join(iter(lambda: stream.read(7), b"")),
        lambda stream: stream.readline(),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: b"".join(stream),
        _through_a_buffer,
        lambda stream: b"".join(iter(stream.readline, b"")),
    ],
)
@pytest.mark.parametrize("has_length", [True, False])
def test_every_way_to_read_a_stream_gives_all_bytes_and_is_seen(
    read: Any, has_length: bool
) -> None:
    _put(_rule(*BODY))
    environ = _environ(body=ORDER)
    if not has_length:
        del environ["CONTENT_LENGTH"]
    span, _ = _request(environ)
    assert environ["wsgi.input"].tell() == 0
    assert read(environ["wsgi.input"]) == ORDER
    if has_length or environ["wsgi.input"].read() == b"":
        assert _business(span) == NAMED | FROM_BODY


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[" * 30_000, b"\xff\xfe\xfd", b"null", b"[]", b'"x"', b"1" * 5000),
        b'{"customer": {"id": {"a": 1}}, "total": true, "items": {}}',
        b'{"customer": 7, "total": "many", "items": [[]]}',
        b'{"customer": {"id": "%s"}}' % (b"x" * LONGEST),
    ],
)
def test_a_body_that_says_nothing_harms_nothing(body: bytes) -> None:
    _put(_rule(*BODY))
    for length in (str(len(body)), ""):
        environ = _environ(body=body, CONTENT_LENGTH=length)
        span, _ = _request(environ)
        assert environ["wsgi.input"].read() == body
        assert _business(span) == NAMED


@pytest.mark.parametrize(
    "headers",
    [
        {"CONTENT_TYPE": "text/plain"},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"CONTENT_LENGTH": str(LONGEST + 1)},
    ],
)
def test_other_bodies_are_not_watched(headers: dict[str, str]) -> None:
    _put(_rule(*BODY))
    environ = _environ(body=ORDER) | headers
    stream = environ["wsgi.input"]
    _request(environ)
    assert environ["wsgi.input"] is stream


def test_no_more_of_a_body_is_kept_than_its_limit() -> None:
    documents: list[Any] = []
    body = BodyWatch(documents.append)
    for _ in range(100):
        body.see(b" " * 1000)
        assert sum(map(len, body._chunks)) <= LONGEST
    body.see(b"{}", True)
    assert documents == []


def test_what_a_service_sets_itself_stays() -> None:
    _put(_rule(*BODY))
    environ = _environ(body=ORDER)
    span, ctx = _request(environ)
    span.set_attribute("user.id", "mine")
    token = context.attach(baggage.set_baggage("business.key", "own", ctx))
    environ["wsgi.input"].read()
    assert baggage.get_baggage("business.key") == "own"
    assert baggage.get_baggage("business.value") == "9.5"
    context.detach(token)
    assert span.attributes["user.id"] == "mine"
    other = baggage.set_baggage("business.transaction", "Other", ctx)
    assert carried.entries_in(other) == {"business.transaction": "Other"}
    given = _provider().get_tracer("t").start_span("x", ctx, attributes={"business.key": "mine"})
    assert given.attributes is not None
    assert given.attributes["business.key"] == "mine"


def test_a_stream_of_another_kind_is_passed_on() -> None:
    class Odd:
        extra = 5

        def read(self, size: int = -1) -> str:
            return "text"

    stream = WatchedInput(Odd())
    stream.watch = BodyWatch(lambda _: None)
    assert stream.read() == "text"
    assert stream.extra == 5
    assert not hasattr(stream, "readinto")


# ---- Where it goes

CARRIED = {"business.transaction": "Checkout", "business.key": "o-1", "business.user": "u"}
OWN = {"color": "red", "user.id": "theirs", "business.unit": "eu"}


def _sent(kind: SpanKind, attributes: dict[str, Any], **options: Any) -> set[str]:
    ctx = Context()
    for key, value in (OWN | CARRIED).items():
        ctx = baggage.set_baggage(key, value, ctx)
    span = _provider(**options).get_tracer("t").start_span("x", ctx, kind, attributes)
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, trace.set_span_in_context(span, ctx))
    return {member.partition("=")[0] for member in headers["baggage"].split(",")}


EVERYTHING = {*CARRIED, *OWN}
CLIENT, PRODUCER = SpanKind.CLIENT, SpanKind.PRODUCER


@pytest.mark.parametrize(
    ("kind", "attributes", "sent"),
    [
        (CLIENT, {"server.address": "payments"}, EVERYTHING),
        (CLIENT, {"url.full": "http://10.0.0.1:80/x"}, EVERYTHING),
        (CLIENT, {"http.url": "http://[::1]/"}, EVERYTHING),
        (CLIENT, {"server.address": "api.stripe.com", "url.full": "http://payments/"}, {*OWN}),
        (CLIENT, {"url.full": "https://localhost:x@api.stripe.com/"}, {*OWN}),
        (CLIENT, {}, {*OWN}),
        (SpanKind.SERVER, {"server.address": "payments"}, {*OWN}),
        (SpanKind.INTERNAL, {}, {*OWN}),
        (PRODUCER, {}, EVERYTHING),
        (
            PRODUCER,
            {"messaging.system": "kafka", "server.address": "kafka.example.com"},
            EVERYTHING,
        ),
        (
            PRODUCER,
            {
                "messaging.system": "aws.sqs",
                "messaging.url": "https://sqs.eu-west-1.amazonaws.com/1/q",
            },
            {*OWN},
        ),
        (
            PRODUCER,
            {"messaging.system": "aws.sqs", "messaging.url": "http://sqs:9324/q"},
            EVERYTHING,
        ),
        (PRODUCER, {"messaging.system": "aws.sns"}, {*OWN}),
    ],
)
def test_only_allowed_hosts_get_business_context(
    kind: SpanKind, attributes: dict[str, Any], sent: set[str]
) -> None:
    assert _sent(kind, attributes) == sent


@pytest.mark.parametrize(
    "own",
    [
        {"a": "x" * 4080, "b": "x" * 4080},
        {"a": "ü" * 680, "b": "ü" * 680},
        {str(number): "x" for number in range(178)},
    ],
)
def test_baggage_of_the_service_goes_first_where_there_is_no_room(own: dict[str, str]) -> None:
    ctx = Context()
    for key, value in (CARRIED | own).items():
        ctx = baggage.set_baggage(key, value, ctx)
    attributes = {"server.address": "payments"}
    span = _provider().get_tracer("t").start_span("x", ctx, CLIENT, attributes)
    assert not carried._fits(ctx)
    received = carried._without(ctx)
    assert carried._fits(received)
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, trace.set_span_in_context(span, ctx))
    assert not {*CARRIED} & {member.partition("=")[0] for member in headers["baggage"].split(",")}


def test_a_client_that_is_not_recorded_does_not_say_where_it_sends() -> None:
    assert _sent(CLIENT, {"server.address": "payments"}, sampler=ALWAYS_OFF) == {*OWN}


def test_copied_headers_are_cleaned_where_nothing_may_go() -> None:
    ctx = baggage.set_baggage("business.key", "o-1", Context())
    for text, left in (
        ("business.key=o-1,color=red;x=1, business.user=u", {"Baggage": "color=red;x=1"}),
        ("business.key=o-1", {}),
        ("color=red", {"Baggage": "color=red"}),
    ):
        headers = {"Baggage": text}
        PROPAGATOR.inject(headers, ctx)
        assert headers == left


def test_attributes_come_from_baggage_of_any_upstream() -> None:
    ctx = Context()
    for key, value in {
        **CARRIED,
        **OWN,
        "business.value": "12.5",
        "business.key": "k" * 999,
    }.items():
        ctx = baggage.set_baggage(key, value, ctx)
    assert carried.attributes_in(ctx) == {
        "business.transaction": "Checkout",
        "business.key": "k" * 256,
        "business.unit": "eu",
        "user.id": "u",
        "business.value": 12.5,
    }


def test_odd_baggage_of_the_service_does_no_harm() -> None:
    ctx = baggage.set_baggage(5, object(), Context())  # type: ignore[arg-type]
    span = _provider().get_tracer("t").start_span("x", ctx)
    assert dict(span.attributes) == {}
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, ctx)
    assert headers["baggage"].startswith("5=")


def test_an_error_of_ours_is_logged_once_and_the_request_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _put(_rule(*ALL))
    monkeypatch.setattr(rules, "_is_known", [])
    monkeypatch.setattr(bodies, "watch", lambda *_: 1 / 0)
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        assert _baggage_of(_scope("/orders/o-1")) == {}
    assert len(caplog.records) == 1
