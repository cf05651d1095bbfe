"""A copy of the embedded engine's tables as they were at one instant, and the way back.

    backup = a directory, or a tar file of it:
        db/…              the engine's directory: parts of every table, and what describes them
        manifest.json     written last: without it, the rest is half a backup

Parts never change once they are written, so the instant costs a hard link for each of their files;
copying them takes its time while the engine goes on.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

import xxhash
from clickhouse_connect.driver.client import Client

from clew.storage.errors import BackupError
from clew.storage.files import sync_directory
from clew.storage.ingest import SIGNALS
from clew.storage.store import Store

FORMAT = 1
ATTEMPTS = 5
MANIFEST = "manifest.json"
PARTIAL = ".partial"
CHUNK = 1 << 20
_FROZEN = "clew_backup_"  # letters that the engine writes into a path as they are


@contextmanager
def frozen(
    store: Store, paused: Callable[[], AbstractContextManager[object]]
) -> Iterator[dict[str, Any]]:
    """Hold on to the tables as they are now; what to copy, from where, while this is entered.

    Nothing may be inserted while `paused` is entered: then side tables agree with their base, and
    every segment is in as a whole or not at all."""
    if store.directory is None:
        raise BackupError("clew backup is for the embedded engine: a server has BACKUP of its own")
    directory = store.directory / "shadow" / f"{_FROZEN}{secrets.token_hex(4)}"
    try:
        with paused():
            rows = _freeze(store, directory.name)
            _describe(store.directory, directory)
        parts = sum(int(count.read_text()) for count in directory.rglob("count.txt"))
        if parts < sum(rows.values()):
            raise BackupError(f"the engine froze {parts} of {sum(rows.values())} rows")
        yield {
            "format": FORMAT,
            "clew": version("clew"),
            "directory": str(directory),
            "rows": rows,
            "files": {
                str(path.relative_to(directory)): path.stat().st_size
                for path in sorted(directory.rglob("*"))
                if path.is_file() and not path.is_symlink()
            },
            "links": {
                str(path.relative_to(store.directory)): str(path.readlink())
                for path in (store.directory / "metadata" / "otel", *_links(store.directory))
                if path.is_symlink()
            },
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def let_go(store: Store) -> None:
    """Remove what a process that was killed in a backup held on to."""
    if store.directory is not None:
        for directory in (store.directory / "shadow").glob(f"{_FROZEN}*"):
            shutil.rmtree(directory, ignore_errors=True)


def _freeze(store: Store, name: str) -> dict[str, int]:
    """Hard links to every part under shadow/<name>; the rows of the base tables."""
    with store.client() as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = 'otel' AND engine LIKE '%MergeTree'"
        ).result_rows
        for _ in range(ATTEMPTS):
            before = _rows(client)
            for (table,) in tables:
                client.command(f"ALTER TABLE otel.{table} FREEZE WITH NAME '{name}'")
            if _rows(client) == before:
                return before
            # Not all comes through the loader: clew's own metrics, other writers.
            shutil.rmtree(store.directory / "shadow" / name)  # type: ignore[operator]
    raise BackupError("somebody else writes into the tables all the time: stop that meanwhile")


def _rows(client: Client) -> dict[str, int]:
    base = [table for signal in SIGNALS.values() for table in signal.tables]
    return {table: _count(client, table) for table in base}


def _count(client: Client, table: str) -> int:
    count = "SELECT count() FROM otel.{table:Identifier}"
    return int(str(client.command(count, parameters={"table": table})))


def _describe(database: Path, directory: Path) -> None:
    """What the engine needs besides parts: the statements that made tables and functions."""
    described = [
        *(database / "metadata").glob("*.sql"),
        *(database / "metadata" / "otel").resolve().glob("*.sql"),
        *(database / "user_defined").glob("*.sql"),
        *(database / "data" / "otel").glob("*/format_version.txt"),
    ]
    for path in described:
        path = path.resolve()
        copy = directory / path.relative_to(database)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _links(database: Path) -> Iterator[Path]:
    yield from sorted((database / "data" / "otel").iterdir())


def write(manifest: dict[str, Any], target: Path) -> None:
    """Copy what is frozen to `target`: a tar file if its name ends in .tar, else a directory.

    It has that name only when it is complete and on the disk. Raises BackupError."""
    if target.exists():
        raise BackupError(f"{target} exists: a backup is written to a new file or directory")
    source = Path(manifest["directory"])
    partial = target.with_name(target.name + PARTIAL)
    try:
        _remove(partial)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _TarWriter(partial) if target.suffix == ".tar" else _DirectoryWriter(partial) as out:
            files = {}
            for name, size in manifest["files"].items():
                with (source / name).open("rb") as file:
                    files[name] = [size, out.add(f"db/{name}", file, size)]
            complete = manifest | {"files": files}
            del complete["directory"]
            out.finish(json.dumps(complete, indent=1).encode())
        partial.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        with suppress(OSError):
            _remove(partial)
        raise BackupError(f"{target} cannot be written: {error}") from error


def restore(source: Path, directory: Path) -> dict[str, int]:
    """Make the engine's directory from a backup, and count its rows: by table.

    `directory` must not be there yet, and is there only when all of it is as it was."""
    partial = directory.with_name(directory.name + PARTIAL)
    for path in (directory, partial):
        if path.exists():
            raise BackupError(f"{path} exists: restore into an empty --data directory")
    try:
        with _reader(source) as backup:
            _extract(backup, partial)
            rows: dict[str, int] = backup.manifest["rows"]
        _check(partial, rows)
        partial.rename(directory)
        sync_directory(directory.parent)
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{source} cannot be restored: {error}") from error
    finally:
        _remove(partial)
    return rows


def _extract(backup: _Reader, directory: Path) -> None:
    for name, (size, digest) in backup.manifest["files"].items():
        path = directory / _inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with backup.open(f"db/{name}") as file, path.open("xb") as out:
            if (copied := _copy(file, out)) != (size, digest):
                raise BackupError(f"{name} is not what was backed up: {copied[0]} of {size} bytes")
            out.flush()
            os.fsync(out.fileno())
    for name, to in backup.manifest["links"].items():
        path = directory / _inside(name)
        if not (path.parent / to).resolve().is_relative_to(directory.resolve()):
            raise BackupError(f"a link in it leads out of it: {name} to {to}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to)
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            sync_directory(path)


def _check(directory: Path, rows: dict[str, int]) -> None:
    """Have the engine open it and count. Retention is for the next start to set: it may be longer
    than it was, and until then nothing may go."""
    with closing(Store(f"chdb://{directory.resolve()}")) as store, store.client() as client:
        client.command("SYSTEM STOP MERGES")
        known = {table for signal in SIGNALS.values() for table in signal.tables}
        for table, expected in rows.items():
            if table not in known:
                raise BackupError(f"it has a table that this clew does not know: {table!r}")
            found = _count(client, table)
            if found != expected:
                raise BackupError(f"{found} of {expected} rows of {table} are there")
        kept = client.query(
            "SELECT name FROM system.tables WHERE database = 'otel' AND engine LIKE '%MergeTree' "
            "AND create_table_query LIKE '% TTL %'"
        ).result_rows
        for (table,) in kept:
            client.command(
                "ALTER TABLE otel.{table:Identifier} REMOVE TTL", parameters={"table": table}
            )


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BackupError(f"a name in it leads out of it: {name!r}")
    return path


class _Writer(Protocol):
    def add(self, name: str, file: BinaryIO, size: int) -> str: ...

    def finish(self, manifest: bytes) -> None: ...

    def __enter__(self) -> _Writer: ...

    def __exit__(self, *error: object) -> None: ...


class _DirectoryWriter:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700)

    def __enter__(self) -> _DirectoryWriter:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            copied, digest = _copy(file, out)
            out.flush()
            os.fsync(out.fileno())
        _expect(name, copied, size)
        return digest

    def finish(self, manifest: bytes) -> None:
        with (self._directory / MANIFEST).open("xb") as out:
            out.write(manifest)
            out.flush()
            os.fsync(out.fileno())
        for path in (self._directory, *self._directory.rglob("*")):
            if path.is_dir():
                sync_directory(path)


class _TarWriter:
    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w")

    def __enter__(self) -> _TarWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        info = tarfile.TarInfo(name)
        info.size = size
        hashing = _Hashing(file)
        self._tar.addfile(info, hashing)
        _expect(name, hashing.size, size)
        return hashing.digest()

    def finish(self, manifest: bytes) -> None:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(manifest)
        self._tar.addfile(info, io.BytesIO(manifest))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())


class _Reader:
    """A backup, from a directory or a tar file."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._tar = None if source.is_dir() else tarfile.open(source)  # noqa: SIM115
        self.manifest: dict[str, Any] = {}

    def open(self, name: str) -> BinaryIO:
        if self._tar is None:
            return (self._source / name).open("rb")
        file = self._tar.extractfile(name)
        if file is None:
            raise BackupError(f"{name} in it is not a file")
        return file  # type: ignore[return-value]

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()


@contextmanager
def _reader(source: Path) -> Iterator[_Reader]:
    try:
        reader = _Reader(source)
        with closing(reader):
            with reader.open(MANIFEST) as file:
                reader.manifest = json.load(file)
            made = reader.manifest["format"]
            if made != FORMAT:
                raise BackupError(f"{source} has format {made}: install the clew that wrote it")
            yield reader
    except FileNotFoundError as error:
        if source.exists():
            raise BackupError(_HALF.format(source)) from error
        raise BackupError(f"there is no {source}") from error
    except (KeyError, tarfile.ReadError, EOFError) as error:
        raise BackupError(_HALF.format(source)) from error


_HALF = "{} is no complete backup: it has no manifest, or files of it are missing"


class _Hashing:
    """Reads from a file, and knows the size and xxh3 of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = xxhash.xxh3_64()
        self.size = 0

    def read(self, size: int = CHUNK) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def _copy(file: BinaryIO, out: BinaryIO) -> tuple[int, str]:
    hashing = _Hashing(file)
    while data := hashing.read():
        out.write(data)
    return hashing.size, hashing.digest()


def _expect(name: str, copied: int, size: int) -> None:
    if copied != size:
        raise OSError(f"{name} changed while it was copied")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
