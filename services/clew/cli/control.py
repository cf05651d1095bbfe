"""Commands to the clew that runs on a data directory, over a Unix socket in that directory.

Only the directory's owner can open the socket, and nothing of it is on the network. A client sends
one line of JSON, the request, and gets lines of JSON; when the connection ends, the work for it
ends too. That is also how work is ended when clew stops: its connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

NAME = "clew.sock"
REQUEST_WITHIN = 10.0  # seconds from the connection to the end of the request

Request = dict[str, Any]
Answer = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serve(data: Path, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Answer requests, while this is entered: `answers` by the name of the command, which is the
    member `ask` of the request."""
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running[task] = writer
        try:
            request = json.loads(await asyncio.wait_for(reader.readline(), REQUEST_WITHIN))
            await answers[request["ask"]](request, reader, writer)
        except (ConnectionError, TimeoutError, ValueError, KeyError, TypeError):
            pass
        finally:
            writer.close()
            del running[task]

    path = data / NAME
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _reachable(path) as address:
        listening.bind(address)
    path.chmod(0o600)  # nobody can connect before it listens
    server = await asyncio.start_unix_server(answer, sock=listening)
    try:
        yield
    finally:
        server.close()
        for writer in running.values():
            writer.close()
        await asyncio.gather(*running, return_exceptions=True)
        path.unlink(missing_ok=True)


async def send_line(writer: asyncio.StreamWriter, line: Mapping[str, Any]) -> None:
    """Send one line of an answer. Raises ConnectionError when the client has gone."""
    writer.write(json.dumps(line).encode() + b"\n")
    await writer.drain()


@contextlib.contextmanager
def request_lines(data: Path, request: Request) -> Iterator[Iterator[dict[str, Any]]]:
    """Send a request; gives the lines of its answer. Raises OSError when no clew runs there,
    ValueError for a line that was cut off."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        with _reachable(data / NAME) as address:
            connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            yield (json.loads(line) for line in lines)


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A socket's address for `path`: it has room for about a hundred characters."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
