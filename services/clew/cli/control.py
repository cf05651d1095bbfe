"""Asking the clew that runs on a data directory, over a socket in it.

None but the directory's owner can open it, and nothing of it is on the network. Whoever connects
sends one line of JSON and gets lines of JSON; the connection's end, whatever ended it, ends what
was asked for.
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
ASKED_WITHIN = 10.0  # seconds

Request = dict[str, Any]
Answer = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serve(data: Path, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Answer those who connect, by what they `ask` for."""
    asked: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        asked.add(task)
        try:
            request = json.loads(await asyncio.wait_for(reader.readline(), ASKED_WITHIN))
            await answers[request["ask"]](request, reader, writer)
        except (ConnectionError, TimeoutError, ValueError, KeyError, TypeError):
            pass
        finally:
            writer.close()
            asked.discard(task)

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
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        path.unlink(missing_ok=True)


async def say(writer: asyncio.StreamWriter, what: Mapping[str, Any]) -> None:
    """One line of an answer. Raises ConnectionError when nobody is there any more."""
    writer.write(json.dumps(what).encode() + b"\n")
    await writer.drain()


@contextlib.contextmanager
def asked(data: Path, request: Request) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines that answer the request. Raises OSError when nobody answers, ValueError for a line
    that was cut off."""
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
