"""One odd item of many: it is mended or rejected alone, and its neighbours are stored as sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.collector import ids, mending, otlp
from clew.collector.mending import LEVELS

NOW = 1_800_000_000_123_456_789
TIME = 1_700_000_000_000_000_001
PLACEHOLDER = "@@@@"  # is replaced by bytes that no message can hold


def span(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": name,
        "startTimeUnixNano": str(TIME),
        "endTimeUnixNano": str(TIME + 1),
    } | fields


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"timeUnixNano": str(TIME), "severityText": name} | fields


def point(name: str, **fields: Any) -> dict[str, Any]:
    return {"timeUnixNano": str(TIME), "asInt": "1", "attributes": attributes(name=name)} | fields


def attributes(**values: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def document(signal: str, items: list[Any], resource: str = "shop") -> dict[str, Any]:
    holder: dict[str, Any] = {"attributes": attributes(**{"service.name": resource})}
    match signal:
        case "traces":
            return {"resourceSpans": [{"resource": holder, "scopeSpans": [{"spans": items}]}]}
        case "logs":
            return {"resourceLogs": [{"resource": holder, "scopeLogs": [{"logRecords": items}]}]}
        case _:
            metric = {"name": "m", "gauge": {"dataPoints": items}}
            return {
                "resourceMetrics": [{"resource": holder, "scopeMetrics": [{"metrics": [metric]}]}]
            }


def encode(signal: str, content: dict[str, Any]) -> bytes:
    text = json.dumps(content)
    return bytes(
        json_format.ParseDict(
            mending.read_json(text.encode()), otlp.MESSAGES[signal].request()
        ).SerializeToString()
    )


def as_protobuf(signal: str, content: dict[str, Any], odd: bytes = b"\xff\xfe\xc3(") -> otlp.Batch:
    body = encode(signal, content).replace(PLACEHOLDER.encode(), odd)
    return otlp.decode_protobuf(signal, body, NOW)


def as_json(signal: str, content: dict[str, Any], odd: bytes = b"\xff\xfe\xc3(") -> otlp.Batch:
    body = json.dumps(content).encode().replace(PLACEHOLDER.encode(), odd)
    return otlp.decode_json(signal, body, NOW)


def as_surrogate(signal: str, content: dict[str, Any]) -> otlp.Batch:
    return as_json(signal, content, rb"\ud83d")


def items_of(signal: str, batch: otlp.Batch) -> list[Any]:
    request = otlp.MESSAGES[signal].request.FromString(batch.body)
    assert otlp.MESSAGES[signal].count(request) == batch.items
    match signal:
        case "traces":
            return [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]
        case "logs":
            return [s for r in request.resource_logs for c in r.scope_logs for s in c.log_records]
        case _:
            return [
                point
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in getattr(metric, metric.WhichOneof("data")).data_points
            ]


def nested(levels: int, kind: str = "arrayValue") -> dict[str, Any]:
    value: dict[str, Any] = {"stringValue": "deepest"}
    for _ in range(levels):
        inner = [value] if kind == "arrayValue" else [{"key": "k", "value": value}]
        value = {kind: {"values": inner}}
    return value


ITEM: dict[str, Callable[..., dict[str, Any]]] = {"traces": span, "logs": record, "metrics": point}
DECODERS = (as_protobuf, as_json, as_surrogate)


@pytest.mark.parametrize("signal", ITEM)
@pytest.mark.parametrize("decode", DECODERS)
def test_text_that_is_not_utf_8_costs_one_item_its_text(
    signal: str, decode: Callable[..., otlp.Batch]
) -> None:
    item = ITEM[signal]
    odd = item("odd", attributes=attributes(x=f"before {PLACEHOLDER} after"))
    good = [item(f"good {number}") for number in range(9)]
    batch = decode(signal, document(signal, [*good[:4], odd, *good[4:]]))
    stored = items_of(signal, batch)
    assert (batch.items, batch.rejected, batch.mended) == (10, {}, 1)
    text = stored.pop(4).attributes[0].value.string_value
    assert text.startswith("before \ufffd")
    assert text.endswith(" after")
    assert stored == items_of(signal, as_protobuf(signal, document(signal, good)))
    response = json.loads(otlp.response_body(signal, batch, as_json=True))
    assert response == {"partialSuccess": {"errorMessage": batch.message}}


@pytest.mark.parametrize("decode", DECODERS)
def test_text_of_a_resource_is_mended_for_all_its_items(decode: Callable[..., otlp.Batch]) -> None:
    content = document("traces", [span("a"), span("b")], f"caf{PLACEHOLDER}")
    content["resourceSpans"] += document("traces", [span("c")])["resourceSpans"]
    batch = decode("traces", content)
    assert (batch.items, batch.mended) == (3, 2)
    request = otlp.MESSAGES["traces"].request.FromString(batch.body)
    names = [entry.resource.attributes[0].value.string_value for entry in request.resource_spans]
    assert names[0].startswith("caf\ufffd")
    assert names[1] == "shop"


@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
@pytest.mark.parametrize("levels", [LEVELS, 31, 60, 120])
def test_json_nested_too_deeply_is_cut(levels: int, kind: str) -> None:
    odd = span("odd", attributes=[{"key": "deep", "value": nested(levels, kind)}])
    batch = as_json("traces", document("traces", [span("a"), odd, span("b")]))
    assert (batch.items, batch.rejected) == (3, {})
    if levels == LEVELS:
        assert batch.mended == 0
        assert b"deepest" in batch.body
    elif levels > 46:
        assert batch.mended == 1
        assert "\ufffd".encode() in batch.body


def test_json_that_no_parser_can_follow_is_cut() -> None:
    deep = b'{"arrayValue":{"values":[' * 20_000 + b"]}}" * 20_000
    content = document("logs", [record("a"), record("odd", body=PLACEHOLDER), record("b")])
    body = json.dumps(content).encode().replace(f'"{PLACEHOLDER}"'.encode(), deep)
    batch = otlp.decode_json("logs", body, NOW)
    assert (batch.items, batch.rejected, batch.mended) == (3, {}, 1)


@pytest.mark.parametrize("levels", [49, 60, 20_000])
def test_protobuf_nested_too_deeply_is_cut(levels: int) -> None:
    value = b"\x0a\x07deepest"
    for _ in range(levels):  # AnyValue { array_value { values { … } } }
        value = b"\x0a" + mending._encode_varint(len(value)) + value
        value = b"\x2a" + mending._encode_varint(len(value)) + value
    body = b""
    for number, content in ((5, value), (2, body), (2, body), (1, body)):
        body = content or body
        body = bytes([number << 3 | 2]) + mending._encode_varint(len(body)) + body
    good = encode("logs", document("logs", [record("a")]))
    batch = otlp.decode_protobuf("logs", good + body, NOW)
    assert (batch.items, batch.rejected, batch.mended) == (2, {}, 1)
    assert "\ufffd".encode() in batch.body


@pytest.mark.parametrize("decode", [as_protobuf, as_json])
@pytest.mark.parametrize(
    ("signal", "item", "times"),
    [
        ("traces", span("x", startTimeUnixNano="0"), {"start": TIME + 1, "end": TIME + 1}),
        ("traces", span("x", endTimeUnixNano="0"), {"start": TIME, "end": TIME}),
        *(
            ("traces", span("x", startTimeUnixNano=none, endTimeUnixNano=none),
             {"start": NOW, "end": NOW})
            for none in ("0", None)
        ),
        ("logs", record("x", timeUnixNano="0"), {"time": NOW, "observed": NOW}),
        ("metrics", point("x", timeUnixNano="0"), {"time": NOW}),
    ],
)  # fmt: skip
def test_a_missing_time_is_set(
    signal: str, item: dict[str, Any], times: dict[str, int], decode: Callable[..., otlp.Batch]
) -> None:
    good = ITEM[signal]("good")
    batch = decode(signal, document(signal, [good, item, good]))
    assert (batch.items, batch.rejected, batch.mended) == (3, {}, 1)
    names = {"start": "start_time", "end": "end_time", "time": "time", "observed": "observed_time"}
    stored = items_of(signal, batch)[1]
    assert {name: getattr(stored, f"{names[name]}_unix_nano") for name in times} == times


def test_a_time_that_is_sent_as_zero_is_missing() -> None:
    body = encode("metrics", document("metrics", [point("x"), point("x")]))
    zero = body.replace(TIME.to_bytes(8, "little"), bytes(8), 1)
    assert otlp.decode_protobuf("metrics", zero, NOW).mended == 1


@pytest.mark.parametrize("kind", ids.POINT_KINDS)
def test_a_point_of_any_kind_without_a_time_gets_that_of_receipt(kind: str) -> None:
    request = otlp.MESSAGES["metrics"].request()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=kind)
    getattr(metric, kind).data_points.add()
    batch = otlp.decode_protobuf("metrics", request.SerializeToString(), NOW)
    assert [point.time_unix_nano for point in items_of("metrics", batch)] == [NOW]


def test_a_record_with_only_an_observed_time_is_complete() -> None:
    observed = {"observedTimeUnixNano": str(TIME)}
    for odd in (record("x", timeUnixNano="0", **observed), record("x", **observed)):
        content = document("logs", [record("a"), odd, record("b", **observed)])
        batch = as_protobuf("logs", content)
        assert batch == otlp.Batch(encode("logs", content), 3)


@pytest.mark.parametrize(
    "odd",
    [
        span("x", kind={}),
        span("x", attributes=[{"key": "n", "value": {"intValue": str(1 << 64)}}]),
        span("x", attributes=[None]),
        *("no span", None, 7, []),
    ],
)
def test_json_that_fits_no_item_is_rejected_alone(odd: Any) -> None:
    batch = as_json("traces", document("traces", [span("a"), odd, span("b")]))
    assert [item.name for item in items_of("traces", batch)] == ["a", "b"]
    assert sum(batch.rejected.values()) == 1
    assert "1 rejected" in batch.message


def test_items_of_a_resource_that_cannot_be_parsed_are_rejected() -> None:
    content = document("metrics", [point("a"), point("b")])
    content["resourceMetrics"][0]["resource"] = {"attributes": 5}
    content["resourceMetrics"] += document("metrics", [point("c")])["resourceMetrics"]
    batch = as_json("metrics", content)
    assert (batch.items, batch.rejected) == (1, {"malformed": 2})


def test_an_item_that_is_cut_off_is_rejected_alone() -> None:
    body = encode("traces", document("traces", [span("cut"), span("a")]))
    batch = otlp.decode_protobuf("traces", body.replace(b"\x2a\x03cut", b"\x2a\x7fcut"), NOW)
    assert [item.name for item in items_of("traces", batch)] == ["a"]
    assert batch.rejected == {"malformed": 1}


def test_an_item_with_two_faults_is_counted_once() -> None:
    odd = span(f"x{PLACEHOLDER}", startTimeUnixNano="0")
    for decode in DECODERS:
        batch = decode("traces", document("traces", [odd, span("a")]))
        assert (batch.items, batch.mended) == (2, 1)
        assert batch.message.count("1 stored") == 2


def test_mended_bodies_are_valid() -> None:
    content = document("logs", [record(f"x{PLACEHOLDER}", timeUnixNano="0")])
    body = as_protobuf("logs", content).body
    assert otlp.decode_protobuf("logs", body) == otlp.Batch(body, 1)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_happens_to_the_bytes_of_one_item_its_neighbours_are_stored(
    data: st.DataObject,
) -> None:
    signal = data.draw(st.sampled_from(sorted(ITEM)))
    messages = otlp.MESSAGES[signal]
    good = [ITEM[signal](f"good {number}") for number in range(3)]
    request = messages.outline.FromString(encode(signal, document(signal, good)))
    items = request
    for name in ("resource_spans", "resource_logs", "resource_metrics"):
        items = getattr(items, name)[0] if hasattr(items, name) else items
    for name in ("scope_spans", "scope_logs", "scope_metrics", "metrics"):
        items = getattr(items, name)[0] if hasattr(items, name) else items
    items = items.gauge if signal == "metrics" else items
    for name in mending.ITEMS:
        items = getattr(items, name) if hasattr(items, name) else items
    odd = bytearray(items[1])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(odd) - 1))
        odd[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not odd:
            break
    items[1] = bytes(odd)
    body = request.SerializeToString()
    batch = otlp.decode_protobuf(signal, body, NOW)
    stored = items_of(signal, batch)
    assert batch.items + sum(batch.rejected.values()) == 3
    names = [name for name in map(str, stored) if "good 0" in name or "good 2" in name]
    assert len(names) >= 2
    try:
        messages.request.FromString(body)
    except DecodeError:
        assert batch.mended or batch.rejected


@settings(deadline=None, max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.sampled_from(
        ("name", "attributes", "startTimeUnixNano", "traceId", "events", "status", "x")
    ),
)
def test_whatever_a_member_of_one_json_item_is_its_neighbours_are_stored(
    value: Any, member: str
) -> None:
    odd = span("odd") | {member: value}
    batch = as_json("traces", document("traces", [span("good 0"), odd, span("good 2")]))
    assert batch.items + sum(batch.rejected.values()) == 3
    names = [item.name for item in items_of("traces", batch)]
    assert (names[0], names[-1]) == ("good 0", "good 2")


def test_base64_is_not_taken_for_an_id() -> None:
    odd = span("odd", traceId=base64.b64encode(b"t" * 16).decode())
    batch = as_json("traces", document("traces", [span("a"), odd]))
    assert (batch.items, batch.rejected) == (1, {"invalid_trace_id": 1})


def test_the_name_of_a_field_that_is_not_text_is_an_unknown_field() -> None:
    """Protobuf raises a SystemError for such a name, in a message around items and in an item."""
    body = json.dumps(document("traces", [span("good"), span("odd", **{"x@@": 1})])).encode()
    around = body.replace(b'"resource": ', b'"\xb7x": 1, "resource": ')
    for odd in (body.replace(b"x@@", b"\xb7"), around):
        batch = otlp.decode_json("traces", odd, NOW)
        assert (batch.items, batch.rejected) == (2, {})
