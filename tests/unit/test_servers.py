"""Clients that begin something and do not end it, and addresses that anybody could reach."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from clew.cli import platform, servers
from clew.cli.servers import Server
from clew.cli.settings import Settings, UsageError


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the request's body, then answers."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.request":
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})


def talk(*said: bytes) -> bytes:
    """What a server answers to a client that says this and then nothing, until it hangs up."""

    async def conversation() -> bytes:
        listening = socket.create_server(("127.0.0.1", 0))
        server = Server(app, None, 1)
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            for each in said:
                writer.write(each)
                await asyncio.sleep(0.02)
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()
            server.stop()
            await serving

    return asyncio.run(conversation())


WHOLE = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
OK, TIMEOUT = b"200 OK", b"408 Request Timeout"
TOO_LARGE = b"431 Request Header Fields Too Large"


def statuses(received: bytes) -> list[bytes]:
    lines = received.split(b"\r\n")
    return [line.removeprefix(b"HTTP/1.1 ") for line in lines if line.startswith(b"HTTP/")]


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = [b"x" * 1000] * 4


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ([b"GET / HTTP/1.1\r\nhost: ", *ENDLESS], [TOO_LARGE]),
        ([b"GET / HTTP/1.1\r\n", *[b"a: %s\r\n" % each for each in ENDLESS]], [TOO_LARGE]),
        ([CHUNKED, b"0\r\na: ", *ENDLESS], [TOO_LARGE]),
        ([WHOLE, b"GET /", *ENDLESS], [OK, TOO_LARGE]),
    ],
)
def test_headers_without_end_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, said: list[bytes], answers: list[bytes]
) -> None:
    monkeypatch.setattr(servers, "HEAD", 3000)
    assert statuses(talk(*said)) == answers


def test_a_body_in_many_parts_is_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "HEAD", 300)
    monkeypatch.setattr(servers, "IDLE", 0.2)
    parts = [b"%x\r\n%s\r\n" % (len(each), each) for each in ENDLESS]
    assert statuses(talk(CHUNKED, *parts, b"0\r\n\r\n", WHOLE)) == [OK, OK]


@pytest.mark.parametrize(
    ("shortened", "said", "answers"),
    [
        ("IDLE", [], []),
        ("IDLE", [WHOLE], [OK]),
        ("IDLE", [WHOLE + WHOLE], [OK, OK]),
        ("HEADERS_WITHIN", [b"P", b"O"], [TIMEOUT]),
        ("HEADERS_WITHIN", [b"\r\n", b"\r\n"], [TIMEOUT]),
        ("HEADERS_WITHIN", [WHOLE, b"POST / "], [OK, TIMEOUT]),
        ("BODY_WITHIN", [WHOLE[:-2], b"b"], [TIMEOUT]),
        ("BODY_WITHIN", [WHOLE, WHOLE[:-1]], [OK, TIMEOUT]),
    ],
)
def test_a_client_that_stops_halfway_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, shortened: str, said: list[bytes], answers: list[bytes]
) -> None:
    monkeypatch.setattr(servers, shortened, 0.2)
    assert statuses(talk(*said)) == answers


def test_more_connections_than_there_is_room_for_are_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "_most_connections", lambda: 0)
    assert talk() == b""


def test_a_client_of_grpc_is_refused_with_a_hint_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert statuses(talk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == [b"400 Bad Request"]
    (line,) = caplog.messages
    assert line.startswith("refused a client of HTTP/2 or gRPC at 127.0.0.1:")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in line


def test_what_looks_like_http2_within_a_body_is_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "IDLE", 0.2)
    parts = (b"10\r\n", b"PRI * HTTP/2.0\r\n", b"\r\n0\r\n\r\n")
    assert statuses(talk(CHUNKED, *parts)) == [OK]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    local = ("127.0.0.1", 0)
    return Settings(tmp_path / "data", f"chdb://{tmp_path}/db", local, local, local, retention=14)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "no such host"])
@pytest.mark.parametrize("name", ["otlp_http", "otlp_grpc", "api"])
def test_an_address_that_others_can_reach_is_refused(
    settings: Settings, name: str, host: str
) -> None:
    public = dataclasses.replace(settings, **{name: (host, 0)})
    with pytest.raises(UsageError, match=rf"--{name.replace('_', '-')} .*Set --api-keys"):
        platform.run(public, platform.UP, lambda endpoints: None)
    assert not settings.data.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_an_address_of_this_machine_is_not(settings: Settings, host: str) -> None:
    platform._check_addresses(dataclasses.replace(settings, api=(host, 0)), platform.UP)


def test_only_addresses_that_are_served_are_looked_at(settings: Settings) -> None:
    platform._check_addresses(dataclasses.replace(settings, api=("0.0.0.0", 0)), platform.COLLECT)


def test_half_of_what_tls_needs_is_refused(settings: Settings, tmp_path: Path) -> None:
    half = dataclasses.replace(settings, tls_cert=tmp_path / "cert.pem")
    whole = dataclasses.replace(half, tls_key=tmp_path / "key.pem")
    for each, why in ((half, "TLS needs both"), (whole, "No such file")):
        with pytest.raises(UsageError, match=why):
            platform.run(each, platform.UP, lambda endpoints: None)


def test_an_answer_has_the_date() -> None:
    answer = talk(WHOLE + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    dates = re.findall(rb"\r\ndate: ([^\r]+)\r\n", answer)
    assert len(dates) == 2
    for date in dates:
        sent = parsedate_to_datetime(date.decode())
        assert abs(datetime.now(UTC) - sent) < timedelta(minutes=1)


def test_another_thread_stops_a_server() -> None:
    server = Server(app, None, 1)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    with socket.create_connection(listening.getsockname()) as client:
        client.sendall(WHOLE)
        assert OK in client.recv(1000)  # so it waits in its main loop, or will
        server.stop()
        thread.join(20)
    assert not thread.is_alive()


def test_a_server_that_was_stopped_before_it_served_ends() -> None:
    server = Server(app, None, 1)
    server.stop()
    asyncio.run(server.serve([socket.create_server(("127.0.0.1", 0))]))
