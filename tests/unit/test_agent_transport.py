"""Telemetry is posted until it is taken, until it is refused, or until time is up."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from clew.agent.transport import Client, configured_client
from support.certificates import make_certificate


class Post(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes
    port: int  # of the client: which connection it was


class Receiver:
    """Answers each request with the next of `answers`, a status with headers; 200 after them."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.posts: list[Post] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posts.append(Post(self.path, headers, body, self.client_address[1]))
                status, fields = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in {"content-length": "2", **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as receiver:
        yield receiver


@contextlib.contextmanager
def serving(receiver: Receiver) -> Iterator[Receiver]:
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join(30)


@pytest.fixture
def client(receiver: Receiver) -> Iterator[Client]:
    client = Client(f"{receiver.url}/v1/traces", {"authorization": "Bearer x"}, timeout_s=60)
    yield client
    client.shutdown()


def test_posts_over_one_connection(receiver: Receiver, client: Client) -> None:
    assert client.send(b"first")
    assert client.send(b"second")
    first, second = receiver.posts
    assert (first.path, first.body, second.body) == ("/v1/traces", b"first", b"second")
    assert first.headers["content-type"] == "application/x-protobuf"
    assert first.headers["authorization"] == "Bearer x"
    assert first.port == second.port


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_posts_again_when_the_receiver_asks_to(
    receiver: Receiver, client: Client, status: int
) -> None:
    receiver.answers = [(status, {"retry-after": "0"})] * 3
    assert client.send(b"data")
    assert [post.body for post in receiver.posts] == [b"data"] * 4


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 500])
def test_posts_once_what_is_refused(
    receiver: Receiver, client: Client, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [(status, {})]
    assert not client.send(b"data")
    assert len(receiver.posts) == 1
    assert f"{receiver.url}/v1/traces: {status}" in caplog.text
    assert client.send(b"next")


def test_gives_up_after_six_times(receiver: Receiver, client: Client) -> None:
    receiver.answers = [(503, {"retry-after": "0"})] * 20
    assert not client.send(b"data")
    assert len(receiver.posts) == 6


@pytest.mark.parametrize("text", ["61", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_does_not_wait_longer_than_its_timeout(receiver: Receiver, text: str) -> None:
    client = Client(receiver.url, {}, timeout_s=60 if text == "61" else 0.5)
    receiver.answers = [(503, {"retry-after": text})]
    assert not client.send(b"data")
    assert len(receiver.posts) == 1
    client.shutdown()


def test_shutdown_ends_the_wait(receiver: Receiver, client: Client) -> None:
    receiver.answers = [(503, {"retry-after": "59"})]
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(client.send(b"data")))
    thread.start()
    deadline = time.monotonic() + 30
    while not receiver.posts and time.monotonic() < deadline:
        time.sleep(0.01)
    client.shutdown()
    thread.join(50)
    assert results == [False]


def test_a_connection_that_the_receiver_closed_is_opened_again(
    receiver: Receiver, client: Client
) -> None:
    assert client.send(b"first")
    connection = client._connection
    assert connection is not None
    connection.sock.shutdown(socket.SHUT_RDWR)
    assert client.send(b"second")
    assert [post.body for post in receiver.posts] == [b"first", b"second"]


def test_a_forked_process_has_a_connection_of_its_own(receiver: Receiver, client: Client) -> None:
    assert client.send(b"first")
    client._sending.acquire()  # by a thread that does not run in the child
    client._process = -1
    assert client.send(b"second")
    assert receiver.posts[0].port != receiver.posts[1].port


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://[::1", "127.0.0.1:4318", "ftp://host/", "http://host:x/"]
)
def test_an_address_without_a_receiver(url: str, caplog: pytest.LogCaptureFixture) -> None:
    try:
        client = Client(url, {}, timeout_s=0.1)
    except ValueError:
        return  # the exporter cannot be made
    assert not client.send(b"data")
    assert caplog.records


def test_a_receiver_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", {}, timeout_s=0.1)
        assert not client.send(b"data")
        client.shutdown()
    assert "timed out" in caplog.text.lower()


def test_certificates_are_checked(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    with serving(Receiver(tmp_path)) as receiver:
        receiver.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        unknown = configured_client("logs", environ | {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"})
        assert not unknown.send(b"data")
        known = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "cert.pem")}
        client = configured_client("logs", environ | known)
        assert client.send(b"data")
        assert client.send(b"more")
        client.shutdown()
        assert [post.path for post in receiver.posts] == ["/v1/logs"] * 2


def test_too_large_a_request_is_not_posted(receiver: Receiver, client: Client) -> None:
    assert not client.send(bytes(64 * 1024 * 1024 + 1))
    assert not receiver.posts


def test_compression(receiver: Receiver) -> None:
    for name, restore in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        client = Client(receiver.url, {}, compression=name)
        assert client.send(b"x" * 1000)
        client.shutdown()
        post = receiver.posts[-1]
        assert post.headers["content-encoding"] == name
        assert restore(post.body) == b"x" * 1000


def test_settings(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.url}/base/",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{receiver.url}/logs?a=b",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,other=1",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "authorization=Bearer y",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "soon",
    }
    for signal in ("traces", "logs", "metrics"):
        client = configured_client(signal, environ)
        assert client.send(b"data")
        client.shutdown()
    traces, logs, metrics = receiver.posts
    assert [post.path for post in receiver.posts] == [
        "/base/v1/traces", "/logs?a=b", "/base/v1/metrics",
    ]  # fmt: skip
    assert traces.headers["authorization"] == "Bearer x"
    assert traces.headers["other"] == "1"
    assert "content-encoding" not in logs.headers
    assert metrics.headers["authorization"] == "Bearer y"
    assert metrics.headers["content-encoding"] == "gzip"
    assert "soon" in caplog.text
