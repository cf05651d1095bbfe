"""Backups of the embedded engine's tables as they were at one instant, and restoring them.

    backup = a directory, or a tar file of it:
        db/…              the engine's directory: parts of every table, and its metadata
        manifest.json     written last: a backup without it is incomplete

A part never changes once it is written, so freezing the tables costs one hard link per file of a
part. The frozen files are copied while the engine continues.
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
# Prefix of the names that backups freeze under, of characters that the engine does not escape in a
# path.
_FREEZE_PREFIX = "clew_backup_"
_INCOMPLETE = "{} is not a complete backup: the manifest or other files are missing"


@contextmanager
def freeze_tables(
    store: Store, pause: Callable[[], AbstractContextManager[object]]
) -> Iterator[dict[str, Any]]:
    """Freeze all tables and yield the manifest: the directory to copy from, its files with their
    sizes, its symbolic links, and the rows of each base table. The files are released at the end.

    `pause` stops inserts while it is entered, so that side tables agree with their base tables and
    every segment is in the tables completely or not at all. Raises BackupError."""
    if store.directory is None:
        raise BackupError("clew backup is for the embedded engine: use BACKUP of the server")
    directory = store.directory / "shadow" / f"{_FREEZE_PREFIX}{secrets.token_hex(4)}"
    try:
        with pause():
            rows = _freeze(store, directory.name)
            _copy_metadata(store.directory, directory)
        parts = sum(int(count.read_text()) for count in directory.rglob("count.txt"))
        if parts < sum(rows.values()):
            raise BackupError(f"the engine froze only {parts} of {sum(rows.values())} rows")
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


def release_frozen(store: Store) -> None:
    """Remove the frozen files that a killed process left behind."""
    if store.directory is not None:
        for directory in (store.directory / "shadow").glob(f"{_FREEZE_PREFIX}*"):
            shutil.rmtree(directory, ignore_errors=True)


def _freeze(store: Store, name: str) -> dict[str, int]:
    """Make hard links to every part in shadow/<name>; returns the rows of each base table."""
    with store.client() as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = 'otel' AND engine LIKE '%MergeTree'"
        ).result_rows
        for _ in range(ATTEMPTS):
            rows = _count_rows(client)
            for (table,) in tables:
                client.command(f"ALTER TABLE otel.{table} FREEZE WITH NAME '{name}'")
            if _count_rows(client) == rows:
                return rows
            # Clew's own metrics and other writers do not pass through the loader.
            shutil.rmtree(store.directory / "shadow" / name)  # type: ignore[operator]
    raise BackupError("another client keeps writing to the tables: stop it during the backup")


def _count_rows(client: Client) -> dict[str, int]:
    base = [table for signal in SIGNALS.values() for table in signal.tables]
    return {table: _count(client, table) for table in base}


def _count(client: Client, table: str) -> int:
    count = "SELECT count() FROM otel.{table:Identifier}"
    return int(str(client.command(count, parameters={"table": table})))


def _copy_metadata(database: Path, directory: Path) -> None:
    """Copy what the engine needs besides parts: the statements that create tables and functions."""
    metadata = [
        *(database / "metadata").glob("*.sql"),
        *(database / "metadata" / "otel").resolve().glob("*.sql"),
        *(database / "user_defined").glob("*.sql"),
        *(database / "data" / "otel").glob("*/format_version.txt"),
    ]
    for path in metadata:
        path = path.resolve()
        copy = directory / path.relative_to(database)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _links(database: Path) -> Iterator[Path]:
    yield from sorted((database / "data" / "otel").iterdir())


def write(manifest: dict[str, Any], target: Path) -> None:
    """Copy the frozen files of `manifest` to `target`: a tar file if its name ends in .tar, else a
    directory.

    `target` appears only when it is complete and synced to disk. Raises BackupError."""
    if target.exists():
        raise BackupError(f"{target} exists: write the backup to a new file or directory")
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
    """Make the engine's directory from a backup; returns the rows of each base table.

    `directory` must not exist, and appears only when every file and row count equals the
    manifest's. Raises BackupError."""
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
            if (copy := _copy(file, out)) != (size, digest):
                raise BackupError(
                    f"the file {name} is damaged: its checksum differs, it has {copy[0]} of {size} "
                    "bytes"
                )
            out.flush()
            os.fsync(out.fileno())
    for name, target in backup.manifest["links"].items():
        path = directory / _inside(name)
        if not (path.parent / target).resolve().is_relative_to(directory.resolve()):
            raise BackupError(f"a symbolic link leads out of the backup: {name} to {target}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            sync_directory(path)


def _check(directory: Path, rows: dict[str, int]) -> None:
    """Open the tables with the engine and compare their row counts with `rows`.

    Removes the tables' TTL, because no row may expire before the next start sets the retention,
    which may be longer than it was."""
    with closing(Store(f"chdb://{directory.resolve()}")) as store, store.client() as client:
        client.command("SYSTEM STOP MERGES")
        base_tables = {table for signal in SIGNALS.values() for table in signal.tables}
        for table, expected in rows.items():
            if table not in base_tables:
                raise BackupError(f"the backup has a table that this clew does not know: {table!r}")
            if (count := _count(client, table)) != expected:
                raise BackupError(f"{table} has {count} of {expected} rows")
        tables_with_ttl = client.query(
            "SELECT name FROM system.tables WHERE database = 'otel' AND engine LIKE '%MergeTree' "
            "AND create_table_query LIKE '% TTL %'"
        ).result_rows
        for (table,) in tables_with_ttl:
            client.command(
                "ALTER TABLE otel.{table:Identifier} REMOVE TTL", parameters={"table": table}
            )


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BackupError(f"a file name leads out of the backup: {name!r}")
    return path


class _Writer(Protocol):
    """Writes a backup. A context manager."""

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """Copy a file of `size` bytes; returns its digest. Raises OSError."""

    def finish(self, manifest: bytes) -> None:
        """Write the manifest and sync everything to disk. Raises OSError."""

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
            copy_size, digest = _copy(file, out)
            out.flush()
            os.fsync(out.fileno())
        _require_size(name, copy_size, size)
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
        reader = _HashingReader(file)
        self._tar.addfile(info, reader)
        _require_size(name, reader.size, size)
        return reader.digest()

    def finish(self, manifest: bytes) -> None:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(manifest)
        self._tar.addfile(info, io.BytesIO(manifest))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())


