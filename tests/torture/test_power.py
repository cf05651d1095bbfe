"""Power cuts while the spool is written: every acknowledged request survives.

The spool works on a real directory, and a model of a disk computes what a power cut would leave of
it at any moment. Of a file that is its content at its last sync, with any subset of the pages
written since, and its length then, now or in between; of a directory its entries at its last sync
or at any moment since. A failed sync loses its pages: they are clean afterwards, and another sync
does not write them.

A simulated loader and a simulated database, which loses nothing, work beside the spool. After a
power cut every acknowledged batch is in the database or in the spool, once; a segment of which the
database has rows is ambiguous or loaded, and its content is unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clew.collector import spool as spool_module
from clew.collector.limits import Overloaded
from clew.collector.otlp import Batch
from clew.collector.spool import Segment, Spool

PAGE = 64  # bytes; small, so that small batches are torn in many ways
Image = dict[str, dict[str, bytes]]  # by directory and name, the files that a power cut leaves


class Disk:
    """The model of the disk that has `root`. `failing` is the share of syncs and writes that fail."""

    CALLS = (
        "open",
        "write",
        "writev",
        "ftruncate",
        "fsync",
        "fdatasync",
        "rename",
        "unlink",
        "mkdir",
    )

    def __init__(self, root: Path, chance: random.Random, failing: float = 0.0) -> None:
        self.lock = threading.RLock()
        self.calls = 0
        self.at_call: dict[int, Callable[[], None]] = {}
        self._root = root
        self._chance = chance
        self._failing = failing
        self._real: dict[str, Any] = {name: getattr(os, name) for name in self.CALLS}
        self._files: dict[int, int] = {}  # a descriptor to read each inode
        self._synced: dict[int, bytes] = {}
        self._lost: dict[int, bytes] = {}  # the content of an inode when a sync failed
        self._entries: dict[Path, list[dict[str, int]]] = {}
        self._update()
        for directory in self._entries:
            self._entries[directory] = self._entries[directory][-1:]
        self._synced = {inode: self._read(inode) for inode in self._files}

    @contextlib.contextmanager
    def watched(self) -> Iterator[Disk]:
        """A context in which the disk follows every call of `os`."""
        with pytest.MonkeyPatch.context() as patch:
            for name in self.CALLS:
                patch.setattr(os, name, self._call(name))
            yield self
        for descriptor in self._files.values():
            os.close(descriptor)

    def cut(self) -> Image:
        """The files that a power cut at this moment would leave."""
        image: Image = {}
        directories = [self._root]
        for directory in directories:
            entries = self._chance.choice(self._entries[directory])
            paths = [directory / name for name in entries]
            directories += [path for path in paths if path in self._entries]
            image[str(directory.relative_to(self._root))] = {
                name: self._torn(self._synced.get(inode, b""), self._read(inode))
                for name, inode in entries.items()
                if inode in self._files
            }
        return image

    def _call(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            with self.lock:
                self.calls += 1
                self.at_call.pop(self.calls, lambda: None)()
                if name in ("fsync", "fdatasync"):
                    return self._sync(*arguments)
                if name in ("write", "writev") and self._chance.random() < self._failing:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                result = self._real[name](*arguments, **keywords)
                self._update()
                return result

        return call

    def _sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._update()
        if self._chance.random() < self._failing:
            if stat.S_ISREG(status.st_mode):
                self._lost[status.st_ino] = self._read(status.st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if stat.S_ISDIR(status.st_mode):
            for directory, history in self._entries.items():
                if directory.stat().st_ino == status.st_ino:
                    del history[:-1]
        elif status.st_ino in self._files:
            self._synced[status.st_ino] = self._written(status.st_ino)

    def _written(self, inode: int) -> bytes:
        """The content after a sync: without the pages that a failed sync has lost."""
        current, synced = self._read(inode), self._synced.get(inode, b"")
        lost = self._lost.get(inode)
        if lost is None:
            return current
        pages = []
        for start in range(0, len(current), PAGE):
            page = current[start : start + PAGE]
            old = synced[start : start + PAGE].ljust(len(page), b"\0")[: len(page)]
            pages.append(old if page == lost[start : start + PAGE] else page)
        return b"".join(pages)

    def _torn(self, synced: bytes, current: bytes) -> bytes:
        if synced == current:
            return current
        length = self._chance.choice(
            (
                *(len(synced), len(current)),
                self._chance.randint(*sorted((len(synced), len(current)))),
            )
        )
        size = max(len(synced), len(current))
        pages = (
            self._chance.choice((synced, current)).ljust(size, b"\0")[start : start + PAGE]
            for start in range(0, size, PAGE)
        )
        return b"".join(pages)[:length]

    def _update(self) -> None:
        """Record the changes in the directories."""
        for directory in [self._root, *(path for path in self._root.rglob("*") if path.is_dir())]:
            entries = {}
            for entry in os.scandir(directory):
                inode = entry.inode()
                entries[entry.name] = inode
                if entry.is_file() and inode not in self._files:
                    self._files[inode] = self._real["open"](entry.path, os.O_RDONLY)
            history = self._entries.setdefault(directory, [{}])
            if history[-1] != entries:
                history.append(entries)

    def _read(self, inode: int) -> bytes:
        descriptor = self._files[inode]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@dataclass
class World:
    """What has happened so far: the batches that were acknowledged and refused, and the bodies in the
    database, by segment."""

    acknowledged: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    database: dict[int, list[bytes]] = field(default_factory=dict)
    unloaded: int = 0  # segments that could not be loaded in the end

    def copy(self) -> World:
        return World(set(self.acknowledged), set(self.refused), dict(self.database))


def run(disk: Disk, data: Path, world: World, chance: random.Random) -> None:
    """A few clients, the spool, and the simulated loader."""
    sealed: list[Segment] = []
    first = chance.randrange(1 << 40)

    def load() -> None:
        """Load a segment, sometimes without the last steps. If it fails, it is loaded again later."""
        if not sealed:
            return
        segment = sealed.pop(chance.randrange(len(sealed)))
        try:
            segment = segment.without_damage().mark_loading()
            bodies = [batch.body for batch in segment.batches()]
            with disk.lock:
                world.database[segment.id] = bodies
            if chance.random() < 0.9:
                segment = segment.mark_loaded()
            if segment.loaded and chance.random() < 0.9:
                segment.remove()
        except OSError:
            (path,) = segment.path.parent.glob(f"{segment.id:020}-*")
            sealed.append(Segment.from_path("traces", path) or segment)

    async def client(spool: Spool, number: int) -> None:
        for count in range(5):
            batch = Batch(body(first + number * 100 + count, chance.choice((3, 30, 300, 700))), 1)
            try:
                await spool.append("traces", batch)
            except Overloaded:
                with disk.lock:
                    world.refused.add(batch.body)
            else:
                with disk.lock:
                    world.acknowledged.add(batch.body)
            if chance.random() < 0.4:
                load()

    async def clients() -> None:
        spool = Spool(data / "spool", ("traces",), sealed.append)
        await asyncio.gather(*(client(spool, number) for number in range(4)))
        await asyncio.to_thread(spool.close)
        for _ in range(100):
            load()
        world.unloaded = len(sealed)

    async def clients_in_time() -> None:
        task = asyncio.create_task(clients())
        finished, _ = await asyncio.wait([task], timeout=30)
        assert finished, "clients wait for a response that never comes"
        with contextlib.suppress(OSError):  # the disk failed when the spool was opened
            task.result()

    asyncio.run(clients_in_time())


def body(number: int, size: int) -> bytes:
    """A request of one resource; each number gives another one."""
    resource = number.to_bytes(8, "big") + random.Random(number).randbytes(size)
    length = len(resource)
    varint = bytes((length,)) if length < 128 else bytes((length & 127 | 128, length >> 7))
    return b"\x0a" + varint + resource


def write_image(image: Image, directory: Path) -> Path:
    for name, entries in image.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        for file, content in entries.items():
            (directory / name / file).write_bytes(content)
    return directory


def faults(world: World, data: Path) -> list[str]:
    """Recover the spool, and list what is lost, duplicated or inconsistent after the power cut."""
    segments: list[Segment] = []
    Spool(data / "spool", ("traces",), segments.append).close()
    copies = Counter(body for bodies in world.database.values() for body in bodies)
    wrong = []
    for segment in segments:
        segment = segment.without_damage()
        bodies = [batch.body for batch in segment.batches()]
        if len(bodies) != segment.items:
            wrong.append(f"{segment.path.name} holds {len(bodies)} items")
        if segment.id not in world.database:
            copies.update(bodies)
        elif not (segment.ambiguous or segment.loaded):
            wrong.append(f"{segment.path.name} is in the database and would be loaded again")
        elif bodies != world.database[segment.id]:
            wrong.append(f"{segment.path.name} differs from its rows in the database")
        if segment.loaded and segment.id not in world.database:
            wrong.append(f"{segment.path.name} is not in the database")
    wrong += ["LOST" for body in world.acknowledged if not copies[body]]
    wrong += ["DUP" for count in copies.values() if count > 1]
    wrong += ["refused, and stored" for body in world.refused if copies[body]]
    return wrong


@pytest.mark.parametrize("failing", [0.0, 0.02], ids=["reliable disk", "disk that fails at times"])
@pytest.mark.parametrize("seeds", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, failing: float
) -> None:
    """At up to four moments of each run, and once more during the recovery."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1500)
    cuts = 0
    for seed in range(seeds):
        chance = random.Random(seed)
        place = tmp_path / str(seed)
        (place / "data").mkdir(parents=True)
        disk, world = Disk(place, chance, failing), World()
        images: list[tuple[World, Image]] = []

        def cut(disk: Disk = disk, world: World = world, images: Any = images) -> None:
            images.append((world.copy(), disk.cut()))

        with disk.watched():
            disk.at_call = {chance.randrange(1, 150): cut for _ in range(4)}
            run(disk, place / "data", world, chance)
            cut()
        assert world.unloaded == 0, seed
        for number, (world_then, image) in enumerate(images):
            root = write_image(image, tmp_path / f"{seed}-{number}")
            recovery = Disk(root, chance)
            recovery_images: list[Image] = []
            with recovery.watched():
                recovery.at_call = {
                    chance.randrange(1, 12): lambda disk=recovery, images=recovery_images: (
                        images.append(disk.cut())
                    )
                }
                assert faults(world_then, root / "data") == [], (seed, number, image)
            for recovery_image in recovery_images:
                root = write_image(recovery_image, tmp_path / f"{seed}-{number}-recovery")
                assert faults(world_then, root / "data") == [], (seed, number, "recovery")
            cuts += 1 + len(recovery_images)
    print(f"{cuts} power cuts")
