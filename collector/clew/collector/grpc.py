"""OTLP over gRPC: the same decoding, the same spool; a request stays bytes until it is checked."""

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
from clew.collector.limits import (
    RETRY_AFTER,
    InFlight,
    NoTally,
    Overloaded,
    Tally,
)
from clew.collector.otlp import Refused

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
HANDSHAKE_WITHIN = 30  # seconds, TLS and HTTP/2
IDLE = 300  # seconds that a connection may be without a request
OPEN_TO_ALL = Authenticator()
GRACE = 2.0  # seconds for the requests that are being answered when the server stops


class GrpcReceiver:
    """The gRPC server. `append` puts a batch where it is safe, or raises Overloaded.

    A request over the size limit is refused by gRPC itself, as RESOURCE_EXHAUSTED."""

    def __init__(
        self,
        append: Append,
        in_flight: InFlight,
        tally: Tally | None = None,
        authenticator: Authenticator = OPEN_TO_ALL,
    ) -> None:
        self._append = append
        self._in_flight = in_flight
        self._tally = tally or NoTally()
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", otlp.MAX_BODY),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_WITHIN * 1000),
                ("grpc.max_connection_idle_ms", IDLE * 1000),
                ("grpc.so_reuseport", 0),
            ]
        )
        methods = {
            method: grpc.unary_unary_rpc_method_handler(self._export(signal))
            for method, signal in METHODS.items()
        }
        self._server.add_generic_rpc_handlers((_Methods(methods, authenticator),))

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Serve on `host:port`; the port in use. Raises OSError when it cannot be had."""
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
        await self._server.stop(GRACE)

    def _export(self, signal: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(body: bytes, context: Any) -> bytes:
            try:
                with self._in_flight.request() as request:
                    request.take(2 * len(body))  # as it came, and as it waits for the disk
                    if len(body) < LARGE_BODY:
                        batch = otlp.decode_protobuf(signal, body)
                    else:
                        batch = await asyncio.to_thread(otlp.decode_protobuf, signal, body)
                    if batch.items:
                        await self._append(signal, batch)
            except Refused as error:
                self._tally.unreadable(signal)
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except Overloaded as error:
                self._tally.refused(signal)
                await _abort_for_now(context, str(error))
            if batch.rejected:
                self._tally.rejected(signal, batch.rejected)
            return otlp.answer(signal, batch)

        return export


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds a request's handler, before its message is read. There is none for other methods."""

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
            return _denying(error)
        return handler


def _denying(error: AccessError) -> Any:
    status = grpc.StatusCode.UNAUTHENTICATED
    if isinstance(error, Forbidden):
        status = grpc.StatusCode.PERMISSION_DENIED

    async def deny(messages: Any, context: Any) -> NoReturn:
        await context.abort(status, str(error))
        raise AssertionError("abort does not return")

    # Declared as a stream, of which it reads nothing.
    return grpc.stream_unary_rpc_method_handler(deny)


async def _abort_for_now(context: Any, message: str) -> NoReturn:
    """UNAVAILABLE, and when to try again, as the specification wants it."""
    retry = RetryInfo()
    retry.retry_delay.FromSeconds(RETRY_AFTER)
    detail = AnyMessage()
    detail.Pack(retry)
    status = Status(code=UNAVAILABLE, message=message, details=[detail])
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, metadata)
    raise AssertionError("abort does not return")