class _Reader:
    """Reads the files of a backup from a directory or a tar file."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._tar = None if source.is_dir() else tarfile.open(source)  # noqa: SIM115
        self.manifest: dict[str, Any] = {}

    def open(self, name: str) -> BinaryIO:
        if self._tar is None:
            return (self._source / name).open("rb")
        file = self._tar.extractfile(name)
        if file is None:
            raise BackupError(f"{name} in the backup is not a file")
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
            backup_format = reader.manifest["format"]
            if backup_format != FORMAT:
                raise BackupError(
                    f"{source} has format {backup_format}: install the clew that wrote it"
                )
            yield reader
    except FileNotFoundError as error:
        if source.exists():
            raise BackupError(_INCOMPLETE.format(source)) from error
        raise BackupError(f"{source} does not exist") from error
    except (KeyError, tarfile.ReadError, EOFError) as error:
        raise BackupError(_INCOMPLETE.format(source)) from error


class _HashingReader:
    """Reads from a file and counts and hashes (xxh3) the bytes that it returned."""

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
    """Returns the size and the digest of the file."""
    reader = _HashingReader(file)
    while data := reader.read():
        out.write(data)
    return reader.size, reader.digest()


def _require_size(name: str, copy_size: int, size: int) -> None:
    if copy_size != size:
        raise OSError(f"{name} changed while it was copied")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
