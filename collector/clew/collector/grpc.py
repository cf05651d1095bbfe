"""OTLP over gRPC. Requests arrive as bytes and are decoded as those over HTTP are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from clew.access import AccessError, Authenticator, Forbidden, bearer_key
from clew.collector import otlp
from clew.collector.http import LARGE_BODY, UNAVAILABLE, Append
from clew.collector.inflating import MAX_BODY, BadRequest
from clew.collector.limits import (
    RETRY_AFTER,
    InFlight,
    NoTally,
    Overloaded,
    Tally,
)

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
HANDSHAKE_TIMEOUT = 30  # seconds, TLS and HTTP/2
IDLE_TIMEOUT = 300  # seconds that a connection may be without a request
WITHOUT_KEYS = Authenticator()
GRACE = 2.0  # seconds for open requests when the server stops


class GrpcReceiver:
    """The gRPC server. `append` returns once a batch of a signal is on disk, or raises Overloaded.

    gRPC itself refuses a request over the size limit, with RESOURCE_EXHAUSTED."""

    def __init__(
        self,
        append: Append,
        in_flight: InFlight,
        tally: Tally | None = None,
        authenticator: Authenticator = WITHOUT_KEYS,
    ) -> None:
        self._append = append
        self._in_flight = in_flight
        self._tally = tally or NoTally()
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_BODY),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT * 1000),
                ("grpc.max_connection_idle_ms", IDLE_TIMEOUT * 1000),
                ("grpc.so_reuseport", 0),
            ]
        )
        methods = {
            method: grpc.unary_unary_rpc_method_handler(self._export(signal))
            for method, signal in METHODS.items()
        }
        self._server.add_generic_rpc_handlers((_Methods(methods, authenticator),))

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Serve on `host:port`; returns the port in use. Raises OSError."""
        try:
            port: int = (
                self._server.add_secure_port(address, credentials)
                if credentials
                else self._server.add_insecure_port(address)
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} for OTLP over gRPC: {error}") from error
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Accept no more requests, and give the open ones GRACE seconds."""
        await self._server.stop(GRACE)

    def _export(self, signal: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(body: bytes, context: Any) -> bytes:
            try:
                with self._in_flight.request() as request:
                    request.take(2 * len(body))  # as received, and as it waits to be written
                    if len(body) < LARGE_BODY:
                        batch = otlp.decode_protobuf(signal, body)
                    else:
                        batch = await asyncio.to_thread(otlp.decode_protobuf, signal, body)
                    if batch.items:
                        await self._append(signal, batch)
            except BadRequest as error:
                self._tally.count_unreadable(signal)
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except Overloaded as error:
                self._tally.count_refused(signal)
                await _abort_unavailable(context, str(error))
            if batch.rejected:
                self._tally.count_rejected(signal, batch.rejected)
            if batch.mended:
                self._tally.count_mended(signal, batch.mended)
            return otlp.response_body(signal, batch)

        return export


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handler of a method and checks the key, before the message is read."""

    def __init__(self, methods: Mapping[str, Any], authenticator: Authenticator) -> None:
        self._methods = methods
        self._authenticator = authenticator

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handler = self._methods.get(details.method)
        if handler is None:
            return None
        authorization = dict(details.invocation_metadata).get("authorization", "")
        try:
            principal = self._authenticator.authenticate(bearer_key(authorization))
            principal.require("ingest")
        except AccessError as error:
            return _denial(error)
        return handler


def _denial(error: AccessError) -> Any:
    """A handler that refuses the request."""
    status = grpc.StatusCode.UNAUTHENTICATED
    if isinstance(error, Forbidden):
        status = grpc.StatusCode.PERMISSION_DENIED

    async def deny(messages: Any, context: Any) -> NoReturn:
        await context.abort(status, str(error))
        raise AssertionError("abort does not return")

    # Declared as a stream so that gRPC does not read the message first.
    return grpc.stream_unary_rpc_method_handler(deny)


async def _abort_unavailable(context: Any, message: str) -> NoReturn:
    """UNAVAILABLE with RetryInfo, as OTLP specifies it."""
    retry = RetryInfo()
    retry.retry_delay.FromSeconds(RETRY_AFTER)
    detail = AnyMessage()
    detail.Pack(retry)
    status = Status(code=UNAVAILABLE, message=message, details=[detail])
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, metadata)
    raise AssertionError("abort does not return")
